//! Is there a majority, as far as this node can see? An advice computed from rumours, never a substitute for the
//! server's own consensus.

use std::{num::NonZeroU16, time::Instant};

use serde::{Deserialize, Serialize};

use crate::{
    membership::{MemberStatus, Membership},
    node::{NodeId, NodeName, Role},
};

/// The answer in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QuorumStatus {
    /// No cluster has been founded yet.
    Forming,
    /// A majority of the voters is alive.
    Quorate,
    /// It is not.
    Lost,
    /// Two clusters claim to be this one.
    Conflict,
}

/// Whom the majority is counted among.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// `--bootstrap-expect`: nobody has founded anything yet.
    Expect,
    /// The persisted, last known voters.
    Voters,
}

/// A voter that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Its id.
    pub id: NodeId,
    /// Its name for people.
    pub name: NodeName,
    /// What is known of its life.
    pub status: MemberStatus,
    /// Since when.
    pub since: Instant,
}

/// What this node sees of the quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quorum {
    /// Grows with every change.
    pub index: u64,
    /// The answer in one word.
    pub status: QuorumStatus,
    /// How many voters there are: those expected before the founding, those last known after it.
    pub voters: usize,
    /// How many of them are alive.
    pub voters_alive: usize,
    /// How many must be.
    pub required: usize,
    /// `--bootstrap-expect`.
    pub expect: Option<NonZeroU16>,
    /// Whether as many servers as expected are alive.
    pub expect_met: bool,
    /// Whom the majority is counted among.
    pub basis: Basis,
    /// The voters that are not there.
    pub missing: Vec<Missing>,
    /// The view is old: this node has been paused or hears nobody.
    pub stale: bool,
    /// Why, a sentence each.
    pub reasons: Vec<String>,
}

impl Quorum {
    /// True while a majority of the voters of a founded cluster is alive.
    pub fn has_quorum(&self) -> bool {
        self.status == QuorumStatus::Quorate
    }

    /// Before the founding: nothing votes yet, so the answer is always `forming`, counted against `expect`.
    pub fn forming(membership: &Membership, expect: Option<NonZeroU16>) -> Self {
        let alive = membership.active_servers().count();
        let voters = expect.map_or(0, |expect| usize::from(expect.get()));
        let gone =
            |member: &&crate::membership::Member| !member.status.is_active() && member.role == Role::Server;
        let missing: Vec<Missing> = membership
            .members
            .values()
            .filter(gone)
            .map(|member| Missing {
                id: member.id,
                name: member.name.clone(),
                status: member.status,
                since: member.since,
            })
            .collect();
        let reason = match expect {
            None => "no cluster is founded yet, and none will be from here: --bootstrap-expect is not set"
                .to_owned(),
            Some(_) if alive >= voters => {
                format!("{alive} of {voters} expected servers are alive; no cluster is founded yet")
            }
            Some(_) => format!("waiting for servers: {alive} of {voters} expected are alive"),
        };
        Self {
            index: 0,
            status: QuorumStatus::Forming,
            voters,
            voters_alive: alive.min(voters),
            required: if voters == 0 { 0 } else { voters / 2 + 1 },
            expect,
            expect_met: expect.is_some() && alive >= voters,
            basis: Basis::Expect,
            missing,
            stale: false,
            reasons: vec![reason],
        }
    }

    /// Takes `next` as the new answer, with a grown index where it differs.
    pub fn update(&mut self, next: Self) -> bool {
        let next = Self { index: self.index, ..next };
        let changed = *self != next;
        *self = Self { index: self.index + u64::from(changed), ..next };
        changed
    }
}
