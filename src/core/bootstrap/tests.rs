//! One machine, step by step: each row of the decision, each reason to wait, and the order of disk and network.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use rand::{SeedableRng, rngs::StdRng};

use super::{
    fixture::{founder, id, name},
    *,
};
use crate::node::Role;

const SECOND: Duration = Duration::from_secs(1);

/// Server 0, its disk and its clock.
struct Host {
    machine: Bootstrap,
    disk: FoundingRecord,
    now: Instant,
}

fn config(expect: u16) -> Config {
    let me = founder(0);
    Config {
        cluster_name: name(),
        role: Role::Server,
        name: me.name,
        addr: me.addr,
        endpoints: me.endpoints,
        zone: None,
        terms: expect.try_into().ok().map(Terms::Count),
        admission: Admission::Found,
        seed_gate: SeedGate::Patient,
        timing: BallotTiming::LAN,
    }
}

fn sighting(server: usize) -> Sighting {
    Sighting {
        founder: founder(server),
        zone: None,
        role: Role::Server,
        contact: Contact::Direct,
        expect: Some(3),
        cluster_id: None,
        config_index: 0,
        established: false,
        attestation: Attestation::Silent,
    }
}

/// Sightings of servers 1 to `others`.
fn sightings(others: usize) -> Sightings {
    let nodes = (1..=others).map(|server| (id(server), sighting(server))).collect();
    Sightings { nodes, distinct_servers: others + 1, seeds: 2, ..Sightings::default() }
}

fn founding(founders: impl IntoIterator<Item = usize>, round: u64) -> Founding {
    let ballot = Ballot { round, node: id(1) };
    Founding::new(&name(), ballot, founders.into_iter().map(founder).collect(), None)
}

fn blank_server(server_id: &str) -> ServerReport {
    let server_id = server_id.to_owned().try_into().unwrap();
    ServerReport { server_id, has_state: false, cluster_id: None, once: false }
}

fn server_with_data(server_id: &str) -> ServerReport {
    ServerReport { has_state: true, ..blank_server(server_id) }
}

fn report(cluster_id: ClusterId, config_index: u64, voters: &[VoterRef]) -> EstablishedReport {
    EstablishedReport { cluster_id, config_index, voters: voters.to_vec() }
}

impl Host {
    fn new(config: Config) -> Self {
        Self::restarted(config, FoundingRecord::blank(id(0)))
    }

    fn restarted(config: Config, disk: FoundingRecord) -> Self {
        #[expect(clippy::disallowed_methods, reason = "some instant to start from; only differences matter")]
        let now = Instant::now();
        let machine = Bootstrap::new(config, disk.clone(), now, StdRng::seed_from_u64(7));
        Self { machine, disk, now }
    }

