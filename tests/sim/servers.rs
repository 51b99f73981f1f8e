//! Hosts with the whole machine: a disk that may fail between any two writes, and a server beside the agent that sends
//! heartbeats, crashes with it and may lose its data.

use std::{net::SocketAddr, num::NonZeroU16, time::Duration};

use chronik_agent::{
    bootstrap::{
        self, Admission, BallotTiming, ClusterId, Decision, EstablishedReport, NodeRecord, Reason, SeedGate,
        ServerReport, Terms, VoterRef, Words,
    },
    gossip::Gossip,
    machine::Machine,
    node::Role,
    quorum::Quorum,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{Node, World, network::Happening, process::Process};

/// Interval of a server's heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// The flags of an agent that founds.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) expect: Option<NonZeroU16>,
    pub(crate) seed_gate: SeedGate,
    pub(crate) admission: Admission,
    /// Times of a ballot, by `--profile`.
    pub(crate) timing: BallotTiming,
    /// `--tag zone=…`.
    pub(crate) zone: Option<&'static str>,
}

impl Plan {
    /// `--bootstrap-expect`, and nothing else.
    pub(crate) fn expect(expect: u16) -> Self {
        Self {
            expect: NonZeroU16::new(expect),
            seed_gate: SeedGate::Patient,
            admission: Admission::Found,
            timing: BallotTiming::LAN,
            zone: Some("a"),
        }
    }
}

/// Failures of the disks.
#[derive(Default)]
pub(crate) struct Disk {
    /// Writes out of a thousand that end in a crash before they are durable, and as many again right after.
    pub(crate) crashes: u32,
    /// Mutant: the agent sends before it writes, and crashes between the two.
    pub(crate) lies: bool,
    /// Mutant: a wiped disk keeps the node id.
    pub(crate) keeps_id: bool,
}

impl Disk {
    /// The usual share of writes that end in a crash: 2 % before, 2 % after.
    pub(crate) fn failing() -> Self {
        Self { crashes: 20, ..Self::default() }
    }
}

/// A server that sends heartbeats to its agent.
pub(crate) struct Server {
    /// Part of its id; grows when it loses its data, because it is another server then.
    number: u32,
    /// The cluster of which it holds data.
    cluster: Option<ClusterId>,
}

impl Server {
    /// Makes it another server, which is blank.
    pub(super) fn lose_data(&mut self) {
        self.number += 1;
        self.cluster = None;
    }
}

impl World {
    /// Adds a host with the whole machine, which does not run yet.
    pub(crate) fn add_server(&mut self, plan: Plan, seeds: Vec<SocketAddr>) -> Node {
        let node = self.add_host("chronik", seeds);
        self.hosts[node].plan = Some(plan);
        node
    }

    /// Adds `count` hosts with the whole machine, each with all of them as its seeds; none runs yet.
    pub(crate) fn add_servers(&mut self, count: usize, expect: u16) -> Vec<Node> {
        let first = self.hosts.len();
        let seeds: Vec<_> = (first..first + count).map(Self::addr_of).collect();
        (0..count).map(|_| self.add_server(Plan::expect(expect), seeds.clone())).collect()
    }

    /// Starts new servers, and waits until they have founded a cluster and have come to rest.
    pub(crate) fn found(&mut self, nodes: &[Node], limit: Duration) {
        self.start_all(nodes);
        let founded = self.run_until(limit, |world| {
            let decided = |node: &Node| !matches!(world.decision(*node), Decision::Wait { .. });
            nodes.iter().all(decided) && world.all_agree(nodes)
        });
        assert!(founded.is_some(), "not founded\n{}", self.describe());
        self.run_for(Duration::from_secs(30));
    }

    /// Puts a server that sends heartbeats beside an agent that does not run yet.
    pub(crate) fn attach_server(&mut self, node: Node) {
        self.hosts[node].server = Some(Server { number: 1, cluster: None });
    }

    /// Destroys the data of the server beside this agent; the agent keeps its record.
    pub(crate) fn lose_server_data(&mut self, node: Node) {
        self.hosts[node].server.as_mut().unwrap().lose_data();
    }

    /// Destroys the agent's record and nothing else.
    pub(crate) fn forget_record(&mut self, node: Node) {
        self.hosts[node].disk = None;
    }

    /// Reports to this host that its record cannot be written.
    pub(crate) fn fail_disk(&mut self, node: Node) {
        let now = self.now;
        self.machine_mut(node)
            .unwrap()
            .handle_fault(Reason::Fault { why: "no space left on device".to_owned() }, now);
        self.drain(node);
    }

