//! A stand-in for the agent: one member, itself, with the API around it.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Instant, SystemTime},
};

use tokio::sync::{mpsc, watch};

use crate::{
    advertise,
    config::Config,
    handle::{Command, Handle, JoinOutcome},
    http,
    membership::{Member, MemberStatus, Membership},
    node::{Epoch, NodeId},
    quorum::Quorum,
    snapshot::{About, Clock, Counters, Discovery, Rendered, Snapshot},
};

/// Why the agent could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API's address.
    #[error(transparent)]
    Http(#[from] http::BindError),
    /// The address for the others.
    #[error(transparent)]
    Advertise(#[from] advertise::AdvertiseError),
    /// The system.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// Runs until SIGINT, SIGTERM or a leave.
///
/// # Errors
/// Where it cannot start.
pub async fn run(config: Config) -> Result<(), Error> {
    let listeners = http::bind(&config.http).await?;
    let advertised = advertise::choose(config.advertise.as_ref(), config.bind, &advertise::interfaces()?)?;
    let (snapshots, seen) = watch::channel(Arc::new(snapshot(&config, &advertised)));
    let (commands, mut asked) = mpsc::channel(16);
    let (stop, mut stopped) = watch::channel(false);
    let shutdown = async move {
        stopped.wait_for(|stopped| *stopped).await.ok();
    };
    let serve = http::serve(listeners, Handle::new(seen, commands), &config, shutdown);
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let own = async {
        loop {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => break,
                _ = terminated.recv() => break,
                Some(command) = asked.recv() => match command {
                    Command::Join { addrs, reply } => {
                        let error = Some("the stand-in cannot join".to_owned());
                        let outcomes = addrs.into_iter().map(|addr| JoinOutcome { addr, error: error.clone() });
                        reply.send(outcomes.collect()).ok();
                    }
                    Command::Leave { reply } => {
                        reply.send(()).ok();
                        break;
                    }
                },
            }
        }
        stop.send_replace(true);
    };
    tokio::join!(serve, own);
    drop(snapshots);
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the stand-in is the edge")]
fn snapshot(config: &Config, advertised: &advertise::Advertised) -> Snapshot {
    let started = Clock {
        instant: Instant::now(),
        wall: SystemTime::now(),
    };
    let unix_ms = started
        .wall
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64);
    let id = NodeId::generate(unix_ms, [7; 10]);
    let host = advertised.addr.ip().to_string();
    let endpoints = config.endpoints.iter().map(|endpoint| {
        let host = endpoint.host.as_deref().unwrap_or(&host);
        (endpoint.name.clone(), format!("{host}:{}", endpoint.port))
    });
    let member = Member {
        id,
        name: config.node_name.clone(),
        addr: advertised.addr,
        status: MemberStatus::Alive,
        role: config.role,
        tags: config.tags.clone(),
        endpoints: endpoints.collect(),
        expect: config.bootstrap_expect,
        epoch: Epoch(unix_ms),
        since: started.instant,
        last_heard: None,
    };
    let mut membership = Membership::default();
    membership.update(BTreeMap::from([(id, member)]));
    Snapshot {
        quorum: Arc::new(Quorum::forming(&membership, config.bootstrap_expect)),
        membership: Arc::new(membership),
        discovery: Arc::new(Discovery::default()),
        counters: Counters::default(),
        joined: false,
        leaving: false,
        taken: started.instant,
        rendered: Rendered::default(),
        about: Arc::new(About {
            id,
            epoch: Epoch(unix_ms),
            cluster: config.cluster.clone(),
            bound: config.bind,
            advertised: advertised.addr,
            advertised_because: advertised.because.clone(),
            state_dir: config.state_dir.display().to_string(),
            profile: config.profile.name(),
            started,
        }),
    }
}
