//! Is there a majority, as far as this node can see? An advice computed from rumours, never a substitute for the
//! server's own consensus.

use std::{collections::BTreeSet, net::SocketAddr, num::NonZeroU16, time::Instant};

use serde::{Deserialize, Serialize};

use crate::{
    bootstrap::{Cluster, Decision, Reason, Status, Voter},
    membership::{Member, MemberStatus, Membership},
    node::{NodeId, Role},
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
    /// Its id, where it is known.
    pub id: Option<NodeId>,
    /// Its name for people, or what else is known of it.
    pub name: String,
    /// What is known of its life; nothing where it was not seen since this agent started.
    pub status: Option<MemberStatus>,
    /// Since when.
    pub since: Option<Instant>,
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
    /// How many of them are alive; where the view is old, of how many this node has heard of late.
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

/// The member that this voter is.
fn member_of<'a>(voter: &Voter, membership: &'a Membership) -> Option<&'a Member> {
    membership.members.values().find(|member| voter.is(member.id, &member.endpoints))
}

impl Quorum {
    /// True while a majority of the voters of a founded cluster is alive.
    pub fn has_quorum(&self) -> bool {
        self.status == QuorumStatus::Quorate
    }

    /// The voters that are members, whether they are alive or not.
    pub fn known_voters(membership: &Membership, founding: &Status) -> Vec<NodeId> {
        let voters = founding.cluster.iter().flat_map(|cluster| &cluster.voters);
        voters.filter_map(|voter| member_of(voter, membership)).map(|member| member.id).collect()
    }

    /// What can be said now. `unheard` is where the picture is old: whom this node has not heard from of late. They
    /// count as missing, whatever is still believed of them. `duplicate` is where another agent uses this node's id.
    pub fn assess(
        membership: &Membership,
        founding: &Status,
        expect: Option<NonZeroU16>,
        unheard: Option<&BTreeSet<NodeId>>,
        duplicate: Option<SocketAddr>,
    ) -> Self {
        let nobody = BTreeSet::new();
        let silent = unheard.unwrap_or(&nobody);
        let mut quorum = match &founding.cluster {
            Some(cluster) => Self::of_voters(membership, cluster, expect, silent),
            None => Self::before_founding(membership, expect, silent),
        };
        quorum.stale = unheard.is_some();
        if quorum.stale {
            // A majority that nothing was heard from of late is none to count on.
            if quorum.status == QuorumStatus::Quorate && quorum.required > 1 {
                quorum.status = QuorumStatus::Lost;
            }
            quorum.reasons.push("this agent was paused or hears nobody: its picture is old".to_owned());
        }
        if let Some(addr) = duplicate {
            quorum.status = QuorumStatus::Conflict;
            quorum.reasons = vec![Reason::DuplicateId { addr }.to_string()];
        } else if let Decision::Conflict(conflict) = &founding.decision {
            let clusters: Vec<_> = conflict.clusters.iter().map(ToString::to_string).collect();
            quorum.status = QuorumStatus::Conflict;
            quorum.reasons = vec![format!(
                "clusters {} both claim this name: `chronik-agent bootstrap` says more",
                clusters.join(" and ")
            )];
        }
        quorum
    }

    /// After the founding: the majority of the last known voters, so that a restart with a dead voter is quorate at
    /// once. A voter is there while its agent is, and its server where that reports itself.
    fn of_voters(
        membership: &Membership,
        cluster: &Cluster,
        expect: Option<NonZeroU16>,
        silent: &BTreeSet<NodeId>,
    ) -> Self {
        let is_silent = |member: &Member| member.status.is_active() && silent.contains(&member.id);
        let is_there = |member: &Member| {
            member.status.is_active() && member.founding.server_up != Some(false) && !is_silent(member)
        };
        let (mut alive, mut missing, mut reasons) = (0, Vec::new(), Vec::new());
        for voter in &cluster.voters {
            match member_of(voter, membership) {
                Some(member) if is_there(member) => alive += 1,
                Some(member) => {
                    let what = if is_silent(member) {
                        "has not been heard from of late"
                    } else if member.status.is_active() {
                        "has a server that is silent"
                    } else {
                        "is gone"
                    };
                    reasons.push(format!("voter {} {what} ({})", member.name, member.status));
                    missing.push(Missing {
                        id: Some(member.id),
                        name: member.name.to_string(),
                        status: Some(member.status),
                        since: Some(member.since),
                    });
                }
                None => {
                    let name = voter.to_string();
                    reasons.push(format!("voter {name} has not been seen since this agent started"));
                    missing.push(Missing { id: voter.id, name, status: None, since: None });
                }
            }
        }
        let voters = cluster.voters.len();
        let required = voters / 2 + 1;
        let status = if voters > 0 && alive >= required { QuorumStatus::Quorate } else { QuorumStatus::Lost };
        if voters == 0 {
            reasons.push("the cluster's voters are unknown: its server has not reported them".to_owned());
        }
        let servers = membership.active_servers().filter(|member| !is_silent(member)).count();
        Self {
            index: 0,
            status,
            voters,
            voters_alive: alive,
            required,
            expect,
            expect_met: expect.is_some_and(|expect| servers >= usize::from(expect.get())),
            basis: Basis::Voters,
            missing,
            stale: false,
            reasons,
        }
    }

    /// Before the founding: nothing votes yet, so the answer is always `forming`, counted against `expect`.
    pub fn forming(membership: &Membership, expect: Option<NonZeroU16>) -> Self {
        Self::before_founding(membership, expect, &BTreeSet::new())
    }

    fn before_founding(
        membership: &Membership,
        expect: Option<NonZeroU16>,
        silent: &BTreeSet<NodeId>,
    ) -> Self {
        let is_there = |member: &Member| member.status.is_active() && !silent.contains(&member.id);
        let alive = membership.active_servers().filter(|member| is_there(member)).count();
        let voters = expect.map_or(0, |expect| usize::from(expect.get()));
        let gone = |member: &&Member| !is_there(member) && member.role == Role::Server;
        let missing: Vec<Missing> = membership
            .members
            .values()
            .filter(gone)
            .map(|member| Missing {
                id: Some(member.id),
                name: member.name.to_string(),
                status: Some(member.status),
                since: Some(member.since),
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
