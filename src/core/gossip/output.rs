//! Output of the gossip machine: datagrams to send, streams to open, and events that the caller has to know.

use std::net::SocketAddr;

use bytes::Bytes;

use crate::{
    node::{Epoch, NodeId},
    wire::{KeyChange, MemberKeys},
};

/// A datagram to send.
#[derive(Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Address to send to.
    pub to: SocketAddr,
    /// Sealed bytes.
    pub payload: Bytes,
}

/// Identifies a dial, so that its answer finds back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExchangeId(pub(super) u64);

/// A stream to open: write the frame, read one frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dial {
    /// Name to hand back with the answer.
    pub exchange: ExchangeId,
    /// Address to dial.
    pub to: SocketAddr,
    /// Sealed frame to write.
    pub frame: Bytes,
}

/// Reason for which a dial brought no answer.
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
    /// Another failure, in words that help.
    #[error("{0}")]
    Failed(String),
}

/// Identifies a `join`, so that its outcome finds back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct JoinId(pub(super) u64);

/// Identifies a question about the keyrings, so that the answer finds back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeysId(pub(super) u64);

/// An event that the caller has to know beside the membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// This node's epoch has grown; save it before sending anything.
    SaveEpoch(Epoch),
    /// A `join` has ended; each address with the reason if it failed.
    JoinEnded(JoinId, Vec<(SocketAddr, Option<String>)>),
    /// A message about the founding, from this node.
    Founding(NodeId, Vec<u8>),
    /// A member that has a key asks for this change of the keyring.
    ChangeKeys(KeyChange),
    /// Answers of all members about their keyrings.
    KeysAnswered(KeysId, Vec<MemberKeys>),
    /// The goodbye has been said often enough; the process may end.
    Left,
    /// Another process has signed a life with this node's key that this node's record did not know: the record was copied, or
    /// went back in time. Set if that process runs.
    ForeignLife(bool),
    /// Another process uses this node's id. Of the two, the one that started later stops gossiping.
    DuplicateId {
        /// Address at which it runs.
        addr: SocketAddr,
        /// Set if this node is the one that has stopped.
        stopped: bool,
    },
    /// The process that used this node's id is gone.
    DuplicateGone,
}

impl std::fmt::Debug for Transmit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes to {}", self.payload.len(), self.to)
    }
}
