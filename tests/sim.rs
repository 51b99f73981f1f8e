//! A simulated network and clock around the shipped core: latency, loss, partitions, crashes, restarts, pauses. A host
//! runs the gossip half alone, or the whole machine with its founding, its disk and its server. One seed always gives the
//! same run, to the byte.

mod alike;
pub(crate) mod bare;
mod blocked;
pub(crate) mod history;
mod hosts;
pub(crate) mod judge;
pub(crate) mod log;
pub(crate) mod network;
mod process;
mod queue;
mod recorder;
pub(crate) mod seen;
pub(crate) mod servers;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use chronik_agent::{
    bootstrap::NodeRecord,
    gossip::{Event, Gossip, NoAnswer, Timing, Transmit},
    node::ClusterName,
    wire::Keyring,
};
use rand::{SeedableRng as _, rngs::StdRng};

use self::{
    blocked::Blocked,
    history::History,
    judge::Judge,
    log::{Log, Sent},
    network::{Happening, Network},
    process::Process,
    queue::Queue,
    recorder::Traffic,
    servers::{Disk, Plan, Server},
};
use crate::awaiting;

/// Datagrams that a socket of a paused process holds: 212 KB of the smallest.
const SOCKET_BUFFER: usize = 280;

/// A host, by its number in the world.
pub(crate) type Node = usize;

/// One host: its disk, which survives a crash, and the process if it runs.
struct Host {
    name: String,
    addr: SocketAddr,
    cluster: ClusterName,
    seeds: Vec<SocketAddr>,
    disk: Option<NodeRecord>,
    /// Flags of the founding; `None` if the gossip half runs alone.
    plan: Option<Plan>,
    /// The server beside the agent, if it sends heartbeats.
    server: Option<Server>,
    /// Lead of its wall clock over the world's.
    skew_ms: i64,
    process: Option<Process>,
    /// Number of the current process, counted over restarts.
    boot: u32,
    /// Input that waits in the sockets while the process is paused.
    paused: Option<Vec<Happening>>,
    /// Input and output that wait while only the timers of the process run.
    blocked: Option<Blocked>,
    /// Version of the member list that the history has last taken in.
    seen_index: u64,
    /// Version of the founding and the quorum that the judge has last looked at.
    decided_index: u64,
    /// Time of its next wake-up; later ones that are still queued are void.
    alarm: Option<Instant>,
    /// Set once it has sent something that is not on its disk: it crashes at the end of the turn. For the mutant only.
    doomed: bool,
}

