//! The voters that a server lists, each with the agent beside it, as far as that is known.

use crate::{
    bootstrap::{Cluster, ClusterId, EstablishedReport, Voter, VoterRef},
    membership::Member,
    node::EndpointName,
    servers::{Answer, Kind, ServerMember},
    snapshot::Snapshot,
};

/// The voters of a server's own list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct List {
    kind: Kind,
    voters: Vec<VoterRef>,
}

impl List {
    /// The voters in an answer.
    pub(super) fn of(kind: Kind, answer: &Answer, snapshot: &Snapshot) -> Self {
        let voters = answer.members.iter().filter(|member| member.votes);
        Self { kind, voters: voters.filter_map(|member| reference(kind, answer, member, snapshot)).collect() }
    }

    /// The report of this list; `None` while no leader says that it is a committed one.
    pub(super) fn report(&self, cluster_id: ClusterId, answer: &Answer) -> Option<EstablishedReport> {
        let is_led = answer.leader.is_some() && !self.voters.is_empty();
        is_led.then(|| EstablishedReport {
            cluster_id,
            config_index: answer.index,
            voters: self.voters.clone(),
            adopt: false,
        })
    }

    /// True if these are the voters that count in `cluster`.
    pub(super) fn is_of(&self, cluster: &Cluster) -> bool {
        let is_it = |reference: &VoterRef, voter: &Voter| match reference {
            VoterRef::Id(id) => voter.id == Some(*id),
            VoterRef::Ordinal(ordinal) => voter.ordinal == Some(*ordinal),
            VoterRef::Endpoint(name, address) => {
                voter.id.is_none() && voter.endpoints.get(name) == Some(address)
            }
        };
        self.voters.len() == cluster.voters.len()
            && self.voters.iter().all(|reference| cluster.voters.iter().any(|voter| is_it(reference, voter)))
    }

    /// The agent beside a member, by the server's name for it.
    pub(super) fn agent<'a>(
        &self,
        member: &str,
        answer: &Answer,
        snapshot: &'a Snapshot,
    ) -> Option<&'a Member> {
        let member = answer.members.iter().find(|listed| listed.member == member)?;
        agent(self.kind, answer, member, snapshot)
    }
}

/// The agent beside a member: the one that holds its data, else the one that announces its address.
pub(super) fn agent<'a>(
    kind: Kind,
    answer: &Answer,
    member: &ServerMember,
    snapshot: &'a Snapshot,
) -> Option<&'a Member> {
    let members = &snapshot.membership.members;
    let holder = answer.member_id(kind, member).and_then(|id| snapshot.founding.holders.get(&id));
    if let Some(holder) = holder.and_then(|id| members.get(id)) {
        return Some(holder);
    }
    let is_announced =
        |agent: &&Member| agent.endpoints.values().any(|announced| member.addresses.contains(announced));
    let mut announcing: Vec<&Member> = members.values().filter(is_announced).collect();
    announcing.sort_by_key(|agent| !agent.status.is_active());
    announcing.first().copied()
}

fn reference(kind: Kind, answer: &Answer, member: &ServerMember, snapshot: &Snapshot) -> Option<VoterRef> {
    let held = answer.member_id(kind, member).and_then(|id| snapshot.founding.holders.get(&id));
    if let Some(id) = held.copied().or_else(|| Some(agent(kind, answer, member, snapshot)?.id)) {
        return Some(VoterRef::Id(id));
    }
    // Nobody announces it, or nobody is heard of yet: it stands in the list by its address.
    let name: EndpointName = kind.facts().endpoints.first()?.names.first()?.parse().ok()?;
    Some(VoterRef::Endpoint(name, member.addresses.first()?.clone()))
}
