//! What travels beside the engine's own updates, passed on by everyone who hears it for the first time: metadata, and
//! who has left.

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc},
};

use bytes::{Buf, BufMut};

use super::{
    metadata::{MAX_RUMOUR, ReadRecord, Record, Stamp},
    peer::{Peer, PeerError, get_life, get_peer, put_life, put_peer},
    suspicion::Evidence,
};
use crate::{
    membership::{Coordinate, ImpossibleCoordinate},
    node::NodeId,
};

/// One rumour.
#[derive(Debug, Clone)]
pub(super) enum Rumour {
    /// A node's metadata, and the node: whoever hears of it has heard of a member.
    Metadata(Peer, Arc<Record>),
    /// A node has newer metadata than fits a rumour: ask it.
    Announced(Peer, Stamp),
    /// This life of a node said goodbye.
    Left(Peer),
    /// A node found that a member does not answer.
    Accused(Accusation),
    /// The first node has given way to the other half of the cluster, in which the second is.
    Healed(Peer, Peer),
    /// The first peer asks this node to look at the second itself, which it suspects at this incarnation. For this
    /// node alone.
    Check(Peer, Peer, u16),
    /// A helper had no answer to this probe either. For this node alone.
    Nack(u8),
    /// The first peer is there in the network. For this node alone.
    Coordinate(Peer, Coordinate),
}

/// One node's word against another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Accusation {
    pub(super) from: NodeId,
    pub(super) accused: Peer,
    pub(super) incarnation: u16,
    /// Its host said that no process listens there.
    pub(super) refused: bool,
}

impl Accusation {
    pub(super) fn evidence(&self) -> Evidence {
        if self.refused { Evidence::Refused } else { Evidence::Silent }
    }
}

const METADATA: u8 = 1;
const ANNOUNCED: u8 = 2;
const LEFT: u8 = 3;
const ACCUSED: u8 = 4;
const CHECK: u8 = 5;
const NACK: u8 = 6;
const HEALED: u8 = 7;
const COORDINATE: u8 = 8;

/// Writes the metadata of `owner` as a rumour, or only its stamp where it is too large for one.
pub(super) fn metadata_rumour(owner: &Peer, record: &Record) -> Vec<u8> {
    if record.bytes.len() > MAX_RUMOUR {
        return announced_rumour(owner, record.stamp);
    }
    let mut out = vec![METADATA];
    put_stamp(owner, record.stamp, &mut out);
    out.put_slice(&record.bytes);
    out
}

/// Writes that `owner` has metadata that is too large for a rumour.
pub(super) fn announced_rumour(owner: &Peer, stamp: Stamp) -> Vec<u8> {
    let mut out = vec![ANNOUNCED];
    put_stamp(owner, stamp, &mut out);
    out
}

fn put_stamp(owner: &Peer, stamp: Stamp, out: &mut Vec<u8>) {
    put_peer(&owner.reborn(stamp.epoch, owner.bump()), out);
    out.put_u32(stamp.version);
}

/// Writes that this life of a node said goodbye.
pub(super) fn left_rumour(peer: &Peer) -> Vec<u8> {
    let mut out = vec![LEFT];
    put_life(peer, &mut out);
    out
}

/// Writes one node's word against another.
pub(super) fn accusation_rumour(accusation: &Accusation) -> Vec<u8> {
    let mut out = vec![ACCUSED];
    out.put_slice(accusation.from.as_bytes());
    put_life(&accusation.accused, &mut out);
    out.put_u16(accusation.incarnation);
    out.put_u8(accusation.refused.into());
    out
}

/// Writes the request to look at a member.
pub(super) fn check_item(accused: &Peer, incarnation: u16) -> Vec<u8> {
    let mut out = vec![CHECK];
    put_life(accused, &mut out);
    out.put_u16(incarnation);
    out
}

/// Writes that `who` has given way to the half in which `there` is.
pub(super) fn healed_rumour(who: &Peer, there: &Peer) -> Vec<u8> {
    let mut out = vec![HEALED];
    put_life(who, &mut out);
    put_peer(there, &mut out);
    out
}

/// Writes that a helper had no answer.
pub(super) fn nack_item(number: u8) -> Vec<u8> {
    vec![NACK, number]
}