/// A simulated network with its hosts and one clock.
pub(crate) struct World {
    pub(crate) now: Instant,
    start: Instant,
    /// Wall clock at `start`, in milliseconds since 1970.
    pub(crate) unix_ms: u64,
    pub(crate) timing: Timing,
    /// Keys of the processes that start from now on.
    pub(crate) keyring: Option<Keyring>,
    /// If set, processes that start from now on are the SWIM engine alone.
    pub(crate) bare: Option<foca::Config>,
    pub(crate) network: Network,
    /// Failures of the disks.
    pub(crate) disk: Disk,
    hosts: Vec<Host>,
    by_addr: BTreeMap<SocketAddr, Node>,
    queue: Queue,
    rng: StdRng,
    /// Everything that the hosts have shown to their readers.
    pub(crate) history: History,
    /// Everything sent, in order, as a running hash.
    pub(crate) log: Log,
    /// Counts of what was sent.
    pub(crate) traffic: Traffic,
    /// Watches for what must never happen.
    pub(crate) judge: Judge,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let start = awaiting::now();
        Self {
            now: start,
            start,
            unix_ms: 1_700_000_000_000,
            timing: Timing::LAN,
            keyring: None,
            bare: None,
            network: Network::default(),
            disk: Disk::default(),
            hosts: Vec::new(),
            by_addr: BTreeMap::new(),
            queue: Queue::default(),
            rng: StdRng::seed_from_u64(seed),
            history: History::default(),
            log: Log::default(),
            traffic: Traffic::default(),
            judge: Judge::default(),
        }
    }

    /// Adds `count` hosts of one cluster that all know the first as their seed; none runs yet.
    pub(crate) fn add_hosts(&mut self, count: usize, cluster: &str) -> Vec<Node> {
        let first = self.hosts.len();
        let seed = Self::addr_of(first);
        (0..count).map(|_| self.add_host(cluster, vec![seed])).collect()
    }

    /// Adds a host that knows `seeds`; it does not run yet.
    pub(crate) fn add_host(&mut self, cluster: &str, seeds: Vec<SocketAddr>) -> Node {
        let node = self.hosts.len();
        let addr = Self::addr_of(node);
        self.by_addr.insert(addr, node);
        self.hosts.push(Host {
            name: format!("n{node}"),
            addr,
            cluster: cluster.parse().unwrap(),
            seeds,
            disk: None,
            plan: None,
            server: None,
            skew_ms: 0,
            process: None,
            boot: 0,
            paused: None,
            blocked: None,
            seen_index: 0,
            decided_index: 0,
            alarm: None,
            doomed: false,
        });
        node
    }

    /// Adds an address at which a host is reached and which it does not know.
    pub(crate) fn add_alias(&mut self, node: Node, addr: SocketAddr) {
        self.by_addr.insert(addr, node);
    }

    pub(crate) fn addr_of(node: Node) -> SocketAddr {
        let [.., high, low] = u32::try_from(node).unwrap().to_be_bytes();
        ([10, 0, high, low], 7946).into()
    }

    pub(crate) fn leave(&mut self, node: Node) {
        let now = self.now;
        self.hosts[node].process.as_mut().unwrap().leave(now);
        self.drain(node);
    }

    /// Calls `input` with the gossip of a running node, and sends what follows from it.
    pub(crate) fn drive_gossip<R>(&mut self, node: Node, input: impl FnOnce(&mut Gossip, Instant) -> R) -> R {
        let now = self.now;
        let gossip = self.hosts[node].process.as_mut().and_then(Process::gossip_mut).unwrap();
        let result = input(gossip, now);
        self.drain(node);
        result
    }

    /// Runs until `done`, and returns how long that took; `None` if `limit` is over before.
    pub(crate) fn run_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> Option<Duration> {
        let (begin, end) = (self.now, self.now + limit);
        while !done(self) {
            // Checked at most once a millisecond, and only after a change: some conditions take long to check.
            let (version, checked) = (self.history.version, self.now);
            while self.history.version == version || self.now < checked + Duration::from_millis(1) {
                if self.queue.next_at().is_none_or(|at| at > end) {
                    self.now = end;
                    return None;
                }
                self.step();
            }
        }
        Some(self.now.duration_since(begin))
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        self.run_until_time(self.now + time);
    }

    fn run_until_time(&mut self, end: Instant) {
        while self.queue.next_at().is_some_and(|at| at <= end) {
            self.step();
        }
        self.now = end;
    }

    fn step(&mut self) {
        let Some((at, happening)) = self.queue.pop() else {
            return;
        };
        self.now = self.now.max(at);
        let node = happening.node();
        let Some(happening) = self.hold_back(node, happening) else {
            return;
        };
        match &mut self.hosts[node].paused {
            Some(_) if matches!(happening, Happening::Wake(_)) => self.hosts[node].alarm = None,
            Some(_) if matches!(happening, Happening::Heartbeat(..)) => self.retry_heartbeat(happening),
            Some(waiting) if waiting.len() < SOCKET_BUFFER => waiting.push(happening),
            Some(_) => {}
            None => self.deliver(node, happening),
        }
    }

    fn deliver(&mut self, node: Node, happening: Happening) {
        let now = self.now;
        let boot = self.hosts[node].boot;
        let process = self.hosts[node].process.as_mut();
        match happening {
            Happening::Datagram { from, payload, .. } => {
                if let Some(process) = process {
                    process.handle_datagram(from, &payload, now);
                }
            }
            Happening::Request { from, boot, exchange, frame, .. } => {
                let from_addr = self.hosts[from].addr;
                let answer = match self.hosts[node].process.as_mut() {
                    None => Err(NoAnswer::Refused),
                    Some(gossip) => {
                        let answer = gossip.handle_request(from_addr, &frame, now);
                        let sent = if answer.is_some() { Sent::Reply } else { Sent::Close };
                        self.log_sent(sent, node, from_addr, answer.as_deref().unwrap_or_default());
                        answer.ok_or_else(|| NoAnswer::Failed("closed without an answer".to_owned()))
                    }
                };
                let happening = Happening::Reply { to: from, boot, exchange, answer };
                self.send_stream(node, from, happening);
            }
            Happening::Reply { boot: asked, exchange, answer, .. } => {
                if let Some(process) = process
                    && asked == boot
                {
                    process.handle_reply(exchange, answer.as_deref().map_err(Clone::clone), now);
                }
            }
            Happening::Wake(_) => return self.wake(node),
            Happening::Heartbeat(_, life) => return self.send_heartbeat(node, life),
        }
        self.drain(node);
    }

    fn wake(&mut self, node: Node) {
        let now = self.now;
        let host = &mut self.hosts[node];
        if host.alarm.is_some_and(|alarm| alarm <= now) {
            host.alarm = None;
        }
        let Some(process) = host.process.as_mut() else {
            return;
        };
        if process.is_due(now) {
            process.handle_timeout(now);
            return self.drain(node);
        }
        // The timer for which it was woken has been put off.
        let due = process.poll_timeout(now);
        self.set_alarm(node, due);
    }

    fn set_alarm(&mut self, node: Node, due: Option<Instant>) {
        let Some(due) = due else { return };
        let alarm = &mut self.hosts[node].alarm;
        if alarm.is_none_or(|alarm| due < alarm) {
            *alarm = Some(due);
            self.push(due, Happening::Wake(node));
        }
    }

    /// Ends a turn of a node: writes, sends what it produced, and notes what its readers can see.
    fn drain(&mut self, node: Node) {
        if !self.save(node) {
            return self.crash(node);
        }
        let now = self.now;
        let host = &mut self.hosts[node];
        let Some(gossip) = host.process.as_mut() else {
            return;
        };
        let (mut transmits, mut dials, mut left) = (Vec::new(), Vec::new(), false);
        while let Some(event) = gossip.poll_event() {
            match &event {
                Event::SaveEpoch(epoch) => host.disk.as_mut().unwrap().epoch = *epoch,
                Event::Left => left = true,
                Event::ChangeKeys(change) => gossip.change_keys(change),
                Event::Founding(..)
                | Event::JoinEnded(..)
                | Event::KeysAnswered(..)
                | Event::DuplicateId { .. }
                | Event::ForeignLife(_)
                | Event::DuplicateGone => {}
            }
            self.history.add_event(node, event);
        }
        while let Some(transmit) = gossip.poll_transmit() {
            transmits.push(transmit);
        }
        while let Some(dial) = gossip.poll_dial() {
            dials.push(dial);
        }
        let due = gossip.poll_timeout(now);
        self.note_changes(node);
        self.note_decision(node);
        if let Some(blocked) = &mut self.hosts[node].blocked {
            blocked.hold(transmits.drain(..), dials.drain(..));
        }
        for Transmit { to, payload } in transmits {
            self.send_datagram(node, to, payload);
        }
        for dial in dials {
            self.open_stream(node, dial);
        }
        self.set_alarm(node, due);
        let host = &mut self.hosts[node];
        if left | std::mem::take(&mut host.doomed) {
            self.crash(node);
        }
    }

    fn push(&mut self, at: Instant, happening: Happening) {
        self.queue.push(at.max(self.now), happening);
    }
}
