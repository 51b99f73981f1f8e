//! The one decision that a server is given: a pure function of what is on disk, of who is alive, and of the server itself.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    admittance::Held,
    advice::{Conflict, Decision, Group, Me},
    cluster::{Cluster, Voter, VoterName},
    consent::Consent,
    doubt::Doubt,
    founding::{ClusterId, Founding},
    known::Standing,
    listing::{Founders, Listing, OneSided},
    notes::Blank,
    offer,
    reason::Reason,
    record::FoundingRecord,
    report::Report,
    server_id::ServerId,
    situation::{Looking, Situation},
};
use crate::{
    node::{EndpointName, NodeId},
    signing::Signed,
};

/// The decision with all that follows from the same facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) decision: Decision,
    /// The cluster that is meant here, if one is.
    pub(super) cluster: Option<Cluster>,
    /// Things to see to beside a decision that can be carried out.
    pub(super) remarks: Vec<Reason>,
    /// The agent beside each server that holds data of that cluster.
    pub(super) holders: BTreeMap<ServerId, NodeId>,
}

/// The facts of one decision.
struct Facts<'a> {
    saved: &'a FoundingRecord,
    situation: &'a Situation,
    standing: &'a Standing<'a>,
}

impl Outcome {
    /// The outcome of a `saved` record; `waiting` are the reasons while no cluster stands.
    pub(super) fn decide(saved: &FoundingRecord, situation: &Situation, waiting: &[Reason]) -> Self {
        let facts = Facts { saved, situation, standing: &saved.standing() };
        let meant = facts.meant();
        let is_alive = |id| situation.is_alive(id);
        let cluster = meant.and_then(|id| facts.standing.cluster(id, &is_alive));
        let decision = match (&cluster, facts.contradiction(meant)) {
            (_, Some(conflict)) if conflict.duplicate.is_some() => Decision::Conflict(conflict),
            _ if saved.pending().is_some() => {
                Decision::Wait { reasons: facts.pending().into_iter().collect() }
            }
            (_, Some(conflict)) => Decision::Conflict(conflict),
            (None, None) => Decision::Wait { reasons: facts.reasons_without_cluster(waiting) },
            (Some(cluster), None) => facts.advise(cluster),
        };
        let remarks = match &decision {
            Decision::Wait { .. } | Decision::Conflict(_) => Vec::new(),
            Decision::Bootstrap(_) | Decision::Resume(_) | Decision::Join(_) => {
                facts.remarks(&decision, cluster.as_ref())
            }
        };
        let holders = meant.map(|id| facts.standing.holders(id, &is_alive)).unwrap_or_default();
        Self { decision, cluster, remarks, holders }
    }
}

/// The cluster that is meant at this node, if that is not left open by what stands.
pub(super) fn meant(
    saved: &FoundingRecord,
    situation: &Situation,
    standing: &Standing<'_>,
) -> Option<ClusterId> {
    Facts { saved, situation, standing }.meant()
}

impl Group {
    fn founder_ids(&self) -> Founders {
        Founders(self.founders.iter().map(|founder| founder.id).collect())
    }
}

