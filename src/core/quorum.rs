//! The quorum, as far as this node can see: an advice computed from rumours, never a substitute for the server's own
//! consensus.

use std::{collections::BTreeSet, net::SocketAddr, num::NonZeroU16, time::Instant};

use serde::{Deserialize, Serialize};

use crate::{
    bootstrap::{Cluster, Decision, Reason, Status, Voter},
    membership::{Member, MemberStatus, Membership},
    node::{NodeId, Role},
};

/// State of the quorum in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QuorumStatus {
    /// No cluster has been founded yet.
    Forming,
    /// A majority of the voters is alive.
    Quorate,
    /// No majority of the voters is alive.
    Lost,
    /// Two clusters claim to be this one.
    Conflict,
}

/// The set in which the majority is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// The servers of `--bootstrap-expect`: no cluster is founded yet.
    Expect,
    /// The last known voters, which are on disk.
    Voters,
}

/// A voter that is not alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Its id, if it is known.
    pub id: Option<NodeId>,
    /// Its name for people, or another label if none is known.
    pub name: String,
    /// Its state; `None` if it was not seen since this agent started.
    pub status: Option<MemberStatus>,
    /// Time since which it is in that state.
    pub since: Option<Instant>,
}

/// This node's view of the quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quorum {
    /// Grows with every change.
    pub index: u64,
    /// State in one word.
    pub status: QuorumStatus,
    /// Number of voters: those expected before the founding, those last known after it.
    pub voters: usize,
    /// Number of voters that are alive; if the view is old, of those heard from of late.
    pub voters_alive: usize,
    /// Number of voters that must be alive.
    pub required: usize,
    /// `--bootstrap-expect`.
    pub expect: Option<NonZeroU16>,
    /// True if as many servers as expected are alive.
    pub expect_met: bool,
    /// The set in which the majority is counted.
    pub basis: Basis,
    /// The voters that are not alive.
    pub missing: Vec<Missing>,
    /// Set if the view is old: this node has been paused or hears no other.
    pub stale: bool,
    /// Explanations, a sentence each.
    pub reasons: Vec<String>,
}

/// The member that stands beside this voter.
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

    /// Assesses the quorum now. `unheard` is given if the view is old: the members that this node has not heard from
    /// of late, which count as missing, alive or not. `duplicate` is the address of another agent that uses this
    /// node's id.
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
            Some(cluster) => Self::after_founding(membership, cluster, expect, silent),
            None => Self::before_founding(membership, expect, silent),
        };
        quorum.stale = unheard.is_some();
        if quorum.stale {
            // A majority that was not heard from of late cannot be relied on.
            if quorum.status == QuorumStatus::Quorate && quorum.required > 1 {
                quorum.status = QuorumStatus::Lost;
            }
            quorum.reasons.push("this agent was paused or hears nobody: its picture is old".to_owned());
        }
        let differing = |reason: &&Reason| matches!(reason, Reason::VotersDiffer { .. });
        if let Some(reason) = founding.remarks.iter().find(differing) {
            quorum.status = QuorumStatus::Lost;
            quorum.reasons.push(reason.to_string());
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

    /// The quorum after the founding: a majority of the last known voters, so that a restart with a dead voter is
    /// quorate at once. A voter counts while its agent is alive, and its server if that reports itself.
    fn after_founding(
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
                    reasons.push(format!(
                        "voter {name} is no member: not seen since this agent started, or forgotten"
                    ));
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

    /// The quorum before the founding: nothing votes yet, so it is always `forming`, counted against `expect`.
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

    /// Takes `next` as the new state; the index grows if it differs.
    pub fn update(&mut self, next: Self) -> bool {
        let next = Self { index: self.index, ..next };
        let changed = *self != next;
        *self = Self { index: self.index + u64::from(changed), ..next };
        changed
    }
}
