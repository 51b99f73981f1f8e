//! Rumours: metadata, goodbyes and accusations, which travel beside the engine's own updates and are passed on by every
//! node that hears them for the first time; and the items for one node alone, which travel in the same place.

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc},
};

use bytes::{Buf, BufMut};

use super::{
    echoes::is_echo_or_cookie,
    metadata::MAX_RUMOUR,
    peer::{Peer, PeerError, get_life, get_peer, put_life, put_peer},
    record::{Claimed, DIGEST_LEN, Goodbye, LifeProof, Reader, Record, Stamp},
};
use crate::{
    membership::{Coordinate, ImpossibleCoordinate},
    node::{Epoch, NodeId},
    signing::Seal,
};

/// One rumour, or an item for this node alone.
#[derive(Debug, Clone)]
pub(super) enum Rumour {
    /// Metadata of a node, and the node: whoever hears of it has heard of a member.
    Metadata(Peer, Arc<Record>),
    /// Newer metadata of a node than fits a rumour; it is to be asked for. Its life is proven all the same.
    Announced(Peer, Box<LifeProof>),
    /// Goodbye of a life of a node, by itself.
    Left(Box<Goodbye>),
    /// One node's word against another.
    Accused(Accusation),
    /// One half of a parted cluster gives way to the other.
    Healed {
        /// A node that has given way.
        who: Peer,
        /// A node of the other half.
        there: Peer,
    },
    /// Request to look at a member. For this node alone.
    Check {
        /// The node that asks.
        asker: Peer,
        /// The member that it suspects.
        accused: Peer,
        /// Incarnation at which it suspects it.
        incarnation: u16,
    },
    /// A helper had no answer to the probe of this number either. For this node alone.
    Nack(u8),
    /// Position of a peer in the network. For this node alone.
    Coordinate(Peer, Coordinate),
}

/// Evidence against a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Evidence {
    /// It did not answer, or others say so.
    Silent,
    /// Its host answers that no process listens there.
    Refused,
}

/// One node's word against another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Accusation {
    pub(super) from: NodeId,
    pub(super) accused: Peer,
    pub(super) incarnation: u16,
    pub(super) evidence: Evidence,
}

const METADATA: u8 = 1;
const ANNOUNCED: u8 = 2;
const LEFT: u8 = 3;
const ACCUSED: u8 = 4;
const CHECK: u8 = 5;
const NACK: u8 = 6;
const HEALED: u8 = 7;
const COORDINATE: u8 = 8;

impl Rumour {
    /// The latest epoch in it.
    pub(super) fn epoch(&self) -> Epoch {
        match self {
            Self::Metadata(owner, record) => owner.epoch().max(record.stamp().epoch),
            Self::Announced(owner, life) => owner.epoch().max(life.stamp().epoch),
            Self::Left(goodbye) => goodbye.life().epoch(),
            Self::Coordinate(peer, _) => peer.epoch(),
            Self::Accused(said) => said.accused.epoch(),
            Self::Healed { who, there } => who.epoch().max(there.epoch()),
            Self::Check { asker, accused, .. } => asker.epoch().max(accused.epoch()),
            Self::Nack(_) => Epoch(0),
        }
    }

    /// Writes it. Metadata that is too large for a rumour is announced only.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.kind()];
        match self {
            Self::Metadata(owner, record) => {
                put_claimed(owner, &record.life().claimed(), &mut out);
                match self.kind() {
                    METADATA => out.put_slice(record.bytes()),
                    _ => out.put_slice(&record.life().claimed().digest),
                }
            }
            Self::Announced(owner, life) => {
                put_claimed(owner, &life.claimed(), &mut out);
                out.put_slice(&life.claimed().digest);
            }
            Self::Left(goodbye) => {
                put_life(goodbye.life(), &mut out);
                out.put_slice(&goodbye.seal().to_bytes());
            }
            Self::Accused(Accusation { from, accused, incarnation, evidence }) => {
                out.put_slice(from.as_bytes());
                put_life(accused, &mut out);
                out.put_u16(*incarnation);
                out.put_u8(u8::from(*evidence == Evidence::Refused));
            }
            Self::Healed { who, there } => {
                put_life(who, &mut out);
                put_peer(there, &mut out);
            }
            Self::Check { accused, incarnation, .. } => {
                put_life(accused, &mut out);
                out.put_u16(*incarnation);
            }
            Self::Nack(number) => out.put_u8(*number),
            Self::Coordinate(_, coordinate) => out.put_slice(&coordinate.to_bytes()),
        }
        out
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Metadata(_, record) if record.bytes().len() > MAX_RUMOUR => ANNOUNCED,
            Self::Metadata(..) => METADATA,
            Self::Announced(..) => ANNOUNCED,
            Self::Left(_) => LEFT,
            Self::Accused(_) => ACCUSED,
            Self::Healed { .. } => HEALED,
            Self::Check { .. } => CHECK,
            Self::Nack(_) => NACK,
            Self::Coordinate(..) => COORDINATE,
        }
    }
}

