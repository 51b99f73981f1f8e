//! The keyrings of the whole cluster: what one agent asks all the others to do with theirs, and what they say.
//!
//! A change is done by whoever keeps the keyring, the running agent's file; here it is only told. What a member says is
//! how its keyring stands, so whoever asked for a change asks again until it is done everywhere.

use std::net::SocketAddr;

use minicbor::{Decode, Encode, bytes::ByteVec};
use zeroize::Zeroizing;

use super::{
    Event, Gossip, KeysId, Purpose,
    exchange::SILENT,
    frame,
    sync::{Reply, Request},
};
use crate::{
    node::NodeId,
    wire::{Key, KeyChange, KeyId, KeyState, Keyring, Kind, MemberKeys, Opened, WireError},
};

/// Most bytes of what a member may say is wrong with its keyring.
const MAX_TROUBLE: usize = 1_024;

/// What is asked for on the wire.
#[derive(Debug, Encode, Decode)]
pub(super) enum KeyRequest {
    #[n(0)]
    List,
    #[n(1)]
    Install(#[n(0)] ByteVec),
    #[n(2)]
    Use(#[n(0)] ByteVec),
    #[n(3)]
    Remove(#[n(0)] ByteVec),
}

impl KeyRequest {
    fn of(change: Option<&KeyChange>) -> Self {
        match change {
            None => Self::List,
            Some(KeyChange::Install(key)) => Self::Install(key.to_bytes().to_vec().into()),
            Some(KeyChange::Use(id)) => Self::Use(id.to_bytes().to_vec().into()),
            Some(KeyChange::Remove(id)) => Self::Remove(id.to_bytes().to_vec().into()),
        }
    }

    /// What is to be changed, if anything; nothing at all where it does not read.
    fn read(&self) -> Option<Option<KeyChange>> {
        let id = |bytes: &ByteVec| bytes.as_slice().try_into().ok().map(KeyId::from_bytes);
        match self {
            Self::List => Some(None),
            Self::Install(bytes) => {
                let bytes: [u8; Key::LEN] = bytes.as_slice().try_into().ok()?;
                Some(Some(KeyChange::Install(Key::new(Zeroizing::new(bytes)))))
            }
            Self::Use(bytes) => Some(Some(KeyChange::Use(id(bytes)?))),
            Self::Remove(bytes) => Some(Some(KeyChange::Remove(id(bytes)?))),
        }
    }
}

/// What is answered on the wire.
#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(super) struct KeyReply {
    #[n(0)]
    keys: ByteVec,
    #[n(1)]
    trouble: Option<String>,
}

impl KeyReply {
    fn of(state: &KeyState) -> Self {
        let keys: Vec<u8> = state.keys.iter().flat_map(|id| id.to_bytes()).collect();
        Self { keys: keys.into(), trouble: state.trouble.clone() }
    }

    pub(super) fn read(self) -> KeyState {
        let keys = self.keys.as_chunks().0.iter().map(|id| KeyId::from_bytes(*id)).collect();
        let mut trouble = self.trouble;
        if let Some(text) = &mut trouble {
            text.truncate(text.floor_char_boundary(MAX_TROUBLE));
        }
        KeyState { keys, trouble }
    }
}

/// What a member answers that was asked for its keyring.
pub(super) fn read_keys(opened: &Opened<'_>) -> Result<KeyState, String> {
    if opened.kind != Kind::Reply {
        return Err(WireError::Foreign.to_string());
    }
    match frame::read(&opened.payload).map_err(|error| error.to_string())? {
        Reply::Keys(keys) => Ok(keys.read()),
        Reply::Silent => Err(SILENT.to_owned()),
        Reply::State(_) | Reply::Same | Reply::Taken | Reply::Swim(_) | Reply::Differ(_) => {
            Err(WireError::Foreign.to_string())
        }
    }
}

/// A question to all members, under way.
#[derive(Debug, Default)]
pub(super) struct AskedKeys {
    outstanding: usize,
    answers: Vec<MemberKeys>,
}

impl Gossip {
    /// Uses other keys from now on; nothing where this node had none at its start.
    pub fn set_keyring(&mut self, keyring: Keyring) {
        self.wire.set_keyring(keyring);
        self.key_trouble = None;
    }

    /// The keys stay as they are, for this reason: every member that asks is told.
    pub fn set_key_trouble(&mut self, trouble: String) {
        self.key_trouble = Some(trouble);
    }

    /// The keys in use, where there are any.
    pub fn keyring(&self) -> Option<&Keyring> {
        self.wire.keyring()
    }

    /// How the keyring stands; nothing where there is none.
    pub fn key_state(&self) -> Option<KeyState> {
        let keys = self.keyring()?.ids().collect();
        Some(KeyState { keys, trouble: self.key_trouble.clone() })
    }

    /// Asks every member how its keyring stands and, where a change is given, to do it, this node too.
    /// `Event::KeysAnswered` says what they said. Nothing where this node has no keys.
    pub fn ask_keys(&mut self, change: Option<KeyChange>) -> Option<KeysId> {
        self.keyring()?;
        let id = KeysId(self.next_keys);
        self.next_keys += 1;
        let request = Request::Keys(KeyRequest::of(change.as_ref()));
        let members: Vec<_> = self.foca.iter_membership_state().map(|member| *member.id()).collect();
        let members: Vec<_> = members.into_iter().filter(|peer| !self.has_left(peer)).collect();
        self.asked_keys.insert(id, AskedKeys { outstanding: members.len(), answers: Vec::new() });
        for peer in members {
            self.request(peer.addr(), Purpose::Keys(id, peer.id), &request);
        }
        if let Some(change) = change {
            self.change_keys(change);
        }
        self.finish_keys(id);
        Some(id)
    }

    fn change_keys(&mut self, change: KeyChange) {
        // What was wrong before is not what comes of this.
        self.key_trouble = None;
        self.events.push_back(Event::ChangeKeys(change));
    }

    /// Answers such a question.
    pub(super) fn asked_keys(&mut self, request: &KeyRequest) -> Option<KeyReply> {
        // Without keys nobody has shown that he may ask.
        self.keyring()?;
        if let Some(change) = request.read()? {
            self.change_keys(change);
        }
        self.key_state().map(|state| KeyReply::of(&state))
    }

    /// Takes in what one member said, or why it did not.
    pub(super) fn end_keys(
        &mut self,
        id: KeysId,
        member: NodeId,
        addr: SocketAddr,
        state: Result<KeyState, String>,
    ) {
        if let Some(asked) = self.asked_keys.get_mut(&id) {
            asked.outstanding -= 1;
            asked.answers.push(MemberKeys { id: member, addr, state });
        }
        self.finish_keys(id);
    }

    fn finish_keys(&mut self, id: KeysId) {
        if self.asked_keys.get(&id).is_some_and(|asked| asked.outstanding == 0)
            && let Some(AskedKeys { mut answers, .. }) = self.asked_keys.remove(&id)
        {
            if let Some(state) = self.key_state() {
                answers.push(MemberKeys { id: self.me.id, addr: self.me.addr(), state: Ok(state) });
            }
            self.events.push_back(Event::KeysAnswered(id, answers));
        }
    }
}
