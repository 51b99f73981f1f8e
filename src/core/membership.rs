//! Who is there, as this node knows it: an ordered, versioned picture computed from gossip.

mod coordinate;
mod metadata;

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    ops::Deref,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

pub use self::{
    coordinate::{Coordinate, DIMENSIONS, ImpossibleCoordinate, distance},
    metadata::{FoundingNews, Metadata},
};

use crate::{
    choice::Choice,
    node::{Epoch, NodeId, Role},
};

/// What is known of a member's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberStatus {
    /// Answers, or somebody who answers says so.
    Alive,
    /// Missed a probe and has not yet refuted it.
    Suspect,
    /// Did not answer through the whole suspicion: crashed, paused or unreachable.
    Failed,
    /// Said goodbye.
    Left,
}

impl MemberStatus {
    /// Alive until proven otherwise: a suspicion alone takes nobody out.
    pub fn is_active(self) -> bool {
        matches!(self, Self::Alive | Self::Suspect)
    }
}

impl Choice for MemberStatus {
    const ALL: &'static [Self] = &[Self::Alive, Self::Suspect, Self::Failed, Self::Left];

    fn word(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Failed => "failed",
            Self::Left => "left",
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Alive => "Answers, or somebody who answers says so",
            Self::Suspect => "Missed a probe and has not yet refuted it",
            Self::Failed => "Did not answer through the whole suspicion: crashed, paused or unreachable",
            Self::Left => "Said goodbye",
        }
    }
}

impl fmt::Display for MemberStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// By which way a member answers probes; the best way first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// Datagrams go both ways.
    Datagram,
    /// Datagrams are lost or blocked; a stream brought the answer.
    Stream,
    /// This node cannot reach it, others can.
    Others,
}

/// A node in the view. What it says of itself is read as if it stood here: `member.name`, `member.role`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its identity.
    pub id: NodeId,
    /// Where it gossips.
    pub addr: SocketAddr,
    /// What is known of its life.
    pub status: MemberStatus,
    /// What it says of itself; shared, since views are copied for readers with every change. Until it has arrived, the
    /// member counts as an observer with its id for a name.
    pub metadata: Arc<Metadata>,
    /// Which of its starts this is.
    pub epoch: Epoch,
    /// When its status last changed.
    pub since: Instant,
    /// When it was last heard from directly; `None` for hearsay.
    pub last_heard: Option<Instant>,
    /// It comes and goes: suspected or called failed again and again within seconds.
    pub degraded: bool,
    /// Smoothed round trip of datagrams to it; `None` until it has answered one.
    pub rtt: Option<Duration>,
    /// By which way it answered the last probe.
    pub reach: Option<Reach>,
    /// Where it is in the network, by its own account; `None` until it has said so.
    pub coordinate: Option<Coordinate>,
}

impl Deref for Member {
    type Target = Metadata;

    fn deref(&self) -> &Metadata {
        &self.metadata
    }
}

/// All members, this node among them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Membership {
    /// Grows with every change that a reader can see, `last_heard`, `rtt`, `reach` and `coordinate` excepted.
    pub index: u64,
    /// Ordered by id, so that every listing is the same everywhere.
    pub members: BTreeMap<NodeId, Member>,
}

impl Membership {
    /// The members who are alive or only suspected.
    pub fn active(&self) -> impl Iterator<Item = &Member> {
        self.members.values().filter(|member| member.status.is_active())
    }

    /// The active members that stand beside a server.
    pub fn active_servers(&self) -> impl Iterator<Item = &Member> {
        self.active().filter(|member| member.role == Role::Server)
    }
}
