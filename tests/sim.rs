//! A simulated network and clock around the shipped core: latency, loss, partitions, crashes, restarts, pauses. A host
//! runs the gossip half alone, or the whole machine with its founding, its disk and its server. The same seed gives the
//! same run, to the byte.

mod alike;
pub(crate) mod bare;
mod blocked;
mod hosts;
pub(crate) mod judge;
pub(crate) mod log;
mod network;
mod process;
mod recorder;
pub(crate) mod seen;
pub(crate) mod servers;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use chronik_agent::{
    bootstrap::NodeRecord,
    gossip::{Event, Gossip, NoAnswer, Timing, Transmit},
    membership::MemberStatus,
    node::ClusterName,
    wire::Keyring,
};
use rand::{SeedableRng as _, rngs::StdRng};

use self::{
    blocked::Blocked,
    judge::Judge,
    log::{Log, Sent},
    network::Happening,
    process::Process,
    recorder::Recorded,
    servers::{Disk, Plan, Server},
};

/// Datagrams that a socket of a paused process holds: 212 KB of the smallest.
const SOCKET_BUFFER: usize = 280;

/// A node's place in the world.
pub(crate) type Node = usize;

/// One host: what survives on its disk, and the process if it runs.
struct Host {
    name: String,
    addr: SocketAddr,
    cluster: ClusterName,
    seeds: Vec<SocketAddr>,
    disk: Option<NodeRecord>,
    cached: Vec<SocketAddr>,
    /// How it founds; nothing where only the gossip half runs.
    plan: Option<Plan>,
    /// The server beside the agent, where it speaks.
    server: Option<Server>,
    /// How far its wall clock is ahead.
    skew_ms: i64,
    process: Option<Process>,
    boot: u32,
    /// Waits in the sockets while the process is stopped.
    paused: Option<Vec<Happening>>,
    /// Waits on the way in and out while nothing but its timers works.
    blocked: Option<Blocked>,
    seen_index: u64,
    decided_index: u64,
    /// For when it is to be woken next; later wake-ups that are still queued are void.
    alarm: Option<Instant>,
    left: bool,
    /// It said what it had not written; it crashes before it does.
    doomed: bool,
}

