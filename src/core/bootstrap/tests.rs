//! One machine, step by step: each row of the decision, each reason to wait, and the order of disk and network.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use rand::{SeedableRng, rngs::StdRng};

use super::{
    fixture::{acceptance, counted, founder, id, key, name, proven, signed},
    *,
};
use crate::{node::Role, signing::Signed};

const SECOND: Duration = Duration::from_secs(1);

/// Server 0, its disk and its clock.
struct Host {
    machine: Bootstrap,
    disk: FoundingRecord,
    now: Instant,
}

fn config(expect: u16) -> Config {
    Config { terms: expect.try_into().ok().map(Terms::Count), ..fixture::config(0) }
}

fn sighting(server: usize) -> Sighting {
    Sighting {
        founder: founder(server),
        zone: None,
        role: Role::Server,
        contact: Contact::Direct,
        expect: Some(3),
        named: None,
        cluster_id: None,
        attestation: Attestation::Silent,
        knowledge: None,
    }
}

/// Sightings of servers 1 to `others`.
fn sightings(others: usize) -> Sightings {
    let nodes = (1..=others).map(|server| (id(server), sighting(server))).collect();
    Sightings { nodes, counted: counted(others + 1), seeds: 2, ..Sightings::default() }
}

/// Sightings of servers 1 to `others`, which all name the founders as `terms` do.
fn sightings_of(others: usize, terms: &Terms) -> Sightings {
    let mut sightings = sightings(others);
    sightings.nodes.values_mut().for_each(|node| node.named = terms.named_digest());
    sightings
}

fn founding(founders: impl IntoIterator<Item = usize>, round: u64) -> Founding {
    let ballot = Ballot { round, node: id(1) };
    Founding::new(&name(), ballot, founders.into_iter().map(founder).collect(), None)
}

/// Word of a founding.
fn founded(founding: &Founding) -> Body {
    let foundings = [(founding.id(), proven(founding))].into();
    Body::Known(Box::new(Knowledge { foundings, ..Knowledge::default() }))
}

/// Word of a reporter about its server.
fn reported(reporter: usize, number: u64, group: GroupReport) -> Body {
    told(reporter, Report { number, group: Some(group), ..Report::default() })
}

/// A report, as it travels.
fn told(reporter: usize, report: Report) -> Body {
    let reports = [(id(reporter), signed(reporter, report))].into();
    Body::Known(Box::new(Knowledge { reports, ..Knowledge::default() }))
}

/// The ends of the ids of these servers.
fn retired_ids<const N: usize>(servers: [usize; N]) -> BTreeMap<NodeId, Signed<Retirement>> {
    servers.map(|server| (id(server), signed(server, Retirement { id: id(server) }))).into()
}

/// The acceptance of a founding by a server, on terms of three.
fn accepted(server: usize, ballot: Ballot, founding: &Founding) -> Body {
    Body::Accepted(acceptance(server, ballot, &Terms::Count(3.try_into().unwrap()), founding).into())
}

/// A list of these servers.
fn group(cluster_id: ClusterId, index: u64, voters: impl IntoIterator<Item = usize>) -> GroupReport {
    let voter = |server: usize| Voter { ordinal: None, ..Voter::founder(1, &founder(server)) };
    let index = ListIndex { is_given: true, value: index };
    GroupReport {
        cluster_id,
        index,
        voters: voters.into_iter().map(voter).collect(),
        heard: None,
        generation: Generation::default(),
    }
}

fn prepare(round: u64, expect: u16) -> Prepare {
    let ballot = Ballot { round, node: id(1) };
    Prepare { ballot, terms: Terms::Count(expect.try_into().unwrap()), counted: counted(3) }
}

fn blank_server(server_id: &str) -> ServerReport {
    let server_id = server_id.to_owned().try_into().unwrap();
    ServerReport { server_id, has_state: false, cluster_id: None, once: false, starts: None }
}

fn server_with_data(server_id: &str) -> ServerReport {
    ServerReport { has_state: true, ..blank_server(server_id) }
}

fn report(cluster_id: ClusterId, config_index: u64, voters: &[VoterRef]) -> EstablishedReport {
    EstablishedReport { cluster_id, config_index: Some(config_index), voters: voters.to_vec(), adopt: false }
}

impl Host {
    fn new(config: Config) -> Self {
        Self::restarted(config, FoundingRecord::blank(key(0)))
    }

    fn restarted(config: Config, disk: FoundingRecord) -> Self {
        #[expect(clippy::disallowed_methods, reason = "some instant to start from; only differences matter")]
        let now = Instant::now();
        let machine = Bootstrap::new(config, disk.clone(), now, StdRng::seed_from_u64(7));
        Self { machine, disk, now }
    }

    /// A host that was told of a founding.
    fn knowing(config: Config, founding: &Founding) -> Self {
        let mut host = Self::new(config);
        host.hear(1, founded(founding));
        host
    }

    fn drain(&mut self) -> Vec<(NodeId, Body)> {
        while let Some(unsaved) = self.machine.poll_save() {
            self.disk = unsaved.record().clone();
            self.machine.saved(unsaved, self.now);
        }
        std::iter::from_fn(|| self.machine.poll_message())
            .map(|outgoing| (outgoing.to, outgoing.message.body))
            .collect()
    }

    fn hear(&mut self, from: usize, body: Body) -> Vec<(NodeId, Body)> {
        let message = Message { cluster_name: name(), body };
        self.machine.handle_message(id(from), &message, self.now);
        let said = self.drain();
        // A node that tells what it knows is asked, and answers.
        let is_ask = |(to, body): &(NodeId, Body)| {
            if *to == id(from)
                && let Body::Ask(number) = body
            {
                Some(*number)
            } else {
                None
            }
        };
        match (&message.body, said.iter().find_map(is_ask)) {
            (Body::Known(knowledge), Some(number)) => {
                let answer = Answer { number, knowledge: (**knowledge).clone() };
                self.hear(from, Body::Answer(Box::new(answer)))
            }
            _ => said,
        }
    }

    fn see(&mut self, sightings: Sightings) -> Vec<(NodeId, Body)> {
        self.machine.handle_sightings(sightings, self.now);
        self.drain()
    }

    /// Lets time pass, with every timeout served.
    fn wait(&mut self, time: Duration) -> Vec<(NodeId, Body)> {
        let end = self.now + time;
        let mut said = Vec::new();
        while let Some(at) = self.machine.poll_timeout().filter(|at| *at <= end) {
            self.now = at;
            self.machine.handle_timeout(at);
            said.extend(self.drain());
        }
        self.now = end;
        said
    }

    fn decision(&self) -> &'static str {
        match self.machine.decision() {
            Decision::Wait { .. } => "wait",
            Decision::Bootstrap(_) => "bootstrap",
            Decision::Resume(_) => "resume",
            Decision::Join(_) => "join",
            Decision::Conflict(_) => "conflict",
        }
    }

    fn reasons(&self) -> Vec<&'static str> {
        let Decision::Wait { reasons } = self.machine.decision() else {
            panic!("{:?}", self.machine.decision())
        };
        assert!(reasons.iter().all(|reason| reason.to_string().contains(": ")), "no remedy: {reasons:?}");
        reasons.iter().map(Reason::code).collect()
    }
}

/// The ballot of the first `Prepare` that was sent.
fn prepared(said: &[(NodeId, Body)]) -> Ballot {
    let ballot = said.iter().find_map(|(_, body)| {
        let Body::Prepare(prepare) = body else { return None };
        Some(prepare.ballot)
    });
    ballot.unwrap_or_else(|| panic!("no ballot in {said:?}"))
}

fn promise(server: usize, ballot: Ballot, accepted: Option<(Ballot, &Founding)>) -> Body {
    let accepted = accepted.map(|(ballot, founding)| AcceptedBefore { ballot, founding: founding.clone() });
    Body::Promise(Box::new(Promise { ballot, accepted, founder: founder(server), zone: None }))
}

fn accepts(said: &[(NodeId, Body)]) -> Vec<(NodeId, Founding)> {
    let accept = |(to, body): &(NodeId, Body)| {
        let Body::Accept(accept) = body else { return None };
        Some((*to, accept.founding.clone()))
    };
    said.iter().filter_map(accept).collect()
}

#[test]
fn the_oldest_of_three_settles_proposes_and_founds() {
    let mut host = Host::new(config(3));
    assert_eq!(host.reasons(), ["too_few_servers", "no_seeds"]);
    host.see(sightings(2));
    assert_eq!(host.reasons(), ["settling"]);
    let ballot = prepared(&host.wait(SECOND));
    assert_eq!(
        host.disk.promised,
        Some(ballot),
        "its own promise is on disk before anybody hears of the ballot"
    );
    assert_eq!(host.reasons(), ["agreeing"]);
    host.hear(1, promise(1, ballot, None));
    let asked = accepts(&host.hear(2, promise(2, ballot, None)));
    let founding = &asked[0].1;
    assert_eq!(asked.iter().map(|(to, _)| *to).collect::<Vec<_>>(), [id(1), id(2)]);
    assert_eq!(founding.founders(), [founder(0), founder(1), founder(2)]);
    host.hear(1, accepted(1, ballot, founding));
    let told = host.hear(2, accepted(2, ballot, founding));
    assert_eq!(told, [1, 2].map(|to| (id(to), founded(founding))));
    let Decision::Bootstrap(group) = host.machine.decision() else { panic!() };
    assert_eq!(group.me, Me { founder: true, voter: true, ordinal: Some(1) });
    assert_eq!((group.cluster_id, group.founders.len(), group.voters.len()), (founding.id(), 3, 3));
    let again = Host::restarted(config(3), host.disk.clone());
    assert_eq!(again.machine.decision(), host.machine.decision(), "the same answer after a restart");
}

#[test]
fn one_expected_server_founds_alone() {
    let mut host = Host::new(config(1));
    host.wait(SECOND);
    assert_eq!(host.decision(), "bootstrap");
}

