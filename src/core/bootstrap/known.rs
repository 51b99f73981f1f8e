//! The clusters that stand, by what is known now: nothing here is kept, so that whatever is taken back is gone.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    cluster::{Cluster, Voter},
    forgetting::Forgotten,
    founding::{ClusterId, Founding},
    knowledge::Knowledge,
    offer,
    report::{Generation, GroupReport, Heard, Holding, Report},
    server_id::ServerId,
    word::{Said, Spoken},
};
use crate::node::NodeId;

/// The clusters of one name that stand.
#[derive(Debug)]
pub(super) struct Standing<'a> {
    knowledge: &'a Knowledge,
    /// Each with whoever says that it exists.
    pub(super) clusters: BTreeMap<ClusterId, Claimed<'a>>,
    /// The words of operators.
    pub(super) spoken: Spoken,
}

/// A cluster that stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Claimed<'a> {
    /// Its founding; `None` if it is only reported.
    pub(super) founding: Option<&'a Founding>,
    /// The nodes whose servers say that it exists.
    pub(super) by: BTreeSet<NodeId>,
}

/// A report that counts, with its reporter.
#[derive(Debug, Clone, Copy)]
struct Counting<'a> {
    heard: Heard,
    group: &'a GroupReport,
}

/// The voters of a cluster, as far as its servers agree on them.
#[derive(Debug)]
pub(super) struct Voting<'a> {
    /// The list that counts.
    list: Option<Counting<'a>>,
    /// Another list of the same version.
    differs: Option<Counting<'a>>,
    /// Set once a server has reported that the group exists.
    established: bool,
}

/// Tells which nodes are alive.
pub(super) type IsAlive<'a> = &'a dyn Fn(NodeId) -> bool;

