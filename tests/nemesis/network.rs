//! Hosts: a network namespace each, joined by a bridge in that of this process, whose rules cut and lose what passes between
//! them. This process stands on the bridge itself, where no rule meets it.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::Ipv4Addr,
    process::{Child, Command, Stdio},
};

/// The hosts and the rules between them.
pub(crate) struct Network {
    /// Processes that hold a namespace each, and end when their standard input does.
    holders: Vec<Child>,
    cuts: Vec<Cut>,
    /// Lost packets of a thousand, for each loss that lasts.
    losses: Vec<u32>,
}

/// Packets from one side to the other that do not arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) from: BTreeSet<usize>,
    pub(crate) to: BTreeSet<usize>,
}

/// The address of a host.
pub(crate) fn addr(host: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, 10 + u8::try_from(host).unwrap())
}

/// The address of this process on the bridge.
pub(crate) const OURS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 200);

fn mac(host: usize) -> String {
    format!("02:77:00:00:00:{:02x}", 10 + host)
}

impl Network {
    pub(crate) fn new(hosts: usize) -> Self {
        let holders: Vec<Child> = (0..hosts).map(|_| hold()).collect();
        let neighbour = |host: usize, device: &str| {
            format!("neigh replace {} lladdr {} dev {device} nud permanent", addr(host), mac(host))
        };
        let mut lines = vec![
            "link set lo up".to_owned(),
            "link add br0 type bridge".to_owned(),
            format!("link set br0 address {}", mac(100)),
            "link set br0 type bridge mcast_snooping 0 stp_state 0 forward_delay 0".to_owned(),
            "link set br0 up".to_owned(),
            format!("addr add {OURS}/16 dev br0"),
        ];
        for (host, holder) in holders.iter().enumerate() {
            lines.push(format!(
                "link add p{host} type veth peer name eth0 address {} netns {}",
                mac(host),
                holder.id()
            ));
            lines.push(format!("link set p{host} master br0"));
            lines.push(format!("link set p{host} up"));
            lines.push(neighbour(host, "br0"));
        }
        ip(&mut Command::new("ip"), &lines);
        for (host, holder) in holders.iter().enumerate() {
            let mut lines = vec!["link set lo up".to_owned(), format!("addr add {}/16 dev eth0", addr(host))];
            lines.push("link set eth0 up".to_owned());
            lines.extend((0..hosts).filter(|other| *other != host).map(|other| neighbour(other, "eth0")));
            lines.push(format!("neigh replace {OURS} lladdr {} dev eth0 nud permanent", mac(100)));
            let mut inside = Command::new("nsenter");
            ip(inside.arg(format!("--net=/proc/{}/ns/net", holder.id())).arg("ip"), &lines);
        }
        let network = Self { holders, cuts: Vec::new(), losses: Vec::new() };
        network.apply();
        network
    }

    /// The beginning of a command line that runs the rest on a host, in the same process, which is killed with this thread.
    pub(crate) fn on(&self, host: usize) -> [String; 5] {
        let place = format!("--net=/proc/{}/ns/net", self.holders[host].id());
        ["nsenter".to_owned(), place, "setpriv".to_owned(), "--pdeathsig".to_owned(), "KILL".to_owned()]
    }

    pub(crate) fn cut(&mut self, cut: &Cut) {
        self.cuts.push(cut.clone());
        self.apply();
    }

    pub(crate) fn mend(&mut self, cut: &Cut) {
        if let Some(place) = self.cuts.iter().position(|other| other == cut) {
            self.cuts.remove(place);
        }
        self.apply();
    }

    pub(crate) fn lose(&mut self, thousandths: u32) {
        self.losses.push(thousandths);
        self.apply();
    }

    pub(crate) fn lose_no_more(&mut self, thousandths: u32) {
        if let Some(place) = self.losses.iter().position(|other| *other == thousandths) {
            self.losses.remove(place);
        }
        self.apply();
    }

    /// Replaces the rules, at one moment.
    fn apply(&self) {
        let ports = |hosts: &BTreeSet<usize>| {
            let ports: Vec<String> = hosts.iter().map(|host| format!("\"p{host}\"")).collect();
            format!("{{ {} }}", ports.join(", "))
        };
        let cuts = self.cuts.iter();
        let mut rules: Vec<String> =
            cuts.map(|cut| format!("iifname {} oifname {} drop", ports(&cut.from), ports(&cut.to))).collect();
        let losses = self.losses.iter();
        rules.extend(losses.map(|loss| format!("ether type ip numgen random mod 1000 < {loss} drop")));
        let chain = format!("type filter hook forward priority 0; policy accept; {}", rules.join("; "));
        let text = format!(
            "table bridge n\ndelete table bridge n\ntable bridge n {{\nchain passing {{ {chain};\n}}\n}}\n"
        );
        feed(Command::new("nft").args(["-f", "-"]), &text);
    }
}

/// Adds an address of a host to this process, to send in its name; takes it away again.
pub(crate) fn borrow_addr(host: usize, adds: bool) {
    let verb = if adds { "add" } else { "del" };
    ip(&mut Command::new("ip"), &[format!("addr {verb} {}/32 dev lo", addr(host))]);
}

/// Starts a process that holds a new namespace, and waits until it does.
fn hold() -> Child {
    let mut command = Command::new("unshare");
    command.args(["-n", "sh", "-c", "echo; exec cat"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    child
}

fn ip(command: &mut Command, lines: &[String]) {
    feed(command.args(["-batch", "-"]), &(lines.join("\n") + "\n"));
}

fn feed(command: &mut Command, text: &str) {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}: {}\n{text}", String::from_utf8_lossy(&output.stderr));
}

impl Drop for Network {
    fn drop(&mut self) {
        for holder in &mut self.holders {
            holder.kill().ok();
            holder.wait().ok();
        }
    }
}
