//! An agent without a free file descriptor: gossip goes on, the log says so once, the processor stays free, and the agent
//! recovers as soon as there are descriptors again.

use std::{fs, net::TcpStream, time::Duration};

use crate::{
    awaiting::{now, within},
    cluster::{addrs, all_say, ever_said, start},
    running::{Agent, Dir},
};

const ALL: [(&str, &str); 3] = [("a", "alive"), ("b", "alive"), ("c", "alive")];
/// Limit of descriptors: enough for those that the agent opens itself, too few for its clients.
const FEW: usize = 24;
const WATCHED: Duration = Duration::from_secs(4);

fn open(agent: &Agent) -> usize {
    fs::read_dir(format!("/proc/{}/fd", agent.pid())).unwrap().count()
}

/// Time on a processor, in hundredths of a second.
fn ticks(agent: &Agent) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", agent.pid())).unwrap();
    // The name of the process may hold blanks; behind it, the 12th and 13th fields are user and system time.
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

#[test]
fn without_descriptors_it_gossips_on_and_serves_again_afterwards() {
    let (addrs, seeds) = addrs(3);
    let flags = ["--join", &seeds, "--bootstrap-expect", "3"];
    let (a, b) = (start("a", &addrs[0], &flags), start("b", &addrs[1], &flags));
    let limited = format!("ulimit -n {FEW}; exec \"$0\" \"$@\"");
    let own = ["--node-name", "c", "--bind", &addrs[2]];
    let c = Agent::launch_by(&["sh", "-c", &limited], Dir::new(), &[&own, &flags[..]].concat());
    within(Duration::from_secs(10), || all_say([&a, &b, &c], &ALL));
    let gossip: std::net::SocketAddr = c.get("/v1/self").json()["bound"].as_str().unwrap().parse().unwrap();
    let quiet = open(&c);
    let clients: Vec<_> =
        (0..60).flat_map(|_| [c.http, gossip]).map(|at| TcpStream::connect(at).unwrap()).collect();
    let used_up = || {
        let said = c.log().contains("Too many open files");
        if said { Ok(()) } else { Err(format!("{} of {FEW} are open", open(&c))) }
    };
    within(Duration::from_secs(10), used_up);
    let (before, begin) = (ticks(&c), now());
    while begin.elapsed() < WATCHED {
        // Gossip needs no new descriptor: datagrams share one.
        within(Duration::from_secs(2), || all_say([&a, &b], &ALL));
    }
    let share = (ticks(&c) - before) as f64 / begin.elapsed().as_secs_f64();
    let lines = c.log().matches("cannot accept").count();
    eprintln!(
        "{quiet} descriptors when quiet, {} of {FEW} with {} clients: {share:.1} % of a processor, {lines} lines in the log",
        open(&c),
        clients.len()
    );
    assert!(share < 30.0, "a busy loop: {share:.1} %");
    assert!(lines <= 2, "{}", c.log());
    drop(clients);
    within(Duration::from_secs(15), || {
        let answers = TcpStream::connect(c.http).is_ok() && c.get("/livez").status() == 200;
        if answers { Ok(()) } else { Err("no answer".to_owned()) }
    });
    within(Duration::from_secs(5), || all_say([&a, &b, &c], &ALL));
    // Votes could not be written for want of a descriptor; now they can.
    within(Duration::from_secs(60), || {
        let said = c.get("/v1/bootstrap").json();
        if said["decision"] == "bootstrap" { Ok(()) } else { Err(said.to_string()) }
    });
    for agent in [&a, &b] {
        assert!(!ever_said(agent, "c", "failed"), "{}", agent.log());
    }
}
