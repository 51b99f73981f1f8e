//! A host: its agent, and its server, which `exec` starts; both are started again when they have ended, as a service manager
//! would.

use std::{
    fs,
    io::{Read as _, Seek as _, SeekFrom},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    disks::Disks,
    history::{Seen, Start},
    network::{Network, addr},
    program::{Flags, Part, Program},
};

const AGENT: &str = env!("CARGO_BIN_EXE_chronik-agent");
/// Pause before a process that ended is started again.
const AGAIN_MS: u64 = 1_000;
/// Time to end in good order: three times what the agent promises, for a busy machine.
const ORDERLY_MS: u64 = 9_000;
/// The end of a log that is shown where its process ended.
const TAIL: u64 = 600;

/// A process that should run.
#[derive(Debug)]
struct Process {
    child: Option<Child>,
    /// Faults that keep it from being started.
    holds: u32,
    /// Millisecond of the SIGTERM that it is to obey.
    terminated: Option<u64>,
    not_before: u64,
}

/// A host.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) host: usize,
    pub(crate) disks: Disks,
    root: PathBuf,
    on: [String; 5],
    flags: Vec<String>,
    expect: usize,
    /// Flags of a fault, in place of its own.
    pub(crate) other_flags: Option<Flags>,
    shifts_clock: bool,
    agent: Process,
    server: Process,
    starts_read: usize,
}

impl Node {
    pub(crate) fn new(host: usize, place: &Path, network: &Network, program: &Program) -> Self {
        let root = place.join(format!("h{host}"));
        fs::create_dir_all(&root).unwrap();
        let seeds: Vec<String> = (0..program.hosts).map(|other| addr(other).to_string()).collect();
        let mut flags = vec![
            format!("--node-name=h{host}"),
            format!("--bind={}", addr(host)),
            format!("--http=unix:{}", root.join("agent.sock").display()),
            "--profile=local".to_owned(),
            format!("--join={}", seeds.join(",")),
            "--endpoint=peer=:2380".to_owned(),
        ];
        if program.keyed {
            flags.push(format!("--encrypt-key-file={}", place.join("keys").display()));
        }
        let disks = Disks::mount(&root);
        flags.push(format!("--state-dir={}", disks.state().display()));
        let node = Self {
            host,
            disks,
            on: network.on(host),
            flags,
            expect: program.expect,
            other_flags: None,
            shifts_clock: program.shifts_clock(host),
            agent: Process::new(program.starts[host]),
            server: Process::new(program.starts[host]),
            starts_read: 0,
            root,
        };
        node.set_clock(0);
        node
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.root.join("agent.sock")
    }

    /// The address at which etcd answers clients.
    pub(crate) fn clients(host: usize) -> SocketAddr {
        (addr(host), 2379).into()
    }

    pub(crate) fn set_clock(&self, seconds: i64) {
        let place = self.root.join("clock");
        fs::write(self.root.join("clock.new"), format!("{seconds:+}")).unwrap();
        fs::rename(self.root.join("clock.new"), place).unwrap();
    }

    /// Reaps what has ended, and starts what should run. `starts_server` is false where nobody has added the server to the
    /// cluster that it would join.
    pub(crate) fn tend(&mut self, at: u64, starts_server: bool) -> Vec<Seen> {
        let mut seen = Vec::new();
        let (agent_log, server_log) = (self.root.join("agent.log"), self.root.join("server.log"));
        if let Some(how) = self.agent.reap(at, &agent_log, Some(0)) {
            seen.push(Seen::AgentEnded(how));
        }
        if let Some(how) = self.server.reap(at, &server_log, None) {
            seen.push(Seen::ServerEnded(how));
        }
        if self.agent.should_start(at) {
            self.agent.child = Some(self.command(&agent_log).args(self.agent_flags()).spawn().unwrap());
        }
        if starts_server && self.server.should_start(at) {
            self.server.child = Some(self.server_command(&server_log).spawn().unwrap());
        }
        let starts = fs::read_to_string(self.root.join("starts")).unwrap_or_default();
        for line in starts.lines().skip(self.starts_read) {
            seen.push(Seen::Started(Start::read(line)));
            self.starts_read += 1;
        }
        seen
    }

    fn agent_flags(&self) -> Vec<String> {
        let own = [format!("--bootstrap-expect={}", self.expect), "--cluster=nemesis".to_owned()];
        let [expect, cluster] = own;
        let more = match self.other_flags {
            None => vec![expect, cluster],
            Some(Flags::OtherCluster) => vec![expect, "--cluster=other".to_owned()],
            Some(Flags::Expect(other)) => vec![format!("--bootstrap-expect={other}"), cluster],
            Some(Flags::Observer) => vec!["--role=observer".to_owned(), cluster],
            Some(Flags::JoinOnly) => vec!["--join-only".to_owned(), expect, cluster],
        };
        self.flags.iter().cloned().chain(more).collect()
    }

    /// The program on this host.
    fn command(&self, log: &Path) -> Command {
        let mut command = Command::new(&self.on[0]);
        command.args(&self.on[1..]);
        if self.shifts_clock
            && let Some(library) = libfaketime()
        {
            command.arg("env").arg(format!("LD_PRELOAD={}", library.display()));
            command.arg(format!("FAKETIME_TIMESTAMP_FILE={}", self.root.join("clock").display()));
            command.args(["FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", "DONT_FAKE_MONOTONIC=1"]);
        }
        let log = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        command.arg(AGENT).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command
    }