/// Writes where this node is in the network.
pub(super) fn coordinate_item(coordinate: &Coordinate) -> Vec<u8> {
    let mut out = vec![COORDINATE];
    out.put_slice(&coordinate.to_bytes());
    out
}

fn read_accusation(mut bytes: &[u8]) -> Result<Accusation, RumourError> {
    let mut from = [0; NodeId::LEN];
    bytes.try_copy_to_slice(&mut from).map_err(PeerError::from)?;
    let from = NodeId::try_from(from).map_err(|_| PeerError::Invalid("nil id"))?;
    let accused = get_life(&mut bytes)?;
    let incarnation = bytes.try_get_u16().map_err(PeerError::from)?;
    let refused = bytes.try_get_u8().map_err(PeerError::from)? != 0;
    Ok(Accusation { from, accused, incarnation, refused })
}

/// Reads whose metadata follows, or could be asked for, and which writing of it.
fn get_stamp(bytes: &mut &[u8]) -> Result<(Peer, Stamp), PeerError> {
    let owner = get_peer(bytes)?;
    Ok((owner, Stamp { epoch: owner.epoch(), version: bytes.try_get_u32()? }))
}

/// Reads one rumour; `None` as the sender is this node itself.
pub(super) fn read(
    mut bytes: &[u8],
    sender: Option<&Peer>,
    read_record: ReadRecord,
) -> Result<Rumour, RumourError> {
    let kind = bytes.try_get_u8().map_err(PeerError::from)?;
    match (kind, sender) {
        (LEFT, _) => return Ok(Rumour::Left(get_life(&mut bytes)?)),
        (ACCUSED, _) => return Ok(Rumour::Accused(read_accusation(bytes)?)),
        (CHECK, Some(asker)) => {
            let accused = get_life(&mut bytes)?;
            return Ok(Rumour::Check(*asker, accused, bytes.try_get_u16().map_err(PeerError::from)?));
        }
        (HEALED, _) => return Ok(Rumour::Healed(get_life(&mut bytes)?, get_peer(&mut bytes)?)),
        (NACK, Some(_)) => return Ok(Rumour::Nack(bytes.try_get_u8().map_err(PeerError::from)?)),
        (COORDINATE, Some(peer)) => {
            let mut read = [0; Coordinate::LEN];
            bytes.try_copy_to_slice(&mut read).map_err(PeerError::from)?;
            return Ok(Rumour::Coordinate(*peer, Coordinate::from_bytes(&read)?));
        }
        _ => {}
    }
    let (owner, stamp) = get_stamp(&mut bytes)?;
    match kind {
        METADATA => Ok(Rumour::Metadata(owner, read_record(owner.id, stamp, bytes)?)),
        ANNOUNCED => Ok(Rumour::Announced(owner, stamp)),
        _ => Err(RumourError::Kind(kind)),
    }
}

/// Why a rumour was not believed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RumourError {
    /// Cut short or without an owner.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// Its metadata does not read.
    #[error(transparent)]
    Metadata(#[from] super::metadata::MetadataError),
    /// Nowhere in the network.
    #[error(transparent)]
    Coordinate(#[from] ImpossibleCoordinate),
    /// A later version's, or nobody's.
    #[error("unknown kind of rumour {0}")]
    Kind(u8),
}

/// What a rumour is about, and how new it is; a newer one drives an older one about the same thing out of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Topic {
    about: (NodeId, Subject),
    stamp: Stamp,
}

/// What about a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Metadata,
    Goodbye,
    Accused(NodeId),
    Healed,
}

impl foca::Invalidates for Topic {
    fn invalidates(&self, other: &Self) -> bool {
        self.about == other.about && self.stamp >= other.stamp
    }
}

/// How many topics are remembered; beyond it the memory starts afresh, which costs one more round of old rumours.
const MAX_TOPICS: usize = 65_536;

/// Decides which rumours are new and hands those to the machine, which has the engine pass on what it wants to.
#[derive(Debug)]
pub(super) struct Rumours {
    /// Of metadata: of each member there is some.
    newest_metadata: BTreeMap<NodeId, Stamp>,
    /// Of all else.
    newest: BTreeMap<(NodeId, Subject), Stamp>,
    heard: mpsc::SyncSender<Rumour>,
    read_record: ReadRecord,
}

