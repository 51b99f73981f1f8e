//! A network of its own with real name servers at port 53, and a `/etc/resolv.conf` of its own, so that the C library and the
//! provider are asked in the same situation. Made of namespaces, so that nothing of the host is touched.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    command::example,
    daemon::{Daemon, free_port},
};

/// Brings up loopback, with the addresses that BIND looks for, and a link at whose other end nobody answers, and puts the file in place. `$0` is the folder.
const SETUP: &str = "ip link set lo up && ip addr add 127.0.0.18 dev lo && ip addr add 127.0.0.19 dev lo \
    && ip link add hole type veth peer name dark && ip link set dark up \
    && ip addr add 10.255.0.1/24 dev hole && ip link set hole up \
    && ip neigh add 10.255.0.2 lladdr 02:00:00:00:00:02 dev hole nud permanent \
    && mount --bind \"$0/resolv.conf\" \"$(realpath /etc/resolv.conf)\" && echo up >&2 && exec sleep infinity";

/// The records, in a zone below `test`.
const ZONE: &str = "$ORIGIN svc.test.\n$TTL 60\n@ SOA ns root 1 3600 600 86400 5\n@ NS ns\nns A 127.0.0.11\n\
    _c._udp SRV 1 0 7001 a\n_c._udp SRV 2 0 7002 b\na A 10.0.0.1\nb A 10.0.0.2\nm A 10.0.0.1\nm A 10.0.0.2\n";

/// A zone that sends whoever asks for `svc.test` elsewhere.
const REFERRING: &str =
    "$ORIGIN test.\n$TTL 60\n@ SOA ns.other. root 1 3600 600 86400 5\n@ NS ns.other.\nsvc NS ns.other.\n";

const KNOT: &str = "server:\n  rundir: \"DIR\"\n  listen: 127.0.0.11@53\nlog:\n  - target: stderr\n    any: info\n\
    database:\n  storage: \"DIR\"\nzone:\n  - domain: svc.test\n    file: \"DIR/svc.zone\"\n    zonefile-load: whole\n    journal-content: none\n";

/// unbound, which asks knot for the zone; at one of its addresses it refuses everybody.
const UNBOUND: &str = "server:\n  do-daemonize: no\n  use-syslog: no\n  logfile: \"\"\n  verbosity: 1\n  username: \"\"\n  chroot: \"\"\n  directory: \"DIR\"\n  pidfile: \"\"\n\
    \x20 do-not-query-localhost: no\n  module-config: \"MODULES\"\n  local-zone: \"test.\" nodefault\nINTERFACES\n\
    stub-zone:\n  name: \"svc.test\"\n  stub-addr: 127.0.0.11\nremote-control:\n  control-enable: no\n";

/// BIND, which refuses at one address, and at another sends elsewhere.
const NAMED: &str = "options { directory \"DIR\"; pid-file none; session-keyfile none; managed-keys-directory \"DIR\"; \
    listen-on { 127.0.0.18; 127.0.0.19; }; listen-on-v6 { none; }; recursion no; dnssec-validation no; };\n\
    controls { };\n\
    view refusing { match-destinations { 127.0.0.18; }; };\n\
    view referring { match-destinations { 127.0.0.19; }; zone test { type primary; file \"DIR/test.zone\"; }; };\n";

/// A running network with its servers.
pub(crate) struct Island {
    root: Daemon,
    dir: PathBuf,
    servers: Vec<Daemon>,
}

impl Island {
    /// Starts all servers.
    pub(crate) fn start() -> Self {
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("island-{}", free_port()));
        fs::create_dir_all(&dir).unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.join(name);
            fs::write(&path, text.replace("DIR", dir.to_str().unwrap())).unwrap();
            path
        };
        file("resolv.conf", "");
        file("svc.zone", ZONE);
        file("test.zone", REFERRING);
        let unbound = |name, modules, interfaces: &str| {
            file(name, &UNBOUND.replace("MODULES", modules).replace("INTERFACES", interfaces))
        };
        let knot = file("knot.conf", KNOT);
        let good = unbound(
            "good.conf",
            "iterator",
            "  interface: 127.0.0.14\n  interface: 127.0.0.15\n  interface-action: 127.0.0.15 refuse",
        );
        let anchor = format!(
            "  interface: 127.0.0.12\n  trust-anchor: \"svc.test. DS 12345 13 2 {}\"",
            "00".repeat(32)
        );
        let bogus = unbound("bogus.conf", "validator iterator", &anchor);
        let named = file("named.conf", NAMED);
        let mut command = Command::new("unshare");
        command.args([
            "--user",
            "--map-root-user",
            "--net",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            SETUP,
        ]);
        let (root, _) = Daemon::start(command.arg(&dir), "up");
        let mut island = Self { root, dir, servers: Vec::new() };
        island.serve(&["knotd", "-c"], &knot, "server started");
        island.serve(&["unbound", "-d", "-c"], &good, "start of service");
        island.serve(&["unbound", "-d", "-c"], &bogus, "start of service");
        island.serve(&["named", "-g", "-c"], &named, "running");
        let dnsmasq = [
            "dnsmasq",
            "-k",
            "--no-resolv",
            "--no-hosts",
            "--pid-file=",
            "--bind-interfaces",
            "--user=",
            "--group=",
            "--log-facility=-",
        ];
        island.serve(
            &[&dnsmasq[..], &["--listen-address=127.0.0.16", "-C"]].concat(),
            Path::new("/dev/null"),
            "started",
        );
        let forwarding = ["--listen-address=127.0.0.17", "--server=127.0.0.11", "-C"];
        island.serve(&[&dnsmasq[..], &forwarding].concat(), Path::new("/dev/null"), "using nameserver");
        island
    }

    fn serve(&mut self, command: &[&str], file: &Path, ready: &'static str) {
        let (server, _) = Daemon::start(self.enter(command[0]).args(&command[1..]).arg(file), ready);
        self.servers.push(server);
    }

    /// A command that runs in this network.
    fn enter(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args([
                "--user",
                "--net",
                "--mount",
                "--preserve-credentials",
                "--target",
                &self.root.id().to_string(),
                "--",
            ])
            .arg(program)
            // Debian keeps servers in directories that only root's search path has.
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }

    /// Writes `/etc/resolv.conf`.
    pub(crate) fn resolv_conf(&self, text: &str) {
        fs::write(self.dir.join("resolv.conf"), text).unwrap();
    }

    /// The addresses that the C library finds for a name.
    pub(crate) fn c_library(&self, name: &str) -> Vec<IpAddr> {
        let output = self.enter("getent").args(["ahosts", name]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let lines = text.lines().filter(|line| line.contains("STREAM"));
        let mut ips: Vec<IpAddr> =
            lines.map(|line| line.split_whitespace().next().unwrap().parse().unwrap()).collect();
        ips.sort();
        ips
    }

    /// The lines that the provider of a spec gives, addresses or complaints.
    pub(crate) fn provider(&self, spec: &str) -> Vec<String> {
        let output = self.enter(example().to_str().unwrap()).arg(spec).output().unwrap();
        let bytes = [output.stdout, output.stderr].concat();
        String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
    }
}

impl Drop for Island {
    fn drop(&mut self) {
        self.servers.clear();
        let _ = fs::remove_dir_all(&self.dir);
    }
}
