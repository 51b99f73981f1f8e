//! A real Raft group of three, bootstrapped through the library: three servers in one process, each with its own agent
//! inside, its own state directory and its own Raft node behind a TCP port.
//!
//! ```sh
//! cargo run --no-default-features --example embedded
//! ```
//!
//! `Server::start` and `Candidate::bootstrap` show the part of a server of yours. Any user of openraft writes a
//! `store` and a `network` like these.

mod network;
mod store;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt::Display,
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU16,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use chronik_agent::{
    agent::{Agent, AgentError},
    bootstrap::{Decision, EstablishedReport, Founder, Group, ReportRefused, ServerReport, VoterRef},
    config::{Config, ConfigError, Draft, EndpointFlag, Host, HttpAddr, Profile},
    handle::{Handle, NotDone, Stopped},
    node::{EndpointName, InvalidName},
    quorum::Quorum,
    snapshot::Snapshot,
};
use openraft::{
    BasicNode, Raft, RaftMetrics,
    error::{ClientWriteError, InitializeError, RaftError},
};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinError, JoinSet},
    time::timeout,
};

use self::{
    network::{Network, serve},
    store::{KeyValue, LogStore, Put, State, StateMachine},
};

/// Time for the whole story: it takes some five seconds, and a busy machine gets more.
const PATIENCE: Duration = Duration::from_secs(60);
/// Interval of Raft's heartbeats.
const HEARTBEAT_MS: u64 = 100;
/// Shortest election time-out of Raft: ten missed heartbeats, because three nodes beside a compiler on two cores are
/// late, not dead.
const ELECTION_MIN_MS: u64 = 1_000;
/// Longest election time-out of Raft: twice the shortest, so that two nodes seldom stand at once.
const ELECTION_MAX_MS: u64 = 2_000;
/// The endpoint under which the servers find each other's Raft port.
const RAFT: &str = "raft";

fn main() -> ExitCode {
    let ended = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failed::Io);
    match ended.and_then(|runtime| runtime.block_on(story(&mut io::stdout()))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            // If standard error is closed, there is nothing left to do.
            writeln!(io::stderr(), "embedded: {failed}").ok();
            ExitCode::FAILURE
        }
    }
}

/// Bootstraps, writes, loses the leader, writes again, and leaves.
pub(crate) async fn story(out: &mut (dyn Write + Send)) -> Result<(), Failed> {
    let home = Home(std::env::temp_dir().join(format!("chronik-agent-embedded-{}", std::process::id())));
    timeout(PATIENCE, tell(&home.0, out)).await.map_err(|_| Failed::TooSlow)?
}

async fn tell(home: &Path, out: &mut (dyn Write + Send)) -> Result<(), Failed> {
    let mut candidates = Vec::new();
    for name in ["n1", "n2", "n3"] {
        let seed = candidates.first().map(Candidate::gossip_addr);
        let candidate = Server::start(name, &home.join(name), seed).await?;
        let (gossip, raft) = (candidate.gossip_addr(), candidate.listener.local_addr()?);
        writeln!(out, "{name}: its agent gossips at {gossip}, its Raft node listens at {raft}")?;
        candidates.push(candidate);
    }
    let mut founding: JoinSet<_> = candidates.into_iter().map(Candidate::bootstrap).collect();
    let mut servers = BTreeMap::new();
    while let Some(founded) = founding.join_next().await {
        let (server, why) = founded??;
        writeln!(out, "{}: {why}", server.name)?;
        servers.insert(server.id, server);
    }
    for server in servers.values() {
        let founded = |seen: &Snapshot| matches!(seen.founding.decision, Decision::Resume(_));
        let again = server.handle.wait_for(|seen| founded(seen) && seen.quorum.missing.is_empty()).await?;
        let quorum = &again.quorum;
        let (alive, voters) = (quorum.voters_alive, quorum.voters);
        writeln!(out, "{}: from now on `resume`; {alive} of {voters} voters are alive", server.name)?;
    }
    let leader = write(&servers, "colour", "blue", out).await?;
    read(&servers, "colour", "blue", out).await?;

    let lost = servers.remove(&leader).expect("the one that was written through is among them");
    writeln!(out, "{}: stopped for good, without a goodbye", lost.name)?;
    let gone = lost.crash().await?;
    write(&servers, "colour", "green", out).await?;
    read(&servers, "colour", "green", out).await?;
    for server in servers.values() {
        let missing =
            |quorum: &Quorum| quorum.missing.iter().map(|voter| voter.name.clone()).collect::<Vec<_>>();
        let seen = server.handle.wait_for(|seen| missing(&seen.quorum) == [gone.as_str()]).await?;
        let quorum = &seen.quorum;
        let (alive, voters, required) = (quorum.voters_alive, quorum.voters, quorum.required);
        let has = if quorum.has_quorum() { "a quorum" } else { "no quorum" };
        writeln!(
            out,
            "{}: {alive} of {voters} voters are alive, {required} must be: {has}; missing: {gone}",
            server.name
        )?;
    }
    for server in servers.into_values() {
        let name = server.leave().await?;
        writeln!(out, "{name}: has left")?;
    }
    Ok(())
}