/// The machine drains them after each datagram, which holds four dozen goodbyes, the shortest of what is passed on. The
/// queue takes its room at once, 104 bytes for each.
const MAX_PENDING: usize = 64;

impl Rumours {
    /// The handler for the engine, and the end at which new rumours come out.
    pub(super) fn new(read_record: ReadRecord) -> (Self, mpsc::Receiver<Rumour>) {
        let (heard, pending) = mpsc::sync_channel(MAX_PENDING);
        (Self { heard, read_record, newest_metadata: BTreeMap::new(), newest: BTreeMap::new() }, pending)
    }

    /// Whether this is metadata that has been told before, as most is: reading it is most of the work.
    fn repeats_metadata(&self, mut bytes: &[u8]) -> bool {
        let is_metadata = matches!(bytes.try_get_u8(), Ok(METADATA | ANNOUNCED));
        let is_told = |(owner, stamp): (Peer, Stamp)| {
            self.newest_metadata.get(&owner.id).is_some_and(|newest| *newest >= stamp)
        };
        is_metadata && get_stamp(&mut bytes).is_ok_and(is_told)
    }

    fn newest(&self, (node, subject): (NodeId, Subject)) -> Option<&Stamp> {
        match subject {
            Subject::Metadata => self.newest_metadata.get(&node),
            Subject::Goodbye | Subject::Accused(_) | Subject::Healed => self.newest.get(&(node, subject)),
        }
    }

    fn remember(&mut self, (node, subject): (NodeId, Subject), stamp: Stamp) {
        if self.newest.len() + self.newest_metadata.len() >= MAX_TOPICS {
            self.newest.clear();
            self.newest_metadata.clear();
        }
        match subject {
            Subject::Metadata => self.newest_metadata.insert(node, stamp),
            Subject::Goodbye | Subject::Accused(_) | Subject::Healed => {
                self.newest.insert((node, subject), stamp)
            }
        };
    }
}

impl foca::BroadcastHandler<Peer> for Rumours {
    type Key = Topic;
    type Error = RumourError;

    fn receive_item(&mut self, bytes: &[u8], sender: Option<&Peer>) -> Result<Option<Topic>, RumourError> {
        if sender.is_some() && self.repeats_metadata(bytes) {
            return Ok(None);
        }
        let rumour = read(bytes, sender, self.read_record)?;
        let topic = match &rumour {
            Rumour::Metadata(owner, record) => {
                Topic { about: (owner.id, Subject::Metadata), stamp: record.stamp }
            }
            Rumour::Announced(owner, stamp) => Topic { about: (owner.id, Subject::Metadata), stamp: *stamp },
            Rumour::Left(peer) => Topic {
                about: (peer.id, Subject::Goodbye),
                stamp: Stamp { epoch: peer.epoch(), version: peer.bump().into() },
            },
            Rumour::Accused(said) => {
                let Accusation { from, accused, incarnation, refused } = said;
                let version = (u32::from(accused.bump()) << 16 | u32::from(*incarnation)) << 1;
                let stamp = Stamp { epoch: accused.epoch(), version: version | u32::from(*refused) };
                Topic { about: (accused.id, Subject::Accused(*from)), stamp }
            }
            Rumour::Healed(who, _) => Topic {
                about: (who.id, Subject::Healed),
                stamp: Stamp { epoch: who.epoch(), version: who.bump().into() },
            },
            Rumour::Check(..) | Rumour::Nack(_) | Rumour::Coordinate(..) => {
                // A full queue loses it, as the network may.
                self.heard.try_send(rumour).ok();
                return Ok(None);
            }
        };
        // What this node tells itself (no sender) may be told again: a refresh repeats the same version.
        let known = self.newest(topic.about);
        if sender.is_some() && known.is_some_and(|newest| *newest >= topic.stamp) {
            return Ok(None);
        }
        if sender.is_some() && self.heard.try_send(rumour).is_err() {
            return Ok(None);
        }
        self.remember(topic.about, topic.stamp);
        Ok(sender.is_none().then_some(topic))
    }
}