#[test]
fn nothing_leaves_before_the_record_is_written() {
    let mut host = Host::new(config(3));
    let prepare = prepare(5, 3);
    let message = Message { cluster_name: name(), body: Body::Prepare(prepare) };
    host.machine.handle_message(id(1), &message, host.now);
    assert_eq!(host.machine.poll_message(), None);
    let first = host.machine.poll_save().unwrap();
    assert!(host.machine.poll_save().is_none());
    let number = host.machine.pace.number_question(id(1));
    let Body::Known(knowledge) = founded(&founding(0..3, 5)) else { panic!() };
    let body = Body::Answer(Box::new(Answer { number, knowledge: *knowledge }));
    host.machine.handle_message(id(1), &Message { cluster_name: name(), body }, host.now);
    host.machine.saved(first, host.now);
    assert!(matches!(host.machine.poll_message().unwrap().message.body, Body::Promise(_)));
    assert_eq!(host.decision(), "wait", "a founding that is not on disk is handed to nobody");
    assert_eq!(host.reasons(), ["saving"]);
    host.drain();
    assert_eq!(host.decision(), "bootstrap");
}

/// The copy may have given other votes, also after it is gone; the flag is in the record.
#[test]
fn a_doubted_record_votes_no_more_and_a_founding_ends_that() {
    let mut host = Host::new(config(3));
    assert!(host.disk.afresh(key(9)).is_some(), "nobody misses it");
    host.hear(1, Body::Prepare(prepare(1, 3)));
    assert_eq!(host.disk.afresh(key(9)), None, "it has voted");
    for (doubt, code) in [
        (Doubt::RolledBack, "record_rolled_back"),
        (Doubt::Copied, "key_was_copied"),
        (Doubt::RolledBack, "key_was_copied"),
    ] {
        host.machine.doubt(doubt, host.now);
        host.drain();
        assert!(host.reasons().contains(&code), "{:?}", host.reasons());
    }
    let mut host = Host::restarted(config(3), host.disk);
    host.see(sightings(2));
    assert!(accepts(&host.wait(60 * SECOND)).is_empty());
    let said = host.hear(1, Body::Prepare(prepare(9, 3)));
    assert!(matches!(&said[0].1, Body::Nack(Nack { refusal: Refusal::Fault, .. })), "{said:?}");
    assert_eq!(
        host.machine.override_founders(&[id(0), id(1)].into(), DataLoss::Allowed, host.now),
        Err(OverrideRefused::Doubted)
    );
    host.hear(1, founded(&founding(0..3, 1)));
    assert_eq!(host.decision(), "bootstrap", "all votes are settled");
    let mut host = Host::knowing(config(3), &founding(0..3, 1));
    host.machine.doubt(Doubt::Copied, host.now);
    host.drain();
    assert_eq!(
        (host.disk.doubt, host.disk.afresh(key(9))),
        (None, None),
        "it is a founder, and nothing is in doubt"
    );
}

/// An id that another process has goes on.
#[test]
fn a_reset_retires_no_id_that_another_process_has() {
    let mut host = Host::new(config(3));
    for (duplicate, retired) in [(Some(([127, 0, 0, 1], 7946).into()), 0), (None, 1)] {
        host.see(Sightings { duplicate, ..sightings(2) });
        let next = host.machine.reset(key(9), DataLoss::Refused).unwrap();
        assert_eq!(next.knowledge.retired.len(), retired);
    }
}

#[test]
fn a_fault_stops_votes_writes_and_foundings() {
    let mut host = Host::new(config(3));
    host.machine.handle_fault(Reason::Fault { why: "checksum".to_owned() }, host.now);
    let prepare = prepare(5, 3);
    let said = host.hear(1, Body::Prepare(prepare));
    assert!(matches!(&said[0].1, Body::Nack(Nack { refusal: Refusal::Fault, .. })));
    host.hear(1, founded(&founding(0..3, 1)));
    assert_eq!(host.disk, FoundingRecord::blank(key(0)));
    assert!(host.reasons().contains(&"fault"));
    let mut host = Host::knowing(config(3), &founding(0..3, 1));
    host.machine.handle_fault(Reason::Fault { why: "disk full".to_owned() }, host.now);
    assert_eq!(host.reasons(), ["fault"], "a note could not be written");
}

#[test]
fn what_the_disk_refuses_is_neither_said_nor_lost_and_is_said_once_it_is_written() {
    let mut host = Host::new(config(3));
    let prepare = |round| prepare(round, 3);
    let message = |round| Message { cluster_name: name(), body: Body::Prepare(prepare(round)) };
    host.machine.handle_message(id(1), &message(5), host.now);
    let refused = host.machine.poll_save().unwrap();
    host.machine.save_failed("disk full".to_owned(), host.now);
    assert!(host.reasons().contains(&"fault"));
    assert_eq!(host.machine.poll_message(), None, "a promise that is not on disk");
    // A later ballot is not promised either, and what the server says is kept, not written.
    host.machine.handle_message(id(1), &message(6), host.now);
    let cluster = founding(0..3, 1);
    let told = Message { cluster_name: name(), body: founded(&cluster) };
    host.machine.handle_message(id(1), &told, host.now);
    host.machine
        .established(&EstablishedReport { adopt: true, ..report(cluster.id(), 1, &[]) }, host.now)
        .unwrap();
    assert!(host.machine.poll_save().is_none() && !host.machine.is_durable());
    assert_eq!(host.machine.poll_message(), None);
    // Written in the end.
    assert_eq!(refused.record().promised.map(|ballot| ballot.round), Some(5));
    host.disk = refused.record().clone();
    host.machine.saved(refused, host.now);
    assert!(!host.reasons().contains(&"fault"));
    let said = host.drain();
    assert!(said.iter().any(|(_, body)| matches!(body, Body::Promise(_))), "{said:?}");
    let known = host.disk.knowledge.reports[&id(0)].group.as_ref().unwrap().cluster_id;
    assert_eq!(
        (host.disk.promised.unwrap().round, known, host.machine.is_durable()),
        (5, cluster.id(), true)
    );
}

#[test]
fn a_record_that_does_not_read_is_not_mended_by_a_disk_that_writes() {
    let mut host = Host::new(config(3));
    let prepare = prepare(5, 3);
    let message = Message { cluster_name: name(), body: Body::Prepare(prepare) };
    host.machine.handle_message(id(1), &message, host.now);
    let unsaved = host.machine.poll_save().unwrap();
    host.machine.handle_fault(Reason::Fault { why: "checksum".to_owned() }, host.now);
    host.machine.save_failed("disk full".to_owned(), host.now);
    host.machine.saved(unsaved, host.now);
    assert!(matches!(host.machine.fault(), Some(Reason::Fault { .. })));
}

#[test]
fn a_disk_that_refuses_for_days_does_not_fill_the_memory() {
    let mut host = Host::new(config(3));
    let ask = |round| Message { cluster_name: name(), body: Body::Prepare(prepare(round, 3)) };
    host.machine.handle_message(id(1), &ask(1), host.now);
    let refused = host.machine.poll_save().unwrap();
    host.machine.save_failed("disk full".to_owned(), host.now);
    (2..10_000).for_each(|round| host.machine.handle_message(id(1), &ask(round), host.now));
    host.machine.saved(refused, host.now);
    assert!(host.drain().len() <= 1_024);
}

#[test]
fn an_established_member_resumes_and_others_join() {
    let cluster = founding(0..3, 1);
    let mut host = Host::knowing(config(3), &cluster);
    assert_eq!(host.decision(), "bootstrap");
    host.machine.established(&report(cluster.id(), 0, &[]), host.now).unwrap();
    assert_eq!(host.decision(), "bootstrap", "not before it is on disk");
    host.drain();
    assert_eq!(host.decision(), "resume");
    let voters = [VoterRef::Ordinal(2), VoterRef::Id(id(5))];
    host.machine.established(&report(cluster.id(), 7, &voters), host.now).unwrap();
    host.drain();
    assert_eq!(host.decision(), "join", "it was taken out of the voters");
    host.hear(2, reported(2, 1, group(cluster.id(), 6, [0])));
    assert_eq!(host.decision(), "join", "an older list changes nothing");
    let endpoint = VoterRef::Endpoint("raft".parse().unwrap(), "10.0.0.1:5001".to_owned());
    host.machine.established(&report(cluster.id(), 8, &[endpoint]), host.now).unwrap();
    host.drain();
    assert_eq!(host.decision(), "resume", "it is named by its endpoint");
    assert_eq!(
        host.machine.established(&report(cluster.id(), 9, &[VoterRef::Ordinal(4)]), host.now),
        Err(ReportRefused::NoSuchOrdinal(4))
    );
    assert_eq!(Host::knowing(config(3), &founding(1..4, 1)).decision(), "join");
}

#[test]
fn a_list_names_each_voter_once() {
    let cluster = founding(0..3, 1);
    let mut host = Host::knowing(config(3), &cluster);
    let twice = [VoterRef::Ordinal(2), VoterRef::Id(id(1))];
    let refused = host.machine.established(&report(cluster.id(), 7, &twice), host.now);
    let [first, second] = twice;
    assert_eq!(refused, Err(ReportRefused::SameVoter { first, second }));
    host.drain();
    assert_eq!(host.decision(), "bootstrap", "nothing has changed");
}

/// The last word of a reporter counts, whatever index it has: a wrong one is corrected by the next.
#[test]
fn a_wrong_index_ends_with_the_next_report_of_the_same_server() {
    let cluster = founding(0..3, 1);
    let mut host = Host::knowing(config(3), &cluster);
    host.hear(1, reported(1, 1, group(cluster.id(), u64::MAX, [1])));
    assert_eq!(host.machine.cluster().unwrap().voters.len(), 1);
    host.hear(1, reported(1, 2, group(cluster.id(), 9, [0, 1, 2])));
    assert_eq!(host.machine.cluster().unwrap().voters.len(), 3);
}