/// Writes through the leader, and returns its id.
async fn write(
    servers: &BTreeMap<u16, Server>,
    key: &str,
    value: &str,
    out: &mut (dyn Write + Send),
) -> Result<u16, Failed> {
    for server in servers.values().cycle() {
        let known = |id: Option<u16>| id.and_then(|id| servers.get(&id));
        let seen =
            server.raft.wait(None).metrics(|seen| known(seen.current_leader).is_some(), "a leader").await;
        let seen = seen.map_err(Failed::raft)?;
        let Some(leader) = known(seen.current_leader) else { continue };
        let put = Put { key: key.to_owned(), value: value.to_owned() };
        match leader.raft.client_write(put).await {
            Ok(written) => {
                let (name, term, index) = (&leader.name, seen.current_term, written.log_id.index);
                writeln!(out, "{name}: leads in term {term}; {key}={value} is committed as entry {index}")?;
                return Ok(leader.id);
            }
            // It leads no more: another server knows the new leader.
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => {}
            Err(error) => return Err(Failed::raft(error)),
        }
    }
    Err(Failed::Raft("no server is left to write to".to_owned()))
}

/// Reads the value from every server's own state, as soon as it is there.
async fn read(
    servers: &BTreeMap<u16, Server>,
    key: &str,
    value: &str,
    out: &mut (dyn Write + Send),
) -> Result<(), Failed> {
    for server in servers.values() {
        let mut state = server.state.clone();
        let is_there = |state: &State| state.values.get(key).is_some_and(|found| found == value);
        let found = state.wait_for(is_there).await.map_err(Failed::raft)?.values[key].clone();
        writeln!(out, "{}: reads {key}={found}", server.name)?;
    }
    Ok(())
}

/// A server whose agent runs, before the decision.
struct Candidate {
    name: String,
    handle: Handle,
    listener: TcpListener,
    tasks: JoinSet<Result<(), Failed>>,
}

/// A server that is a member of the group.
struct Server {
    name: String,
    /// The founder's number is the Raft node's id: the same on every node.
    id: u16,
    handle: Handle,
    raft: Raft<KeyValue>,
    state: watch::Receiver<State>,
    /// The agent, and the listener for Raft; they end with this set at the latest.
    tasks: JoinSet<Result<(), Failed>>,
}

impl Server {
    /// Binds the Raft port first, since the agent is to announce it, then the agent itself.
    async fn start(name: &str, state_dir: &Path, seed: Option<SocketAddr>) -> Result<Candidate, Failed> {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = TcpListener::bind(any_port).await?;
        let raft = listener.local_addr()?;
        let draft = Draft {
            cluster: "embedded".parse()?,
            node_name: Some(name.parse()?),
            profile: Profile::Local,
            bind: any_port,
            http: vec![HttpAddr::Tcp(any_port)],
            bootstrap_expect: NonZeroU16::new(3),
            endpoints: vec![EndpointFlag {
                name: RAFT.parse()?,
                host: Some(raft.ip().to_string()),
                port: raft.port(),
            }],
            state_dir: Some(state_dir.to_owned()),
            // One address of any member is enough.
            join: seed.into_iter().collect(),
            ..Draft::default()
        };
        let config = Config::new(draft, &Host::here())?;
        let agent = Agent::bind(config).await?;
        let handle = agent.handle();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { agent.run(std::future::pending()).await.map(drop).map_err(Failed::from) });
        Ok(Candidate { name: name.to_owned(), handle, listener, tasks })
    }

    /// Ends where it stands, as a crash would.
    async fn crash(self) -> Result<String, Failed> {
        drop(self.tasks);
        self.raft.shutdown().await?;
        Ok(self.name)
    }

    /// Says goodbye to the other agents and stops.
    async fn leave(mut self) -> Result<String, Failed> {
        self.handle.leave().await?;
        self.raft.shutdown().await?;
        // Only the agent ends: the other task listens for ever.
        self.tasks.join_next().await.transpose()?.transpose()?;
        Ok(self.name)
    }
}

impl Candidate {
    fn gossip_addr(&self) -> SocketAddr {
        self.handle.snapshot().about.bound
    }

