//! A simulated cluster of founding machines: one clock, one seed, and everything that can go wrong between them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use chronik_agent::{
    bootstrap::{
        Admission, Attestation, BallotTiming, Bootstrap, ClusterId, Config, Contact, Counted, Decision,
        Founder, FoundingRecord, Message, Outgoing, SeedGate, Sighting, Sightings, Terms, Words,
    },
    node::{NodeId, Role},
    signing::NodeKey,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use zeroize::Zeroizing;

use crate::awaiting;

/// Interval at which a server's machine is shown the view of gossip.
const GOSSIP: Duration = Duration::from_millis(200);
/// Silence after which gossip takes a node for failed.
const DETECTION: Duration = Duration::from_secs(2);

/// One server: its machine while it runs, and its disk.
pub(crate) struct Server {
    pub(crate) machine: Option<Bootstrap>,
    disk: FoundingRecord,
    expect: u16,
    /// Other servers as they were last heard.
    seen: BTreeMap<NodeId, Heard>,
    /// Side of a partition: only servers of the same side hear each other.
    pub(crate) side: u8,
    /// Set if no other server hears it, though it hears them.
    pub(crate) mute: bool,
}

/// Another server as it was last heard from.
struct Heard {
    sighting: Sighting,
    at: Instant,
}

enum Event {
    Deliver { from: NodeId, message: Message },
    Timeout,
    Gossip,
}

/// All servers, the network between them, and the foundings that they were ever told of.
pub(crate) struct FoundingWorld {
    pub(crate) now: Instant,
    pub(crate) rng: StdRng,
    pub(crate) servers: Vec<Server>,
    /// Events and their servers, in the order of time; the number breaks ties.
    queue: BTreeMap<(Instant, u64), (usize, Event)>,
    events: u64,
    /// Messages out of a hundred that are lost.
    pub(crate) loss: u32,
    /// Writes out of a thousand that end in a crash before them, and as many again right after.
    pub(crate) crashes: u32,
    /// Every cluster that a server was told of, with its founders.
    pub(crate) told: BTreeMap<ClusterId, Vec<Founder>>,
}