/// A list that was committed is known to a majority of itself. One that was not needs no person, though its reporter is dead.
#[test]
fn a_list_that_a_majority_of_its_voters_denies_is_refuted() {
    let cluster = founding(0..3, 1);
    let mut host = Host::knowing(config(3), &cluster);
    host.see(sightings(2));
    host.hear(1, reported(1, 1, group(cluster.id(), 90, [0, 1])));
    assert_eq!(host.machine.cluster().unwrap().voters.len(), 2);
    let all = [VoterRef::Ordinal(1), VoterRef::Ordinal(2), VoterRef::Ordinal(3)];
    host.machine.established(&report(cluster.id(), 8, &all), host.now).unwrap();
    host.drain();
    assert_eq!(host.machine.cluster().unwrap().voters.len(), 2, "one of two is no majority");
    let heard = Some(Heard { reporter: id(1), number: 1 });
    host.hear(2, reported(2, 1, GroupReport { heard, ..group(cluster.id(), 8, [0, 1, 2]) }));
    assert_eq!(host.machine.cluster().unwrap().voters.len(), 2, "server 2 is none of the list's voters");
    host.hear(1, reported(1, 2, group(cluster.id(), 90, [0, 2])));
    host.machine.established(&report(cluster.id(), 8, &all), host.now).unwrap();
    let heard = Some(Heard { reporter: id(1), number: 2 });
    host.hear(2, reported(2, 2, GroupReport { heard, ..group(cluster.id(), 8, [0, 1, 2]) }));
    assert_eq!(host.machine.cluster().unwrap().voters.len(), 3, "both of its voters deny it");
}

/// A packet in the name of a member is not believed: the member itself is asked, with a number that only it learns.
#[test]
fn knowledge_counts_only_as_the_answer_of_the_node_that_was_asked() {
    let cluster = founding(0..3, 1);
    let mut host = Host::new(config(3));
    let told = |host: &mut Host, body: Body| {
        let message = Message { cluster_name: name(), body };
        host.machine.handle_message(id(1), &message, host.now);
        host.drain()
    };
    let said = told(&mut host, founded(&cluster));
    let [(asked, Body::Ask(number))] = &said[..] else { panic!("{said:?}") };
    assert_eq!((*asked, host.machine.cluster()), (id(1), None));
    let foundings = [(cluster.id(), proven(&cluster))].into();
    let knowledge = Knowledge { foundings, ..Knowledge::default() };
    let answer = |number| Body::Answer(Box::new(Answer { number, knowledge: knowledge.clone() }));
    told(&mut host, answer(number ^ 1));
    assert_eq!(host.machine.cluster(), None, "a guess");
    told(&mut host, answer(*number));
    assert_eq!(host.decision(), "bootstrap");
    assert_eq!(told(&mut host, founded(&cluster)), [], "no news");
}

#[test]
fn nobody_reports_himself_into_a_founded_cluster() {
    let cluster = founding(0..3, 1);
    let mut host = Host::knowing(config(3), &cluster);
    host.hear(5, reported(5, 1, group(cluster.id(), 9, [5])));
    assert!(!host.machine.cluster().unwrap().established);
    host.hear(1, reported(1, 1, group(cluster.id(), 3, [0, 1, 5])));
    assert_eq!(host.machine.cluster().unwrap().config_index, 9, "a list names it now");
}

#[test]
fn two_lists_of_one_version_are_no_quorum_and_are_shown() {
    let cluster = founding(0..3, 1);
    let mut host = Host::knowing(config(3), &cluster);
    host.hear(1, reported(1, 1, group(cluster.id(), 9, [0, 1])));
    host.hear(2, reported(2, 1, group(cluster.id(), 9, [0, 2])));
    assert!(host.machine.remarks().iter().any(|reason| matches!(reason, Reason::VotersDiffer { .. })));
    host.hear(2, reported(2, 2, group(cluster.id(), 9, [0, 1])));
    assert_eq!(host.machine.remarks(), []);
}

/// Without a version, the newest list is that of whoever had heard of all others when its server spoke.
#[test]
fn a_list_without_a_version_is_newer_than_all_that_its_reporter_had_heard_of() {
    let cluster = founding(0..4, 1);
    let mut host = Host::knowing(config(4), &cluster);
    let own = |index: u64, voters: &[usize]| {
        let index = ListIndex { is_given: false, value: index };
        GroupReport { index, ..group(cluster.id(), 0, voters.to_vec()) }
    };
    host.hear(1, reported(1, 1, own(1, &[0, 1, 2])));
    let report =
        |voters: &[VoterRef]| EstablishedReport { config_index: None, ..report(cluster.id(), 0, voters) };
    host.machine.established(&report(&[VoterRef::Ordinal(1), VoterRef::Ordinal(4)]), host.now).unwrap();
    host.drain();
    let group = host.disk.knowledge.reports[&id(0)].group.clone().unwrap();
    assert_eq!(group.index, ListIndex { is_given: false, value: 2 });
    host.hear(1, reported(1, 2, own(3, &[0, 1, 2])));
    host.machine.established(&report(&[VoterRef::Ordinal(1), VoterRef::Ordinal(4)]), host.now).unwrap();
    host.drain();
    let group = host.disk.knowledge.reports[&id(0)].group.clone().unwrap();
    assert_eq!(group.index.value, 2, "the same list keeps its number");
}

#[test]
fn a_blank_server_initialises_if_it_alone_was_told_and_has_not_begun() {
    let cluster = founding(0..3, 1);
    for established in [false, true] {
        let mut host = Host::knowing(config(3), &cluster);
        if established {
            host.hear(1, reported(1, 1, group(cluster.id(), 1, [0, 1, 2])));
            assert_eq!(host.decision(), "resume", "nobody has said whether there is data");
        }
        host.machine.server_attests(blank_server("first"), host.now);
        assert_eq!(host.decision(), "bootstrap", "established: {established}");
        host.machine.server_asks(None, host.now);
        host.drain();
        assert_eq!(
            host.disk.notes.as_ref().unwrap().told,
            Told::Server("first".to_owned().try_into().unwrap())
        );
        assert_eq!(host.decision(), "bootstrap", "it asks again");
        host.machine.server_attests(blank_server("second"), host.now);
        assert_eq!(host.reasons(), ["server_state_lost"]);
        host.machine.server_attests(blank_server("first"), host.now);
        assert_eq!(host.decision(), "bootstrap");
        host.machine.server_attests(server_with_data("first"), host.now);
        host.drain();
        assert_eq!(host.decision(), if established { "resume" } else { "bootstrap" });
        host.machine.server_attests(blank_server("first"), host.now);
        host.drain();
        assert_eq!(host.reasons(), ["server_state_lost"], "it has had data");
    }
}

#[test]
fn a_server_that_begins_is_blank_never_again() {
    let mut host = Host::knowing(config(3), &founding(0..3, 1));
    let decision = host.machine.server_begins(blank_server("first"), host.now);
    assert!(matches!(decision, Decision::Bootstrap(_)));
    host.drain();
    let mut host = Host::restarted(config(3), host.disk.clone());
    host.machine.server_attests(blank_server("first"), host.now);
    assert_eq!(host.reasons(), ["server_state_lost"]);
    let decision = host.machine.server_begins(blank_server("first"), host.now);
    assert!(matches!(decision, Decision::Wait { .. }));
}

/// Messages may come late: an answer to a question of an earlier life of this node, or of an earlier wait, says nothing of now.
#[test]
fn a_late_answer_to_a_look_of_an_earlier_life_is_none() {
    let cluster = founding(0..3, 1);
    let mut host = Host::knowing(config(3), &cluster);
    host.machine.server_begins(blank_server("first"), host.now);
    host.drain();
    let once = ServerReport { once: true, ..blank_server("first") };
    let mut late = Vec::new();
    let mut host = Host::restarted(config(3), host.disk);
    host.machine.server_attests(once.clone(), host.now);
    for _ in 0..2 {
        for (to, body) in host.wait(SECOND / 2) {
            if let Body::Look(looked) = body {
                let blank = Body::Blank(Looked { holds: false, ..looked });
                late.push((usize::from(to == id(2)) + 1, blank));
            }
        }
        for (from, blank) in late.clone() {
            host.hear(from, blank);
        }
    }
    assert_eq!(host.decision(), "bootstrap");
    let mut host = Host { machine: restarted_otherwise(&host.disk, host.now), ..host };
    host.machine.server_attests(once, host.now);
    for (from, blank) in late.clone().into_iter().chain(late) {
        host.hear(from, blank);
    }
    assert_eq!(host.reasons(), ["server_state_lost"]);
}

/// The next life of server 0, which throws other dice.
fn restarted_otherwise(disk: &FoundingRecord, now: Instant) -> Bootstrap {
    Bootstrap::new(config(3), disk.clone(), now, StdRng::seed_from_u64(8))
}

/// The look that lets a blank server start ends with the wait that the answer ends: the answer itself is what it allowed.
#[test]
fn a_poller_that_is_blank_again_is_told_by_the_answer_that_ends_its_wait() {
    let cluster = founding(0..3, 1);
    let mut host = Host::knowing(config(3), &cluster);
    host.machine.server_attests(blank_server("first"), host.now);
    host.machine.server_asks(None, host.now);
    host.drain();
    host.machine.server_attests(blank_server("second"), host.now);
    assert_eq!(host.reasons(), ["server_state_lost"]);
    let decision = host.machine.server_asks(None, host.now);
    assert!(matches!(decision, Decision::Wait { .. }), "but it is seen to wait, and looks");
    let mut said = host.drain();
    for _ in 0..2 {
        let is_look =
            |(_, body): &(NodeId, Body)| if let Body::Look(looked) = body { Some(*looked) } else { None };
        let looked = said.iter().find_map(is_look).unwrap_or_else(|| panic!("no question in {said:?}"));
        let blank = Body::Blank(Looked { holds: false, ..looked });
        said = [1, 2].into_iter().flat_map(|other| host.hear(other, blank.clone())).collect();
        said.extend(host.wait(SECOND / 2));
    }
    let server_id = blank_server("second").server_id;
    let decision = host.machine.server_asks(Some(&server_id), host.now);
    host.drain();
    assert!(matches!(decision, Decision::Bootstrap(_)), "{decision:?}");
    assert_eq!(host.reasons(), ["server_state_lost"], "the next question is another one");
}

