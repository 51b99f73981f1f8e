//! What travels beside the engine's own updates, passed on by everyone who hears it for the first time: metadata, and
//! who has left.

use std::{collections::BTreeMap, sync::mpsc};

use bytes::{Buf, BufMut};

use super::{
    metadata::{MAX_RUMOUR, Record, Stamp},
    peer::{Peer, PeerError, get_life, get_peer, put_life, put_peer},
};
use crate::node::NodeId;

/// One rumour.
#[derive(Debug, Clone)]
pub(super) enum Rumour {
    /// A node's metadata, and the node: whoever hears of it has heard of a member.
    Metadata(Peer, Record),
    /// A node has newer metadata than fits a rumour: ask it.
    Announced(Peer, Stamp),
    /// This life of a node said goodbye.
    Left(Peer),
}

const METADATA: u8 = 1;
const ANNOUNCED: u8 = 2;
const LEFT: u8 = 3;

/// Writes the metadata of `owner` as a rumour, or only its stamp where it is too large for one.
pub(super) fn metadata_rumour(owner: &Peer, record: &Record) -> Vec<u8> {
    let whole = record.bytes.len() <= MAX_RUMOUR;
    let mut out = vec![if whole { METADATA } else { ANNOUNCED }];
    put_peer(&Peer { epoch: record.stamp.epoch, ..*owner }, &mut out);
    out.put_u32(record.stamp.version);
    if whole {
        out.put_slice(&record.bytes);
    }
    out
}

/// Writes that this life of a node said goodbye.
pub(super) fn left_rumour(peer: &Peer) -> Vec<u8> {
    let mut out = vec![LEFT];
    put_life(peer, &mut out);
    out
}

fn read(mut bytes: &[u8]) -> Result<Rumour, RumourError> {
    let kind = bytes.try_get_u8().map_err(PeerError::from)?;
    if kind == LEFT {
        return Ok(Rumour::Left(get_life(&mut bytes)?));
    }
    let owner = get_peer(&mut bytes)?;
    let stamp = Stamp { epoch: owner.epoch, version: bytes.try_get_u32().map_err(PeerError::from)? };
    match kind {
        METADATA => Ok(Rumour::Metadata(owner, Record::read(owner.id, stamp, bytes.to_vec())?)),
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
    /// A later version's, or nobody's.
    #[error("unknown kind of rumour {0}")]
    Kind(u8),
}

/// What a rumour is about, and how new it is; a newer one drives an older one about the same thing out of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Topic {
    about: (NodeId, bool),
    stamp: Stamp,
}

impl foca::Invalidates for Topic {
    fn invalidates(&self, other: &Self) -> bool {
        self.about == other.about && self.stamp >= other.stamp
    }
}

/// How many topics are remembered; beyond it the memory starts afresh, which costs one more round of old rumours.
const MAX_TOPICS: usize = 65_536;

/// Decides which rumours are new, hands those to the machine and has the engine pass them on.
#[derive(Debug)]
pub(super) struct Rumours {
    newest: BTreeMap<(NodeId, bool), Stamp>,
    heard: mpsc::SyncSender<Rumour>,
}

/// More rumours than fit one datagram; the machine drains them after each.
const MAX_PENDING: usize = 1_024;

impl Rumours {
    /// The handler for the engine, and the end at which new rumours come out.
    pub(super) fn new() -> (Self, mpsc::Receiver<Rumour>) {
        let (heard, pending) = mpsc::sync_channel(MAX_PENDING);
        (Self { newest: BTreeMap::new(), heard }, pending)
    }
}

impl foca::BroadcastHandler<Peer> for Rumours {
    type Key = Topic;
    type Error = RumourError;

    fn receive_item(&mut self, bytes: &[u8], sender: Option<&Peer>) -> Result<Option<Topic>, RumourError> {
        let rumour = read(bytes)?;
        let topic = match &rumour {
            Rumour::Metadata(owner, Record { stamp, .. }) | Rumour::Announced(owner, stamp) => {
                Topic { about: (owner.id, false), stamp: *stamp }
            }
            Rumour::Left(peer) => Topic {
                about: (peer.id, true),
                stamp: Stamp { epoch: peer.epoch, version: peer.bump.into() },
            },
        };
        // What this node tells itself (no sender) may be told again: a refresh repeats the same version.
        let known = self.newest.get(&topic.about);
        if sender.is_some() && known.is_some_and(|newest| *newest >= topic.stamp) {
            return Ok(None);
        }
        if sender.is_some() && self.heard.try_send(rumour).is_err() {
            return Ok(None);
        }
        if self.newest.len() >= MAX_TOPICS {
            self.newest.clear();
        }
        self.newest.insert(topic.about, topic.stamp);
        Ok(Some(topic))
    }
}
