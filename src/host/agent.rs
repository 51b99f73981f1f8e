//! The agent: binds the sockets, loads the state, and runs the tasks until one of them ends.

mod alarm;
mod core;
mod error;
mod keys;
mod moving;
mod peers;
mod publish;
mod replies;
mod saving;
mod settings;
mod talks;
mod tolls;

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::{Instant, SystemTime},
};

use chronik_providers::{Reach, SpecError};
use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use zeroize::Zeroizing;

use self::core::{Core, Inputs, Outputs};
pub use self::{core::Ended, error::AgentError};
use crate::{
    advertise::{self, Advertised},
    bootstrap::{FoundingRecord, NodeRecord, SeedGate},
    choice::Choice as _,
    config::{Config, DEFAULT_GOSSIP_PORT},
    descriptors,
    gossip::{self, Gossip, Peer, Settings},
    handle::Handle,
    http,
    log::Log,
    machine::Machine,
    node::{Endpoints, Epoch},
    reporter::{Reporter, Wished},
    retry_join::Source,
    servers::Driver,
    service_manager::ServiceManager,
    shutdown::Signals,
    signing::NodeKey,
    snapshot::{About, Clock},
    state_dir::{StateDir, StateError},
    token::Token,
    transport::{self, Sockets},
    watchdog,
    wire::KeyChange,
};

/// Length of each queue between the tasks; a full one makes its sender wait.
const QUEUE: usize = 256;

/// Runs an agent until SIGTERM, SIGINT or a `leave`; if it hangs, it ends the program with a last line in `log`.
///
/// # Errors
/// The agent cannot start, or a second signal cuts its goodbye short.
pub async fn run(config: Config, log: &Log) -> Result<(), AgentError> {
    let mut signals = Signals::catch()?;
    descriptors::raise();
    let config = Arc::new(config);
    loop {
        match Box::pin(run_life(config.clone(), log, &mut signals)).await? {
            Ended::Left => return Ok(()),
            Ended::StartOver => tracing::info!("starting over as a new node"),
            Ended::Moved => tracing::info!("starting anew at the address that this host has now"),
        }
    }
}

async fn run_life(config: Arc<Config>, log: &Log, signals: &mut Signals) -> Result<Ended, AgentError> {
    let mut agent = Agent::bind(config.clone()).await?;
    let handle = agent.handle();
    let at = handle.snapshot().about.advertised;
    agent.core.tell(ServiceManager::of_this_process());
    watchdog::watch(agent.core.pulse(), log.clone())?;
    let (stop, stopping) = watch::channel(false);
    let running = agent.run(async move {
        let mut stopping = stopping;
        // An error means that no signal can come any more, and that none came.
        if stopping.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    });
    tokio::pin!(running);
    let moves = async {
        let next = moving::await_move(&config, at).await;
        tracing::warn!(
            was = %at, now = %next.addr, because = next.because,
            "the address of this host is another one; the agent moves there"
        );
        handle.move_away().await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = &mut running => return ended,
        () = signals.next() => stop.send_replace(true),
        () = moves => return Ok(Ended::Moved),
    };
    tokio::select! {
        ended = running => ended,
        () = signals.next_stop() => Err(AgentError::Aborted),
    }
}

/// An agent with its sockets and its state, ready to run.
#[derive(Debug)]
pub struct Agent {
    config: Arc<Config>,
    /// Boxed, since it is large and is moved from here into its task.
    core: Box<Core>,
    sources: Vec<Source>,
    /// The driver of the server beside it, and what it announces of that.
    driver: Option<(Box<dyn Driver>, Endpoints)>,
    wishes: mpsc::Receiver<Wished>,
    listeners: Vec<http::Listener>,
    token: Option<Token>,
    streams: tokio::net::TcpListener,
    requests: mpsc::Sender<transport::Request>,
    updates: mpsc::Sender<crate::retry_join::Update>,
    changed_keys: mpsc::Receiver<KeyChange>,
    handle: Handle,
}

