//! The life of hosts and their disks: processes start, stop, are killed, and start again.

use std::{num::NonZeroU16, time::Duration};

use chronik_agent::{
    bootstrap::{FoundingRecord, NodeRecord},
    gossip::{Gossip, Peer, Settings},
    membership::{FoundingNews, Metadata},
    node::{Epoch, Role},
    signing::NodeKey,
    wire::Encryption,
};
use rand::RngExt as _;
use zeroize::Zeroizing;

use super::{Node, World, alike, bare, process::Process};

impl World {
    /// Starts the process of a host, with whatever is on its disk.
    pub(crate) fn start(&mut self, node: Node) {
        let passed = i64::try_from(self.now.duration_since(self.start).as_millis()).unwrap();
        let secret = Zeroizing::new(self.rng.random());
        let host = &mut self.hosts[node];
        let unix_ms = self.unix_ms.checked_add_signed(passed + host.skew_ms).unwrap();
        let former = host.disk.as_ref().map(|disk| disk.epoch);
        let epoch = Epoch::next(former, unix_ms);
        let founding = host.disk.take().map(|disk| disk.founding);
        let founding = founding.unwrap_or_else(|| FoundingRecord::blank(NodeKey::new(&secret)));
        let key = founding.key.clone();
        let record = NodeRecord { epoch, founding };
        host.disk = Some(record.clone());
        host.boot += 1;
        host.alarm = None;
        host.seen_index = 0;
        if let Some(config) = &self.bare {
            let me = Peer::new(key.id(), host.addr, epoch, 0);
            let bare = bare::Bare::new(me, config.clone(), self.rng.random());
            host.process = Some(Process::Bare(Box::new(bare)));
            return;
        }
        let zone = host.plan.as_ref().map_or(Some("a"), |plan| plan.zone);
        let metadata = Metadata {
            name: host.name.parse().unwrap(),
            role: Role::Server,
            expect: host.plan.as_ref().map_or(NonZeroU16::new(3), |plan| plan.expect),
            endpoints: [("raft".parse().unwrap(), host.addr.to_string())].into(),
            tags: zone.map(|zone| ("zone".parse().unwrap(), zone.to_owned())).into_iter().collect(),
            founding: FoundingNews::default(),
        };
        let settings = Settings {
            cluster: host.cluster.clone(),
            timing: self.timing,
            key,
            addr: host.addr,
            epoch,
            former,
            metadata,
            cached: vec![],
            encryption: self.keyring.clone().map(|keyring| Encryption { keyring, boot: self.rng.random() }),
            read_record: alike::read,
            seed: self.rng.random(),
        };
        let mut gossip = Gossip::new(settings, self.now).unwrap();
        if host.plan.is_some() {
            self.start_machine(node, gossip, record);
        } else {
            gossip.set_seeds(host.seeds.iter().copied(), self.now);
            host.process = Some(Process::Gossip(Box::new(gossip)));
        }
        self.drain(node);
    }

    /// Starts all of them within the next 50 ms, in random order.
    pub(crate) fn start_all(&mut self, nodes: &[Node]) {
        let mut order: Vec<_> = nodes.iter().map(|node| (self.rng.random_range(0..50), *node)).collect();
        order.sort_unstable();
        let begin = self.now;
        for (after, node) in order {
            self.run_until_time(begin + Duration::from_millis(after));
            self.start(node);
        }
    }

    /// Kills a process; its host goes on and refuses connections.
    pub(crate) fn crash(&mut self, node: Node) {
        self.hosts[node].process = None;
        self.hosts[node].paused = None;
    }

    /// Wipes the disk of a host whose process does not run.
    pub(crate) fn wipe(&mut self, node: Node) {
        assert!(self.hosts[node].process.is_none());
        self.hosts[node].disk = None;
        if let Some(server) = &mut self.hosts[node].server {
            server.lose_data();
        }
    }

    /// Copies one host's disk to another, as a cloned volume does.
    pub(crate) fn clone_disk(&mut self, from: Node, to: Node) {
        self.hosts[to].disk = self.hosts[from].disk.clone();
    }

    /// Sets the epoch on a disk, as restoring an old volume does.
    pub(crate) fn set_epoch_on_disk(&mut self, node: Node, epoch: Epoch) {
        if let Some(disk) = &mut self.hosts[node].disk {
            disk.epoch = epoch;
        }
    }

    pub(crate) fn epoch_on_disk(&self, node: Node) -> Epoch {
        self.hosts[node].disk.as_ref().unwrap().epoch
    }

    /// Stops a process without killing it.
    pub(crate) fn pause(&mut self, node: Node) {
        self.hosts[node].paused = Some(Vec::new());
    }

    /// Lets a paused process go on: the input in its sockets comes before its timers, as the contract of `Gossip` says.
    pub(crate) fn resume(&mut self, node: Node) {
        for happening in self.hosts[node].paused.take().unwrap() {
            self.deliver(node, happening);
        }
        self.hosts[node].alarm = None;
        self.wake(node);
    }
}
