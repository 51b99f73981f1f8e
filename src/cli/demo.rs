//! `demo`: a few agents on this host, so that one can watch them find each other and notice a crash.

use std::{
    fs, io,
    net::{SocketAddr, TcpListener, UdpSocket},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    pin::{Pin, pin},
    process::Stdio,
    time::Duration,
};

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::{
    client::Client,
    demo_screen::{Medium, Row, Screen},
    error::{CliError, DemoError},
    output::{Outcome, Output},
};
use crate::{
    api,
    config::{DEFAULT_GOSSIP_PORT, HttpAddr, LEAVE_WITHIN},
    membership::MemberStatus,
};

/// Interval at which the agents are asked; short enough to see a suspicion pass.
const REFRESH: Duration = Duration::from_millis(200);
/// Time for the answers of one agent before the table goes on without it.
const ANSWER_WITHIN: Duration = Duration::from_millis(300);

/// The flags of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// How many agents
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u16).range(1..=99))]
    nodes: u16,
    /// Keep their state and logs afterwards, and say where they are
    #[arg(long)]
    keep: bool,
}

/// One agent of the demo.
#[derive(Debug)]
struct Node {
    name: String,
    http: SocketAddr,
    child: Child,
    pid: u32,
    log: PathBuf,
    ended: Option<String>,
}

pub(super) async fn run(
    args: &DemoArgs,
    output: &mut Output<'_>,
    interrupt: impl Future<Output = ()>,
) -> Result<Outcome, CliError> {
    let mut interrupt = pin!(interrupt);
    // Polled once before anything starts: from then on a signal is caught, and the agents are stopped at the end.
    tokio::select! {
        biased;
        () = interrupt.as_mut() => return Ok(Outcome::Done),
        () = std::future::ready(()) => {}
    }
    let dir = std::env::temp_dir().join(format!("chronik-agent-demo-{}", std::process::id()));
    let mut nodes = start(args.nodes, &dir)?;
    let shown = watch(&mut nodes, output, interrupt.as_mut()).await;
    stop(&mut nodes).await;
    if args.keep {
        writeln!(output.out, "state and logs are kept in {}", dir.display())?;
    } else if let Err(error) = fs::remove_dir_all(&dir) {
        writeln!(output.err, "cannot remove {}: {error}", dir.display())?;
    }
    shown.map(|()| Outcome::Done)
}

fn start(count: u16, dir: &Path) -> Result<Vec<Node>, DemoError> {
    let ports = ports(count).map_err(DemoError::Ports)?;
    let seeds: Vec<String> = ports.iter().map(|at| at.gossip.to_string()).collect();
    let seeds = seeds.join(",");
    let node = |(number, at): (usize, &Ports)| {
        let name = format!("node-{}", number + 1);
        let home = dir.join(&name);
        let log = dir.join(format!("{name}.log"));
        let failed = |error| DemoError::Directory { path: home.display().to_string(), error };
        fs::create_dir_all(&home).map_err(failed)?;
        let file = fs::File::create(&log).map_err(failed)?;
        let program = std::env::current_exe().map_err(DemoError::Start)?;
        let mut command = Command::new(program);
        command
            .args(["--cluster", "demo", "--profile", "local", "--node-name", &name])
            .args(["--bind", &at.gossip.to_string(), "--http", &at.http.to_string()])
            .args(["--bootstrap-expect", &count.to_string(), "--state-dir"])
            .arg(&home);
        if count > 1 {
            command.args(["--join", &seeds]);
        }
        let foreign =
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CHRONIK_AGENT_"));
        for (variable, _) in foreign {
            command.env_remove(variable);
        }
        // In a process group of its own, or Ctrl-C would reach it before the demo.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).process_group(0).kill_on_drop(true);
        let child = command.spawn().map_err(DemoError::Start)?;
        let pid = child.id().unwrap_or_default();
        Ok(Node { name, http: at.http, child, pid, log, ended: None })
    };
    ports.iter().enumerate().map(node).collect()
}

/// The addresses of one agent.
struct Ports {
    gossip: SocketAddr,
    http: SocketAddr,
}

/// Ports for `count` agents: the default ones and every tenth after them if all are free, else any that are.
fn ports(count: u16) -> io::Result<Vec<Ports>> {
    let local = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    let usual: Vec<_> = (0..count)
        .map(|number| DEFAULT_GOSSIP_PORT + 10 * number)
        .map(|port| Ports { gossip: local(port), http: local(port + 1) })
        .collect();
    let free = |addr: SocketAddr| TcpListener::bind(addr).is_ok() && UdpSocket::bind(addr).is_ok();
    if usual.iter().all(|at| free(at.gossip) && free(at.http)) {
        return Ok(usual);
    }
    // All are held until the last one is bound, so that none is given twice.
    let held = (0..2 * count).map(|_| TcpListener::bind(local(0)));
    let held = held.collect::<io::Result<Vec<_>>>()?;
    let addrs = held.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
    let pairs =
        addrs.chunks_exact(2).filter_map(|pair| Some(Ports { gossip: *pair.first()?, http: *pair.last()? }));
    Ok(pairs.collect())
}

