//! A packet: its bounds, its kinds, and what is known of one that was read.

use std::borrow::Cow;

use super::{key::KeyId, packet_id::PacketId};

/// First byte of every packet; nothing that commonly strays onto a port starts with it.
pub(super) const MAGIC: u8 = 0xC7;
/// Version of the envelope of agents without a key. Raised when old agents could no longer read what new ones write.
pub(super) const PLAIN_VERSION: u8 = 1;
/// Version of the envelope of agents with a key.
pub(super) const SEALED_VERSION: u8 = 2;

/// Largest datagram sent or accepted, in bytes. 1232 is what fits the smallest IPv6 path (1280 less 48 of headers), so
/// that nothing is ever fragmented, not even in tunnels and overlay networks.
pub const MAX_DATAGRAM: usize = 1232;
/// Length of the checksum of a plain packet, in bytes.
pub(super) const CHECKSUM: usize = 4;
/// Largest plain envelope: four bytes, the longest cluster name and the checksum.
pub(super) const MAX_PLAIN_ENVELOPE: usize = 4 + 32 + CHECKSUM;
/// Largest payload of a datagram, whatever the cluster's name, so that all agents agree on it. The envelope of agents
/// with a key is five bytes longer still; that fits, for twenty bytes are taken out of every message of the engine
/// before it is wrapped.
pub const MAX_PAYLOAD: usize = MAX_DATAGRAM - MAX_PLAIN_ENVELOPE;
/// Largest frame on a stream: the whole state of a cluster of 10,000 with metadata of 500 bytes each.
pub const MAX_FRAME: usize = 8 << 20;

/// The kind of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Datagram: a message of the SWIM engine.
    Swim = 1,
    /// Datagram: the sender leaves.
    Goodbye = 2,
    /// Frame: asks for something.
    Request = 3,
    /// Frame: answers.
    Reply = 4,
    /// Frame: the request was for another cluster; the envelope says which one this is.
    Refusal = 5,
    /// Frame: the request may be an old one; ask again, and name this frame in it.
    Challenge = 6,
}

impl Kind {
    /// All kinds, in the order of their bytes.
    pub(crate) const ALL: [Self; 6] =
        [Self::Swim, Self::Goodbye, Self::Request, Self::Reply, Self::Refusal, Self::Challenge];

    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// A packet that was read.
#[derive(Debug)]
pub(crate) struct Opened<'a> {
    pub(crate) kind: Kind,
    pub(crate) payload: Cow<'a, [u8]>,
    /// Its sender and its key; `None` if this agent has no key.
    pub(crate) origin: Option<Origin>,
}

/// The origin of a sealed packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The packet's identity, and so its sender's.
    pub(crate) packet: PacketId,
    /// The key it was sealed under.
    pub(crate) key: KeyId,
}

/// A request that was read, and whether it may be carried out.
#[derive(Debug)]
pub(crate) enum Admitted<'a> {
    /// A new request, with its payload.
    New(&'a [u8]),
    /// A request that may be an old one, recorded and sent again.
    Doubtful,
}