impl FoundingWorld {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: awaiting::now(),
            rng: StdRng::seed_from_u64(seed),
            servers: Vec::new(),
            queue: BTreeMap::new(),
            events: 0,
            loss: 10,
            crashes: 0,
            told: BTreeMap::new(),
        }
    }

    /// The key of a new node.
    fn fresh_key(&mut self) -> NodeKey {
        NodeKey::new(&Zeroizing::new(self.rng.random()))
    }

    /// Adds a blank server for each expect, and starts it.
    pub(crate) fn add_all(&mut self, expects: &[u16]) {
        expects.iter().for_each(|expect| self.add(*expect));
    }

    fn add(&mut self, expect: u16) {
        let disk = FoundingRecord::blank(self.fresh_key());
        self.servers.push(Server {
            machine: None,
            disk,
            expect,
            seen: BTreeMap::new(),
            side: 0,
            mute: false,
        });
        self.start(self.servers.len() - 1);
    }

    fn founder(&self, server: usize) -> Founder {
        Founder {
            id: self.servers[server].disk.node_id(),
            name: format!("node-{server}").parse().unwrap(),
            addr: format!("10.0.0.{server}:7946").parse().unwrap(),
            endpoints: [("raft".parse().unwrap(), format!("10.0.0.{server}:5001"))].into(),
        }
    }

    /// Starts a server from its disk.
    pub(crate) fn start(&mut self, server: usize) {
        let founder = self.founder(server);
        let config = Config {
            cluster_name: "sim".parse().unwrap(),
            role: Role::Server,
            name: founder.name,
            addr: founder.addr,
            endpoints: founder.endpoints,
            zone: Some(format!("zone-{}", server % 2)),
            terms: Some(Terms::Count(self.servers[server].expect.try_into().unwrap())),
            admission: Admission::Found,
            is_admitted_first: false,
            seed_gate: SeedGate::Patient,
            words: Words::Here,
            timing: BallotTiming::LAN,
        };
        let rng = StdRng::seed_from_u64(self.rng.random());
        let node = &mut self.servers[server];
        node.machine = Some(Bootstrap::new(config, node.disk.clone(), self.now, rng));
        self.schedule(server, Duration::ZERO, Event::Gossip);
        self.drain(server);
    }

    /// Kills a server; its disk stays.
    pub(crate) fn kill(&mut self, server: usize) {
        self.servers[server].machine = None;
    }

    /// Kills a server, wipes its disk and starts it again: it is another server then.
    pub(crate) fn wipe(&mut self, server: usize) {
        self.kill(server);
        self.servers[server].disk = FoundingRecord::blank(self.fresh_key());
        self.servers[server].seen.clear();
        self.start(server);
    }

    /// Changes what a server expects, with a restart.
    pub(crate) fn change_expect(&mut self, server: usize, expect: u16) {
        self.servers[server].expect = expect;
        self.start(server);
    }

    fn schedule(&mut self, server: usize, after: Duration, event: Event) {
        self.events += 1;
        self.queue.insert((self.now + after, self.events), (server, event));
    }

    /// Lets simulated time pass.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= end) {
            let ((at, _), (server, event)) = entry.remove_entry();
            self.now = at;
            self.handle(server, event);
        }
        self.now = end;
    }

    fn handle(&mut self, server: usize, event: Event) {
        let now = self.now;
        if self.servers[server].machine.is_none() {
            return;
        }
        match event {
            Event::Gossip => {
                let view = self.view(server);
                self.machine(server).handle_sightings(view, now);
                let jitter = Duration::from_millis(self.rng.random_range(0..50));
                self.schedule(server, GOSSIP + jitter, Event::Gossip);
            }
            Event::Deliver { from, message } => self.machine(server).handle_message(from, &message, now),
            Event::Timeout => self.machine(server).handle_timeout(now),
        }
        self.drain(server);
    }

    fn machine(&mut self, server: usize) -> &mut Bootstrap {
        self.servers[server].machine.as_mut().unwrap()
    }

    fn is_connected(&self, from: usize, to: usize) -> bool {
        let (from, to) = (&self.servers[from], &self.servers[to]);
        from.side == to.side && !from.mute
    }

    /// The view that gossip would have by now: servers that are connected have just been heard.
    fn view(&mut self, server: usize) -> Sightings {
        for other in 0..self.servers.len() {
            let founder = self.founder(other);
            let zone = Some(format!("zone-{}", other % 2));
            let node = &self.servers[other];
            let Some(machine) = node.machine.as_ref().filter(|_| other != server) else {
                continue;
            };
            if self.is_connected(other, server) {
                let sighting = Sighting {
                    founder,
                    zone,
                    role: Role::Server,
                    contact: Contact::Direct,
                    expect: Some(node.expect),
                    named: None,
                    cluster_id: machine.cluster().map(|cluster| cluster.id),
                    attestation: Attestation::Silent,
                    knowledge: machine.knowledge(),
                };
                let id = node.disk.node_id();
                self.servers[server].seen.insert(id, Heard { sighting, at: self.now });
            }
        }
        let seen = &mut self.servers[server].seen;
        for heard in seen.values_mut() {
            if heard.at + DETECTION < self.now {
                heard.sighting.contact = Contact::Remembered;
            }
        }
        Sightings {
            nodes: seen.iter().map(|(id, heard)| (*id, heard.sighting.clone())).collect(),
            counted: Counted {
                ids: seen.iter().map(|(id, heard)| (*id, heard.sighting.founder.addr)).collect(),
                silent: BTreeSet::new(),
            },
            seeds: 3,
            unanswered_seeds: BTreeMap::new(),
            unheard_providers: false,
            duplicate: None,
        }
    }

    /// Ends a turn as the shell does: disk, then network, then clock. It may crash in between.
    fn drain(&mut self, server: usize) {
        let now = self.now;
        while let Some(unsaved) = self.machine(server).poll_save() {
            if self.rng.random_ratio(self.crashes, 1_000) {
                return self.kill(server);
            }
            self.servers[server].disk = unsaved.record().clone();
            if self.rng.random_ratio(self.crashes, 1_000) {
                return self.kill(server);
            }
            self.machine(server).saved(unsaved, now);
        }
        let from = self.servers[server].disk.node_id();
        while let Some(Outgoing { to, message }) = self.machine(server).poll_message() {
            let Some(to) = self.servers.iter().position(|other| other.disk.node_id() == to) else {
                continue;
            };
            if !self.is_connected(server, to) {
                continue;
            }
            for _ in 0..self.rng.random_range(1..=2) {
                if !self.rng.random_ratio(self.loss, 100) {
                    let late = self.rng.random_ratio(1, 20);
                    let delay = self.rng.random_range(1..if late { 3_000 } else { 30 });
                    self.schedule(
                        to,
                        Duration::from_millis(delay),
                        Event::Deliver { from, message: message.clone() },
                    );
                }
            }
        }
        if let Some(at) = self.machine(server).poll_timeout() {
            assert!(at > now, "a timeout that is due already was not served");
            self.schedule(server, at - now, Event::Timeout);
        }
        self.check_decision(server);
    }

    /// Checks that no two servers, and no two moments, have different founders for one cluster.
    fn check_decision(&mut self, server: usize) {
        let group = match self.machine(server).decision() {
            Decision::Wait { .. } => return,
            Decision::Conflict(conflict) => {
                let clusters = conflict.clusters.clone();
                for id in clusters {
                    self.told.entry(id).or_default();
                }
                return;
            }
            Decision::Bootstrap(group) | Decision::Resume(group) | Decision::Join(group) => group.clone(),
        };
        let founders = self.told.entry(group.cluster_id).or_default();
        if founders.is_empty() {
            founders.clone_from(&group.founders);
        }
        assert_eq!(*founders, group.founders, "one cluster id, two lists of founders");
    }

    /// The decisions of the servers that run, by name.
    pub(crate) fn decisions(&self) -> BTreeSet<&'static str> {
        let running = self.servers.iter().filter_map(|server| server.machine.as_ref());
        running
            .map(|machine| match machine.decision() {
                Decision::Wait { .. } => "wait",
                Decision::Bootstrap(_) => "bootstrap",
                Decision::Resume(_) => "resume",
                Decision::Join(_) => "join",
                Decision::Conflict(_) => "conflict",
            })
            .collect()
    }

    /// The codes of the reasons to wait of one server.
    pub(crate) fn reasons(&self, server: usize) -> Vec<&'static str> {
        match self.servers[server].machine.as_ref().map(Bootstrap::decision) {
            Some(Decision::Wait { reasons }) => reasons.iter().map(|reason| reason.code()).collect(),
            _ => Vec::new(),
        }
    }
}
