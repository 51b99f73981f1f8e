//! Questions about keyrings and their answers, as bytes.

use minicbor::{Decode, Encode, bytes::ByteVec};
use zeroize::Zeroizing;

use crate::wire::{Key, KeyChange, KeyId, KeyState};

/// Upper bound on the bytes in which a member may say what is wrong with its keyring.
const MAX_TROUBLE: usize = 1_024;

/// Question about a keyring.
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
    /// Writes a change, or a mere question.
    pub(super) fn new(change: Option<&KeyChange>) -> Self {
        match change {
            None => Self::List,
            Some(KeyChange::Install(key)) => Self::Install(key.to_bytes().to_vec().into()),
            Some(KeyChange::Use(id)) => Self::Use(id.to_bytes().to_vec().into()),
            Some(KeyChange::Remove(id)) => Self::Remove(id.to_bytes().to_vec().into()),
        }
    }

    /// Reads it; `None` if its bytes are no key or no name of one.
    pub(super) fn read(&self) -> Option<Asked> {
        let id = |bytes: &ByteVec| bytes.as_slice().try_into().ok().map(KeyId::from_bytes);
        let change = match self {
            Self::List => return Some(Asked::State),
            Self::Install(bytes) => {
                let bytes: [u8; Key::LEN] = bytes.as_slice().try_into().ok()?;
                KeyChange::Install(Key::new(Zeroizing::new(bytes)))
            }
            Self::Use(bytes) => KeyChange::Use(id(bytes)?),
            Self::Remove(bytes) => KeyChange::Remove(id(bytes)?),
        };
        Some(Asked::Change(change))
    }
}

/// State of a keyring.
#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(super) struct KeyReply {
    #[n(0)]
    keys: ByteVec,
    #[n(1)]
    trouble: Option<String>,
}

/// Meaning of a question.
#[derive(Debug)]
pub(super) enum Asked {
    /// The state of the keyring alone.
    State,
    /// A change of it, and its state.
    Change(KeyChange),
}

impl KeyReply {
    /// Writes it.
    pub(super) fn new(state: &KeyState) -> Self {
        let keys: Vec<u8> = state.keys.iter().flat_map(|id| id.to_bytes()).collect();
        Self { keys: keys.into(), trouble: state.trouble.clone() }
    }

    /// Reads it.
    pub(super) fn read(self) -> KeyState {
        let keys = self.keys.as_chunks().0.iter().map(|id| KeyId::from_bytes(*id)).collect();
        let mut trouble = self.trouble;
        if let Some(text) = &mut trouble {
            text.truncate(text.floor_char_boundary(MAX_TROUBLE));
        }
        KeyState { keys, trouble }
    }
}