#[test]
fn a_server_of_which_nobody_says_whether_it_holds_data_is_told_so() {
    let mut host = Host::knowing(config(3), &founding(0..3, 1));
    assert_eq!(host.decision(), "bootstrap");
    assert_eq!(host.machine.remarks(), [Reason::ServerUnknown]);
    host.machine.server_attests(blank_server("first"), host.now);
    assert_eq!(host.machine.remarks(), []);
}

#[test]
fn a_founder_whose_server_holds_data_goes_on_initialising_until_the_group_exists() {
    let cluster = founding(0..3, 1);
    let mut host = Host::knowing(config(3), &cluster);
    host.machine.server_attests(server_with_data("first"), host.now);
    assert_eq!(host.decision(), "bootstrap");
    host.hear(1, reported(1, 1, group(cluster.id(), 1, [0, 1, 2])));
    assert_eq!(host.decision(), "resume");
}

#[test]
fn a_voter_that_was_taken_out_waits_until_it_is_emptied() {
    let cluster = founding(0..3, 1);
    let mut host = Host::knowing(config(3), &cluster);
    host.machine.server_attests(server_with_data("first"), host.now);
    host.hear(1, reported(1, 1, group(cluster.id(), 1, [1, 2])));
    assert_eq!(host.reasons(), ["removed_voter"]);
    host.machine.server_attests(blank_server("first"), host.now);
    assert_eq!(host.decision(), "join");
}

#[test]
fn a_new_agent_beside_the_data_of_a_voter_is_that_voter() {
    let cluster = founding(1..4, 1);
    let mut host = Host::knowing(config(3), &cluster);
    let holds = Some(Holding {
        server_id: "s1".to_owned().try_into().unwrap(),
        cluster_id: cluster.id(),
        starts: None,
    });
    let report =
        Report { number: 1, holds, group: Some(group(cluster.id(), 1, [1, 2, 3])), ..Report::default() };
    host.hear(1, told(1, report));
    let data = ServerReport { cluster_id: Some(cluster.id()), ..server_with_data("s1") };
    host.see(sightings(3));
    host.machine.server_attests(data.clone(), host.now);
    host.drain();
    assert_eq!(host.reasons(), ["server_id_taken"], "the first agent is alive");
    let mut seen = sightings(3);
    seen.nodes.get_mut(&id(1)).unwrap().contact = Contact::Remembered;
    host.see(seen);
    host.machine.server_attests(data, host.now);
    host.drain();
    let Decision::Resume(group) = host.machine.decision() else { panic!("{:?}", host.machine.decision()) };
    assert_eq!(group.me, Me { founder: true, voter: true, ordinal: Some(1) });
    assert!(group.voters.iter().any(|voter| voter.id == Some(id(0))), "it is counted once: {group:?}");
    assert_eq!(group.voters.len(), 3);
}

#[test]
fn a_server_with_data_of_another_cluster_waits_alone() {
    let mut host = Host::knowing(config(3), &founding(0..3, 1));
    let other = ServerReport { cluster_id: Some([9; 16].into()), ..server_with_data("old") };
    host.machine.server_attests(other, host.now);
    let told = host.drain();
    assert_eq!(host.reasons(), ["server_disagrees"]);
    assert!(host.disk.knowledge.reports.is_empty() && told.is_empty(), "{told:?}");
}

#[test]
fn a_report_of_another_cluster_changes_nothing_but_a_remark_here() {
    let cluster = founding(0..3, 1);
    let mut host = Host::knowing(config(3), &cluster);
    let wrong = host.machine.established(&report([9; 16].into(), 5, &[]), host.now);
    assert!(matches!(wrong, Err(ReportRefused::OtherCluster { .. })));
    assert_eq!(host.drain(), []);
    assert_eq!(host.decision(), "bootstrap");
    assert!(matches!(host.machine.remarks(), [Reason::ServerDisagrees { .. }, ..]));
    host.machine.established(&report(cluster.id(), 1, &[]), host.now).unwrap();
    host.drain();
    assert_eq!((host.decision(), host.machine.remarks()), ("resume", &[][..]));
}

/// A joiner that was started has no data yet: its start is no second witness to a claim, which ends with the first.
#[test]
fn a_joiner_that_begins_does_not_bear_witness_to_a_claim() {
    let claim: ClusterId = [9; 16].into();
    let mut host = Host::new(config(3));
    host.see(sightings(2));
    host.hear(1, reported(1, 1, group(claim, 4, [1])));
    let decision = host.machine.server_begins(blank_server("first"), host.now);
    assert!(matches!(decision, Decision::Join(_)), "{decision:?}");
    host.drain();
    assert_eq!(host.decision(), "join");
    let taken_back = Report { number: 2, ..Report::default() };
    host.hear(1, told(1, taken_back));
    assert_eq!(host.decision(), "wait");
    assert_eq!(host.machine.cluster(), None, "nobody claims it any more");
}

/// Once it is admitted, the voters name it, and it has data though its agent was not told.
#[test]
fn a_joiner_of_a_founded_cluster_that_has_begun_is_a_voter_once_it_is_named() {
    let cluster = founding(1..4, 1);
    let mut host = Host::knowing(config(3), &cluster);
    host.see(sightings(3));
    let decision = host.machine.server_begins(blank_server("fourth"), host.now);
    assert!(matches!(decision, Decision::Join(_)), "{decision:?}");
    host.drain();
    host.hear(1, reported(1, 1, group(cluster.id(), 4, [0, 1, 2])));
    assert_eq!(host.decision(), "resume");
}

/// A server's claim of a cluster that nobody founded here is its own: it ends with the server's word, and while nobody who made
/// it is alive, nothing is founded and nobody joins.
#[test]
fn a_claim_is_kept_with_its_reporter_and_taken_back_with_him() {
    let claim: ClusterId = [9; 16].into();
    let mut host = Host::new(config(3));
    let refused = host.machine.established(&report(claim, 1, &[]), host.now);
    assert_eq!(refused, Err(ReportRefused::Unknown(claim)));
    host.see(sightings(2));
    host.hear(1, reported(1, 1, group(claim, 4, [1])));
    assert_eq!(host.decision(), "join");
    let mut host = Host::restarted(config(3), host.disk.clone());
    assert_eq!(host.reasons(), ["claim_unconfirmed"], "after a power failure, half of the site is up");
    host.see(sightings(2));
    assert_eq!(host.decision(), "join");
    let taken_back = Report { number: 2, ..Report::default() };
    host.hear(1, told(1, taken_back));
    assert_eq!(host.reasons(), ["settling"]);
}

#[test]
fn a_server_with_data_brings_its_cluster_with_it() {
    let mut host = Host::new(config(3));
    let cluster_id = ClusterId::from([9; 16]);
    host.machine
        .server_attests(ServerReport { cluster_id: Some(cluster_id), ..server_with_data("old") }, host.now);
    host.drain();
    assert_eq!(host.decision(), "resume");
    assert!(host.machine.cluster().unwrap().established);
    let told = host.see(sightings(1));
    let is_told =
        |(_, body): &(NodeId, Body)| matches!(body, Body::Known(known) if known.reports.contains_key(&id(0)));
    assert!(told.iter().any(is_told), "{told:?}");
    host.machine.established(&report(cluster_id, 3, &[VoterRef::Id(id(1))]), host.now).unwrap();
    host.drain();
    assert_eq!(host.decision(), "join", "its voters are known now");
}

#[test]
fn two_clusters_are_a_conflict_until_an_operator_says_which_is_meant() {
    let (one, other) = (founding(0..3, 1), founding(3..6, 2));
    let mut host = Host::knowing(config(3), &one);
    host.hear(4, founded(&other));
    let Decision::Conflict(conflict) = host.machine.decision().clone() else { panic!() };
    assert_eq!(conflict.clusters, [one.id(), other.id()]);
    assert!(matches!(&conflict.reasons[..], [Reason::TwoClusters { ours, .. }] if *ours == one.id()));
    let mut host = Host::restarted(config(3), host.disk.clone());
    assert_eq!(*host.machine.decision(), Decision::Conflict(conflict));
    let unknown = ClusterId::from([9; 16]);
    assert_eq!(host.machine.resolve(unknown, host.now), Err(ResolveRefused::Unknown(unknown)));
    host.machine.resolve(one.id(), host.now).unwrap();
    let said = host.drain();
    assert_eq!(host.decision(), "bootstrap");
    let mut joiner = Host::knowing(config(3), &other);
    joiner.hear(1, said.into_iter().map(|(_, body)| body).next().unwrap_or_else(|| known(&host)));
    assert_eq!(joiner.machine.cluster().unwrap().id, one.id(), "the word counts everywhere");
    let mut alone = Host::knowing(Config { words: Words::Here, ..config(3) }, &other);
    alone.hear(1, known(&host));
    assert_eq!(alone.decision(), "conflict", "without a group key a stranger could say it");
}

/// All that a host knows, as it tells it.
fn known(host: &Host) -> Body {
    Body::Known(Box::new(host.disk.knowledge.clone()))
}