/// Writes all of a proof but the digest.
fn put_claimed(owner: &Peer, claimed: &Claimed, out: &mut Vec<u8>) {
    put_peer(&owner.reborn(claimed.stamp.epoch, owner.bump()), out);
    out.put_u32(claimed.stamp.version);
    out.put_u64(claimed.instance);
    out.put_slice(&claimed.seal.to_bytes());
}

/// Reads what `put_claimed` wrote; the digest is nil.
fn get_claimed(bytes: &mut &[u8]) -> Result<(Peer, Claimed), PeerError> {
    let (owner, stamp) = get_stamp(bytes)?;
    let (instance, seal) = (bytes.try_get_u64()?, get_seal(bytes)?);
    Ok((
        owner,
        Claimed { owner: owner.id, addr: owner.addr(), stamp, instance, digest: [0; DIGEST_LEN], seal },
    ))
}

fn read_accusation(mut bytes: &[u8]) -> Result<Accusation, RumourError> {
    let mut from = [0; NodeId::LEN];
    bytes.try_copy_to_slice(&mut from).map_err(PeerError::from)?;
    let from = NodeId::try_from(from).map_err(|_| PeerError::Invalid("nil id"))?;
    let accused = get_life(&mut bytes)?;
    let incarnation = bytes.try_get_u16().map_err(PeerError::from)?;
    let refused = bytes.try_get_u8().map_err(PeerError::from)? != 0;
    let evidence = if refused { Evidence::Refused } else { Evidence::Silent };
    Ok(Accusation { from, accused, incarnation, evidence })
}

/// Reads the owner of metadata and the stamp of its writing.
fn get_stamp(bytes: &mut &[u8]) -> Result<(Peer, Stamp), PeerError> {
    let owner = get_peer(bytes)?;
    Ok((owner, Stamp { epoch: owner.epoch(), version: bytes.try_get_u32()? }))
}

/// Reads one rumour of this sender.
pub(super) fn read(mut bytes: &[u8], sender: &Peer, reader: &Reader) -> Result<Rumour, RumourError> {
    match bytes.try_get_u8().map_err(PeerError::from)? {
        METADATA => {
            let (owner, claimed) = get_claimed(&mut bytes)?;
            Ok(Rumour::Metadata(owner, reader.read(claimed, bytes)?))
        }
        ANNOUNCED => {
            let (owner, mut claimed) = get_claimed(&mut bytes)?;
            bytes.try_copy_to_slice(&mut claimed.digest).map_err(PeerError::from)?;
            Ok(Rumour::Announced(owner, reader.life(claimed)?.into()))
        }
        LEFT => {
            let life = get_life(&mut bytes)?;
            let goodbye = reader.goodbye(life, get_seal(&mut bytes)?).ok_or(RumourError::Forged)?;
            Ok(Rumour::Left(goodbye.into()))
        }
        ACCUSED => Ok(Rumour::Accused(read_accusation(bytes)?)),
        CHECK => {
            let accused = get_life(&mut bytes)?;
            let incarnation = bytes.try_get_u16().map_err(PeerError::from)?;
            Ok(Rumour::Check { asker: *sender, accused, incarnation })
        }
        HEALED => {
            let who = get_life(&mut bytes)?;
            Ok(Rumour::Healed { who, there: get_peer(&mut bytes)? })
        }
        NACK => Ok(Rumour::Nack(bytes.try_get_u8().map_err(PeerError::from)?)),
        COORDINATE => {
            let mut read = [0; Coordinate::LEN];
            bytes.try_copy_to_slice(&mut read).map_err(PeerError::from)?;
            Ok(Rumour::Coordinate(*sender, Coordinate::from_bytes(&read)?))
        }
        kind => Err(RumourError::Kind(kind)),
    }
}

/// The life that a rumour proves, and its stamp, by what the rumour says.
pub(super) fn proof_in(mut bytes: &[u8]) -> Option<(Peer, Stamp)> {
    let is_proof = matches!(bytes.try_get_u8().ok()?, METADATA | ANNOUNCED);
    get_stamp(&mut bytes).ok().filter(|_| is_proof)
}

