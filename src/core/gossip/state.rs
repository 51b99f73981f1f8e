//! Requests and replies of streams, among them the whole state, which is exchanged at a join, when two sides of a
//! partition meet again, and in part when a comparison shows a difference.

use std::{collections::BTreeSet, sync::Arc};

use foca::{Codec as _, Member};
use minicbor::{Decode, Encode, bytes::ByteVec};
use sha2::{Digest as _, Sha256};

use super::{
    challenge::{Challenge, Proof},
    codec::SwimCodec,
    frame::FrameError,
    key_frames::{KeyReply, KeyRequest},
    peer::{Peer, get_life, get_peer, put_life, put_peer},
    record::{Claimed, DIGEST_LEN, Goodbye, Reader, Record, Stamp},
};
use crate::{node::Epoch, signing::Seal};

/// Request of a stream. Fields and variants are numbered, unknown fields skipped: add freely, reuse none.
#[derive(Debug, Encode, Decode)]
pub(super) enum Request {
    /// Everything the sender knows, in exchange for everything the other knows.
    #[n(0)]
    Exchange(#[n(0)] EncodedState),
    /// Digest of the sender's state; if it differs, the other answers with the hashes of its entries.
    #[n(1)]
    Compare(#[n(0)] u64),
    /// Message about the founding, signed by its sender for the receiver; its answer is a message of its own.
    #[n(2)]
    Founding(#[n(0)] Seal, #[n(1)] ByteVec),
    /// SWIM message as in a datagram: a ping that datagrams may have lost.
    #[n(3)]
    Swim(#[n(0)] ByteVec),
    /// Entries that the other lacks, in exchange for those with these hashes, which the sender lacks.
    #[n(4)]
    Trade(#[n(0)] EncodedState, #[n(1)] ByteVec),
    /// Question about the keyring, and a change of it.
    #[n(5)]
    Keys(#[n(0)] KeyRequest),
    /// Question whether the key of the sender's node is there, too.
    #[n(6)]
    Challenge(#[n(0)] Challenge),
}

/// Reason given for a reply that tells nothing.
pub(super) const SILENT: &str = "the agent there is leaving, or has stopped over a duplicate node id";

/// Reply to a request.
#[derive(Debug, Encode, Decode)]
pub(super) enum Reply {
    /// Everything it knows, or the entries asked for.
    #[n(0)]
    State(#[n(0)] EncodedState),
    /// The digests are equal.
    #[n(1)]
    Same,
    /// The agent is leaving, or has stopped over a duplicate node id, and tells nobody anything.
    #[n(2)]
    Silent,
    /// The message has arrived.
    #[n(3)]
    Taken,
    /// Answers of the engine, sealed as datagrams.
    #[n(4)]
    Swim(#[n(0)] Enclosed),
    /// Hashes of its entries, since the digests differ.
    #[n(5)]
    Differ(#[n(0)] ByteVec),
    /// State of its keyring.
    #[n(6)]
    Keys(#[n(0)] KeyReply),
    /// Life of the node there, signed with its key.
    #[n(7)]
    Proof(#[n(0)] Proof),
}

/// Datagrams in an answer. A few are all that one message brings about; a list of many empty ones would take a multiple of its
/// length in memory.
#[derive(Debug, Default)]
pub(super) struct Enclosed(pub(super) Vec<ByteVec>);

/// Upper bound on datagrams in an answer.
const MAX_ENCLOSED: usize = 64;

impl<C> Encode<C> for Enclosed {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        context: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        self.0.encode(e, context)
    }
}

impl<'b, C> Decode<'b, C> for Enclosed {
    fn decode(d: &mut minicbor::Decoder<'b>, context: &mut C) -> Result<Self, minicbor::decode::Error> {
        let mut datagrams = Vec::new();
        for datagram in d.array_iter_with(context)? {
            if datagrams.len() == MAX_ENCLOSED {
                return Err(minicbor::decode::Error::message("too many datagrams"));
            }
            datagrams.push(datagram?);
        }
        Ok(Self(datagrams))
    }
}

/// Upper bound on members, this node included; a hostile member may not make a node hold more.
pub(super) const MAX_MEMBERS: usize = 16_384;
/// Upper bounds on what one state tells: no agent knows more members, nor more goodbyes and accounts than there are members
/// and strangers twice over.
const MAX_TOLD: usize = MAX_MEMBERS;
const MAX_HEARSAY_TOLD: usize = 3 * MAX_MEMBERS;
/// Upper bound on signatures that are looked at for one frame, goodbyes of them half at most: 50 µs each, of the 20 ms that one
/// frame may take of this node. The rest of a larger state comes by the comparisons that follow.
pub(super) const MAX_VERIFIED: usize = 320;

/// Everything a node knows, as bytes in the layouts of the datagrams: members and lives one after the other in one string
/// each, so that a frame cannot decode to many times its size.
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
    #[n(2)]
    version: u32,
    #[n(3)]
    bytes: ByteVec,
    /// The owner, in the life that this is about.
    #[n(4)]
    peer: ByteVec,
    #[n(5)]
    instance: u64,
    #[n(6)]
    seal: Seal,
}

impl EncodedRecord {
    fn of(record: &Record) -> Self {
        let Claimed { stamp, instance, seal, .. } = record.life().claimed();
        let mut peer = Vec::new();
        put_peer(&record.life().peer(), &mut peer);
        Self {
            version: stamp.version,
            bytes: record.bytes().to_vec().into(),
            peer: peer.into(),
            instance,
            seal,
        }
    }

    /// The proof in it, without the digest of the metadata, if it reads.
    fn claimed(&self) -> Option<Claimed> {
        let owner = get_peer(&mut self.peer.as_slice()).ok()?;
        let stamp = Stamp { epoch: owner.epoch(), version: self.version };
        let Self { instance, seal, .. } = *self;
        let digest = [0; DIGEST_LEN];
        Some(Claimed { owner: owner.id, addr: owner.addr(), stamp, instance, digest, seal })
    }
}

/// The members of which a node is sure if it may be cut off from the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub(super) struct Standing {
    #[n(0)]
    pub(super) majority: Majority,
    /// Number of members that it has heard of late, itself included.
    #[n(1)]
    pub(super) heard: u32,
}

/// Side on which most voters of the founded cluster are, as far as a node can tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub(super) enum Majority {
    /// They are not, or nothing is founded.
    #[default]
    #[n(0)]
    No,
    /// Nothing speaks against it.
    #[n(1)]
    Perhaps,
    /// The node has heard them.
    #[n(2)]
    Certain,
}

/// Everything a node knows.
#[derive(Debug)]
pub(super) struct SharedState {
    /// The node itself.
    pub(super) sender: Peer,
    /// The members of its engine, failed ones included.
    pub(super) members: Vec<Member<Peer>>,
    /// The goodbyes of lives.
    pub(super) left: Vec<Goodbye>,
    /// The metadata it has, its own included.
    pub(super) records: Vec<Arc<Record>>,
    /// The members of which it is sure.
    pub(super) standing: Standing,
    /// True if more came than was looked at.
    pub(super) is_partial: bool,
}

impl SharedState {
    /// The part of it whose epochs are believed; `None` if that of its sender is not.
    pub(super) fn believed(mut self, is_believed: impl Fn(Epoch) -> bool) -> Option<Self> {
        self.members.retain(|member| is_believed(member.id().epoch()));
        self.left.retain(|goodbye| is_believed(goodbye.life().epoch()));
        self.records.retain(|record| is_believed(record.stamp().epoch));
        is_believed(self.sender.epoch()).then_some(self)
    }

    pub(super) fn encode(&self) -> EncodedState {
        let (mut sender, mut members, mut left) = (Vec::new(), Vec::new(), Vec::new());
        put_peer(&self.sender, &mut sender);
        for member in &self.members {
            SwimCodec.encode_member(member, &mut members).expect("a vector has room");
        }
        for goodbye in &self.left {
            put_life(goodbye.life(), &mut left);
            left.extend(goodbye.seal().to_bytes());
        }
        EncodedState {
            sender: sender.into(),
            members: members.into(),
            left: left.into(),
            standing: Some(self.standing),
            records: self.records.iter().map(|record| EncodedRecord::of(record)).collect(),
        }
    }

    /// Decodes a state; records for which `is_wanted` is false are skipped unread, and goodbyes for which `is_news` is, as most
    /// are, since they repeat what is known. No more than `MAX_VERIFIED` of the others are read.
    ///
    /// # Errors
    /// If it does not read, tells more than there can be, or has a goodbye that its node has not signed: each node looks at
    /// those before it passes them on, so that a frame with one is forged, and not worth a look at the rest.
    pub(super) fn decode(
        encoded: EncodedState,
        is_wanted: impl Fn(&Claimed) -> bool,
        is_news: impl Fn(&Peer) -> bool,
        reader: &Reader,
    ) -> Result<Self, FrameError> {
        let failed = |error: &dyn std::fmt::Display| FrameError::new(error.to_string());
        let sender = get_peer(&mut encoded.sender.as_slice()).map_err(|error| failed(&error))?;
        let standing = encoded.standing.unwrap_or_default();
        let (members, left, records) = (Vec::new(), Vec::new(), Vec::new());
        let mut state = Self { sender, members, left, records, standing, is_partial: false };
        let mut members = encoded.members.as_slice();
        while !members.is_empty() {
            if state.members.len() == MAX_TOLD {
                return Err(failed(&"more members than there can be"));
            }
            state.members.push(SwimCodec.decode_member(&mut members).map_err(|error| failed(&error))?);
        }
        let mut told = encoded.records.len();
        let mut left = encoded.left.as_slice();
        while !left.is_empty() {
            let life = get_life(&mut left).map_err(|error| failed(&error))?;
            let (seal, rest) = left.split_first_chunk().ok_or_else(|| failed(&"cut short"))?;
            left = rest;
            told += 1;
            if told > MAX_HEARSAY_TOLD {
                return Err(failed(&"more goodbyes than there can be"));
            }
            if state.left.len() == MAX_VERIFIED / 2 {
                state.is_partial = true;
            } else if is_news(&life) {
                let goodbye = reader.goodbye(life, Seal::from_bytes(seal));
                state.left.push(goodbye.ok_or_else(|| failed(&"a goodbye that its node has not signed"))?);
            }
        }
        let mut verified = state.left.len();
        // One node's bad record is no reason to refuse what is said of the others: another version may have other rules.
        for record in &encoded.records {
            let Some(claimed) = record.claimed().filter(&is_wanted) else { continue };
            if verified == MAX_VERIFIED {
                state.is_partial = true;
                break;
            }
            verified += 1;
            state.records.extend(reader.read(claimed, &record.bytes).ok());
        }
        Ok(state)
    }
}

/// Hash of an entry: equal for two nodes that show the same life of a member, active or not, with the same metadata.
/// Suspicions and incarnations are left out: they come and go, and rumours carry them faster than any comparison.
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

/// Name of an entry by which two nodes find out which ones the other lacks. Of 10,000 entries two are taken for one another
/// once in 10^11 comparisons.
pub(super) type EntryHash = u64;

/// Writes hashes one after the other.
pub(super) fn put_hashes(hashes: impl Iterator<Item = EntryHash>) -> ByteVec {
    hashes.flat_map(EntryHash::to_be_bytes).collect::<Vec<_>>().into()
}

/// Reads what `put_hashes` wrote, as far as there can be entries.
pub(super) fn get_hashes(bytes: &[u8]) -> BTreeSet<EntryHash> {
    bytes.as_chunks().0.iter().take(MAX_MEMBERS).map(|hash| EntryHash::from_be_bytes(*hash)).collect()
}