    /// Awaits the decision, carries it out, and reports that the group exists; returns the decision in words too.
    async fn bootstrap(mut self) -> Result<(Server, String), Failed> {
        // A server that lives and dies with its agent needs no heartbeat. The id stands for the server's data: a server
        // that keeps any keeps its id there too.
        let report = ServerReport {
            server_id: self.name.clone().try_into()?,
            has_state: false,
            cluster_id: None,
            once: true,
            starts: None,
        };
        self.handle.attest(report).await?;
        let (group, initialise) = match self.handle.decision().await? {
            Decision::Bootstrap(group) => (group, true),
            // Another founder was so quick that the group exists: its leader sends the log.
            Decision::Resume(group) => (group, false),
            other @ (Decision::Wait { .. } | Decision::Join(_) | Decision::Conflict(_)) => {
                return Err(Failed::Decision { name: self.name, decision: Box::new(other) });
            }
        };
        let id = group.me.ordinal.ok_or_else(|| Failed::Raft(format!("{} is no founder", self.name)))?;
        let (log, machine) = (LogStore::default(), StateMachine::default());
        let state = machine.0.subscribe();
        let raft =
            Raft::new(id, Arc::new(raft_config()?), Network, log, machine).await.map_err(Failed::raft)?;
        let (listener, served) = (self.listener, raft.clone());
        self.tasks.spawn(async move { Ok(serve(listener, served).await?) });
        if initialise {
            match raft.initialize(members(&group)?).await {
                // Refused if another founder was first, whose group has the same members.
                Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
                Err(error) => return Err(Failed::raft(error)),
            }
        }
        report_established(&self.handle, &raft, &group).await?;
        let founders: Vec<_> = group.founders.iter().map(|founder| founder.name.as_str()).collect();
        let what = if initialise { "bootstrap" } else { "resume" };
        let why = format!("`{what}` cluster {}: {}; I am {id}", group.cluster_id, founders.join(", "));
        Ok((Server { name: self.name, id, handle: self.handle, raft, state, tasks: self.tasks }, why))
    }
}

/// Exactly the founders, by their ordinals.
fn members(group: &Group) -> Result<BTreeMap<u16, BasicNode>, Failed> {
    let name: EndpointName = RAFT.parse()?;
    let member = |(id, founder): (u16, &Founder)| {
        let addr = founder.endpoints.get(&name);
        let addr = addr.ok_or_else(|| Failed::Raft(format!("{} announces no {RAFT}", founder.name)))?;
        Ok((id, BasicNode::new(addr)))
    };
    (1..).zip(&group.founders).map(member).collect()
}

/// Reports the voters to the agent, once they are committed. A server whose voters change reports them again.
async fn report_established(handle: &Handle, raft: &Raft<KeyValue>, group: &Group) -> Result<(), Failed> {
    let is_committed = |seen: &RaftMetrics<u16, BasicNode>| {
        seen.last_applied.is_some() && seen.last_applied >= *seen.membership_config.log_id()
    };
    let seen = raft.wait(None).metrics(is_committed, "the voters are committed").await;
    let voters = seen.map_err(Failed::raft)?.membership_config;
    let report = EstablishedReport {
        cluster_id: group.cluster_id,
        // openraft counts from 0, which to the agent means that nothing has been reported.
        config_index: Some(voters.log_id().map_or(0, |id| id.index) + 1),
        adopt: false,
        voters: voters.voter_ids().map(VoterRef::Ordinal).collect(),
    };
    Ok(handle.establish(report).await?)
}

fn raft_config() -> Result<openraft::Config, Failed> {
    let config = openraft::Config {
        cluster_name: "embedded".to_owned(),
        heartbeat_interval: HEARTBEAT_MS,
        election_timeout_min: ELECTION_MIN_MS,
        election_timeout_max: ELECTION_MAX_MS,
        ..openraft::Config::default()
    };
    config.validate().map_err(Failed::raft)
}

/// The servers' state directories, removed at the end of the story.
struct Home(PathBuf);

impl Drop for Home {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// Reason for which the story ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    #[error("the agent's configuration: {0}")]
    Config(#[from] ConfigError),
    #[error("the agent: {0}")]
    Agent(#[from] AgentError),
    #[error(transparent)]
    Stopped(#[from] Stopped),
    #[error(transparent)]
    NotDone(#[from] NotDone<ReportRefused>),
    #[error("no decision: {0}")]
    Undecided(#[from] NotDone<Infallible>),
    #[error(transparent)]
    Name(#[from] InvalidName),
    #[error("{name} was to bootstrap a group of three, but its agent decided otherwise: {decision:?}")]
    Decision { name: String, decision: Box<Decision> },
    #[error("Raft: {0}")]
    Raft(String),
    #[error("a task failed: {0}")]
    Task(#[from] JoinError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("not done within {PATIENCE:?}: the machine is too busy, or something hangs")]
    TooSlow,
}

impl Failed {
    fn raft(error: impl Display) -> Self {
        Self::Raft(error.to_string())
    }
}
