//! What the gossip machine gives out: datagrams to send, streams to open, and what the caller has to know.

use std::net::SocketAddr;

use bytes::Bytes;

use crate::{
    node::{Epoch, NodeId},
    wire::{KeyChange, MemberKeys},
};

/// A datagram to send.
#[derive(Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Where.
    pub to: SocketAddr,
    /// What, sealed.
    pub payload: Bytes,
}

/// Names a dial, so that its answer finds back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExchangeId(pub(super) u64);

/// A stream to open: write the frame, read one frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dial {
    /// To hand back with the answer.
    pub exchange: ExchangeId,
    /// Where.
    pub to: SocketAddr,
    /// What to write, sealed.
    pub frame: Bytes,
}

/// Why a dial brought no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// The host answers that no process listens there.
    #[error("connection refused: nothing listens there")]
    Refused,
    /// The other end hung up.
    #[error(
        "it closed the connection without an answer: is a chronik-agent there, and does it want a key \
         (--encrypt-key-file)?"
    )]
    Closed,
    /// Anything else, in words that help.
    #[error("{0}")]
    Failed(String),
}

/// Names a `join`, so that its outcome finds back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct JoinId(pub(super) u64);

/// Names a question about the keyrings, so that the answer finds back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeysId(pub(super) u64);

/// What the caller has to know beyond the membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// This node's epoch has grown; keep it before sending anything.
    Persist(Epoch),
    /// A `join` has ended: for each address nothing, or why it failed.
    JoinEnded(JoinId, Vec<(SocketAddr, Option<String>)>),
    /// A message about the founding, for whoever decides it.
    Founding(NodeId, Vec<u8>),
    /// A member that has a key asks for this change of the keyring.
    ChangeKeys(KeyChange),
    /// What all members said of their keyrings.
    KeysAnswered(KeysId, Vec<MemberKeys>),
    /// The goodbye has been said often enough; the process may end.
    Left,
    /// Another process uses this node's id. Of the two, the one that started later stops gossiping.
    DuplicateId {
        /// Where it runs.
        addr: SocketAddr,
        /// Whether this node is the one that has stopped.
        stopped: bool,
    },
}

impl std::fmt::Debug for Transmit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes to {}", self.payload.len(), self.to)
    }
}