    /// Changes the flags of a host for its next start.
    pub(crate) fn change_plan(&mut self, node: Node, change: impl FnOnce(&mut Plan)) {
        change(self.hosts[node].plan.as_mut().unwrap());
    }

    /// Sets the addresses that the provider lists for this host from now on.
    pub(crate) fn set_seeds(&mut self, node: Node, seeds: Vec<SocketAddr>) {
        let now = self.now;
        self.hosts[node].seeds.clone_from(&seeds);
        if let Some(machine) = self.machine_mut(node) {
            machine.set_seeds(seeds, now);
            self.drain(node);
        }
    }

    /// Sets a host's wall clock, for its next start.
    pub(crate) fn set_skew(&mut self, node: Node, ms: i64) {
        self.hosts[node].skew_ms = ms;
    }

    /// Makes a new host of a crashed one: a disk that is blank.
    pub(crate) fn replace(&mut self, node: Node) {
        let key = self.hosts[node].disk.as_ref().unwrap().founding.key.clone();
        self.wipe(node);
        if self.disk.keeps_id {
            let founding = bootstrap::FoundingRecord::blank(key);
            self.hosts[node].disk = Some(NodeRecord { epoch: chronik_agent::node::Epoch(0), founding });
        }
    }

    pub(crate) fn runs(&self, node: Node) -> bool {
        self.hosts[node].process.is_some()
    }

    pub(crate) fn is_paused(&self, node: Node) -> bool {
        self.hosts[node].paused.is_some()
    }

    pub(crate) fn never_ran(&self, node: Node) -> bool {
        self.hosts[node].disk.is_none()
    }

    pub(crate) fn has_server(&self, node: Node) -> bool {
        self.hosts[node].server.is_some()
    }

    /// Simulated time since the beginning.
    pub(crate) fn elapsed(&self) -> Duration {
        self.now.duration_since(self.start)
    }

    pub(crate) fn record(&self, node: Node) -> &NodeRecord {
        self.hosts[node].disk.as_ref().unwrap()
    }

    pub(crate) fn machine(&self, node: Node) -> &Machine {
        self.hosts[node].process.as_ref().and_then(Process::machine).unwrap()
    }

    fn machine_mut(&mut self, node: Node) -> Option<&mut Machine> {
        self.hosts[node].process.as_mut().and_then(Process::machine_mut)
    }

    /// Tells an agent the zone in which a provider sees it.
    pub(crate) fn tell_zone(&mut self, node: Node, zone: &str) {
        let now = self.now;
        self.machine_mut(node).unwrap().note_zone(zone, now);
    }

    pub(crate) fn decision(&self, node: Node) -> &Decision {
        &self.machine(node).founding().decision
    }

    pub(crate) fn quorum(&self, node: Node) -> &Quorum {
        self.machine(node).quorum()
    }

