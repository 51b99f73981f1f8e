//! The whole state over a stream: what is exchanged at a join, when two sides of a partition meet again, and when a
//! comparison shows a difference. And the rules by which another node's picture changes ours.

use std::{collections::BTreeSet, sync::Arc};

use foca::{Codec as _, Member, State};
use minicbor::{
    Decode, Encode,
    bytes::{ByteArray, ByteVec},
};
use sha2::{Digest as _, Sha256};

use super::{
    codec::SwimCodec,
    frame::FrameError,
    heal::Standing,
    keys::{KeyReply, KeyRequest},
    metadata::{ReadRecord, Record, Stamp},
    peer::{Peer, get_life, get_peer, put_life, put_peer},
};
use crate::node::{Epoch, NodeId};

/// What one node asks of another. Fields and variants are numbered, unknown fields skipped: add freely, reuse none.
#[derive(Debug, Encode, Decode)]
pub(super) enum Request {
    /// Here is all I know; tell me all you know.
    #[n(0)]
    Exchange(#[n(0)] EncodedState),
    /// Here is a digest of all I know; tell me what yours is made of if it differs.
    #[n(1)]
    Compare(#[n(0)] u64),
    /// A message about the founding; its answer is a message of its own.
    #[n(2)]
    Founding(#[n(0)] ByteArray<{ NodeId::LEN }>, #[n(1)] ByteVec),
    /// A message of the engine, as in a datagram: a ping that datagrams may have lost.
    #[n(3)]
    Swim(#[n(0)] ByteVec),
    /// Here are the entries that you lack; tell me those with these hashes, which I lack.
    #[n(4)]
    Trade(#[n(0)] EncodedState, #[n(1)] ByteVec),
    /// How does your keyring stand? And what is to be done to it.
    #[n(5)]
    Keys(#[n(0)] KeyRequest),
}

impl Request {
    /// A message about the founding from `sender`.
    pub(super) fn founding(sender: NodeId, message: Vec<u8>) -> Self {
        Self::Founding((*sender.as_bytes()).into(), message.into())
    }
}

/// What the other answers.
#[derive(Debug, Encode, Decode)]
pub(super) enum Reply {
    /// All it knows.
    #[n(0)]
    State(#[n(0)] EncodedState),
    /// The digests are equal.
    #[n(1)]
    Same,
    /// It is leaving, or has stopped over a conflict, and tells nobody anything.
    #[n(2)]
    Silent,
    /// The message has arrived.
    #[n(3)]
    Taken,
    /// What the engine answered, sealed as datagrams.
    #[n(4)]
    Swim(#[n(0)] Vec<ByteVec>),
    /// The digests differ; these are the hashes of its entries.
    #[n(5)]
    Differ(#[n(0)] ByteVec),
    /// How the keyring stands.
    #[n(6)]
    Keys(#[n(0)] KeyReply),
}

/// All a node knows, as bytes in the layouts of the datagrams: members and lives one after the other in one string each,
/// so that a frame cannot decode to many times its size.
#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(super) struct EncodedState {
    #[n(0)]
    sender: ByteVec,
    #[n(1)]
    members: ByteVec,
    #[n(2)]
    left: ByteVec,
    #[n(3)]
    records: Vec<EncodedRecord>,
    #[n(4)]
    standing: Option<Standing>,
}

#[derive(Debug, Encode, Decode)]
#[cbor(map)]
struct EncodedRecord {
    #[n(0)]
    owner: ByteArray<{ NodeId::LEN }>,
    #[n(1)]
    epoch: u64,
    #[n(2)]
    version: u32,
    #[n(3)]
    bytes: ByteVec,
}

/// All a node knows.
#[derive(Debug)]
pub(super) struct SharedState {
    /// The node itself.
    pub(super) sender: Peer,
    /// The members of its engine, failed ones too.
    pub(super) members: Vec<Member<Peer>>,
    /// The lives that said goodbye.
    pub(super) left: Vec<Peer>,
    /// The metadata it has, its own too.
    pub(super) records: Vec<Arc<Record>>,
    /// Of whom it is sure.
    pub(super) standing: Standing,
}

impl SharedState {
    pub(super) fn encode(&self) -> EncodedState {
        let (mut sender, mut members, mut left) = (Vec::new(), Vec::new(), Vec::new());
        put_peer(&self.sender, &mut sender);
        for member in &self.members {
            SwimCodec.encode_member(member, &mut members).expect("a vector has room");
        }
        for life in &self.left {
            put_life(life, &mut left);
        }
        EncodedState {
            sender: sender.into(),
            members: members.into(),
            left: left.into(),
            standing: Some(self.standing),
            records: self
                .records
                .iter()
                .map(|record| EncodedRecord {
                    owner: (*record.owner.as_bytes()).into(),
                    epoch: record.stamp.epoch.0,
                    version: record.stamp.version,
                    bytes: record.bytes.clone().into(),
                })
                .collect(),
        }
    }

    /// Reads it, of the metadata what is `wanted`: most of it repeats what is known, and is not even read.
    pub(super) fn decode(
        encoded: EncodedState,
        is_wanted: impl Fn(NodeId, Stamp) -> bool,
        read_record: ReadRecord,
    ) -> Result<Self, FrameError> {
        let failed = |error: &dyn std::fmt::Display| FrameError::new(error.to_string());
        let sender = get_peer(&mut encoded.sender.as_slice()).map_err(|error| failed(&error))?;
        let standing = encoded.standing.unwrap_or_default();
        let mut state = Self { sender, members: Vec::new(), left: Vec::new(), records: Vec::new(), standing };
        let mut members = encoded.members.as_slice();
        while !members.is_empty() {
            state.members.push(SwimCodec.decode_member(&mut members).map_err(|error| failed(&error))?);
        }
        let mut left = encoded.left.as_slice();
        while !left.is_empty() {
            state.left.push(get_life(&mut left).map_err(|error| failed(&error))?);
        }
        for record in encoded.records {
            let owner = NodeId::try_from(*record.owner).map_err(|error| failed(&error))?;
            let stamp = Stamp { epoch: Epoch(record.epoch), version: record.version };
            // One node's bad metadata is no reason to refuse what is said of the others; nor is an epoch that does not
            // travel in a rumour, where it would become an early one.
            if stamp.epoch <= Epoch::LAST
                && is_wanted(owner, stamp)
                && let Ok(record) = read_record(owner, stamp, &record.bytes)
            {
                state.records.push(record);
            }
        }
        Ok(state)
    }
}

/// Equal for two nodes that show the same life of a member, active or not, with the same metadata. Suspicions and
/// incarnations are left out: they come and go, and rumours carry them faster than any comparison.
pub(super) fn entry_hash(peer: &Peer, active: bool, stamp: Option<Stamp>) -> EntryHash {
    let mut hash = Sha256::new();
    hash.update(peer.id.as_bytes());
    hash.update(peer.epoch().0.to_be_bytes());
    hash.update(peer.bump().to_be_bytes());
    hash.update([u8::from(active)]);
    if let Some(stamp) = stamp {
        hash.update(stamp.epoch.0.to_be_bytes());
        hash.update(stamp.version.to_be_bytes());
    }
    hash.finalize().first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

/// Stands for an entry where two nodes find out which of them the other lacks. Of 10,000 entries two are taken for one
/// another once in 10^11 comparisons.
pub(super) type EntryHash = u64;

/// Writes hashes one after the other.
pub(super) fn put_hashes(hashes: impl Iterator<Item = EntryHash>) -> ByteVec {
    hashes.flat_map(EntryHash::to_be_bytes).collect::<Vec<_>>().into()
}

/// Reads what `put_hashes` wrote.
pub(super) fn get_hashes(bytes: &[u8]) -> BTreeSet<EntryHash> {
    bytes.as_chunks().0.iter().map(|hash| EntryHash::from_be_bytes(*hash)).collect()
}

/// What to make of one entry of another node's picture.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Take it over.
    Apply(Member<Peer>),
    /// The other side says failed and we say alive: somebody is wrong. Suspect it here, so that it gets the chance to
    /// refute; the other's word alone kills nobody.
    Suspect(Member<Peer>),
    /// We say failed and the other side says alive: ask it directly.
    Reach,
    /// No news.
    Ignore,
}

/// Compares one entry of another node's picture with ours of the same node.
pub(super) fn judge(theirs: &Member<Peer>, ours: Option<&Member<Peer>>) -> Verdict {
    let Some(ours) = ours else {
        return match theirs.state() {
            // A suspicion about a stranger would register it as alive, with nobody to follow the suspicion up.
            State::Suspect => Verdict::Ignore,
            State::Alive | State::Down => Verdict::Apply(theirs.clone()),
        };
    };
    let same_life = theirs.id() == ours.id();
    match (theirs.state(), ours.state()) {
        (State::Alive | State::Suspect, State::Down) if same_life => Verdict::Reach,
        (State::Down, State::Alive) if same_life => {
            let incarnation = theirs.incarnation().max(ours.incarnation());
            Verdict::Suspect(Member::new(*ours.id(), incarnation, State::Suspect))
        }
        (State::Down, State::Suspect) if same_life => Verdict::Ignore,
        _ => Verdict::Apply(theirs.clone()),
    }
}