impl Knowledge {
    /// The clusters that stand. `held` is the one of which the server here is: no override ends it that this node has not accepted.
    pub(super) fn standing(&self, held: Option<ClusterId>) -> Standing<'_> {
        let spoken = Spoken::weigh(&self.words);
        let mut clusters: BTreeMap<ClusterId, Claimed<'_>> = BTreeMap::new();
        for (id, founding) in self.foundings.iter().filter(|(_, founding)| offer::is_complete(self, founding))
        {
            clusters.entry(*id).or_default().founding = Some(founding);
        }
        for (reporter, report) in self.reports.iter().filter(|(reporter, _)| !self.is_gone(**reporter)) {
            for id in report.claims() {
                clusters.entry(id).or_default().by.insert(*reporter);
            }
        }
        // A word that another contradicts takes no cluster away.
        let is_ended = |id: &ClusterId| spoken.ended.contains(id) && !spoken.disputed.contains(id);
        clusters.retain(|id, claimed| {
            let is_over = claimed.founding.is_some_and(|founding| self.is_over(founding));
            !is_ended(id) && !is_over && (held == Some(*id) || !self.is_overridden(*id, claimed.founding))
        });
        Standing { knowledge: self, clusters, spoken }
    }

    /// True if every voter of the last list is retired or forgotten; what these said of the voters counts for this.
    fn is_over(&self, founding: &Founding) -> bool {
        let named = self.named(founding.id(), Some(founding));
        let lists = named.iter().filter(|counting| !counting.group.voters.is_empty());
        match lists.max_by_key(|counting| (counting.group.generation, counting.group.index)) {
            Some(last) => last.group.voters.iter().all(|voter| voter.id.is_some_and(|id| self.is_gone(id))),
            None => founding.ids().all(|id| self.is_gone(id)),
        }
    }

    /// True if an operator's founding, complete, stands in the place of this cluster: of every one that it names, and of every
    /// founding that servers agreed on and that is not established.
    fn is_overridden(&self, id: ClusterId, founding: Option<&Founding>) -> bool {
        let is_weaker = || {
            let agreed = founding.filter(|founding| founding.operator().is_none());
            agreed.is_some() && !self.voting(id, founding, &|_| false).established
        };
        let is_stronger = |other: &Founding| {
            let operator = other.operator().filter(|_| other.id() != id && offer::is_complete(self, other));
            operator.is_some_and(|operator| operator.overrides.contains(&id) || is_weaker())
        };
        self.foundings.values().any(|other| is_stronger(other))
    }

    /// The retired and forgotten ids that founded clusters which are over: their votes count no more. Any other id can vote again.
    pub(super) fn settled_ids(&self, standing: &Standing<'_>) -> BTreeSet<NodeId> {
        let over = self.foundings.values().filter(|founding| !standing.clusters.contains_key(&founding.id()));
        over.flat_map(|founding| founding.ids()).filter(|id| self.is_gone(*id)).collect()
    }

    /// The reports about one cluster by those whom its founding names, or a list of theirs: nobody reports himself in.
    fn named(&self, id: ClusterId, founding: Option<&Founding>) -> Vec<Counting<'_>> {
        let of_it = self.reports.iter().filter_map(|(reporter, report)| {
            let group = report.group.as_ref().filter(|group| group.cluster_id == id)?;
            Some(Counting { heard: Heard { reporter: *reporter, number: report.number }, group })
        });
        let mut reports: Vec<Counting<'_>> = of_it.collect();
        let Some(founding) = founding else { return reports };
        let mut named: BTreeSet<NodeId> = founding.ids().collect();
        loop {
            let before = named.len();
            let lists = reports.iter().filter(|counting| named.contains(&counting.heard.reporter));
            let voters = lists.flat_map(|counting| &counting.group.voters).filter_map(|voter| voter.id);
            let seats = named.iter().flat_map(|seat| self.same_server(*seat, id));
            let more: Vec<NodeId> = voters.chain(seats).collect();
            named.extend(more);
            if named.len() == before {
                break;
            }
        }
        reports.retain(|counting| named.contains(&counting.heard.reporter));
        reports
    }

    /// The reports about one cluster that count: a reporter that has retired or is forgotten says no more, and nor does one that has
    /// not seen an operator's last word on the voters.
    fn counting(&self, id: ClusterId, founding: Option<&Founding>) -> Vec<Counting<'_>> {
        let mut reports = self.named(id, founding);
        reports.retain(|counting| !self.is_gone(counting.heard.reporter));
        let newest = reports.iter().map(|counting| counting.group.generation.number).max();
        reports.retain(|counting| Some(counting.group.generation.number) == newest);
        reports
    }

    /// Number of the last start of a server that any agent beside it has reported.
    pub(super) fn last_start(&self, server_id: &ServerId, cluster_id: ClusterId) -> Option<u64> {
        let holdings = self.reports.values().filter_map(|report| report.holds.as_ref());
        let same = holdings.filter(|held| held.server_id == *server_id && held.cluster_id == cluster_id);
        same.filter_map(|held| held.starts).max()
    }

    /// The other nodes beside the data of the same server of this cluster.
    fn same_server(&self, node: NodeId, cluster_id: ClusterId) -> impl Iterator<Item = NodeId> {
        let holding =
            move |report: &Report| report.holds.clone().filter(|holding| holding.cluster_id == cluster_id);
        let held = self.reports.get(&node).and_then(|report| holding(report));
        let others = self.reports.iter().filter(move |(other, report)| {
            let same = |held: &Holding| holding(report).is_some_and(|it| it.is_of_the_same_server(held));
            **other != node && held.as_ref().is_some_and(same)
        });
        others.map(|(other, _)| *other)
    }

    /// The voters of a cluster: of the reports that stand, the list of the highest version that is not refuted.
    pub(super) fn voting(
        &self,
        id: ClusterId,
        founding: Option<&Founding>,
        is_alive: IsAlive<'_>,
    ) -> Voting<'_> {
        let counting = self.counting(id, founding);
        let established = founding.is_none() || !counting.is_empty();
        let refuted = |list: &Counting<'_>| self.is_refuted(list, &counting, is_alive);
        let lists = counting.iter().filter(|list| !list.group.voters.is_empty() && !refuted(list));
        let mut lists: Vec<Counting<'_>> = lists.copied().collect();
        lists.sort_by_key(|list| std::cmp::Reverse((list.group.index, list.heard)));
        let list = lists.first().copied();
        let differs = list.and_then(|top| {
            let rival = |other: &&Counting<'_>| {
                let is_equal = other.group.index == top.group.index
                    || other.group.generation.named != top.group.generation.named;
                is_equal && !other.group.names_the_same(top.group)
            };
            lists.iter().find(rival).copied()
        });
        Voting { list, differs, established }
    }

    /// True if a majority of the voters that a list names say otherwise at a lower version, though they have heard of it: a list
    /// that was committed is known to a majority of itself.
    fn is_refuted(&self, list: &Counting<'_>, counting: &[Counting<'_>], is_alive: IsAlive<'_>) -> bool {
        let denies = |voter: &Voter| {
            let Some(id) = voter.id.filter(|id| is_alive(*id)) else { return false };
            counting.iter().any(|other| {
                let has_heard = other.group.heard.is_some_and(|heard| {
                    heard.reporter == list.heard.reporter && heard.number >= list.heard.number
                });
                let is_other = !other.group.voters.is_empty() && !other.group.names_the_same(list.group);
                other.heard.reporter == id && other.group.index < list.group.index && has_heard && is_other
            })
        };
        let voters = &list.group.voters;
        voters.iter().filter(|voter| denies(voter)).count() > voters.len() / 2
    }

    /// The latest of operators' words on the voters of a cluster.
    pub(super) fn newest_generation(&self, id: ClusterId) -> Generation {
        let groups = self.reports.values().filter_map(|report| report.group.as_ref());
        groups.filter(|group| group.cluster_id == id).map(|group| group.generation).max().unwrap_or_default()
    }

    /// True if a report of this node about a founded cluster counts.
    pub(super) fn may_report(&self, id: ClusterId, node: NodeId) -> bool {
        let Some(founding) = self.foundings.get(&id) else { return true };
        let named = self.named(id, Some(founding));
        let is_voter =
            |counting: &Counting<'_>| counting.group.voters.iter().any(|voter| voter.id == Some(node));
        founding.founder(node).is_some()
            || named.iter().any(|counting| counting.heard.reporter == node || is_voter(counting))
    }

    /// The number after all that reporters have given lists of this cluster themselves.
    pub(super) fn next_own_index(&self, id: ClusterId) -> u64 {
        let groups = self.reports.values().filter_map(|report| report.group.as_ref());
        let own = groups.filter(|group| group.cluster_id == id && !group.index.is_given);
        own.map(|group| group.index.value).max().unwrap_or(0) + 1
    }

    /// The node that has the seat of `voter` now: another one beside the data of the same server, once the first is gone.
    fn seat(&self, voter: NodeId, cluster_id: ClusterId, is_alive: IsAlive<'_>) -> NodeId {
        let heir = self.same_server(voter, cluster_id).find(|other| is_alive(*other));
        heir.filter(|_| !is_alive(voter)).unwrap_or(voter)
    }
}

