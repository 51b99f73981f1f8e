//! A cluster of three for the tests of this layer.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::{mpsc, watch};

use super::{
    bounds::Capacity,
    state::{Api, Shared},
    stopping::Stopping,
};
use crate::{
    bootstrap::{Decision, Status},
    budget::Use,
    config::{Config, Host, Options},
    counters::Counters,
    handle::Handle,
    membership::{Coordinate, FoundingNews, Member, MemberStatus, Membership, Metadata, Reach},
    node::{Epoch, NodeId, Role},
    quorum::Quorum,
    snapshot::{About, Clock, Discovery, ProviderReport, Snapshot},
    wire::Secrecy,
};

/// 2026-11-22T18:00:00Z.
const STARTED: Duration = Duration::from_secs(1_795_370_400);

/// The id of node `number`.
pub(super) fn id(number: u8) -> NodeId {
    let bytes = uuid::Builder::from_unix_timestamp_millis(number.into(), &[number; 10]).into_uuid();
    bytes.try_into().unwrap()
}

/// An API over that cluster at index 7, the end that publishes new snapshots, and the one that stops the server.
pub(super) fn api() -> (Api, watch::Sender<Arc<Snapshot>>, watch::Sender<bool>) {
    let host = Host { name: "box".to_owned(), is_root: true, ..Host::default() };
    let config = Config::resolve(&Options::default(), &host).unwrap();
    let (snapshots, seen) = watch::channel(Arc::new(snapshot(7)));
    let (commands, _) = mpsc::channel(1);
    let (stop, stopping) = watch::channel(false);
    let shared = Shared::new(&config, None, Capacity::of(u64::MAX), Stopping::new(stopping));
    (Api { handle: Handle::new(seen, commands), shared: Arc::new(shared) }, snapshots, stop)
}

/// The cluster when its membership has this index.
pub(super) fn snapshot(index: u64) -> Snapshot {
    #[expect(
        clippy::disallowed_methods,
        reason = "an Instant cannot be made otherwise; which one does not matter"
    )]
    let now = Instant::now();
    let started = Clock { instant: now, wall: SystemTime::UNIX_EPOCH + STARTED };
    let (second, ms) = (Duration::from_secs(1), Duration::from_millis(1));
    let members = [
        member(1, MemberStatus::Alive, Role::Server, Some("a"), now, None),
        member(2, MemberStatus::Failed, Role::Observer, None, now + 1500 * ms, Some(now + 1750 * ms)),
        member(3, MemberStatus::Suspect, Role::Server, Some("b"), now - second, None),
    ];
    let members = BTreeMap::from(members.map(|member| (member.id, member)));
    let membership = Membership { index, members };
    Snapshot {
        quorum: Arc::new(Quorum::forming(&membership, None)),
        membership: Arc::new(membership),
        founding: Arc::new(Status {
            index: 1,
            decision: Decision::Wait { reasons: vec![] },
            cluster: None,
            server: None,
            fault: None,
            remarks: vec![],
            certificate: None,
            offers: vec![],
            vouched: [].into(),
            holders: [].into(),
            admits: None,
        }),
        discovery: Arc::new(Discovery { index: 3, providers: vec![provider(now)] }),
        server: None,
        counters: counters(),
        budgets: vec![Use { name: "streams", used: 3, limit: 256, refused: 1 }],
        encryption: Secrecy::default(),
        joined: true,
        leaving: false,
        taken: now + 2 * second,
        about: Arc::new(About {
            id: id(1),
            epoch: Epoch(5),
            cluster: "chronik".parse().unwrap(),
            bound: "0.0.0.0:7946".parse().unwrap(),
            advertised: "10.0.0.1:7946".parse().unwrap(),
            advertised_because: "as --advertise says".to_owned(),
            state_dir: "/var/lib/chronik-agent".to_owned(),
            profile: "lan",
            started,
        }),
    }
}

/// A different count for every counter, so that two that change places show.
pub(super) fn counters() -> Counters {
    Counters {
        datagrams_in: 1,
        datagrams_out: 2,
        bytes_in: 3,
        bytes_out: 4,
        exchanges_in: 5,
        exchanges_out: 6,
        refused: 7,
        foreign: 8,
        undecryptable: 9,
        replayed: 10,
        challenged: 11,
        withheld: 12,
        renewals: 13,
        stalls: 14,
        suspicions: 15,
        overlooked: 16,
    }
}

fn member(
    number: u8,
    status: MemberStatus,
    role: Role,
    zone: Option<&str>,
    since: Instant,
    last_heard: Option<Instant>,
) -> Member {
    let endpoint = ("raft".parse().unwrap(), "10.0.0.1:5001".to_owned());
    let metadata = Metadata {
        name: format!("node-{number}").parse().unwrap(),
        role,
        expect: None,
        endpoints: (number == 1).then_some(endpoint).into_iter().collect(),
        tags: zone.map(|zone| ("zone".parse().unwrap(), zone.to_owned())).into_iter().collect(),
        founding: FoundingNews::default(),
    };
    Member {
        id: id(number),
        addr: format!("10.0.0.{number}:7946").parse().unwrap(),
        status,
        metadata: metadata.into(),
        epoch: Epoch(5),
        since,
        last_heard,
        degraded: false,
        rtt: last_heard.filter(|_| number == 2).map(|_| Duration::from_millis(1)),
        reach: last_heard.filter(|_| number == 2).map(|_| Reach::Datagram),
        coordinate: last_heard
            .filter(|_| number == 2)
            .and_then(|_| Coordinate::new([0.003, -0.004, 0.0], 0.001, 0.2).ok()),
    }
}

fn provider(now: Instant) -> ProviderReport {
    ProviderReport {
        provider: "dns",
        spec: "provider=dns name=agents.example".to_owned(),
        addrs: vec!["10.0.0.2:7946".parse().unwrap()],
        instances: BTreeMap::new(),
        answered: Some(now),
        took: Some(Duration::from_micros(12_345)),
        warnings: Vec::new(),
        error: Some("dns: timed out".to_owned()),
        failures: 1,
        polls: 2,
        next: Some(now + Duration::from_secs(30)),
    }
}