    /// A host that was told of `cluster`.
    fn knowing(config: Config, cluster: Cluster) -> Self {
        let mut host = Self::new(config);
        host.hear(1, Body::Founded(Box::new(cluster)));
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
        self.drain()
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
    host.hear(1, Body::Accepted(ballot));
    let told = host.hear(2, Body::Accepted(ballot));
    let cluster = Cluster::founded(founding.clone());
    assert_eq!(told, [1, 2].map(|to| (id(to), Body::Founded(Box::new(cluster.clone())))));
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
    let prepare =
        Prepare { ballot: Ballot { round: 5, node: id(1) }, terms: Terms::Count(3.try_into().unwrap()) };
    let message = Message { cluster_name: name(), body: Body::Prepare(prepare) };
    host.machine.handle_message(id(1), &message, host.now);
    assert_eq!(host.machine.poll_message(), None);
    let first = host.machine.poll_save().unwrap();
    assert!(host.machine.poll_save().is_none());
    let cluster =
        Message { cluster_name: name(), body: Body::Founded(Box::new(Cluster::founded(founding(0..3, 5)))) };
    host.machine.handle_message(id(1), &cluster, host.now);
    host.machine.saved(first, host.now);
    assert!(matches!(host.machine.poll_message().unwrap().message.body, Body::Promise(_)));
    assert_eq!(host.decision(), "wait", "a founding that is not on disk is handed to nobody");
    assert_eq!(host.reasons(), ["saving"]);
    host.drain();
    assert_eq!(host.decision(), "bootstrap");
}

#[test]
fn a_fault_stops_votes_writes_and_foundings() {
    let mut host = Host::new(config(3));
    host.machine.handle_fault("checksum".to_owned(), host.now);
    let prepare =
        Prepare { ballot: Ballot { round: 5, node: id(1) }, terms: Terms::Count(3.try_into().unwrap()) };
    let said = host.hear(1, Body::Prepare(prepare));
    assert!(matches!(&said[0].1, Body::Nack(Nack { refusal: Refusal::Fault, .. })));
    host.hear(1, Body::Founded(Box::new(Cluster::founded(founding(0..3, 1)))));
    assert_eq!(host.disk, FoundingRecord::blank(id(0)));
    assert!(host.reasons().contains(&"fault"));
    let mut host = Host::knowing(config(3), Cluster::founded(founding(0..3, 1)));
    host.machine.handle_fault("disk full".to_owned(), host.now);
    assert_eq!(host.reasons(), ["fault"], "a claim could not be written");
}

#[test]
fn what_the_disk_refuses_is_neither_said_nor_lost_and_is_said_once_it_is_written() {
    let mut host = Host::new(config(3));
    let prepare =
        |round| Prepare { ballot: Ballot { round, node: id(1) }, terms: Terms::Count(3.try_into().unwrap()) };
    let message = |round| Message { cluster_name: name(), body: Body::Prepare(prepare(round)) };
    host.machine.handle_message(id(1), &message(5), host.now);
    let refused = host.machine.poll_save().unwrap();
    host.machine.save_failed("disk full".to_owned(), host.now);
    assert!(host.reasons().contains(&"fault"));
    assert_eq!(host.machine.poll_message(), None, "a promise that is not on disk");
    // A later ballot is not promised either, and what the server says is kept, not written.
    host.machine.handle_message(id(1), &message(6), host.now);
    let cluster = Cluster::founded(founding(0..3, 1));
    host.machine.established(&report(cluster.id, 1, &[]), host.now).unwrap();
    assert!(host.machine.poll_save().is_none() && !host.machine.is_durable());
    assert_eq!(host.machine.poll_message(), None);
    // Written in the end.
    assert_eq!(refused.record().promised.map(|ballot| ballot.round), Some(5));
    host.disk = refused.record().clone();
    host.machine.saved(refused, host.now);
    assert!(!host.reasons().contains(&"fault"));
    let said = host.drain();
    assert!(said.iter().any(|(_, body)| matches!(body, Body::Promise(_))), "{said:?}");
    let (promised, known) = (host.disk.promised.unwrap(), host.disk.cluster.as_ref().unwrap());
    assert_eq!((promised.round, known.id, host.machine.is_durable()), (5, cluster.id, true));
}

#[test]
fn a_record_that_does_not_read_is_not_mended_by_a_disk_that_writes() {
    let mut host = Host::new(config(3));
    let prepare =
        Prepare { ballot: Ballot { round: 5, node: id(1) }, terms: Terms::Count(3.try_into().unwrap()) };
    let message = Message { cluster_name: name(), body: Body::Prepare(prepare) };
    host.machine.handle_message(id(1), &message, host.now);
    let unsaved = host.machine.poll_save().unwrap();
    host.machine.handle_fault("checksum".to_owned(), host.now);
    host.machine.save_failed("disk full".to_owned(), host.now);
    host.machine.saved(unsaved, host.now);
    assert!(matches!(host.machine.fault(), Some(Reason::Fault { .. })));
}

#[test]
fn a_disk_that_refuses_for_days_does_not_fill_the_memory() {
    let mut host = Host::new(config(3));
    let ask = |round| {
        let ballot = Ballot { round, node: id(1) };
        let body = Body::Prepare(Prepare { ballot, terms: Terms::Count(3.try_into().unwrap()) });
        Message { cluster_name: name(), body }
    };
    host.machine.handle_message(id(1), &ask(1), host.now);
    let refused = host.machine.poll_save().unwrap();
    host.machine.save_failed("disk full".to_owned(), host.now);
    (2..10_000).for_each(|round| host.machine.handle_message(id(1), &ask(round), host.now));
    host.machine.saved(refused, host.now);
    assert!(host.drain().len() <= 1_024);
}

#[test]
fn an_established_member_resumes_and_others_join() {
    let cluster = Cluster::founded(founding(0..3, 1));
    let mut host = Host::knowing(config(3), cluster.clone());
    assert_eq!(host.decision(), "bootstrap");
    host.machine.established(&report(cluster.id, 0, &[]), host.now).unwrap();
    assert_eq!(host.decision(), "bootstrap", "not before it is on disk");
    host.drain();
    assert_eq!(host.decision(), "resume");
    let voters = [VoterRef::Ordinal(2), VoterRef::Id(id(2)), VoterRef::Id(id(5))];
    host.machine.established(&report(cluster.id, 7, &voters), host.now).unwrap();
    host.drain();
    assert_eq!(host.decision(), "join", "it was taken out of the voters");
    host.machine.established(&report(cluster.id, 6, &[VoterRef::Ordinal(1)]), host.now).unwrap();
    host.drain();
    assert_eq!(host.decision(), "join", "an older list changes nothing");
    let endpoint = VoterRef::Endpoint("raft".parse().unwrap(), "10.0.0.1:5001".to_owned());
    host.machine.established(&report(cluster.id, 8, &[endpoint]), host.now).unwrap();
    host.drain();
    assert_eq!(host.decision(), "resume", "it is named by its endpoint");
    assert_eq!(
        host.machine.established(&report(cluster.id, 9, &[VoterRef::Ordinal(4)]), host.now),
        Err(ReportRefused::NoSuchOrdinal(4))
    );
    assert_eq!(Host::knowing(config(3), Cluster::founded(founding(1..4, 1))).decision(), "join");
}

#[test]
fn only_the_server_that_claimed_may_initialise() {
    let mut host = Host::new(config(3));
    host.machine.server_attests(blank_server("first"), host.now);
    host.hear(1, Body::Founded(Box::new(Cluster::founded(founding(0..3, 1)))));
    assert_eq!(host.decision(), "bootstrap");
    assert_eq!(host.disk.claim.clone().unwrap().server_id.to_string(), "first", "on disk before it is told");
    host.machine.server_attests(blank_server("second"), host.now);
    assert_eq!(host.reasons(), ["server_state_lost"]);
    let cluster = host.machine.cluster().unwrap().id;
    host.machine.established(&report(cluster, 1, &[]), host.now).unwrap();
    host.drain();
    assert_eq!(host.reasons(), ["server_state_lost"], "a voter that lost its disk is replaced");
    host.machine.server_attests(blank_server("first"), host.now);
    assert_eq!(host.decision(), "resume");
}

#[test]
fn a_founder_whose_server_holds_data_resumes() {
    let mut host = Host::knowing(config(3), Cluster::founded(founding(0..3, 1)));
    host.machine.server_attests(server_with_data("first"), host.now);
    assert_eq!(host.decision(), "resume");
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
    assert!(matches!(&told[..], [(_, Body::Founded(cluster))] if cluster.id == cluster_id));
    host.machine.established(&report(cluster_id, 3, &[VoterRef::Id(id(1))]), host.now).unwrap();
    host.drain();
    assert_eq!(host.decision(), "join", "its voters are known now");
}

#[test]
fn two_clusters_are_a_conflict_for_ever() {
    let one = Cluster::founded(founding(0..3, 1));
    let other = Cluster::founded(founding(3..6, 2));
    let mut host = Host::knowing(config(3), one.clone());
    host.hear(4, Body::Founded(Box::new(other.clone())));
    let conflict = Conflict { clusters: vec![one.id, other.id], duplicate: None };
    assert_eq!(conflict.reasons(), [Reason::TwoClusters { ours: one.id, rival: other.id }]);
    assert_eq!(*host.machine.decision(), Decision::Conflict(conflict.clone()));
    let mut host = Host::restarted(config(3), host.disk.clone());
    assert_eq!(*host.machine.decision(), Decision::Conflict(conflict));
    let reset = host.machine.reset(id(9), DataLoss::Refused, host.now);
    assert_eq!(
        reset,
        Ok(Reset::StartOver(Box::new(FoundingRecord::blank(id(9))))),
        "nothing was established"
    );
    host.machine.established(&report(one.id, 1, &[]), host.now).unwrap();
    assert_eq!(host.machine.reset(id(9), DataLoss::Refused, host.now), Ok(Reset::RivalForgotten));
    host.drain();
    assert_eq!(host.decision(), "resume");
    assert_eq!(host.machine.reset(id(9), DataLoss::Refused, host.now), Err(ResetRefused(one.id)));
    assert!(matches!(host.machine.reset(id(9), DataLoss::Allowed, host.now), Ok(Reset::StartOver(_))));
}

#[test]
fn an_established_member_that_sees_another_cluster_is_in_conflict() {
    let mut cluster = Cluster::founded(founding(0..3, 1));
    cluster.established = true;
    let mut host = Host::knowing(config(3), cluster);
    let mut seen = sightings(2);
    seen.nodes.get_mut(&id(2)).unwrap().cluster_id = Some([1; 16].into());
    host.see(seen);
    assert_eq!(host.decision(), "conflict");
}

#[test]
fn a_copied_id_is_a_conflict_without_votes() {
    let mut host = Host::new(config(3));
    let addr = "10.0.0.9:7946".parse().unwrap();
    host.see(Sightings { duplicate: Some(addr), ..sightings(2) });
    let Decision::Conflict(conflict) = host.machine.decision() else { panic!() };
    assert_eq!(conflict.reasons(), [Reason::DuplicateId { addr }]);
    let prepare =
        Prepare { ballot: Ballot { round: 5, node: id(1) }, terms: Terms::Count(3.try_into().unwrap()) };
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
    assert_eq!(reasons(config(3), Sightings { distinct_servers: 6, ..sightings(2) }), ["too_many_servers"]);
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
    let terms = Some(Terms::Named(named.try_into().unwrap()));
    assert_eq!(reasons(Config { terms, ..config(3) }, sightings(3)), ["not_named"]);
    let mut host = Host::new(config(3));
    host.machine.server_attests(server_with_data("old"), host.now);
    host.see(sightings(2));
    assert_eq!(host.reasons(), ["server_holds_data"]);
}

#[test]
fn a_silent_seed_is_passed_over_after_the_patience_or_never() {
    for (seed_gate, after) in [(SeedGate::Patient, "agreeing"), (SeedGate::Strict, "unheard_seeds")] {
        let mut host = Host::new(Config { seed_gate, ..config(3) });
        let unanswered_seeds = [("10.0.0.9:7946".parse().unwrap(), host.now)].into();
        host.see(Sightings { unanswered_seeds, ..sightings(2) });
        host.wait(9 * SECOND);
        assert_eq!(host.reasons(), ["unheard_seeds"]);
        host.wait(3 * SECOND);
        assert_eq!(host.reasons(), [after]);
    }
}

#[test]
fn only_the_pinned_cluster_is_joined() {
    let meant = Cluster::founded(founding(1..4, 1));
    let pinned = Config { admission: Admission::Only(meant.id), ..config(3) };
    assert_eq!(Host::knowing(pinned.clone(), meant).decision(), "join");
    let mut host = Host::new(pinned);
    assert_eq!(host.reasons(), ["join_only", "no_seeds"]);
    host.hear(1, Body::Founded(Box::new(Cluster::founded(founding(1..4, 2)))));
    assert_eq!(host.decision(), "conflict");
}

#[test]
fn a_founding_that_is_not_what_its_id_says_is_ignored() {
    let mut cluster = Cluster::founded(founding(0..3, 1));
    cluster.id = [3; 16].into();
    assert_eq!(Host::knowing(config(3), cluster).machine.cluster(), None);
}

#[test]
fn changed_terms_are_not_mixed_with_what_was_accepted() {
    let before = founding(0..3, 1);
    let terms = Terms::Count(3.try_into().unwrap());
    let mut host = Host::new(config(3));
    host.hear(1, Body::Accept(Box::new(Accept { ballot: before.ballot(), terms, founding: before })));
    assert!(host.disk.accepted.is_some());
    let mut host = Host::restarted(config(2), host.disk);
    host.see(Sightings::default());
    assert!(host.reasons().contains(&"expect_mismatch"));
    let prepare =
        Prepare { ballot: Ballot { round: 5, node: id(1) }, terms: Terms::Count(2.try_into().unwrap()) };
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
    let accept =
        |ballot| Body::Accept(Box::new(Accept { ballot, terms: terms.clone(), founding: founding.clone() }));
    let mut host = Host::new(config(3));
    let said = host.hear(1, accept(old));
    assert!(
        matches!(&said[0].1, Body::Nack(Nack { refusal: Refusal::NotMyEntry, .. })),
        "it is new: {said:?}"
    );
    let later = Ballot { round: 2, node: id(1) };
    assert_eq!(host.hear(1, accept(later)), [(id(1), Body::Accepted(later))]);
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
    host.hear(1, Body::Accepted(ballot));
    host.hear(2, Body::Accepted(ballot));
    assert_eq!(host.decision(), "join", "with its own vote these are three");
}

/// Ballots that overtake each other while they wait for a dead founder each began its patience anew.
#[test]
fn a_founder_gone_for_the_patience_is_not_waited_for_again_in_the_next_ballot() {
    let before = founding(1..4, 1);
    let terms = Terms::Count(3.try_into().unwrap());
    let accepted = Some(Accepted { ballot: before.ballot(), terms: terms.clone(), founding: before.clone() });
    let disk = FoundingRecord { promised: Some(before.ballot()), accepted, ..FoundingRecord::blank(id(0)) };
    let mut host = Host::restarted(config(3), disk);
    for round in 2..13 {
        host.see(sightings(2));
        host.wait(SECOND);
        let prepare = Prepare { ballot: Ballot { round: round * 10, node: id(1) }, terms: terms.clone() };
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
    let mut host = Host::new(Config { terms: Some(terms), ..config(3) });
    host.see(sightings(3));
    let ballot = prepared(&host.wait(SECOND));
    host.hear(3, promise(3, ballot, None));
    host.hear(1, promise(1, ballot, None));
    assert!(accepts(&host.wait(9 * SECOND)).is_empty());
    let asked = accepts(&host.wait(2 * SECOND));
    assert!(asked.iter().all(|(_, founding)| founding.ids().eq((0..3).map(id))));
    host.hear(1, Body::Accepted(ballot));
    assert_eq!(host.decision(), "bootstrap");
}

#[test]
fn an_override_replaces_what_is_not_established() {
    let one = Cluster::founded(founding(0..3, 1));
    let mut host = Host::knowing(config(3), one.clone());
    host.see(sightings(4));
    assert_eq!(
        host.machine.override_founders(&[id(9)].into(), host.now),
        Err(OverrideRefused::Unknown(id(9)))
    );
    let new = host.machine.override_founders(&[id(0), id(4)].into(), host.now).unwrap();
    let said = host.drain();
    let Some((_, Body::Founded(forced))) = said.last() else { panic!("{said:?}") };
    assert_eq!((forced.id, host.decision()), (new, "bootstrap"));
    host.hear(1, Body::Founded(Box::new(one.clone())));
    assert_eq!(host.decision(), "bootstrap", "late news of what was overridden");

    let mut other = Host::knowing(config(3), one.clone());
    other.hear(1, Body::Founded(forced.clone()));
    assert_eq!(other.machine.cluster().unwrap().id, new);
    let mut member = Host::knowing(config(3), Cluster { established: true, ..one.clone() });
    assert_eq!(
        member.machine.override_founders(&[id(0)].into(), member.now),
        Err(OverrideRefused::Established(one.id))
    );
    member.hear(1, Body::Founded(forced.clone()));
    assert_eq!(member.decision(), "conflict");
}

#[test]
fn a_message_survives_the_wire_and_a_record_the_disk() {
    let cluster = Cluster::founded(founding(0..3, 1));
    let mut host = Host::knowing(config(3), cluster.clone());
    host.machine.server_attests(blank_server("first"), host.now);
    host.hear(4, Body::Founded(Box::new(Cluster::founded(founding(3..6, 2)))));
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
        Body::Prepare(Prepare { ballot, terms: Terms::Named(named.try_into().unwrap()) }),
        promise(1, ballot, Some((ballot, &founding))),
        Body::Accept(Box::new(Accept { ballot, terms: Terms::Count(3.try_into().unwrap()), founding })),
        Body::Accepted(ballot),
        Body::Nack(Nack { ballot, promised: None, refusal: Refusal::Fault }),
        Body::Founded(Box::new(cluster)),
        Body::Ask,
    ];
    for body in bodies {
        let message = Message { cluster_name: name(), body };
        let bytes = minicbor::to_vec(&message).unwrap();
        assert_eq!(minicbor::decode::<Message>(&bytes).unwrap(), message);
    }
}

#[test]
fn a_nack_ends_a_ballot_or_does_nothing() {
    let mut host = Host::new(config(3));
    host.see(sightings(2));
    let ballot = prepared(&host.wait(SECOND));
    let before = host.machine.agreement.clone();
    for refusal in [Refusal::OtherTerms, Refusal::TooManyServers, Refusal::Fault] {
        host.hear(1, Body::Nack(Nack { ballot, promised: Some(ballot), refusal }));
        assert_eq!(host.machine.agreement, before);
    }
    let higher = Ballot { round: ballot.round + 4, node: id(2) };
    host.hear(1, Body::Nack(Nack { ballot, promised: Some(higher), refusal: Refusal::Promised }));
    assert_eq!(host.machine.agreement, Agreement::new(before.record().clone()));
    let again = prepared(&host.wait(10 * SECOND));
    assert!(again.round > higher.round, "the next ballot is above everything heard of");
}