impl Facts<'_> {
    /// The cluster that is meant here: the one that an operator allows, else the proven one that is this server's own, else the
    /// only one.
    fn meant(&self) -> Option<ClusterId> {
        let clusters = &self.standing.clusters;
        if let Some(pinned) = self.situation.pinned() {
            return clusters.contains_key(&pinned).then_some(pinned);
        }
        let only = || (clusters.len() == 1).then(|| clusters.keys().next().copied()).flatten();
        self.own().or_else(only)
    }

    /// The proven cluster of which the server beside this agent is: this node has accepted an operator's founding of it; or the server
    /// holds its data, was told to found it, or has reported it; or it is established and this node one of its founders. No rival
    /// takes a decision about it away.
    fn own(&self) -> Option<ClusterId> {
        let Self { saved, situation, standing } = self;
        let held = situation.server().filter(|server| server.has_state).and_then(|server| server.cluster_id);
        let noted = saved.notes.as_ref().filter(|notes| notes.is_own()).map(|notes| notes.cluster_id);
        let reported =
            saved.own_report().and_then(|report| report.group.as_ref()).map(|group| group.cluster_id);
        let is_alive = |id| situation.is_alive(id);
        let founded = standing.clusters.iter().find_map(|(id, claimed)| {
            let is_founder = claimed.founding?.founder(saved.node_id()).is_some();
            (is_founder && standing.cluster(*id, &is_alive)?.established).then_some(*id)
        });
        let is_proven =
            |id: &ClusterId| standing.clusters.get(id).is_some_and(|claimed| claimed.founding.is_some());
        let accepted = offer::accepted(&saved.knowledge, saved.node_id(), &standing.spoken);
        let accepted = accepted.into_iter().map(Founding::id).find(is_proven);
        [accepted, held, noted, reported, founded].into_iter().flatten().find(is_proven)
    }

    /// The contradiction that leaves open which cluster is meant, or who this node is.
    fn contradiction(&self, meant: Option<ClusterId>) -> Option<Conflict> {
        let duplicate = self.situation.sightings().duplicate;
        let clusters = &self.standing.clusters;
        let is_open = meant.is_none() && clusters.len() > 1 && self.situation.pinned().is_none();
        if duplicate.is_none() && !is_open {
            return None;
        }
        let me = self.saved.node_id();
        let is_ours =
            |id: &ClusterId| clusters[id].founding.is_some_and(|founding| founding.founder(me).is_some());
        let mut ids: Vec<ClusterId> =
            clusters.keys().copied().filter(|_| is_open || meant.is_some()).collect();
        ids.sort_by_key(|id| (Some(*id) != meant, !is_ours(id)));
        let mut reasons: Vec<Reason> =
            duplicate.map(|addr| Reason::DuplicateId { addr }).into_iter().collect();
        reasons.extend(self.saved.doubt.map(Doubt::reason));
        if is_open {
            let disputed = &self.standing.spoken.disputed;
            if !disputed.is_empty() {
                let clusters = Listing(disputed.iter().copied().collect());
                reasons.push(Reason::OperatorsDisagree { clusters });
            }
            reasons.extend(ids[1..].iter().map(|rival| self.two_clusters(ids[0], *rival)));
        } else {
            ids.truncate(1);
        }
        Some(Conflict { clusters: ids, duplicate, reasons })
    }

    fn two_clusters(&self, ours: ClusterId, rival: ClusterId) -> Reason {
        let behind = |id: ClusterId| {
            let claimed = &self.standing.clusters[&id];
            let founders = claimed.founding.into_iter().flat_map(Founding::ids);
            let by: BTreeSet<NodeId> = founders.chain(claimed.by.iter().copied()).collect();
            let names: BTreeSet<String> = by.into_iter().map(|id| self.situation.name_of(id)).collect();
            Listing(names.into_iter().collect())
        };
        Reason::TwoClusters { ours, rival, behind_ours: behind(ours), behind_rival: behind(rival) }
    }

    /// The reason to wait for the other founders of an operator's founding that this node has accepted.
    fn pending(&self) -> Option<Reason> {
        let Self { saved, situation, .. } = self;
        let founding = saved.pending()?;
        let offer = offer::offers(&saved.knowledge).find(|offer| offer.founding == *founding)?;
        let said = |(id, consent): (&NodeId, &Option<Consent>)| {
            let name = situation.name_of(*id);
            consent
                .as_ref()
                .map_or_else(|| format!("{name} has not answered"), |said| format!("{name} {said}"))
        };
        let others = founding.ids().filter(|id| !offer.missing.contains_key(id)).collect();
        Some(Reason::OverridePending {
            cluster_id: founding.id(),
            missing: Listing(offer.missing.iter().map(said).collect()),
            others: Founders(others),
        })
    }

    /// The reasons to wait while no cluster is meant here.
    fn reasons_without_cluster(&self, waiting: &[Reason]) -> Vec<Reason> {
        let clusters = &self.standing.clusters;
        match self.situation.pinned() {
            Some(cluster_id) if !clusters.is_empty() => {
                let known = Listing(clusters.keys().copied().collect());
                vec![Reason::OtherClusters { cluster_id, known }]
            }
            _ => waiting.to_vec(),
        }
    }

    /// The reason for which this server waits though a cluster is meant here.
    fn obstacle(&self, cluster: &Cluster, group: &Group) -> Option<Reason> {
        let Self { saved, situation, standing } = self;
        let server = situation.server();
        let held = server.filter(|server| server.has_state);
        let other = held.and_then(|server| server.cluster_id).filter(|id| *id != cluster.id);
        let noted = saved.notes.as_ref().filter(|notes| notes.is_own() && notes.cluster_id != cluster.id);
        // Ended by a word, or by an operator's founding that this node has accepted.
        let operator = cluster.founding.as_ref().and_then(Founding::operator);
        let given_up = |id: &ClusterId| {
            standing.spoken.ended.contains(id)
                || operator.is_some_and(|operator| operator.overrides.contains(id))
        };
        let is_blank = server.is_some_and(|server| !server.has_state);
        if let Some(id) = other.or(noted.map(|notes| notes.cluster_id)).filter(given_up).filter(|_| !is_blank)
        {
            return Some(Reason::ClusterGivenUp { cluster_id: id });
        }
        if let Some(other) = other {
            return Some(Reason::ServerDisagrees { server: other, known: cluster.id });
        }
        let claimed = &standing.clusters[&cluster.id];
        if claimed.founding.is_none() && !claimed.by.iter().any(|id| situation.is_alive(*id)) {
            let by = Listing(claimed.by.iter().map(|id| situation.name_of(*id)).collect());
            return Some(Reason::ClaimUnconfirmed { cluster_id: cluster.id, by });
        }
        if let Some(server) = held
            && let Some(shows) = server.starts
            && let Some(known) =
                saved.last_start(&server.server_id, cluster.id).filter(|known| shows < *known)
        {
            return Some(Reason::ServerStateOld { shows, known });
        }
        if let Some(server) = held
            && let Some(by) = self.other_holder(cluster, &server.server_id, group)
        {
            let by = situation.name_of(by);
            return Some(Reason::ServerIdTaken { server_id: server.server_id.clone(), by });
        }
        None
    }

    /// The living agent that stands beside the data of the same server, and did so before this one.
    fn other_holder(&self, cluster: &Cluster, server_id: &ServerId, group: &Group) -> Option<NodeId> {
        let me = self.saved.node_id();
        if group.me.founder || group.voters.iter().any(|voter| voter.id == Some(me)) {
            return None;
        }
        let holds = |(reporter, report): (&NodeId, &Signed<Report>)| {
            let same = report
                .holds
                .as_ref()
                .is_some_and(|holding| holding.cluster_id == cluster.id && holding.server_id == *server_id);
            (same && *reporter != me && self.situation.is_alive(*reporter)).then_some(*reporter)
        };
        self.saved.knowledge.reports.iter().find_map(holds)
    }

    /// The decision where a cluster is meant: the table of what a server is told.
    fn advise(&self, cluster: &Cluster) -> Decision {
        let group = self.group(cluster);
        if let Some(reason) = self.obstacle(cluster, &group) {
            return Decision::Wait { reasons: vec![reason] };
        }
        let Self { saved, situation, .. } = self;
        let notes = saved.notes_of(cluster.id);
        let holds_data = situation.server_holds_data();
        let blank = situation
            .server()
            .filter(|server| !server.has_state)
            .map(|server| notes.map_or(Blank::New, |notes| notes.judge_blank(Some(&server.server_id))));
        let lost = || Decision::Wait { reasons: vec![Reason::ServerStateLost { cluster_id: cluster.id }] };
        if !group.me.voter {
            let was_voter = group.me.founder || notes.is_some_and(|notes| notes.named);
            let is_held_back = if holds_data { was_voter } else { situation.config().is_admitted_first };
            return if holds_data && group.voters.is_empty() {
                Decision::Resume(group)
            } else if let Some(reason) = self.not_admitted(cluster.id, is_held_back) {
                Decision::Wait { reasons: vec![reason] }
            } else {
                Decision::Join(group)
            };
        }
        if !group.me.founder {
            return match blank {
                None => Decision::Resume(group),
                Some(Blank::New) => Decision::Join(group),
                Some(Blank::Again) => lost(),
            };
        }
        let wait = |reason: Reason| Decision::Wait { reasons: vec![reason] };
        let Looking { has_passed, is_held, unseen } = situation.looking();
        match (blank, situation.fault()) {
            (None, _) if cluster.established => Decision::Resume(group),
            (Some(Blank::Again), _) if cluster.established => lost(),
            (Some(Blank::Again), _) if !has_passed => wait(Reason::StateLostUnseen {
                cluster_id: cluster.id,
                unseen: Listing(unseen.iter().map(|id| situation.name_of(*id)).collect()),
                founders: group.founder_ids(),
            }),
            (_, Some(fault)) => wait(fault.clone()),
            (Some(_), None) if *is_held => wait(Reason::OthersLook),
            (Some(_), None) => self.moved(&group).map_or(Decision::Bootstrap(group), wait),
            (None, None) => Decision::Bootstrap(group),
        }
    }

    /// The reason for which a server that is no voter is not started: it is on no list of members, as far as anybody has said. One
    /// that is held back waits for that word.
    fn not_admitted(&self, id: ClusterId, is_held_back: bool) -> Option<Reason> {
        let word = self.situation.admittance(id);
        let wait = word.and_then(|word| word.wait.as_ref());
        match (self.situation.server_holds_data(), wait) {
            _ if word.is_some_and(|word| word.is_listed) => None,
            (true, Some(Held::Removed)) => Some(Reason::RemovedVoter { cluster_id: id }),
            _ if !is_held_back => None,
            (true, _) => Some(Reason::RemovedVoter { cluster_id: id }),
            (false, Some(wait)) => Some(wait.reason(id)),
            (false, None) => Some(Reason::NobodyAdmits),
        }
    }

    /// The reason for which a blank founder cannot initialise as it was founded: it announces other addresses now.
    fn moved(&self, group: &Group) -> Option<Reason> {
        let me = self.situation.founder();
        let founded = group.founders.iter().find(|founder| founder.id == me.id)?;
        let is_other = |name: &&EndpointName| me.endpoints.get(*name) != founded.endpoints.get(*name);
        let endpoints: Vec<_> = founded.endpoints.keys().filter(is_other).cloned().collect();
        (!endpoints.is_empty())
            .then(|| Reason::FounderMoved { endpoints: Listing(endpoints), founders: group.founder_ids() })
    }

    /// Things to see to beside the decision.
    fn remarks(&self, decision: &Decision, cluster: Option<&Cluster>) -> Vec<Reason> {
        let Self { situation, standing, .. } = self;
        let mut remarks = Vec::new();
        let Some(cluster) = cluster else { return remarks };
        if let Decision::Join(group) = decision {
            let word = situation.admittance(cluster.id).filter(|_| !group.members.is_empty());
            let wait = word.and_then(|word| word.wait.as_ref());
            let wait = wait.filter(|wait| !matches!(wait, Held::Other(..)));
            remarks.extend(wait.map(|wait| wait.reason(cluster.id)));
        }
        let rivals = standing.clusters.keys().filter(|id| **id != cluster.id);
        remarks.extend(rivals.map(|rival| self.two_clusters(cluster.id, *rival)));
        if let Some(server) = situation.misreported().filter(|server| *server != cluster.id) {
            remarks.push(Reason::ServerDisagrees { server, known: cluster.id });
        }
        if let Some([one, other]) = standing.differing_lists(cluster.id, &|id| situation.is_alive(id)) {
            remarks.push(Reason::VotersDiffer { one: Listing(one), other: Listing(other) });
        }
        remarks.extend(self.members_differ(cluster));
        if matches!(decision, Decision::Bootstrap(_)) && situation.server().is_none() {
            remarks.push(Reason::ServerUnknown);
        }
        remarks
    }

    /// The difference between the server's own list of voters and the one that counts here.
    fn members_differ(&self, cluster: &Cluster) -> Option<Reason> {
        let list = self.situation.server_list().filter(|list| list.cluster_id == cluster.id)?;
        let listed = list.resolve(cluster, &self.situation.known_founders()).ok()?;
        let only = |one: &[Voter], other: &[Voter]| {
            let is_missing = |voter: &&Voter| !other.iter().any(|known| known.names_the_same(voter));
            OneSided(one.iter().filter(is_missing).cloned().collect())
        };
        let (server, counting) = (only(&listed, &cluster.voters), only(&cluster.voters, &listed));
        let differ = !(server.0.is_empty() && counting.0.is_empty());
        differ.then_some(Reason::MembersDiffer { server, counting })
    }

    fn group(&self, cluster: &Cluster) -> Group {
        let Self { saved, situation, standing } = self;
        let me = situation.founder();
        let seat = standing.founder_seat(cluster.id, saved.node_id(), &|id| situation.is_alive(id));
        let founding = cluster.founding.as_ref();
        let mut voters = cluster.voters.clone();
        for voter in &mut voters {
            let now = voter.id.and_then(|id| situation.announced(id));
            if let Some(now) = now {
                voter.name = Some(VoterName(now.name.clone()));
                voter.endpoints.clone_from(&now.endpoints);
            }
        }
        let word = situation.admittance(cluster.id).filter(|word| word.is_listed);
        let mine = voters.iter().find(|voter| voter.is(saved.node_id(), &me.endpoints));
        let ordinal = seat.and_then(|seat| founding?.ordinal(seat));
        Group {
            cluster_id: cluster.id,
            established: cluster.established,
            me: Me {
                founder: seat.is_some(),
                voter: mine.is_some(),
                ordinal: ordinal.or(mine.and_then(|voter| voter.ordinal)),
            },
            founders: founding.map(Founding::founders).unwrap_or_default().to_vec(),
            recovers: mine.is_some() && situation.recovers() == Some(cluster.id),
            members: word.map(|word| word.members.clone()).unwrap_or_default(),
            voters,
        }
    }
}