impl Agent {
    /// Binds everything, and so finds every mistake that can be found before the first packet.
    ///
    /// # Errors
    /// The first mistake, with flag, value and remedy.
    pub async fn bind(config: impl Into<Arc<Config>>) -> Result<Self, AgentError> {
        let config = config.into();
        let token = config.http_token_file.as_deref().map(Token::read).transpose()?;
        let state = StateDir::open(&config.state_dir)?;
        let listeners = http::bind(&config.http).await?;
        let interfaces = advertise::interfaces()?;
        let bound = advertise::bound_for(config.bind, &interfaces);
        let Sockets { datagrams, tcp, addr } = transport::bind(bound).await?;
        let advertised = advertise::choose(config.advertise.as_ref(), addr, &interfaces)?;
        let started = clock();
        let mut rng: StdRng = StdRng::from_rng(&mut system_rng());
        let Start { node, former, fault } = start_of_life(&state, started)?;
        let settings = Settings {
            cluster: config.cluster.clone(),
            timing: settings::timing(config.profile),
            key: node.founding.key.clone(),
            addr: advertised.addr,
            epoch: node.epoch,
            former,
            metadata: settings::metadata(&config, advertised.addr),
            cached: state.peers(),
            encryption: keys::at_start(&config, addr, &mut system_rng())?,
            read_record: gossip::Record::read,
            seed: rng.next_u64(),
        };
        let driver = settings::driver(&config, &settings);
        let founding = settings::founding(&config, &settings, driver.as_ref().map(|(driver, _)| &**driver));
        let gossip = Gossip::new(settings, started.instant)?;
        let me = *gossip.me();
        let founding_rng = StdRng::from_rng(&mut rng);
        let mut machine = Machine::new(gossip, founding, node, founding_rng, started.instant);
        machine.note_unheard_providers(!config.retry_join.is_empty());
        if config.seed_gate == SeedGate::Strict && addr.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
            machine.await_both_families();
        }
        if let Some(error) = fault {
            tracing::error!(%error, "the record does not serve: this agent votes nothing");
            machine.handle_fault(error.reason(), started.instant);
        }
        let sources = sources(&config, &mut rng)?;
        let about = about(&config, &me, addr, &advertised, started);
        let (commands, asked) = mpsc::channel(QUEUE);
        let (requests, requested) = mpsc::channel(QUEUE);
        let (updates, updated) = mpsc::channel(QUEUE);
        let reports = sources.iter().map(Source::report).collect();
        let inputs = Inputs { datagrams, asked, requested, updated };
        let (key_changes, changed_keys) = mpsc::channel(keys::QUEUE);
        let (reporter, wishes) = mpsc::channel(talks::QUEUE);
        let outputs = Outputs { key_changes, reporter };
        let (core, snapshots) = Core::new(machine, state, inputs, Arc::new(about), reports, outputs, new_key);
        let handle = Handle::new(snapshots, commands);
        Ok(Self {
            config,
            core: Box::new(core),
            sources,
            driver,
            wishes,
            listeners,
            token,
            streams: tcp,
            requests,
            updates,
            changed_keys,
            handle,
        })
    }

    /// A handle on the agent for the rest of this process.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Runs until `stop` completes or a client asks the agent to leave, and says goodbye.
    ///
    /// # Errors
    /// A task ended by itself or failed.
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<Ended, AgentError> {
        let (api_ends, api_stops) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let keyring = self.core.keyring().cloned();
        let followed = self.config.encrypt_key_file.clone().zip(keyring);
        let mut core = self.core;
        let budgets = core.budgets();
        tasks.spawn(async move {
            let how = Box::pin(core.run(stop)).await;
            Task::Core(core, how)
        });
        let (config, handle, wishes) = (self.config, self.handle.clone(), self.wishes);
        let policy = settings::policy(&config);
        let reporter = self
            .driver
            .map(|driver| Reporter::new(driver, config.cluster.clone(), policy, handle.clone(), wishes));
        tasks.spawn(async move {
            let mut api_stops = api_stops;
            let stop = async move {
                // An error means that the agent is gone, which ends the API as well.
                api_stops.wait_for(|ended| *ended).await.ok();
            };
            http::serve(self.listeners, handle, &config, self.token, stop).await;
            Task::Other("API")
        });
        tasks.spawn(async move {
            transport::accept(self.streams, self.requests, budgets).await;
            Task::Other("stream")
        });
        for source in self.sources {
            let (handle, updates) = (self.handle.clone(), self.updates.clone());
            tasks.spawn(async move {
                source.run(handle, updates).await;
                Task::Other("retry-join")
            });
        }
        if let Some(reporter) = reporter {
            tasks.spawn(async move {
                reporter.run().await;
                Task::Other("server")
            });
        }
        if let Some((path, keyring)) = followed {
            let (handle, changes) = (self.handle.clone(), self.changed_keys);
            tasks.spawn(async move {
                keys::follow(path, keyring, changes, handle).await;
                Task::Other("keys")
            });
        }
        let first = tasks.join_next().await.transpose()?;
        api_ends.send_replace(true);
        let how = match first {
            Some(Task::Core(core, how)) => {
                // Not before: the other tasks end without it, and the first of them would look like the first of all.
                drop(core);
                how
            }
            Some(Task::Other(task)) => return Err(AgentError::TaskEnded(task)),
            None => return Err(AgentError::TaskEnded("only")),
        };
        // Only the API has something to finish: the answers in flight, within a second.
        while let Some(task) = tasks.join_next().await.transpose()? {
            if matches!(task, Task::Other("API")) {
                break;
            }
        }
        // A new life may follow, and listens on the sockets that this one had.
        tasks.shutdown().await;
        Ok(how)
    }
}