    /// The decision in one word; `down` if no agent runs.
    pub(crate) fn word(&self, node: Node) -> &'static str {
        if !self.runs(node) {
            return "down";
        }
        match self.decision(node) {
            Decision::Wait { .. } => "wait",
            Decision::Bootstrap(_) => "bootstrap",
            Decision::Resume(_) => "resume",
            Decision::Join(_) => "join",
            Decision::Conflict(_) => "conflict",
        }
    }

    /// The reasons to wait.
    pub(crate) fn reasons(&self, node: Node) -> &[Reason] {
        match self.decision(node) {
            Decision::Wait { reasons } => reasons,
            Decision::Bootstrap(_) | Decision::Resume(_) | Decision::Join(_) | Decision::Conflict(_) => &[],
        }
    }

    /// The codes of the reasons to wait.
    pub(crate) fn codes(&self, node: Node) -> Vec<&'static str> {
        self.reasons(node).iter().map(Reason::code).collect()
    }

    /// One line a host, for a failing run.
    pub(crate) fn describe(&self) -> String {
        let line = |node: Node| {
            let host = &self.hosts[node];
            let why = if self.runs(node) { self.codes(node).join(",") } else { String::new() };
            format!(
                "  {} {} {} {why}",
                host.name,
                self.word(node),
                if host.paused.is_some() { "paused" } else { "" }
            )
        };
        (0..self.hosts.len())
            .filter(|node| self.hosts[*node].plan.is_some())
            .map(line)
            .collect::<Vec<_>>()
            .join("\n")
    }

    pub(super) fn start_machine(&mut self, node: Node, gossip: Gossip, record: NodeRecord) {
        let rng = StdRng::seed_from_u64(self.rng.random());
        let host = &mut self.hosts[node];
        let plan = host.plan.clone().unwrap();
        let config = bootstrap::Config {
            cluster_name: host.cluster.clone(),
            role: Role::Server,
            name: host.name.parse().unwrap(),
            addr: host.addr,
            endpoints: gossip.own_metadata().endpoints.clone(),
            zone: plan.zone.map(str::to_owned),
            terms: plan.expect.map(Terms::Count),
            admission: plan.admission,
            is_admitted_first: false,
            seed_gate: plan.seed_gate,
            words: Words::Here,
            timing: plan.timing,
        };
        let mut machine = Machine::new(gossip, config, record, rng, self.now);
        machine.set_seeds(host.seeds.iter().copied(), self.now);
        host.process = Some(Process::Whole(Box::new(machine)));
        let life = host.boot;
        if host.server.is_some() {
            let after = self.rng.random_range(10..500);
            self.push(self.now + Duration::from_millis(after), Happening::Heartbeat(node, life));
        }
    }

    /// Writes what must be durable before anything is sent. Returns false if the host crashed in the middle.
    pub(super) fn save(&mut self, node: Node) -> bool {
        let now = self.now;
        let Some(machine) = self.machine_mut(node) else {
            return true;
        };
        machine.finish_input(now);
        while let Some(save) = self.machine_mut(node).and_then(Machine::poll_save) {
            let crashes = |world: &mut Self| world.rng.random_ratio(world.disk.crashes, 1_000);
            let lost = crashes(self);
            if lost && !self.disk.lies {
                return false;
            }
            self.hosts[node].doomed |= lost;
            if !self.hosts[node].doomed {
                let before = self.hosts[node].disk.replace(save.record()).unwrap();
                self.judge.check_record(&before, &save.record());
                if crashes(self) {
                    return false;
                }
            }
            self.machine_mut(node).unwrap().saved(save, now);
        }
        true
    }

    pub(super) fn note_decision(&mut self, node: Node) {
        let id = self.hosts[node].disk.as_ref().map(|disk| disk.founding.node_id());
        if let (Some(Process::Whole(machine)), Some(id)) = (&self.hosts[node].process, id) {
            let index = machine.founding().index + machine.quorum().index;
            self.judge.check_decision(id, &machine.founding().decision);
            let seen = &mut self.hosts[node].decided_index;
            self.history.version += u64::from(*seen != index);
            *seen = index;
        }
    }

    /// Sends the server's heartbeat, and carries out the decision that it reads.
    pub(super) fn send_heartbeat(&mut self, node: Node, life: u32) {
        let now = self.now;
        let host = &mut self.hosts[node];
        let (Some(Process::Whole(machine)), Some(server)) = (&mut host.process, &mut host.server) else {
            return;
        };
        if host.boot != life {
            return;
        }
        let server_id = format!("{}-{}", host.name, server.number).try_into().unwrap();
        let report = ServerReport {
            server_id,
            has_state: server.cluster.is_some(),
            cluster_id: server.cluster,
            once: false,
            starts: None,
        };
        let server_id = report.server_id.clone();
        machine.server_attests(report, now);
        machine.finish_input(now);
        machine.server_asks(Some(&server_id), now);
        self.drain(node);
        let host = &mut self.hosts[node];
        let (Some(Process::Whole(machine)), Some(server)) = (&mut host.process, &mut host.server) else {
            return;
        };
        match machine.founding().decision.clone() {
            Decision::Bootstrap(group) => {
                server.cluster = Some(group.cluster_id);
                let voters = (1_u16..).zip(&group.founders).map(|(ordinal, _)| VoterRef::Ordinal(ordinal));
                let report = EstablishedReport {
                    cluster_id: group.cluster_id,
                    config_index: Some(1),
                    voters: voters.collect(),
                    adopt: false,
                };
                machine.bootstrap().established(&report, now).unwrap();
                self.drain(node);
            }
            Decision::Resume(group) | Decision::Join(group) => server.cluster = Some(group.cluster_id),
            Decision::Wait { .. } | Decision::Conflict(_) => {}
        }
        self.retry_heartbeat(Happening::Heartbeat(node, life));
    }

    pub(super) fn retry_heartbeat(&mut self, heartbeat: Happening) {
        self.push(self.now + HEARTBEAT, heartbeat);
    }
}
