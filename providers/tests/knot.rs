//! knot, an authoritative name server, with a zone to look things up in, and dnsmasq, a cache before it.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::daemon::{Daemon, free_port};

/// The zone `svc.test`: records of each kind that a look-up may meet. In `.test`, since hickory answers for `.invalid` and
/// `.localhost` by itself.
const ZONE: &str = "\
$ORIGIN svc.test.
$TTL 300
@               SOA   ns hostmaster 1 3600 600 86400 2
@               NS    ns
ns              A     127.0.0.1
n1        60    A     10.0.0.1
n1        20    AAAA  fd00::1
n2              A     10.0.0.2
n3              AAAA  fd00::3
alias           CNAME n1
txt             TXT   none
_gossip._udp    SRV   20 0 7003 n3
_gossip._udp    SRV   10 0 7001 n1
_gossip._udp    SRV   10 0 7002 n2
_alias._udp     CNAME _gossip._udp
_loop._udp      CNAME _loop2._udp
_loop2._udp     CNAME _loop._udp
_target._udp    SRV   0 0 7001 alias
_part._udp      SRV   0 0 7001 n1
_part._udp      SRV   0 0 7009 missing
_part._udp      SRV   0 0 7008 txt
_part._udp      SRV   0 0 7007 n.servfail.test.
_lost._udp      SRV   0 0 7009 missing
_none._udp      SRV   0 0 0 .
_zero._udp  0   SRV   0 0 7001 n2
_live._udp  5   SRV   0 0 7001 n1
";

/// A running knot.
pub(crate) struct Knot {
    /// The server; `None` while it is stopped.
    daemon: Option<Daemon>,
    dir: PathBuf,
    port: u16,
}

impl Knot {
    /// Starts a server of `svc.test` and of `servfail.test`, which has no data, so that every query for it fails.
    pub(crate) fn start() -> Self {
        let port = free_port();
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("knot-{port}"));
        fs::create_dir_all(&dir).unwrap();
        let mut zone = ZONE.to_owned();
        for n in 1..=120 {
            writeln!(zone, "_many._udp SRV 0 0 7946 many{n}\nmany{n} A 10.1.0.{n}").unwrap();
        }
        fs::write(dir.join("svc.test.zone"), zone).unwrap();
        let shown = dir.display();
        let config = format!(
            "server:\n  rundir: \"{shown}\"\n  listen: 127.0.0.1@{port}\n\
             log:\n  - target: stderr\n    any: info\n\
             database:\n  storage: \"{shown}\"\n\
             acl:\n  - id: local\n    address: 127.0.0.1\n    action: update\n\
             template:\n  - id: default\n    storage: \"{shown}\"\n    file: \"%s.zone\"\n\
             zone:\n  - domain: svc.test\n    acl: local\n  - domain: servfail.test\n"
        );
        fs::write(dir.join("knot.conf"), config).unwrap();
        let mut knot = Self { daemon: None, dir, port };
        knot.resume();
        knot
    }

    /// Kills the server; its zone stays as it is.
    pub(crate) fn stop(&mut self) {
        self.daemon = None;
    }

    /// Starts the server again at the same port.
    pub(crate) fn resume(&mut self) {
        // Debian keeps servers in directories that only root's search path has.
        let path = format!("{}:/usr/sbin:/sbin", env_path());
        let mut command = Command::new("knotd");
        command.arg("-c").arg(self.dir.join("knot.conf")).env("PATH", path);
        self.daemon = Some(Daemon::start(&mut command, "server started").0);
    }

    /// The server's address.
    pub(crate) fn addr(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The spec that asks this server for a name.
    pub(crate) fn spec(&self, name: &str) -> String {
        format!("provider=dns resolver={} name={name}", self.addr())
    }

    /// Changes the zone while it is served, and waits until the change is made.
    pub(crate) fn update(&self, change: &str) {
        let mut child = Command::new("nsupdate").stdin(Stdio::piped()).spawn().expect(
            "nsupdate cannot be started: install bind9-dnsutils, or run tests/run as root once, which does",
        );
        let script = format!("server 127.0.0.1 {}\nzone svc.test\nupdate {change}\nsend\n", self.port);
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }
}

impl Drop for Knot {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A running dnsmasq: a cache that asks knot, and answers with no more records than those asked for.
pub(crate) struct Dnsmasq {
    _daemon: Daemon,
    port: u16,
}

impl Dnsmasq {
    /// Starts a cache in front of this server.
    pub(crate) fn start(knot: &Knot) -> Self {
        let port = free_port();
        let mut command = Command::new("dnsmasq");
        command
            .args([
                "--keep-in-foreground",
                "--conf-file=/dev/null",
                "--no-resolv",
                "--no-hosts",
                "--pid-file=",
            ])
            .args(["--listen-address=127.0.0.1", "--bind-interfaces", "--user=", "--log-facility=-"])
            .arg(format!("--port={port}"))
            .arg(format!("--server=127.0.0.1#{}", knot.port))
            .env("PATH", format!("{}:/usr/sbin:/sbin", env_path()));
        let (daemon, _) = Daemon::start(&mut command, "using nameserver");
        Self { _daemon: daemon, port }
    }

    /// The spec that asks this cache for a name.
    pub(crate) fn spec(&self, name: &str) -> String {
        format!("provider=dns resolver=127.0.0.1:{} name={name}", self.port)
    }
}

#[expect(clippy::disallowed_methods, reason = "the search path for commands")]
fn env_path() -> String {
    std::env::var("PATH").unwrap_or_default()
}