/// Reads the topic of a rumour, without what it says; `None` if it is for this node alone.
fn read_topic(mut bytes: &[u8]) -> Result<Option<Topic>, RumourError> {
    let topic = |id, subject, stamp| Ok(Some(Topic { about: (id, subject), stamp }));
    match bytes.try_get_u8().map_err(PeerError::from)? {
        METADATA | ANNOUNCED => {
            let (owner, stamp) = get_stamp(&mut bytes)?;
            topic(owner.id, Subject::Metadata, stamp)
        }
        LEFT => {
            let life = get_life(&mut bytes)?;
            topic(life.id, Subject::Goodbye, Stamp { epoch: life.epoch(), version: life.bump().into() })
        }
        ACCUSED => {
            let Accusation { from, accused, incarnation, evidence } = read_accusation(bytes)?;
            let version = (u32::from(accused.bump()) << 16 | u32::from(incarnation)) << 1;
            let worse = u32::from(evidence == Evidence::Refused);
            let stamp = Stamp { epoch: accused.epoch(), version: version | worse };
            topic(accused.id, Subject::Accused(from), stamp)
        }
        HEALED => {
            let who = get_life(&mut bytes)?;
            topic(who.id, Subject::Healed, Stamp { epoch: who.epoch(), version: who.bump().into() })
        }
        CHECK | NACK | COORDINATE => Ok(None),
        kind => Err(RumourError::Kind(kind)),
    }
}

fn get_seal(bytes: &mut &[u8]) -> Result<Seal, PeerError> {
    let mut seal = [0; Seal::LEN];
    bytes.try_copy_to_slice(&mut seal)?;
    Ok(Seal::from_bytes(&seal))
}

/// Reason for which a rumour is not believed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RumourError {
    /// Cut short or without an owner.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// Its metadata does not read.
    #[error(transparent)]
    Metadata(#[from] super::metadata::MetadataError),
    /// The life that it says has left has not said so.
    #[error("a goodbye that its node has not signed")]
    Forged,
    /// Its coordinate is nowhere in the network.
    #[error(transparent)]
    Coordinate(#[from] ImpossibleCoordinate),
    /// Its kind is that of a later version, or of none.
    #[error("unknown kind of rumour {0}")]
    Kind(u8),
}

/// Subject of a rumour and its age; a newer rumour drives an older one about the same subject out of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Topic {
    about: (NodeId, Subject),
    stamp: Stamp,
}

/// Subject within all that can be said of a node.
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

/// Upper bound on topics remembered; beyond it the memory starts afresh, which costs one more round of old rumours.
const MAX_TOPICS: usize = 65_536;

/// Handler of the engine for rumours: picks the new ones and hands them to the machine, which decides what is passed on.
#[derive(Debug)]
pub(super) struct Rumours {
    /// Newest stamp of each node's metadata, kept apart because each member has some.
    newest_metadata: BTreeMap<NodeId, Stamp>,
    /// Newest stamp of each other topic.
    newest: BTreeMap<(NodeId, Subject), Stamp>,
    heard: mpsc::SyncSender<Rumour>,
    reader: Reader,
}

/// Room for rumours that wait for the machine, which drains them after each datagram; a datagram holds four dozen
/// goodbyes, the shortest rumour that is passed on. The queue takes its room at once, 104 bytes for each.
const MAX_PENDING: usize = 64;

impl Rumours {
    /// The handler, and the end of the queue at which new rumours come out.
    pub(super) fn new(reader: Reader) -> (Self, mpsc::Receiver<Rumour>) {
        let (heard, pending) = mpsc::sync_channel(MAX_PENDING);
        (Self { heard, reader, newest_metadata: BTreeMap::new(), newest: BTreeMap::new() }, pending)
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
        if is_echo_or_cookie(bytes) {
            return Ok(None);
        }
        let topic = read_topic(bytes)?;
        let Some(sender) = sender else {
            // A rumour of this node itself may be told again: a refresh repeats the same version.
            topic.iter().for_each(|topic| self.remember(topic.about, topic.stamp));
            return Ok(topic);
        };
        // Most rumours were told before, and reading them would be most of the work.
        let repeats = |topic: &Topic| self.newest(topic.about).is_some_and(|newest| *newest >= topic.stamp);
        if topic.as_ref().is_some_and(repeats) {
            return Ok(None);
        }
        // A full queue loses it, as the network may.
        let is_heard = self.heard.try_send(read(bytes, sender, &self.reader)?).is_ok();
        topic.iter().filter(|_| is_heard).for_each(|topic| self.remember(topic.about, topic.stamp));
        Ok(None)
    }
}