    fn server_command(&self, log: &Path) -> Command {
        let mut command = Command::new(&self.on[0]);
        let (data, addr) = (self.disks.data().display().to_string(), addr(self.host));
        let log = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        command.args(&self.on[1..]).arg(AGENT);
        command.args(["exec", "--http", &format!("unix:{}", self.socket().display())]);
        command.args(["--template", "etcd", "--attest", &data, "--"]);
        // The wrapper notes how it was started, and becomes etcd.
        command.arg(self.root.with_file_name("etcd")).args(["--data-dir", &data]);
        command.args(["--listen-peer-urls", &format!("http://{addr}:2380")]);
        command.args(["--listen-client-urls", &format!("http://{addr}:2379")]);
        command.args(["--advertise-client-urls", &format!("http://{addr}:2379")]);
        command.env("NEMESIS_DATA", &data).env("NEMESIS_STARTS", self.root.join("starts"));
        command.env("GOMAXPROCS", "1").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command
    }

    fn processes(&mut self, part: Part) -> impl Iterator<Item = &mut Process> {
        let agent = part.has_agent().then_some(&mut self.agent);
        agent.into_iter().chain(part.has_server().then_some(&mut self.server))
    }

    /// Keeps a part from being started.
    pub(crate) fn hold(&mut self, part: Part) {
        self.processes(part).for_each(|process| process.holds += 1);
    }

    pub(crate) fn release(&mut self, part: Part) {
        self.processes(part).for_each(|process| process.holds -= 1);
    }

    /// Ends a part with SIGKILL, and waits for its end.
    pub(crate) fn kill(&mut self, part: Part) {
        self.processes(part).for_each(Process::kill);
    }

    /// Asks a part to end in good order.
    pub(crate) fn terminate(&mut self, part: Part, at: u64) {
        // A second SIGTERM ends an agent at once, and with another exit code.
        let asks = |process: &&mut Process| process.child.is_some() && process.terminated.is_none();
        for process in self.processes(part).filter(asks) {
            process.signal(Signal::CONT);
            process.signal(Signal::TERM);
            process.terminated.get_or_insert(at);
        }
    }

    pub(crate) fn pause(&mut self, part: Part, pauses: bool) {
        let signal = if pauses { Signal::STOP } else { Signal::CONT };
        self.processes(part).for_each(|process| process.signal(signal));
    }

    /// The end of both logs, for a program that failed.
    pub(crate) fn logs(&self) -> String {
        let log = |name: &str, most: u64| tail(&self.root.join(name), most);
        format!(
            "--- agent {0}\n{1}\n--- server {0}\n{2}",
            self.host,
            log("agent.log", 6_000),
            log("server.log", 3_000)
        )
    }

    /// Everything that the agent has logged.
    pub(crate) fn agent_log(&self) -> String {
        let log = fs::read(self.root.join("agent.log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }
}

impl Process {
    fn new(not_before: u64) -> Self {
        Self { child: None, holds: 0, terminated: None, not_before }
    }

    fn should_start(&self, at: u64) -> bool {
        self.child.is_none() && self.holds == 0 && at >= self.not_before
    }

    /// Takes note of an end; tells of one that was not asked for, or not in the way that was asked.
    fn reap(&mut self, at: u64, log: &Path, orderly: Option<i32>) -> Option<String> {
        let child = self.child.as_mut()?;
        let Some(status) = child.try_wait().unwrap() else {
            let is_late = self.terminated.is_some_and(|asked| at > asked + ORDERLY_MS);
            if is_late {
                self.kill();
            }
            return (is_late && orderly.is_some()).then(|| format!("not, {ORDERLY_MS} ms after SIGTERM"));
        };
        let asked = self.terminated.take().is_some();
        (self.child, self.not_before) = (None, at + AGAIN_MS);
        let as_asked = asked && orderly.is_none_or(|code| status.code() == Some(code));
        let said = tail(log, TAIL);
        (!as_asked).then(|| format!("{status}, SIGTERM {asked}: {}", said.lines().last().unwrap_or_default()))
    }

    fn kill(&mut self) {
        self.terminated = None;
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().unwrap();
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(child) = &self.child {
            kill_process(Pid::from_child(child), signal).ok();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The library that shifts the wall clock of one process, where it is installed. A time namespace shifts only the others.
pub(crate) fn libfaketime() -> Option<PathBuf> {
    let places = fs::read_dir("/usr/lib").ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    places.map(|place| place.join("faketime/libfaketimeMT.so.1")).find(|path| path.exists())
}

fn tail(path: &Path, most: u64) -> String {
    let Ok(mut file) = fs::File::open(path) else { return String::new() };
    let size = file.metadata().map_or(0, |metadata| metadata.len());
    let mut end = Vec::new();
    file.seek(SeekFrom::Start(size.saturating_sub(most))).and_then(|_| file.read_to_end(&mut end)).ok();
    String::from_utf8_lossy(&end).trim().to_owned()
}
