//! The real program: its commands run to their end, and its agents, which are asked over HTTP.

use std::{
    ffi::OsStr,
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    rc::Rc,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use serde_json::Value;

use crate::awaiting::within;

/// Time for one step of an agent on loopback, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A directory that is removed with the test.
pub(crate) struct Dir(pub(crate) PathBuf);

impl Dir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("chronik-agent-test-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// The program, without variables of the environment that it would read.
pub(crate) fn program() -> Command {
    program_by(&[])
}

/// The program, run by a wrapper that ends in executing it.
fn program_by(wrapper: &[String]) -> Command {
    let ours = env!("CARGO_BIN_EXE_chronik-agent");
    let mut command = match wrapper {
        [] => Command::new(ours),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(ours);
            command
        }
    };
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CHRONIK_AGENT_") {
            command.env_remove(name);
        }
    }
    command
}

/// The end of a command: its exit code, and what it wrote.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) error: String,
}

impl Ended {
    /// An end with success and nothing on standard error.
    pub(crate) fn succeeded(out: impl Into<String>) -> Self {
        Self { code: 0, out: out.into(), error: String::new() }
    }

    /// An end with nothing on standard output.
    pub(crate) fn failed(code: i32, error: impl Into<String>) -> Self {
        Self { code, out: String::new(), error: error.into() }
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap(), out: text(output.stdout), error: text(output.stderr) }
    }
}

/// Runs a command to its end.
pub(crate) fn run<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Ended {
    program().args(args).stdin(Stdio::null()).output().unwrap().into()
}

/// A running agent, or one that has been killed and can be started again.
pub(crate) struct Agent {
    child: Child,
    wrapper: Vec<String>,
    args: Vec<String>,
    pub(crate) http: SocketAddr,
    pub(crate) dir: Rc<Dir>,
}

impl Agent {
    /// Starts an agent on free ports of loopback.
    pub(crate) fn start(flags: &[&str]) -> Self {
        let own = ["--bind", "127.0.0.1:0", "--node-name", "box"];
        Self::launch(Dir::new(), &[&own, flags].concat())
    }

    /// Starts an agent with its state and its log in `dir`; `DIR` in `flags` is replaced by its path.
    pub(crate) fn launch(dir: impl Into<Rc<Dir>>, flags: &[&str]) -> Self {
        Self::launch_by(&[], dir, flags)
    }

    /// Starts an agent by a wrapper that ends in executing it, as `env` and `unshare` do; `DIR` is replaced in it, too.
    pub(crate) fn launch_by(wrapper: &[&str], dir: impl Into<Rc<Dir>>, flags: &[&str]) -> Self {
        let dir = dir.into();
        let place = dir.0.to_str().unwrap();
        let placed = flags.windows(2).any(|pair| pair[0] == "--http" && !pair[1].starts_with("unix:"));
        let http: &[&str] = if placed { &[] } else { &["--http", "127.0.0.1:0"] };
        let own = [http, &["--state-dir", "DIR/state"]].concat();
        let args: Vec<_> = own.iter().chain(flags).map(|flag| flag.replace("DIR", place)).collect();
        let wrapper: Vec<_> = wrapper.iter().map(|word| word.replace("DIR", place)).collect();
        let (child, http) = spawn(&dir, &wrapper, &args);
        Self { child, wrapper, args, http, dir }
    }

    /// Kills the agent with SIGKILL, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().unwrap();
    }

    /// Starts the agent again with the same flags, after it has ended.
    pub(crate) fn restart(&mut self) {
        (self.child, self.http) = spawn(&self.dir, &self.wrapper, &self.args);
    }

    /// Sends a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Everything that the agent has logged, over all its restarts.
    pub(crate) fn log(&self) -> String {
        log_in(&self.dir)
    }

    /// The flag that makes a command ask this agent.
    pub(crate) fn at(&self) -> String {
        format!("--http={}", self.http)
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n"), "")
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Response {
        self.send(
            &format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"),
            body,
        )
    }

    pub(crate) fn put(&self, path: &str, body: &str) -> Response {
        self.send(
            &format!("PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"),
            body,
        )
    }

    /// Sends a request whose head is `head`.
    pub(crate) fn send(&self, head: &str, body: &str) -> Response {
        let mut stream = TcpStream::connect(self.http).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        exchange(&mut stream, head, body)
    }

    /// Waits for the agent to end by itself, and returns its exit code.
    pub(crate) fn wait_for_end(&mut self) -> i32 {
        let ended = || self.child.try_wait().unwrap().ok_or_else(|| "it runs".to_owned());
        let (status, _) = within(PATIENCE, ended);
        status.code().unwrap_or_else(|| panic!("the agent ended by a signal:\n{}", log_in(&self.dir)))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            eprintln!("--- log of {}\n{}", self.args.join(" "), self.log());
        }
    }
}

fn spawn(dir: &Dir, wrapper: &[String], args: &[String]) -> (Child, SocketAddr) {
    let before = log_in(dir).len();
    let log = fs::OpenOptions::new().create(true).append(true).open(dir.0.join("log")).unwrap();
    let mut child = program_by(wrapper).args(args).stdin(Stdio::null()).stderr(log).spawn().unwrap();
    let (http, _) = within(PATIENCE, || {
        let ended = child.try_wait().unwrap();
        let log = log_in(dir).split_off(before);
        let port = log.split_once("at=http://127.0.0.1:").and_then(|(_, rest)| rest.split_once('\n'));
        match port {
            Some((port, _)) => Ok(format!("127.0.0.1:{}", port.trim()).parse().unwrap()),
            None if ended.is_some() => panic!("the agent has ended:\n{log}"),
            None => Err(format!("no API yet:\n{log}")),
        }
    });
    (child, http)
}

fn log_in(dir: &Dir) -> String {
    fs::read(dir.0.join("log")).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
}

/// Sends a request over a connection.
pub(crate) fn request(stream: &mut TcpStream, head: &str, body: &str) -> Response {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    exchange(stream, head, body)
}

/// Sends a request over a unix socket.
pub(crate) fn over_unix(path: &str, head: &str) -> Response {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    exchange(&mut stream, head, "")
}

fn exchange(stream: &mut (impl Read + Write), head: &str, body: &str) -> Response {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    write!(stream, "{head}{length}Connection: close\r\n\r\n{body}").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    Response { head: head.to_owned(), body: body.to_owned() }
}

/// An answer as it came.
pub(crate) struct Response {
    head: String,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.find_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(value)).unwrap_or("")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The status and the detail of a problem document, whose shape is checked.
    pub(crate) fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), "application/problem+json");
        let document = self.json();
        let keys: Vec<&String> = document.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["type", "title", "status", "detail"]);
        assert_eq!(document["status"], self.status());
        assert_eq!(document["type"], "about:blank");
        (self.status(), document["detail"].as_str().unwrap().to_owned())
    }
}