impl Knowledge {
    /// True if an operator has forgotten a node, and it has said nothing since.
    pub(super) fn is_forgotten(&self, id: NodeId) -> bool {
        let said = self.last_number(id);
        self.forgettings().any(|forgotten| forgotten.id == id && forgotten.report == said)
    }

    /// True if nothing that a node has reported counts any more.
    pub(super) fn is_gone(&self, id: NodeId) -> bool {
        self.retired.contains_key(&id) || self.is_forgotten(id)
    }

    /// Number of the last report of a node; 0 if it made none.
    pub(super) fn last_number(&self, id: NodeId) -> u64 {
        self.reports.get(&id).map_or(0, |report| report.number)
    }

    /// True if a node is known by its reports, or as a founder or a voter.
    pub(super) fn speaks_of(&self, id: NodeId) -> bool {
        let groups = self.reports.values().filter_map(|report| report.group.as_ref());
        let mut voters = groups.flat_map(|group| &group.voters).filter_map(|voter| voter.id);
        let founds = self.foundings.values().any(|founding| founding.founder(id).is_some());
        self.reports.contains_key(&id) || founds || voters.any(|voter| voter == id)
    }

    /// The nodes that operators have forgotten, each in the latest life of which that was said.
    pub(super) fn forgotten(&self) -> BTreeMap<NodeId, Forgotten> {
        let mut forgotten: BTreeMap<NodeId, Forgotten> = BTreeMap::new();
        for said in self.forgettings() {
            let known = forgotten.entry(said.id).or_insert(*said);
            known.counts |= said.counts;
            known.last = known.last.max(said.last);
        }
        forgotten
    }