/// A task that has ended.
enum Task {
    Core(Box<Core>, Ended),
    Other(&'static str),
}

/// A start of the node.
struct Start {
    node: NodeRecord,
    /// The latest start before this one that its record knew.
    former: Option<Epoch>,
    /// The reason why the record does not serve; the node votes nothing then.
    fault: Option<StateError>,
}

/// Makes this start of the node durable before another node hears of it. A record that does not read is left as it is,
/// and the node runs under a passing id.
fn start_of_life(state: &StateDir, started: Clock) -> Result<Start, StateError> {
    let unix_ms = started.unix_ms();
    let known = match state.node() {
        Ok(known) => known,
        Err(error) => {
            let passing =
                NodeRecord { epoch: Epoch::next(None, unix_ms), founding: FoundingRecord::blank(new_key()) };
            return Ok(Start { node: passing, former: None, fault: Some(error) });
        }
    };
    let former = known.as_ref().map(|known| known.epoch);
    let epoch = Epoch::next(former, unix_ms);
    let place = state.place();
    let mut founding = known.map(|known| known.founding);
    if let Some(renewed) = founding.as_ref().filter(|_| place.has_moved()).and_then(|it| it.afresh(new_key()))
    {
        // Two copies of a directory, such as that in an image of a host, would meet as one.
        tracing::info!("the state directory was copied; this is a new node");
        founding = Some(renewed);
    }
    let founding = founding.unwrap_or_else(|| FoundingRecord::blank(new_key()));
    let node = NodeRecord { epoch, founding };
    state.keep_node(&node)?;
    state.settle(place);
    Ok(Start { node, former, fault: None })
}

/// The facts about this start, which the log is told, too.
fn about(config: &Config, me: &Peer, bound: SocketAddr, advertised: &Advertised, started: Clock) -> About {
    tracing::info!(
        node = %me.id, name = %config.node_name, cluster = %config.cluster, epoch = %me.epoch(),
        %bound, advertised = %advertised.addr, because = advertised.because, "started"
    );
    if advertised.addr.ip().is_loopback() && bound.ip().is_unspecified() {
        tracing::warn!(
            advertised = %advertised.addr,
            "this host has no address that others could reach; one that comes is taken over within seconds"
        );
    }
    About {
        id: me.id,
        epoch: me.epoch(),
        cluster: config.cluster.clone(),
        bound,
        advertised: advertised.addr,
        advertised_because: advertised.because.clone(),
        state_dir: config.state_dir.display().to_string(),
        profile: config.profile.word(),
        started,
    }
}

fn sources(config: &Config, rng: &mut StdRng) -> Result<Vec<Source>, SpecError> {
    let source = |(position, spec): (usize, &chronik_providers::Spec)| {
        let provider = spec.connect_within(Reach::of(config.bind), DEFAULT_GOSSIP_PORT)?;
        Ok(Source::new(position, spec.provider(), spec.to_string(), provider, rng.next_u64()))
    };
    config.retry_join.iter().enumerate().map(source).collect()
}

#[expect(clippy::disallowed_methods, reason = "the shell reads both clocks, once and together")]
fn clock() -> Clock {
    Clock { instant: Instant::now(), wall: SystemTime::now() }
}

#[expect(clippy::disallowed_methods, reason = "the one place where chance comes in")]
fn system_rng() -> rand::rngs::ThreadRng {
    rand::rng()
}

/// A key for a new node.
fn new_key() -> NodeKey {
    NodeKey::new(&Zeroizing::new(system_rng().random()))
}
