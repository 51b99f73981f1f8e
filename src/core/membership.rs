//! The members, as this node knows them: an ordered, versioned view computed from gossip.

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

/// State of a member, by its last known life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberStatus {
    /// Answers, or a member that answers says so.
    Alive,
    /// Missed a probe and has not yet refuted it.
    Suspect,
    /// Did not answer through the whole suspicion: crashed, paused or unreachable.
    Failed,
    /// Left with a goodbye.
    Left,
}

impl MemberStatus {
    /// True for members that count as alive: a suspicion alone removes no member.
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

/// The way on which a member answers probes; the best way first.
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
    /// Address at which it gossips.
    pub addr: SocketAddr,
    /// Its state.
    pub status: MemberStatus,
    /// Its own account of itself; shared, since views are copied for readers with every change. Until it has arrived,
    /// the member counts as an observer with its id for a name.
    pub metadata: Arc<Metadata>,
    /// Its latest known start.
    pub epoch: Epoch,
    /// Time of the last change of its status.
    pub since: Instant,
    /// Time of the last packet that came from it directly; `None` if it is known through others only.
    pub last_heard: Option<Instant>,
    /// Set if it comes and goes: suspected or called failed again and again within seconds.
    pub degraded: bool,
    /// Smoothed round trip of datagrams to it; `None` until it has answered one.
    pub rtt: Option<Duration>,
    /// The way on which it answered the last probe.
    pub reach: Option<Reach>,
    /// Its place in the network, by its own account; `None` until it has announced one.
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
    /// Members by id, so that every listing has the same order everywhere.
    pub members: BTreeMap<NodeId, Member>,
}

impl Membership {
    /// The members that are alive or only suspected.
    pub fn active(&self) -> impl Iterator<Item = &Member> {
        self.members.values().filter(|member| member.status.is_active())
    }

    /// The active members that stand beside a server.
    pub fn active_servers(&self) -> impl Iterator<Item = &Member> {
        self.active().filter(|member| member.role == Role::Server)
    }
}