    /// Takes back that a node was forgotten.
    pub(super) fn remember(&mut self, id: NodeId) {
        self.words.retain(|_, word| !matches!(&word.said, Said::Forgotten(forgotten) if forgotten.id == id));
    }

    fn forgettings(&self) -> impl Iterator<Item = &Forgotten> {
        self.words.values().filter_map(|word| match &word.said {
            Said::Forgotten(forgotten) => Some(forgotten),
            Said::Keep { .. } | Said::Over(_) | Said::GoneId(_) | Said::GoneAddr(_) => None,
        })
    }
}

impl Standing<'_> {
    /// The cluster of this id, as it is known now.
    pub(super) fn cluster(&self, id: ClusterId, is_alive: IsAlive<'_>) -> Option<Cluster> {
        let founding = self.clusters.get(&id)?.founding;
        let voting = self.knowledge.voting(id, founding, is_alive);
        let mut voters = match (voting.list, founding) {
            (Some(list), _) => list.group.voters.clone(),
            (None, Some(founding)) => Cluster::founded(founding.clone()).voters,
            (None, None) => Vec::new(),
        };
        for voter in &mut voters {
            voter.id = voter.id.map(|voter| self.knowledge.seat(voter, id, is_alive));
        }
        let index = voting.list.map_or(0, |list| list.group.index.value);
        Some(Cluster {
            id,
            founding: founding.cloned(),
            voters,
            config_index: index,
            established: voting.established,
        })
    }

    /// The two lists of voters of one version, if servers differ on them.
    pub(super) fn differing_lists(&self, id: ClusterId, is_alive: IsAlive<'_>) -> Option<[Vec<Voter>; 2]> {
        let voting = self.knowledge.voting(id, self.clusters.get(&id)?.founding, is_alive);
        let (list, differs) = (voting.list?, voting.differs?);
        Some([list.group.voters.clone(), differs.group.voters.clone()])
    }

    /// The operator's word on the voters by which this node is one of them, if the list that counts came about by one.
    pub(super) fn generation(
        &self,
        id: ClusterId,
        node: NodeId,
        is_alive: IsAlive<'_>,
    ) -> Option<Generation> {
        let list = self.knowledge.voting(id, self.clusters.get(&id)?.founding, is_alive).list?;
        let is_named = list.group.voters.iter().any(|voter| voter.id == Some(node));
        is_named.then_some(list.group.generation)
    }

    /// The report whose list counts.
    pub(super) fn heard(&self, id: ClusterId, is_alive: IsAlive<'_>) -> Option<Heard> {
        let founding = self.clusters.get(&id)?.founding;
        self.knowledge.voting(id, founding, is_alive).list.map(|list| list.heard)
    }

    /// The agent beside each server that holds data of this cluster; of several the one that is alive.
    pub(super) fn holders(&self, id: ClusterId, is_alive: IsAlive<'_>) -> BTreeMap<ServerId, NodeId> {
        let mut holders = BTreeMap::new();
        for (reporter, report) in &self.knowledge.reports {
            let holding = report.holds.as_ref().filter(|holding| holding.cluster_id == id);
            let Some(holding) = holding.filter(|_| !self.knowledge.is_gone(*reporter)) else {
                continue;
            };
            let holder = holders.entry(holding.server_id.clone()).or_insert(*reporter);
            if !is_alive(*holder) {
                *holder = *reporter;
            }
        }
        holders
    }

    /// The founder whose seat `node` has: itself, or the one beside whose server's data it stands now.
    pub(super) fn founder_seat(&self, id: ClusterId, node: NodeId, is_alive: IsAlive<'_>) -> Option<NodeId> {
        let founding = self.clusters.get(&id)?.founding?;
        founding.ids().find(|founder| self.knowledge.seat(*founder, id, is_alive) == node)
    }
}