async fn watch(
    nodes: &mut [Node],
    output: &mut Output<'_>,
    mut interrupt: Pin<&mut impl Future<Output = ()>>,
) -> Result<(), CliError> {
    let mut screen = Screen::new(if output.terminal { Medium::Terminal } else { Medium::Pipe });
    let victim = nodes.last().map_or(0, |node| node.pid);
    writeln!(
        output.out,
        "{} agents; try `kill -9 {victim}` to see the others notice; Ctrl-C ends all",
        nodes.len()
    )?;
    loop {
        for node in nodes.iter_mut() {
            if let Ok(Some(status)) = node.child.try_wait() {
                node.ended = Some(status.signal().map_or_else(
                    || format!("exit code {}", status.code().unwrap_or_default()),
                    |signal| format!("signal {signal}"),
                ));
            }
        }
        if nodes.iter().all(|node| node.ended.is_some()) {
            let log = nodes.first().map(|node| fs::read_to_string(&node.log).unwrap_or_default());
            let last = log.as_deref().and_then(|log| log.lines().last()).unwrap_or("none");
            return Err(DemoError::AllEnded(last.to_owned()).into());
        }
        // Beside the interrupt, so that Ctrl-C need not wait for an agent that is paused.
        let rows = tokio::select! {
            rows = rows(nodes) => rows,
            () = interrupt.as_mut() => return Ok(()),
        };
        screen.draw(output.out, &rows)?;
        tokio::select! {
            () = tokio::time::sleep(REFRESH) => {}
            () = interrupt.as_mut() => return Ok(()),
        }
    }
}

/// The answers of one agent.
struct View {
    members: api::Members,
    quorum: api::Quorum,
}

async fn view(node: &Node) -> Option<View> {
    let client = Client::new(HttpAddr::Tcp(node.http), None);
    let ask = async {
        let members = client.read_now("/v1/members").await.ok()?;
        Some(View { members, quorum: client.read_now("/v1/quorum").await.ok()? })
    };
    tokio::time::timeout(ANSWER_WITHIN, ask).await.ok()?
}

async fn rows(nodes: &[Node]) -> Vec<Row> {
    let mut views = Vec::with_capacity(nodes.len());
    for node in nodes {
        views.push(if node.ended.is_none() { view(node).await } else { None });
    }
    let row = |(number, node): (usize, &Node)| {
        let others = views.iter().enumerate().filter(|(other, _)| *other != number);
        let seen_by = others.filter_map(|(_, view)| view.as_ref());
        let mut seen_as: Vec<MemberStatus> = seen_by
            .filter_map(|view| view.members.members.iter().find(|member| member.name.as_str() == node.name))
            .map(|member| member.status)
            .collect();
        seen_as.sort_unstable();
        seen_as.dedup();
        let own = views.get(number).and_then(Option::as_ref);
        let process = match (&node.ended, own) {
            (Some(ended), _) => format!("ended, {ended}"),
            (None, Some(_)) => "running".to_owned(),
            (None, None) => "silent".to_owned(),
        };
        Row {
            name: node.name.clone(),
            pid: node.pid,
            http: format!("http://{}", node.http),
            process,
            sees: own.map_or_else(|| "-".to_owned(), |view| sees(&view.members)),
            seen_as: text(&seen_as),
            quorum: own.map_or_else(|| "-".to_owned(), |view| quorum(&view.quorum)),
        }
    };
    nodes.iter().enumerate().map(row).collect()
}

fn text(statuses: &[MemberStatus]) -> String {
    match statuses {
        [] => "-".to_owned(),
        statuses => statuses.iter().map(ToString::to_string).collect::<Vec<_>>().join("/"),
    }
}

fn sees(members: &api::Members) -> String {
    use MemberStatus::{Alive, Failed, Left, Suspect};
    let counts = [Alive, Suspect, Failed, Left].map(|status| {
        let count = members.members.iter().filter(|member| member.status == status).count();
        (count > 0).then(|| format!("{count} {status}"))
    });
    counts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn quorum(quorum: &api::Quorum) -> String {
    let status = serde_json::to_value(quorum.status).ok();
    let status = status.as_ref().and_then(|status| status.as_str()).unwrap_or("-");
    format!("{status}, {} of {}", quorum.voters_alive, quorum.voters)
}

/// Tells all to leave, waits as long as that may take, and ends those that did not.
async fn stop(nodes: &mut [Node]) {
    for node in nodes.iter().filter(|node| node.ended.is_none()) {
        let pid = i32::try_from(node.pid).ok().and_then(Pid::from_raw);
        // An agent that is gone already needs no signal.
        pid.map(|pid| kill_process(pid, Signal::TERM).ok());
    }
    let all = async {
        for node in nodes.iter_mut() {
            node.child.wait().await.ok();
        }
    };
    if tokio::time::timeout(LEAVE_WITHIN + Duration::from_secs(1), all).await.is_err() {
        for node in nodes {
            node.child.kill().await.ok();
        }
    }
}