#[test]
fn a_reset_gives_up_the_id_and_when_all_have_done_so_the_cluster_is_over() {
    let cluster = founding(0..3, 1);
    let mut host = Host::knowing(config(3), &cluster);
    host.machine.established(&report(cluster.id(), 1, &[]), host.now).unwrap();
    host.drain();
    assert_eq!(host.machine.reset(key(9), DataLoss::Refused), Err(ResetRefused(cluster.id())));
    let next = host.machine.reset(key(9), DataLoss::Allowed).unwrap();
    assert_eq!(
        (next.node_id(), next.knowledge.retired.keys().copied().collect::<Vec<_>>()),
        (id(9), vec![id(0)])
    );
    let mut host = Host::knowing(config(3), &cluster);
    for (retired, decision) in [(1, "bootstrap"), (2, "bootstrap")] {
        let retired = retired_ids([retired]);
        host.hear(5, Body::Known(Box::new(Knowledge { retired, ..Knowledge::default() })));
        assert_eq!(host.decision(), decision);
    }
    let next = host.machine.reset(key(9), DataLoss::Refused).unwrap();
    let mut host = Host::restarted(config(3), next);
    host.hear(5, founded(&cluster));
    host.hear(5, Body::Known(Box::new(Knowledge { retired: retired_ids([1, 2]), ..Knowledge::default() })));
    assert!(host.reasons().contains(&"too_few_servers"), "the cluster is over: it can found a new one");
}

/// Word of the server about its data, in the table of what it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    Nothing,
    /// Blank, under the id that was told.
    Blank,
    /// Blank, under another id.
    BlankOther,
    Data,
}

/// Notes of what was said to the server before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Noted {
    Nothing,
    ToldIt,
    ToldAnybody,
    Begun,
}

/// Every cell of the table of what a server is told: by its own word, by what was noted, by whether the group exists, and by its
/// place among the voters. A blank server that is not new is told to initialise in no cell; only a look at the others does that.
#[test]
fn each_cell_of_the_table_of_what_a_server_is_told() {
    let cluster = founding(0..3, 1);
    for says in [Says::Nothing, Says::Blank, Says::BlankOther, Says::Data] {
        for noted in [Noted::Nothing, Noted::ToldIt, Noted::ToldAnybody, Noted::Begun] {
            for (established, voters) in [(false, [0, 1, 2]), (true, [0, 1, 2]), (true, [1, 2, 3])] {
                let mut host = Host::knowing(config(3), &cluster);
                let mut disk = host.disk.clone();
                let mut notes = Notes::new(cluster.id());
                match noted {
                    Noted::Nothing => {}
                    Noted::ToldIt => notes.told = Told::Server("it".to_owned().try_into().unwrap()),
                    Noted::ToldAnybody => notes.told = Told::Anybody,
                    Noted::Begun => notes.begun = true,
                }
                disk.notes = Some(notes);
                host = Host::restarted(config(3), disk);
                if established {
                    host.hear(1, reported(1, 1, group(cluster.id(), 1, voters)));
                }
                match says {
                    Says::Nothing => {}
                    Says::Blank => host.machine.server_attests(blank_server("it"), host.now),
                    Says::BlankOther => host.machine.server_attests(blank_server("other"), host.now),
                    Says::Data => host.machine.server_attests(server_with_data("it"), host.now),
                }
                host.drain();
                let is_new = match (says, noted) {
                    (_, Noted::Nothing) => true,
                    (Says::Blank, Noted::ToldIt) => true,
                    (_, Noted::ToldIt | Noted::ToldAnybody | Noted::Begun) => false,
                };
                let is_blank = matches!(says, Says::Blank | Says::BlankOther);
                let expected = match (voters.contains(&0), established) {
                    (false, _) if says == Says::Data => "removed_voter",
                    (false, _) => "join",
                    (true, _) if is_blank && !is_new => "server_state_lost",
                    (true, true) if is_blank => "bootstrap",
                    (true, true) => "resume",
                    (true, false) => "bootstrap",
                };
                let told = match host.decision() {
                    "wait" => host.reasons()[0],
                    decision => decision,
                };
                assert_eq!(told, expected, "{says:?}, {noted:?}, established: {established}, {voters:?}");
            }
        }
    }
}

/// Servers that keep their ids can vote again once an operator has ended their cluster: left out of the count, six could found
/// twice by three.
#[test]
fn servers_of_a_cluster_that_an_operator_ended_go_on_counting() {
    let cluster = founding(0..3, 1);
    let mut host = Host::knowing(config(3), &cluster);
    host.see(Sightings { counted: counted(6), ..sightings(5) });
    host.machine.give_up(cluster.id(), host.now).unwrap();
    host.drain();
    assert!(host.reasons().contains(&"too_many_servers"), "{:?}", host.reasons());
    let retired = retired_ids([1]);
    host.hear(5, Body::Known(Box::new(Knowledge { retired, ..Knowledge::default() })));
    assert!(!host.reasons().contains(&"too_many_servers"), "a retired one votes no more");
}

/// No claim and no founding of others can stop the restarts of a cluster that runs.
#[test]
fn a_rival_never_takes_a_decision_away_from_a_server_of_its_own_proven_cluster() {
    let (one, other) = (founding(0..3, 1), founding(3..6, 2));
    let mut told = Host::knowing(config(3), &one);
    told.machine.server_asks(None, told.now);
    let mut established = Host::knowing(config(3), &one);
    established.hear(1, reported(1, 1, group(one.id(), 1, [0, 1, 2])));
    let mut holding = Host::knowing(config(3), &one);
    holding.machine.server_attests(server_with_data("first"), holding.now);
    for (mut host, decision) in [(told, "bootstrap"), (established, "resume"), (holding, "bootstrap")] {
        host.drain();
        host.hear(4, founded(&other));
        assert_eq!(host.decision(), decision);
        assert!(matches!(host.machine.remarks(), [Reason::TwoClusters { .. }, ..]));
        let again = Host::restarted(config(3), host.disk.clone());
        assert_eq!(again.decision(), decision);
    }
}

#[test]
fn a_copied_id_is_a_conflict_without_votes() {
    let mut host = Host::new(config(3));
    let addr = "10.0.0.9:7946".parse().unwrap();
    host.see(Sightings { duplicate: Some(addr), ..sightings(2) });
    let Decision::Conflict(conflict) = host.machine.decision() else { panic!() };
    assert_eq!(conflict.reasons, [Reason::DuplicateId { addr }]);
    let prepare = prepare(5, 3);
    let said = host.hear(1, Body::Prepare(prepare));
    assert!(matches!(&said[0].1, Body::Nack(Nack { refusal: Refusal::Fault, .. })));
}

#[test]
fn each_reason_to_wait_is_named() {
    let reasons = |config: Config, sightings: Sightings| {
        let mut host = Host::new(config);
        host.see(sightings);
        host.wait(2 * SECOND);
        host.reasons()
    };
    assert_eq!(reasons(config(0), sightings(2)), ["expect_not_set"]);
    assert_eq!(reasons(config(3), sightings(1)), ["too_few_servers"]);
    assert_eq!(reasons(config(3), sightings(5)), ["too_many_servers"]);
    assert_eq!(reasons(config(3), Sightings { counted: counted(6), ..sightings(2) }), ["too_many_servers"]);
    assert_eq!(reasons(config(3), Sightings { seeds: 2, ..sightings(0) }), ["too_few_servers", "alone"]);
    assert_eq!(reasons(config(3), Sightings { seeds: 0, ..sightings(0) }), ["too_few_servers", "no_seeds"]);
    assert_eq!(reasons(Config { role: Role::Observer, ..config(3) }, sightings(2)), ["observer"]);
    let join_only = Config { admission: Admission::JoinOnly, ..config(3) };
    assert_eq!(reasons(join_only, sightings(2)), ["join_only"]);
    let mut seen = sightings(3);
    seen.nodes.get_mut(&id(3)).unwrap().expect = Some(5);
    assert_eq!(reasons(config(3), seen), ["expect_mismatch"]);
    let mut seen = sightings(2);
    seen.nodes.get_mut(&id(2)).unwrap().contact = Contact::Reported;
    assert_eq!(reasons(config(3), seen), ["too_few_servers"], "heard of is not heard from");
    let mut seen = sightings(3);
    seen.nodes.get_mut(&id(2)).unwrap().cluster_id = Some([1; 16].into());
    assert_eq!(reasons(config(3), seen), ["learning"]);
    let named: BTreeSet<NodeId> = [id(1), id(2), id(3)].into();
    let terms = Terms::Named(named.try_into().unwrap());
    let seen = sightings_of(3, &terms);
    assert_eq!(reasons(Config { terms: Some(terms.clone()), ..config(3) }, seen), ["not_named"]);
    let differ = reasons(Config { terms: Some(terms), ..config(3) }, sightings(3));
    assert_eq!(differ, ["not_named", "too_few_servers", "expect_mismatch"]);
    let mut host = Host::new(config(3));
    host.machine.server_attests(server_with_data("old"), host.now);
    host.see(sightings(2));
    assert_eq!(host.reasons(), ["server_holds_data"]);
}

#[test]
fn a_silent_seed_is_passed_over_after_the_patience_or_never() {
    for (seed_gate, after) in [(SeedGate::Patient, "agreeing"), (SeedGate::Strict, "unheard_seeds")] {
        let mut host = Host::new(Config { seed_gate, ..config(3) });
        let addr: SocketAddr = "10.0.0.9:7946".parse().unwrap();
        let listed = Listed { since: host.now, by: std::sync::Arc::new(["dns".into()].into()) };
        let mut seen = Sightings { unanswered_seeds: [(addr, listed)].into(), ..sightings(2) };
        seen.counted.silent.insert(addr);
        host.see(seen);
        host.wait(9 * SECOND);
        assert_eq!(host.reasons(), ["unheard_seeds"]);
        host.wait(3 * SECOND);
        assert_eq!(host.reasons(), [after]);
    }
}

