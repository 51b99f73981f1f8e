//! `GET /v1/members` of a large cluster, by the real server: with an answer that is kept from an earlier request, and with a
//! new snapshot for which there is none yet.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Instant, SystemTime},
};

use chronik_agent::{
    bootstrap::{Decision, Status},
    config::{Config, Host, HttpAddr, Options},
    counters::Counters,
    handle::Handle,
    http,
    membership::Membership,
    node::Epoch,
    quorum::Quorum,
    snapshot::{About, Clock, Discovery, Snapshot},
    wire::Secrecy,
};
use tokio::sync::{mpsc, watch};

use crate::{awaiting::now, keep_alive::Connection, measure, nodes::Hub};

/// Measures both, with the way over loopback and back.
pub(super) fn measure_members(size: usize) {
    let hub = Hub::of(size, now());
    let membership = hub.node.membership().clone();
    let me = *hub.node.me();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let started = now();
    let fresh = || Arc::new(snapshot(&membership, me.id, me.addr(), started));
    let (snapshots, seen) = watch::channel(fresh());
    let (commands, _) = mpsc::channel(1);
    let listeners = runtime.block_on(http::bind(&[HttpAddr::Tcp(([127, 0, 0, 1], 0).into())])).unwrap();
    let HttpAddr::Tcp(addr) = listeners[0].addr() else { panic!("bound to TCP") };
    let host = Host { name: "measured".to_owned(), is_root: true, ..Host::default() };
    let config = Config::resolve(&Options::default(), &host).unwrap();
    let handle = Handle::new(seen, commands);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn_on(
        async move { http::serve(listeners, handle, &config, None, std::future::pending()).await },
        runtime.handle(),
    );
    let mut connection = Connection::open(addr);
    let known = connection.get("/v1/members").len();
    assert!(known > 100 * size, "{known} bytes are not all members");
    measure("members_known", size, || assert_eq!(connection.get("/v1/members").len(), known));
    measure("members_fresh", size, || {
        snapshots.send_replace(fresh());
        assert_eq!(connection.get("/v1/members").len(), known);
    });
}

fn snapshot(
    membership: &Membership,
    id: chronik_agent::node::NodeId,
    addr: SocketAddr,
    started: Instant,
) -> Snapshot {
    let about = About {
        id,
        epoch: Epoch(1),
        cluster: "chronik".parse().unwrap(),
        bound: addr,
        advertised: addr,
        advertised_because: "it was measured".to_owned(),
        state_dir: String::new(),
        profile: "lan",
        started: Clock { instant: started, wall: SystemTime::UNIX_EPOCH },
    };
    Snapshot {
        about: Arc::new(about),
        membership: Arc::new(membership.clone()),
        quorum: Arc::new(Quorum::forming(membership, None)),
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
        server: None,
        discovery: Arc::new(Discovery::default()),
        counters: Counters::default(),
        budgets: vec![],
        encryption: Secrecy::default(),
        joined: true,
        leaving: false,
        taken: started,
    }
}
