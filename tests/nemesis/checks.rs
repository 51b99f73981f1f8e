//! The checks that must hold over all that was said and done in a program, whatever it was.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    deserved::Founding,
    disks::{Act, What},
    history::{Event, Said, Seen},
    program::{Fault, Part, Program},
    writes::Write,
};

/// All that is known of a program that has run.
#[derive(Debug)]
pub(crate) struct Account<'a> {
    pub(crate) program: &'a Program,
    pub(crate) events: &'a [Event],
    pub(crate) acts: &'a [Act],
}

impl Account<'_> {
    /// All answers of agents of the cluster that the program is about.
    fn answers(&self) -> impl Iterator<Item = (&Event, &Said)> {
        let answers = self.events.iter().filter_map(|event| Some((event, event.said()?)));
        answers.filter(|(_, said)| said.name == "nemesis")
    }

    /// The clusters that servers were told to create or to resume, with their founders and the first answer that says so.
    fn foundings(&self) -> BTreeMap<(String, Vec<String>), &Event> {
        let mut found = BTreeMap::new();
        for (event, said) in self.answers() {
            let is_told =
                matches!(said.decision.as_str(), "bootstrap" | "resume") && !said.founders.is_empty();
            if let Some(cluster) = said.cluster.as_ref().filter(|_| is_told) {
                found.entry((cluster.clone(), said.founders.clone())).or_insert(event);
            }
        }
        found
    }

    /// The founding, where there is exactly one.
    pub(crate) fn founding(&self) -> Option<Founding> {
        let found: Vec<_> = self.foundings().into_keys().collect();
        let [(cluster, founders)] = &found[..] else { return None };
        Some(Founding { cluster: cluster.clone(), founders: founders.iter().cloned().collect() })
    }

    /// True if any is told.
    pub(crate) fn is_founded(&self) -> bool {
        !self.foundings().is_empty()
    }

    /// The agents that ever spoke under the cluster's name.
    pub(crate) fn ids(&self) -> BTreeSet<&String> {
        self.answers().map(|(_, said)| &said.id).collect()
    }

    /// True if the assumption is broken under which no two clusters are founded: at most 2N - 1 servers, each with one record
    /// that is kept. A record that was rolled back, or exists twice, may have voted otherwise than it knows.
    pub(crate) fn may_found_twice(&self) -> bool {
        let votes_may_be_lost =
            self.acts.iter().any(|act| act.part == Part::Agent && act.what != What::Wiped);
        votes_may_be_lost || self.ids().len() > 2 * self.program.expect - 1
    }

    /// The host at which a founder's agent was first seen.
    fn host_of(&self, id: &str) -> Option<usize> {
        self.answers().find(|(_, said)| said.id == id).map(|(event, _)| event.host)
    }

    /// The hosts of the founders.
    pub(crate) fn seats(&self) -> BTreeSet<usize> {
        let founding = self.founding();
        founding.iter().flat_map(|founding| &founding.founders).filter_map(|id| self.host_of(id)).collect()
    }

    /// All checks of the history.
    pub(crate) fn findings(&self) -> Vec<String> {
        let mut findings = self.two_foundings();
        findings.extend(self.blank_starts());
        findings.extend(self.two_quorums());
        findings.extend(self.ends());
        findings
    }

    fn two_foundings(&self) -> Vec<String> {
        let found = self.foundings();
        let clusters: BTreeSet<&String> = found.keys().map(|(cluster, _)| cluster).collect();
        // One cluster with two sets of founders is never right; two clusters are where the assumption is broken.
        let is_excused = clusters.len() == found.len() && self.may_found_twice();
        if found.len() < 2 || is_excused {
            return Vec::new();
        }
        let told: Vec<_> = found.values().map(ToString::to_string).collect();
        vec![format!("two foundings were told:\n{}", told.join("\n"))]
    }

    /// Starts of blank servers that had lost data, as if they had not.
    fn blank_starts(&self) -> Vec<String> {
        let seats = self.seats();
        let mut findings = Vec::new();
        for event in self.events {
            let Seen::Started(start) = &event.what else { continue };
            let before = |act: &&Act| act.at < event.at && act.host == event.host;
            let is_lost =
                self.acts.iter().filter(before).any(|act| act.part == Part::Server && act.held_data);
            // A record of the time before its server began knows nothing of what is lost: the page on trust says so.
            let knows = |act: &Act| act.part == Part::Server || !matches!(act.what, What::RolledBack { .. });
            let is_known = self.acts.iter().filter(before).all(knows);
            // A server that joins is blank, and refused by the members until somebody adds it.
            let is_member =
                start.state == "new" || seats.contains(&event.host) && start.members <= seats.len();
            if start.was_blank && is_lost && is_member && is_known && !start.beside_blank {
                findings.push(format!("a server that has lost its data was started as a member: {event}"));
            }
        }
        findings
    }

    /// Two agents that claim a quorum at one time, of voters that have none in common.
    fn two_quorums(&self) -> Vec<String> {
        let mut now: BTreeMap<usize, &Event> = BTreeMap::new();
        let mut findings = Vec::new();
        for event in self.events {
            let Seen::Said(said) = &event.what else {
                if event.what == Seen::Silent {
                    now.remove(&event.host);
                }
                continue;
            };
            now.insert(event.host, event);
            if !said.quorum.has || said.name != "nemesis" {
                continue;
            }
            for other in now.values().filter(|other| other.host != event.host) {
                let Seen::Said(theirs) = &other.what else { continue };
                let counts = theirs.quorum.has && theirs.name == said.name && !theirs.quorum.alive.is_empty();
                if counts
                    && !said.quorum.alive.is_empty()
                    && said.quorum.alive.is_disjoint(&theirs.quorum.alive)
                {
                    findings.push(format!("two quorums:\n{other}\n{event}"));
                }
            }
        }
        findings.truncate(3);
        findings
    }

    /// Agents that ended by themselves.
    fn ends(&self) -> Vec<String> {
        let full = |event: &Event| {
            self.program.steps.iter().any(|step| {
                let Fault::Full { host, part } = step.fault else { return false };
                host == event.host
                    && part.has_agent()
                    && step.at_ms <= event.at
                    && event.at <= step.at_ms + step.for_ms + 3_000
            })
        };
        let mut findings = Vec::new();
        for event in self.events {
            let Seen::AgentEnded(how) = &event.what else { continue };
            // It cannot start where its record cannot be written: exit code 1, and the state directory is named.
            let is_documented = full(event) && how.contains("exit status: 1,") && how.contains("state");
            if !is_documented {
                findings.push(format!("an agent ended by itself: {event}"));
            }
        }
        findings
    }

    /// Acknowledged writes that are gone though the program did not destroy them; `keys` is what is there.
    pub(crate) fn lost_writes(&self, writes: &[Write], keys: &BTreeSet<String>) -> Vec<String> {
        let missing = writes.iter().filter(|write| !keys.contains(&write.key));
        let inexcusable: Vec<_> = missing.filter(|write| !self.is_excused(write)).collect();
        let Some(first) = inexcusable.first() else { return Vec::new() };
        vec![format!(
            "{} of {} acknowledged writes are lost, the first of them {first:?}",
            inexcusable.len(),
            writes.len()
        )]
    }

    /// True if the program itself made it possible that this write is lost: a majority of its disks was destroyed after it, or
    /// so many were rolled back to before it that they could elect, with those that need not have had it, a leader without it.
    /// A disk that is merely empty elects nobody: its server is not started.
    fn is_excused(&self, write: &Write) -> bool {
        let seats = self.seats();
        let majority = seats.len() / 2 + 1;
        let of = |host: &usize, what: &dyn Fn(&Act) -> bool| {
            self.acts
                .iter()
                .any(|act| act.host == *host && act.part == Part::Server && act.held_data && what(act))
        };
        let wiped = |act: &Act| act.what == What::Wiped && act.at > write.at;
        let rolled = |act: &Act| matches!(act.what, What::RolledBack { taken } if taken < write.at && write.at < act.at);
        let (wiped, rolled) = (|host: &&usize| of(host, &wiped), |host: &&usize| of(host, &rolled));
        let destroyed = seats.iter().filter(|host| wiped(host) || rolled(host)).count();
        let without = seats.len() - majority + seats.iter().filter(rolled).count();
        let has_rolled = seats.iter().any(|host| rolled(&host));
        destroyed >= majority || (has_rolled && without >= majority)
    }

    /// True if enough servers keep their data that etcd should answer. One whose log was rolled back may rightly refuse to go on:
    /// etcd panics where its leader has told it more than it has.
    pub(crate) fn should_answer(&self) -> bool {
        let seats = self.seats();
        let is_whole = |host: &&usize| {
            !self.acts.iter().any(|act| act.host == **host && act.part == Part::Server && act.held_data)
        };
        !seats.is_empty() && seats.iter().filter(is_whole).count() > seats.len() / 2
    }

    /// Clusters, by etcd's own id, that have acknowledged writes.
    pub(crate) fn two_clusters(&self, writes: &[Write]) -> Vec<String> {
        let mut first: BTreeMap<&String, &Write> = BTreeMap::new();
        for write in writes {
            first.entry(&write.cluster).or_insert(write);
        }
        if first.len() < 2 || self.may_found_twice() {
            return Vec::new();
        }
        vec![format!("two clusters have acknowledged writes: {first:?}")]
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;
    use crate::history::{Quorum, Start};

    const ALL: [&str; 3] = ["a", "b", "c"];

    fn said(at: u64, host: usize, founders: &[&str], cluster: &str, alive: &[&str]) -> Event {
        fn owned<B: FromIterator<String>>(ids: &[&str]) -> B {
            ids.iter().map(|id| (*id).to_owned()).collect()
        }
        let quorum = Quorum { has: !alive.is_empty(), voters: owned(founders), alive: owned(alive) };
        let said = Said {
            id: ALL[host].to_owned(),
            name: "nemesis".to_owned(),
            decision: "bootstrap".to_owned(),
            cluster: Some(cluster.to_owned()),
            established: false,
            founders: owned(founders),
            reasons: Vec::new(),
            quorum,
        };
        Event { at, host, what: Seen::Said(Box::new(said)) }
    }

    /// A cluster of three, founded at once.
    fn founded() -> Vec<Event> {
        (0..3).map(|host| said(1, host, &ALL, "k", &ALL)).collect()
    }

    fn act(at: u64, host: usize, what: What) -> Act {
        Act { at, host, part: Part::Server, what, held_data: true }
    }

    fn findings(events: &[Event], acts: &[Act]) -> usize {
        let program = Program { expect: 3, steps: Vec::new(), ..Program::of(1) };
        Account { program: &program, events, acts }.findings().len()
    }

    fn lost(acts: &[Act]) -> usize {
        let (program, events) = (Program { expect: 3, steps: Vec::new(), ..Program::of(1) }, founded());
        let write = Write { at: 10, host: 0, key: "w".to_owned(), cluster: "1".to_owned() };
        Account { program: &program, events: &events, acts }.lost_writes(&[write], &BTreeSet::new()).len()
    }

    #[test]
    fn a_second_founding_and_a_second_quorum_are_found() {
        let mut events = founded();
        assert_eq!(findings(&events, &[]), 0);
        events.push(said(2, 2, &["c", "d", "e"], "l", &ALL));
        assert_eq!(findings(&events, &[]), 1);
        let copied = Act { part: Part::Agent, ..act(1, 2, What::Copied { from: 1 }) };
        assert_eq!(findings(&events, &[copied]), 0, "a copied record may vote twice");
        events[3] = said(2, 2, &["c", "b", "a"], "k", &ALL);
        assert_eq!(findings(&events, &[]), 1, "one cluster with two lists");
        events[3] = said(2, 2, &ALL, "k", &["d"]);
        assert_eq!(findings(&events, &[]), 2, "against each of the others");
    }

    #[test]
    fn a_blank_server_that_is_started_is_found() {
        let start = |was_blank: bool, beside_blank: bool| {
            let (state, cluster) = ("new".to_owned(), "k".to_owned());
            Seen::Started(Start { was_blank, state, cluster, members: 3, beside_blank })
        };
        let with = |start: Seen| [founded(), vec![Event { at: 20, host: 1, what: start }]].concat();
        let wiped = act(10, 1, What::Wiped);
        assert_eq!(findings(&with(start(true, false)), &[]), 0, "it is new");
        assert_eq!(findings(&with(start(true, false)), from_ref(&wiped)), 1);
        assert_eq!(findings(&with(start(false, false)), from_ref(&wiped)), 0, "its data is back");
        assert_eq!(findings(&with(start(true, true)), &[wiped]), 0, "all are blank");
    }

    #[test]
    fn an_end_that_nobody_asked_for_is_found() {
        let ended =
            Event { at: 20, host: 1, what: Seen::AgentEnded("exit status: 101, SIGTERM false: ".to_owned()) };
        assert_eq!(findings(&[founded(), vec![ended]].concat(), &[]), 1);
    }

    #[test]
    fn a_lost_write_is_excused_by_what_destroyed_it_alone() {
        assert_eq!(lost(&[]), 1);
        assert_eq!(lost(&[act(20, 0, What::Wiped)]), 1, "a majority has it");
        assert_eq!(lost(&[act(20, 0, What::Wiped), act(30, 1, What::Wiped)]), 0);
        assert_eq!(lost(&[act(5, 0, What::Wiped), act(6, 1, What::Wiped)]), 1, "before it was written");
        assert_eq!(lost(&[act(20, 0, What::RolledBack { taken: 15 })]), 1, "the copy has it");
        assert_eq!(
            lost(&[act(20, 0, What::RolledBack { taken: 5 })]),
            0,
            "two of three elect a leader without it"
        );
    }
}