#[test]
fn only_the_pinned_cluster_is_joined_and_a_wrong_pin_leaves_nothing_behind() {
    let (meant, other) = (founding(1..4, 1), founding(1..4, 2));
    let pinned = Config { admission: Admission::Only(meant.id()), ..config(3) };
    assert_eq!(Host::knowing(pinned.clone(), &meant).decision(), "join");
    let mut host = Host::new(pinned);
    assert_eq!(host.reasons(), ["join_only", "no_seeds"]);
    host.hear(1, founded(&other));
    assert_eq!(host.reasons(), ["join_only"]);
    let corrected = Config { admission: Admission::Only(other.id()), ..config(3) };
    assert_eq!(Host::restarted(corrected, host.disk.clone()).decision(), "join");
}

#[test]
fn a_founding_that_is_not_what_its_id_says_is_ignored() {
    let foundings = [([3; 16].into(), proven(&founding(0..3, 1)))].into();
    let mut host = Host::new(config(3));
    host.hear(1, Body::Known(Box::new(Knowledge { foundings, ..Knowledge::default() })));
    assert_eq!(host.machine.cluster(), None);
}

#[test]
fn changed_terms_are_not_mixed_with_what_was_accepted() {
    let before = founding(0..3, 1);
    let terms = Terms::Count(3.try_into().unwrap());
    let mut host = Host::new(config(3));
    host.hear(
        1,
        Body::Accept(Box::new(Accept {
            ballot: before.ballot(),
            terms,
            founding: before,
            counted: counted(3),
        })),
    );
    assert!(host.disk.accepted.is_some());
    let mut host = Host::restarted(config(2), host.disk);
    host.see(Sightings::default());
    assert!(host.reasons().contains(&"expect_mismatch"));
    let prepare = prepare(5, 2);
    let said = host.hear(1, Body::Prepare(prepare));
    assert!(matches!(&said[0].1, Body::Nack(Nack { refusal: Refusal::OtherTerms, .. })));
}

#[test]
fn a_founding_that_was_taken_over_is_accepted_even_after_this_server_moved() {
    // Server 1 accepted {0,1,2} when server 0 had another address; then all restarted. Every quorum of three meets
    // that founding, so that a server 0 that insisted on its new address would block all three for ever.
    let mut moved = founder(0);
    moved.endpoints = [("raft".parse().unwrap(), "10.9.9.9:5001".to_owned())].into();
    let old = Ballot { round: 1, node: id(1) };
    let founders = vec![moved, founder(1), founder(2)];
    let founding = Founding::new(&name(), old, founders, None);
    let terms = Terms::Count(3.try_into().unwrap());
    let accept = |ballot| {
        Body::Accept(Box::new(Accept {
            ballot,
            terms: terms.clone(),
            founding: founding.clone(),
            counted: counted(3),
        }))
    };
    let mut host = Host::new(config(3));
    let said = host.hear(1, accept(old));
    assert!(
        matches!(&said[0].1, Body::Nack(Nack { refusal: Refusal::NotMyEntry, .. })),
        "it is new: {said:?}"
    );
    let later = Ballot { round: 2, node: id(1) };
    assert_eq!(host.hear(1, accept(later)), [(id(1), accepted(0, later, &founding))]);
}

#[test]
fn a_silent_founder_is_done_without_after_the_patience_only() {
    let mut host = Host::new(config(3));
    host.see(sightings(3));
    let ballot = prepared(&host.wait(SECOND));
    let before = founding(1..4, 0);
    host.hear(1, promise(1, ballot, Some((before.ballot(), &before))));
    host.hear(2, promise(2, ballot, None));
    assert!(accepts(&host.wait(9 * SECOND)).is_empty(), "server 3 is a founder and has not promised");
    let asked = accepts(&host.wait(2 * SECOND));
    assert!(asked.iter().all(|(_, founding)| *founding == before));
    assert!(asked.iter().any(|(to, _)| *to == id(2)), "any three may accept now");
    host.hear(1, accepted(1, ballot, &before));
    host.hear(2, accepted(2, ballot, &before));
    assert_eq!(host.decision(), "join", "with its own vote these are three");
}

/// Ballots that overtake each other while they wait for a dead founder each began its patience anew.
#[test]
fn a_founder_gone_for_the_patience_is_not_waited_for_again_in_the_next_ballot() {
    let before = founding(1..4, 1);
    let terms = Terms::Count(3.try_into().unwrap());
    let accepted = Some(Accepted { ballot: before.ballot(), terms: terms.clone(), founding: before.clone() });
    let disk = FoundingRecord { promised: Some(before.ballot()), accepted, ..FoundingRecord::blank(key(0)) };
    let mut host = Host::restarted(config(3), disk);
    for round in 2..13 {
        host.see(sightings(2));
        host.wait(SECOND);
        let prepare = prepare(round * 10, 3);
        host.hear(1, Body::Prepare(prepare));
    }
    host.see(sightings(2));
    let ballot = prepared(&host.wait(11 * SECOND));
    host.hear(1, promise(1, ballot, Some((before.ballot(), &before))));
    let said = host.hear(2, promise(2, ballot, Some((before.ballot(), &before))));
    assert!(accepts(&[said, host.wait(SECOND)].concat()).iter().any(|(to, _)| *to == id(2)));
}

#[test]
fn founders_are_spread_over_zones() {
    let mut host = Host::new(Config { zone: Some("east".to_owned()), ..config(3) });
    host.see(sightings(4));
    let ballot = prepared(&host.wait(SECOND));
    let mut said = Vec::new();
    for (server, zone) in [(1, "east"), (2, "east"), (3, "west"), (4, "north")] {
        let zone = Some(zone.to_owned());
        let promise = Promise { ballot, accepted: None, founder: founder(server), zone };
        said.extend(host.hear(server, Body::Promise(Box::new(promise))));
    }
    assert!(accepts(&said).iter().all(|(_, founding)| founding.ids().eq([id(0), id(3), id(4)])));
    assert_eq!(accepts(&said).len(), 2, "it has accepted itself");
}

#[test]
fn named_founders_found_with_one_of_them_dead_once_it_was_asked() {
    let named: BTreeSet<NodeId> = (0..3).map(id).collect();
    let terms = Terms::Named(named.try_into().unwrap());
    let seen = sightings_of(3, &terms);
    let mut host = Host::new(Config { terms: Some(terms.clone()), ..config(3) });
    host.see(seen);
    let ballot = prepared(&host.wait(SECOND));
    host.hear(3, promise(3, ballot, None));
    host.hear(1, promise(1, ballot, None));
    assert!(accepts(&host.wait(9 * SECOND)).is_empty());
    let asked = accepts(&host.wait(2 * SECOND));
    assert!(asked.iter().all(|(_, founding)| founding.ids().eq((0..3).map(id))));
    host.hear(1, Body::Accepted(acceptance(1, ballot, &terms, &asked[0].1).into()));
    assert_eq!(host.decision(), "bootstrap");
}

#[test]
fn an_override_replaces_what_is_not_established() {
    let one = founding(0..3, 1);
    let mut host = Host::knowing(config(3), &one);
    host.see(sightings(4));
    let refused = |host: &mut Host, founders: &[usize]| {
        let founders = founders.iter().copied().map(id).collect();
        host.machine.override_founders(&founders, DataLoss::Refused, host.now)
    };
    assert_eq!(refused(&mut host, &[9]), Err(OverrideRefused::Unknown(id(9))));
    let new = refused(&mut host, &[0, 4]).unwrap();
    host.drain();
    assert_eq!(host.reasons(), ["override_pending"]);
    host.hear(1, Body::Prepare(prepare(9, 3)));
    assert_eq!(host.disk.promised, None, "it votes for nothing else meanwhile");
    let mut half = Host::knowing(config(3), &one);
    half.hear(1, known(&host));
    assert_eq!(half.machine.cluster().unwrap().id, one.id(), "some of its founders have not accepted it");
    let accepted = Report { number: 1, consents: [(new, Consent::Accepted)].into(), ..Report::default() };
    host.hear(4, told(4, accepted));
    assert_eq!((host.machine.cluster().unwrap().id, host.decision()), (new, "bootstrap"));
    host.hear(1, founded(&one));
    assert_eq!(host.decision(), "bootstrap", "late news of what was overridden");

    let mut other = Host::knowing(config(3), &one);
    other.hear(1, known(&host));
    assert_eq!(other.machine.cluster().unwrap().id, new);
    let mut member = Host::knowing(config(3), &one);
    member.machine.established(&report(one.id(), 1, &[]), member.now).unwrap();
    member.drain();
    assert_eq!(refused(&mut member, &[0]), Err(OverrideRefused::Established(one.id())));
    member.hear(1, known(&host));
    assert_eq!(member.decision(), "resume", "it goes on, and does not accept the other one");
    let mut begun = Host::knowing(config(3), &one);
    begun.machine.server_begins(blank_server("first"), begun.now);
    begun.drain();
    assert_eq!(refused(&mut begun, &[0]), Err(OverrideRefused::Begun(one.id())));
}

