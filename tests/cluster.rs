//! Several running agents, each on a loopback address of its own, and their lists of each other.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use crate::{
    awaiting::within,
    running::{Agent, Dir},
};

/// A loopback address that no other test uses: the process gives two bytes, a counter the third. So every agent may
/// have the default port, and the test knows its address before it starts.
pub(crate) fn loopback() -> Ipv4Addr {
    // Some addresses are EC2 instances of a test, and EC2 gives away none that ends in 0 to 3.
    static NEXT: AtomicU8 = AtomicU8::new(4);
    let [.., high, low] = std::process::id().to_be_bytes();
    // 127.0 is taken by tests that bind to 127.0.0.1, and 127.255 holds the broadcast address.
    Ipv4Addr::new(127, high.clamp(1, 254), low, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Addresses for `count` agents, and the list of them as `--join` takes it.
pub(crate) fn addrs(count: usize) -> (Vec<String>, String) {
    let addrs: Vec<_> = (0..count).map(|_| loopback().to_string()).collect();
    let seeds = addrs.join(",");
    (addrs, seeds)
}

/// Starts an agent of this name that gossips at `bind`.
pub(crate) fn start(name: &str, bind: &str, flags: &[&str]) -> Agent {
    Agent::launch(Dir::new(), &[&["--node-name", name, "--bind", bind], flags].concat())
}

/// Starts `a`, `b` and `c` with one static list and these flags, and waits until all list three.
pub(crate) fn trio(flags: &[&str]) -> [Agent; 3] {
    let (addrs, seeds) = addrs(3);
    let flags = [&["--join", &seeds, "--bootstrap-expect", "3"], flags].concat();
    let agents = ["a", "b", "c"];
    let agents = std::array::from_fn(|n| start(agents[n], &addrs[n], &flags));
    within(Duration::from_secs(10), || all_say(&agents, &[("a", "alive"), ("b", "alive"), ("c", "alive")]));
    agents
}

/// The status of each member, by name, as this agent lists them.
pub(crate) fn statuses(agent: &Agent) -> BTreeMap<String, String> {
    let members = agent.get("/v1/members").json();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let listed = members["members"].as_array().unwrap();
    listed.iter().map(|member| (text(&member["name"]), text(&member["status"]))).collect()
}

/// Checks that each of these agents lists exactly these members with these statuses.
pub(crate) fn all_say<'a>(
    agents: impl IntoIterator<Item = &'a Agent>,
    wanted: &[(&str, &str)],
) -> Result<(), String> {
    let wanted: BTreeMap<_, _> =
        wanted.iter().map(|(name, status)| ((*name).to_owned(), (*status).to_owned())).collect();
    for agent in agents {
        let found = statuses(agent);
        if found != wanted {
            return Err(format!("the agent at {} says {found:?}", agent.http));
        }
    }
    Ok(())
}

/// True if the log of this agent ever said that a member had this status.
pub(crate) fn ever_said(agent: &Agent, name: &str, status: &str) -> bool {
    let said =
        |line: &&str| line.contains(&format!("name={name} ")) && line.contains(&format!(" status={status}"));
    agent.log().lines().any(|line| said(&line))
}