/// The world.
pub(crate) struct World {
    pub(crate) now: Instant,
    start: Instant,
    /// What the hosts' wall clocks say at `start`, in milliseconds since 1970.
    pub(crate) unix_ms: u64,
    pub(crate) timing: Timing,
    /// The engine alone runs on the hosts that start from now on.
    pub(crate) bare: Option<foca::Config>,
    /// Share of datagrams lost.
    pub(crate) loss: f64,
    /// Share of what these send that is lost, where it is another.
    pub(crate) egress_loss: BTreeMap<Node, f64>,
    /// Share of datagrams that come once more, and how late the latest of those are.
    pub(crate) again: Option<(f64, Duration)>,
    /// Directed pairs that cannot reach each other.
    cuts: BTreeSet<(Node, Node)>,
    /// Datagrams, and datagrams only, are lost between these.
    pub(crate) udp_cuts: BTreeSet<(Node, Node)>,
    /// Which of the datagrams and streams are lost, counted from 1 over all.
    pub(crate) lose: RangeInclusive<u64>,
    sent: u64,
    /// Where hosts are in a plane, in milliseconds of round trip; the others are all in one place.
    pub(crate) places: BTreeMap<Node, [f64; 2]>,
    /// Tells all others this instead of its coordinate.
    pub(crate) liar: Option<(Node, Vec<[u8; 12]>)>,
    hosts: Vec<Host>,
    by_addr: BTreeMap<SocketAddr, Node>,
    queue: BTreeMap<(Instant, u64), Happening>,
    sequence: u64,
    rng: StdRng,
    /// Every change of a status anywhere: when, who sees it, of whom, which.
    pub(crate) changes: Vec<(Duration, Node, Node, MemberStatus)>,
    /// Of the changes, only those to `Failed` are noted: of 10,000 nodes that join, 100 million become alive.
    pub(crate) only_failures: bool,
    /// Everything sent, in order, as a running hash.
    pub(crate) log: Log,
    /// Datagrams sent.
    pub(crate) datagrams: u64,
    /// Coordinates in them, counted on demand.
    pub(crate) coordinates: Option<u64>,
    /// Bytes sent, by datagram and by stream.
    pub(crate) bytes: u64,
    pub(crate) events: Vec<(Node, Event)>,
    /// Grows with everything that a condition of `run_until` can depend on.
    version: u64,
    /// How the disks fail.
    pub(crate) disk: Disk,
    /// What must never happen, watched.
    pub(crate) judge: Judge,
    /// With what those encrypt that start from now on.
    pub(crate) keyring: Option<Keyring>,
    /// Everything sent, where somebody records it.
    pub(crate) tape: Option<Vec<Recorded>>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
        let start = Instant::now();
        Self {
            now: start,
            start,
            unix_ms: 1_700_000_000_000,
            timing: Timing::LAN,
            bare: None,
            loss: 0.0,
            egress_loss: BTreeMap::new(),
            again: None,
            cuts: BTreeSet::new(),
            udp_cuts: BTreeSet::new(),
            lose: 0..=0,
            sent: 0,
            places: BTreeMap::new(),
            liar: None,
            hosts: Vec::new(),
            by_addr: BTreeMap::new(),
            queue: BTreeMap::new(),
            sequence: 0,
            rng: StdRng::seed_from_u64(seed),
            changes: Vec::new(),
            only_failures: false,
            log: Log::default(),
            datagrams: 0,
            coordinates: None,
            bytes: 0,
            events: Vec::new(),
            version: 0,
            disk: Disk::default(),
            judge: Judge::default(),
            keyring: None,
            tape: None,
        }
    }

    /// `count` hosts of one cluster that all know the first as their seed; none runs yet.
    pub(crate) fn hosts(&mut self, count: usize, cluster: &str) -> Vec<Node> {
        let first = self.hosts.len();
        let seed = Self::addr_of(first);
        (0..count).map(|_| self.host(cluster, vec![seed])).collect()
    }

    /// One host that knows `seeds`; it does not run yet.
    pub(crate) fn host(&mut self, cluster: &str, seeds: Vec<SocketAddr>) -> Node {
        let node = self.hosts.len();
        let addr = Self::addr_of(node);
        self.by_addr.insert(addr, node);
        self.hosts.push(Host {
            name: format!("n{node}"),
            addr,
            cluster: cluster.parse().unwrap(),
            seeds,
            disk: None,
            cached: vec![],
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
            left: false,
            doomed: false,
        });
        node
    }

    /// Another address at which a host is reached, which it does not know of.
    pub(crate) fn alias(&mut self, node: Node, addr: SocketAddr) {
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

    /// Has `input` done to the gossip of a running node, and sends what follows from it.
    pub(crate) fn with<R>(&mut self, node: Node, input: impl FnOnce(&mut Gossip, Instant) -> R) -> R {
        let now = self.now;
        let gossip = self.hosts[node].process.as_mut().and_then(Process::gossip_mut).unwrap();
        let result = input(gossip, now);
        self.drain(node);
        result
    }

    /// Runs until `done`, and says how long that took; `None` if it is not so within `limit`.
    pub(crate) fn run_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> Option<Duration> {
        let (begin, end) = (self.now, self.now + limit);
        while !done(self) {
            // Looked at a millisecond after a change, for some conditions take long to check.
            let (version, checked) = (self.version, self.now);
            while self.version == version || self.now < checked + Duration::from_millis(1) {
                if self.queue.first_key_value().is_none_or(|((at, _), _)| *at > end) {
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
        while self.queue.first_key_value().is_some_and(|((at, _), _)| *at <= end) {
            self.step();
        }
        self.now = end;
    }

    fn step(&mut self) {
        let Some(((at, _), happening)) = self.queue.pop_first() else {
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
            Happening::Heartbeat(_, life) => return self.heartbeat(node, life),
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
        // What it was to be woken for has been put off.
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

    /// Sends what the node produced, and notes what its readers can see.
    fn drain(&mut self, node: Node) {
        if !self.save(node) {
            return self.crash(node);
        }
        let now = self.now;
        let host = &mut self.hosts[node];
        let Some(gossip) = host.process.as_mut() else {
            return;
        };
        let mut transmits = Vec::new();
        let mut dials = Vec::new();
        while let Some(event) = gossip.poll_event() {
            match &event {
                Event::SaveEpoch(epoch) => host.disk.as_mut().unwrap().epoch = *epoch,
                Event::Left => host.left = true,
                Event::ChangeKeys(change) => gossip.change_keys(change),
                Event::Founding(..)
                | Event::JoinEnded(..)
                | Event::KeysAnswered(..)
                | Event::DuplicateId { .. } => {}
            }
            self.events.push((node, event));
            self.version += 1;
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
        if std::mem::take(&mut host.left) | std::mem::take(&mut host.doomed) {
            self.crash(node);
        }
    }

    fn push(&mut self, at: Instant, happening: Happening) {
        self.sequence += 1;
        self.queue.insert((at.max(self.now), self.sequence), happening);
    }
}