#[test]
fn a_message_survives_the_wire_and_a_record_the_disk() {
    let cluster = founding(0..3, 1);
    let mut host = Host::knowing(config(3), &cluster);
    host.machine.server_begins(blank_server("first"), host.now);
    host.hear(1, reported(1, 1, group(cluster.id(), 4, [0, 1])));
    host.hear(4, founded(&founding(3..6, 2)));
    host.machine.resolve(cluster.id(), host.now).unwrap();
    host.drain();
    let json = serde_json::to_string(&host.disk).unwrap();
    assert_eq!(serde_json::from_str::<FoundingRecord>(&json).unwrap(), host.disk);
    let newer = json.replacen('{', r#"{"vote_of_the_future":1,"#, 1);
    assert!(
        serde_json::from_str::<FoundingRecord>(&newer).is_err(),
        "an unknown field is not to be forgotten"
    );
    let named: BTreeSet<NodeId> = (0..3).map(id).collect();
    let ballot = Ballot { round: 5, node: id(1) };
    let founding = founding(0..3, 1);
    let bodies = [
        Body::Prepare(Prepare { terms: Terms::Named(named.try_into().unwrap()), ..prepare(5, 3) }),
        promise(1, ballot, Some((ballot, &founding))),
        Body::Accept(Box::new(Accept {
            ballot,
            terms: Terms::Count(3.try_into().unwrap()),
            founding: founding.clone(),
            counted: counted(3),
        })),
        accepted(1, ballot, &founding),
        Body::Nack(Nack { ballot, promised: None, refusal: Refusal::Fault, counted: Some(counted(2)) }),
        known(&host),
        Body::Ask(7),
        Body::Answer(Box::new(Answer { number: 7, knowledge: host.disk.knowledge.clone() })),
    ];
    for body in bodies {
        let message = Message { cluster_name: name(), body };
        let bytes = minicbor::to_vec(&message).unwrap();
        assert_eq!(minicbor::decode::<Message>(&bytes).unwrap(), message);
    }
}

/// One message of the last round there is would leave no round for any other.
#[test]
fn a_ballot_far_ahead_is_refused_and_leaves_nothing_behind() {
    let mut host = Host::new(config(3));
    let said = host.hear(1, Body::Prepare(prepare(u64::MAX, 3)));
    assert!(matches!(&said[0].1, Body::Nack(Nack { refusal: Refusal::TooFar, .. })));
    let far = Some(Ballot { round: u64::MAX, node: id(2) });
    let nack =
        Nack { ballot: prepare(1, 3).ballot, promised: far, refusal: Refusal::Promised, counted: None };
    host.hear(2, Body::Nack(nack));
    assert_eq!(host.disk.promised, None);
    host.see(sightings(2));
    assert_eq!(prepared(&host.wait(SECOND)).round, 1);
}

/// Two that know of different servers notice together that there are too many, though each alone counts few enough.
#[test]
fn a_ballot_is_refused_if_proposer_and_acceptor_together_count_too_many() {
    let mut host = Host::new(config(2));
    host.see(Sightings { counted: counted(3), ..sightings(2) });
    let ids = [(id(0), founder(0).addr), (id(4), founder(4).addr)].into();
    let others = Counted { ids, ..Counted::default() };
    let said = host.hear(1, Body::Prepare(Prepare { counted: others.clone(), ..prepare(1, 2) }));
    let [(_, Body::Nack(nack))] = &said[..] else { panic!("{said:?}") };
    assert_eq!((nack.refusal, nack.counted.as_ref().map(Counted::len)), (Refusal::TooManyServers, Some(3)));
    let unknown = Counted { ids: [(id(1), founder(1).addr)].into(), ..Counted::default() };
    let said = host.hear(1, Body::Prepare(Prepare { counted: unknown, ..prepare(1, 2) }));
    assert!(matches!(&said[0].1, Body::Nack(Nack { refusal: Refusal::NotCounted, .. })));
    assert_eq!(host.disk.promised, None);
}

/// The proposer adds whom a server counts that it does not know, asks again, and gives up once there are too many.
#[test]
fn a_proposer_counts_whom_others_count() {
    let mut host = Host::new(config(3));
    host.see(sightings(2));
    let ballot = prepared(&host.wait(SECOND));
    let nack = |counted: Counted| {
        Body::Nack(Nack { ballot, promised: None, refusal: Refusal::NotCounted, counted: Some(counted) })
    };
    host.hear(1, nack(counted(5)));
    let again = host.wait(SECOND);
    let asked = again
        .iter()
        .find_map(|(_, body)| if let Body::Prepare(prepare) = body { Some(prepare) } else { None });
    assert_eq!(asked.map(|prepare| (prepare.ballot, prepare.counted.len())), Some((ballot, 5)));
    host.hear(2, nack(counted(6)));
    assert!(host.machine.agreement.campaign().is_none());
    assert!(host.reasons().contains(&"too_many_servers"), "{:?}", host.reasons());
}

#[test]
fn a_nack_ends_a_ballot_or_does_nothing() {
    let mut host = Host::new(config(3));
    host.see(sightings(2));
    let ballot = prepared(&host.wait(SECOND));
    let before = host.machine.agreement.clone();
    for refusal in [Refusal::OtherTerms, Refusal::TooManyServers, Refusal::Fault] {
        host.hear(1, Body::Nack(Nack { ballot, promised: Some(ballot), refusal, counted: None }));
        assert_eq!(host.machine.agreement, before);
    }
    let higher = Ballot { round: ballot.round + 4, node: id(2) };
    host.hear(
        1,
        Body::Nack(Nack { ballot, promised: Some(higher), refusal: Refusal::Promised, counted: None }),
    );
    assert_eq!(host.machine.agreement, Agreement::new(before.record().clone()));
    let again = prepared(&host.wait(10 * SECOND));
    assert!(again.round > higher.round, "the next ballot is above everything heard of");
}

/// The life of a server before it was forgotten.
fn last_life(server: usize) -> LastLife {
    LastLife { epoch: crate::node::Epoch(5), bump: 0, addr: founder(server).addr }
}

#[test]
fn what_a_forgotten_node_has_reported_ends_until_it_says_it_anew() {
    let mut host = Host::new(config(3));
    let claimed: ClusterId = [7; 16].into();
    let claim = |number| reported(1, number, group(claimed, 4, [1]));
    host.hear(1, claim(5));
    let mut gone = sightings(2);
    gone.nodes.get_mut(&id(1)).unwrap().contact = Contact::Remembered;
    host.see(gone.clone());
    assert_eq!(host.reasons(), ["claim_unconfirmed"]);
    assert_eq!(host.machine.forget(id(2), None, host.now), Err(ForgetRefused::Alive("c".to_owned())));
    assert_eq!(host.machine.forget(id(0), None, host.now), Err(ForgetRefused::Myself(id(0))));
    assert_eq!(host.machine.forget(id(9), None, host.now), Err(ForgetRefused::Unknown(id(9))));
    assert_eq!(host.machine.forget(id(1), Some(last_life(1)), host.now), Ok(true), "it may have voted");
    host.drain();
    assert!(!host.reasons().contains(&"claim_unconfirmed"), "{:?}", host.reasons());
    host.hear(2, claim(5));
    assert!(!host.reasons().contains(&"claim_unconfirmed"), "others still tell of it");
    assert_eq!(host.machine.forgotten().into_iter().collect::<Vec<_>>(), [(id(1), last_life(1))]);
    let mut again = Host::restarted(config(3), host.disk.clone());
    again.see(sightings(2));
    again.hear(1, claim(6));
    assert_eq!(again.decision(), "join", "it has said so anew");
}

#[test]
fn a_node_that_hears_that_it_was_forgotten_reports_under_another_number() {
    let mut host = Host::new(config(3));
    host.see(sightings(2));
    let before = host.disk.own_report().map_or(0, |report| report.number);
    let said = |report: u64| {
        let said = Said::Forgotten(Forgotten { id: id(0), last: Some(last_life(0)), report, counts: false });
        let word = Word { said, node: id(1), number: report / 2 + 1, seen: BTreeSet::new() };
        Body::Known(Box::new(Knowledge {
            words: [(word.id(), signed(1, word))].into(),
            ..Knowledge::default()
        }))
    };
    host.hear(1, said(u64::MAX));
    assert_eq!(host.disk.own_report(), None, "a word about a report that it never made is about nothing");
    host.hear(1, said(before));
    assert_eq!(host.disk.own_report().unwrap().number, before + 1);
    assert!(!host.disk.knowledge.is_forgotten(id(0)));
}

#[test]
fn a_cluster_whose_voters_are_all_forgotten_is_over_and_their_votes_with_it() {
    let founding = founding(1..=3, 1);
    let mut host = Host::knowing(config(3), &founding);
    let mut gone = sightings(5);
    (1..=3).for_each(|at| gone.nodes.get_mut(&id(at)).unwrap().contact = Contact::Remembered);
    host.see(gone.clone());
    assert_eq!(host.decision(), "join");
    for at in 1..=3 {
        assert_eq!(host.decision(), "join");
        host.machine.forget(id(at), Some(last_life(at)), host.now).unwrap();
        host.drain();
    }
    assert_eq!(host.decision(), "wait");
    assert!(!host.reasons().contains(&"too_many_servers"), "{:?}", host.reasons());
}

#[test]
fn to_forget_a_node_does_not_take_its_vote_away() {
    let mut host = Host::new(config(2));
    let mut all = sightings(3);
    all.nodes.values_mut().for_each(|node| node.expect = Some(2));
    all.nodes.get_mut(&id(3)).unwrap().contact = Contact::Remembered;
    host.see(all.clone());
    assert!(host.reasons().contains(&"too_many_servers"));
    assert_eq!(host.machine.forget(id(3), Some(last_life(3)), host.now), Ok(true));
    all.nodes.remove(&id(3));
    all.counted.ids.remove(&id(3));
    host.see(all.clone());
    assert!(host.reasons().contains(&"too_many_servers"), "{:?}", host.reasons());
    host.machine.vouch(Gone::Id(id(3)), host.now).unwrap();
    host.drain();
    assert!(!host.reasons().contains(&"too_many_servers"), "{:?}", host.reasons());
}

/// Nobody else hears of the word, so that the node cannot answer it.
#[test]
fn without_a_group_key_a_forgotten_node_counts_again_once_it_is_seen() {
    let mut host = Host::new(Config { words: Words::Here, ..config(3) });
    let claim = reported(1, 5, group([7; 16].into(), 4, [1]));
    host.hear(1, claim);
    let mut gone = sightings(2);
    gone.nodes.get_mut(&id(1)).unwrap().contact = Contact::Remembered;
    host.see(gone);
    host.machine.forget(id(1), Some(last_life(1)), host.now).unwrap();
    host.drain();
    assert!(!host.reasons().contains(&"claim_unconfirmed"));
    host.see(sightings(2));
    assert_eq!(host.decision(), "join");
    assert!(host.disk.knowledge.words.is_empty());
}

#[test]
fn a_founder_looks_into_its_server_before_it_accepts_an_override() {
    let one = founding(0..3, 1);
    let operator = |forced, overrides: &[ClusterId]| {
        let operator = Override { overrides: overrides.iter().copied().collect(), forced };
        let founders = [0, 4].map(founder).into();
        Founding::new(&name(), Ballot { round: 5, node: id(4) }, founders, Some(operator))
    };
    let said =
        |host: &Host, founding: &Founding| host.disk.own_report().unwrap().consents[&founding.id()].clone();
    let hear = |host: &mut Host, founding: &Founding| {
        host.hear(4, founded(founding));
        said(host, founding)
    };
    let mut host = Host::knowing(config(3), &one);
    assert_eq!(hear(&mut host, &operator(false, &[])), Consent::Unnamed([one.id()].into()));
    host.machine.server_asks(None, host.now);
    host.drain();
    let named = operator(false, &[one.id(), operator(false, &[]).id()]);
    assert_eq!(
        hear(&mut host, &named),
        Consent::Begun,
        "it was told to begin, and nobody says that it has not"
    );
    assert_eq!(host.decision(), "bootstrap", "it goes on");
    host.machine.server_attests(ServerReport { once: true, ..blank_server("s") }, host.now);
    host.drain();
    assert_eq!(said(&host, &named), Consent::Accepted, "it is seen to wait");
    assert_eq!(host.reasons(), ["override_pending"]);
    host.machine.give_up(named.id(), host.now).unwrap();
    host.drain();
    assert!(!host.reasons().contains(&"override_pending"), "an operator has taken it back");

    let mut begun = Host::knowing(config(3), &one);
    begun.machine.server_begins(blank_server("s"), begun.now);
    begun.drain();
    let named = operator(false, &[one.id()]);
    assert_eq!(hear(&mut begun, &named), Consent::Begun);
    let forced = operator(true, &[one.id(), named.id()]);
    assert_eq!(hear(&mut begun, &forced), Consent::Accepted);
    let report =
        Report { number: 1, consents: [(forced.id(), Consent::Accepted)].into(), ..Report::default() };
    begun.hear(4, told(4, report));
    assert_eq!(begun.reasons(), ["cluster_given_up"], "its server holds data of another one");
    begun.machine.server_attests(blank_server("new"), begun.now);
    begun.drain();
    assert_eq!((begun.decision(), begun.machine.cluster().unwrap().id), ("bootstrap", forced.id()));
}

/// It takes effect where the server is blank and was told nothing; elsewhere it is a rival.
#[test]
fn an_override_takes_no_server_that_was_told_otherwise_and_has_not_accepted_it() {
    let one = founding(0..3, 1);
    let operator = Override { overrides: [one.id()].into(), forced: false };
    let ballot = Ballot { round: 5, node: id(4) };
    let new = Founding::new(&name(), ballot, [4, 5].map(founder).into(), Some(operator));
    let accepted =
        || Report { number: 1, consents: [(new.id(), Consent::Accepted)].into(), ..Report::default() };
    let knowledge = Knowledge {
        foundings: [(new.id(), proven(&new))].into(),
        reports: [4, 5].map(|at| (id(at), signed(at, accepted()))).into(),
        ..Knowledge::default()
    };
    let complete = Body::Known(Box::new(knowledge));
    let mut blank = Host::knowing(config(3), &one);
    blank.hear(4, complete.clone());
    assert_eq!((blank.decision(), blank.machine.cluster().unwrap().id), ("join", new.id()));
    let mut told = Host::knowing(config(3), &one);
    told.machine.server_asks(None, told.now);
    told.drain();
    told.hear(4, complete);
    assert_eq!((told.decision(), told.machine.cluster().unwrap().id), ("bootstrap", one.id()));
    assert!(matches!(told.machine.remarks(), [Reason::TwoClusters { .. }, ..]));
}

#[test]
fn overrides_without_end_are_refused_until_a_reset() {
    let mut host = Host::new(config(1));
    let me: BTreeSet<NodeId> = [id(0)].into();
    let mut said = 0;
    let refused = loop {
        match host.machine.override_founders(&me, DataLoss::Allowed, host.now) {
            Ok(_) => said += 1,
            Err(refused) => break refused,
        }
        host.drain();
        assert_eq!(host.decision(), "bootstrap", "the last one counts");
    };
    assert_eq!((refused, said), (OverrideRefused::TooMany, 16));
    let next = host.machine.reset(key(0), DataLoss::Allowed).unwrap();
    let mut next = Host::restarted(config(1), FoundingRecord { key: key(0), ..next });
    next.machine.override_founders(&me, DataLoss::Allowed, next.now).unwrap();
}

#[test]
fn data_of_an_earlier_start_than_is_known_is_from_a_backup() {
    let cluster = founding(0..3, 1);
    let mut host = Host::knowing(config(3), &cluster);
    let started = |number| ServerReport { starts: Some(number), once: true, ..server_with_data("s1") };
    host.machine.server_begins(ServerReport { has_state: false, ..started(7) }, host.now);
    host.machine.server_attests(started(7), host.now);
    host.machine.established(&report(cluster.id(), 1, &[]), host.now).unwrap();
    host.drain();
    assert_eq!(host.decision(), "resume");
    host.machine.server_attests(started(6), host.now);
    host.drain();
    assert_eq!(host.reasons(), ["server_state_old"]);
    assert_eq!(
        host.disk.own_report().unwrap().holds.as_ref().unwrap().starts,
        Some(7),
        "it is not told as news"
    );
    let mut again = Host::restarted(config(3), host.disk.clone());
    again.machine.server_attests(started(6), again.now);
    again.drain();
    assert_eq!(again.reasons(), ["server_state_old"], "it is on disk");
    again.machine.server_attests(ServerReport { starts: None, ..started(0) }, again.now);
    again.drain();
    assert_eq!(again.decision(), "resume", "where nobody counts, nothing follows");
    again.machine.server_attests(started(8), again.now);
    again.drain();
    assert_eq!(again.decision(), "resume");

    // Both the record and the data were restored; the others have heard of a later start.
    let mut restored = Host::knowing(config(3), &cluster);
    restored.machine.server_attests(started(6), restored.now);
    restored.drain();
    restored.hear(1, known(&again));
    assert_eq!(restored.reasons(), ["server_state_old"]);
}

#[test]
fn an_operators_word_on_the_voters_counts_against_all_that_was_reported_before() {
    let cluster = founding(0..3, 1);
    let mut host = Host::knowing(config(3), &cluster);
    host.hear(1, reported(1, 4, group(cluster.id(), 9, [0, 1, 2])));
    let voters = |host: &Host| -> Vec<NodeId> {
        host.machine.cluster().unwrap().voters.iter().filter_map(|voter| voter.id).collect()
    };
    let alone = [VoterRef::Id(id(0))];
    host.machine.established(&report(cluster.id(), 3, &alone), host.now).unwrap();
    host.drain();
    assert_eq!(voters(&host).len(), 3, "the list of the higher index counts");
    let adopt = EstablishedReport { adopt: true, ..report(cluster.id(), 3, &alone) };
    host.machine.established(&adopt, host.now).unwrap();
    host.drain();
    assert_eq!(voters(&host), [id(0)]);
    host.hear(1, reported(1, 5, group(cluster.id(), 12, [0, 1, 2])));
    assert_eq!(voters(&host), [id(0)], "it has not seen the word");
    let both = [VoterRef::Id(id(0)), VoterRef::Id(id(3))];
    host.machine.established(&report(cluster.id(), 4, &both), host.now).unwrap();
    host.drain();
    assert_eq!(voters(&host), [id(0), id(3)], "its own reports carry it on");
    // One that the list keeps carries it, too; its operator has said nothing.
    let of_host = known(&host);
    let carried = host.disk.own_report().unwrap().group.clone().unwrap();
    let theirs = GroupReport { generation: carried.generation, ..group(cluster.id(), 5, [0, 3, 4]) };
    host.hear(3, reported(3, 1, theirs));
    assert_eq!(voters(&host), [id(0), id(3), id(4)]);
    let mut stranger = Host::restarted(config(3), FoundingRecord::blank(key(7)));
    stranger.hear(0, of_host);
    let adopt = EstablishedReport { adopt: true, ..report(cluster.id(), 9, &[VoterRef::Id(id(7))]) };
    assert_eq!(
        stranger.machine.established(&adopt, stranger.now),
        Err(ReportRefused::NotNamed(cluster.id())),
        "nobody reports himself in"
    );
}

#[test]
fn two_words_on_the_voters_that_have_not_seen_each_other_leave_no_quorum_and_equal_ones_are_one() {
    let cluster = founding(0..3, 1);
    let mut host = Host::knowing(config(3), &cluster);
    let said = |voters: &[usize], index| {
        let group = group(cluster.id(), index, voters.to_vec());
        GroupReport { generation: Generation::default().next(&group.voters), ..group }
    };
    host.hear(1, reported(1, 1, said(&[0, 1], 4)));
    host.hear(2, reported(2, 1, said(&[0, 1], 4)));
    assert!(host.machine.remarks().iter().all(|reason| reason.code() != "voters_differ"));
    host.hear(2, reported(2, 2, said(&[0, 2], 6)));
    assert!(host.machine.remarks().iter().any(|reason| reason.code() == "voters_differ"));
    let adopt = EstablishedReport {
        adopt: true,
        ..report(cluster.id(), 1, &[VoterRef::Id(id(0)), VoterRef::Id(id(1))])
    };
    host.machine.established(&adopt, host.now).unwrap();
    host.drain();
    assert!(host.machine.remarks().iter().all(|reason| reason.code() != "voters_differ"), "it has seen both");
}
