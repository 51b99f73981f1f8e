//! The addresses that agents gossip on and give to others: IPv6, both families at once, interfaces, networks, sockets.

use std::time::Duration;

use crate::{
    awaiting::within,
    cluster::{all_say, loopback, start},
    running::{Agent, over_unix},
};

const BOUND: Duration = Duration::from_secs(5);
const BOTH: [(&str, &str); 2] = [("a", "alive"), ("b", "alive")];

fn addr(agent: &Agent) -> String {
    agent.get("/v1/self").json()["addr"].as_str().unwrap().to_owned()
}

#[test]
fn a_cluster_on_ipv6() {
    let a = start("a", "[::1]:0", &[]);
    assert!(addr(&a).starts_with("[::1]:"), "{}", addr(&a));
    let b = start("b", "[::1]:0", &["--join", &addr(&a)]);
    let c = start("c", "[::1]:0", &["--join", &addr(&a)]);
    within(BOUND, || all_say([&a, &b, &c], &[("a", "alive"), ("b", "alive"), ("c", "alive")]));
}

#[test]
fn one_socket_for_both_families_reaches_both() {
    let both = start("both", "[::]:0", &["--advertise", "[::1]"]);
    let four = start("four", &loopback().to_string(), &[]);
    let six = start("six", "[::1]:0", &["--join", &addr(&both)]);
    // `four` does not join: it has IPv4 alone, and could not answer `both` at the IPv6 address that `both` advertises.
    within(BOUND, || all_say([&both, &six], &[("both", "alive"), ("six", "alive")]));
    drop((four, six));
    let four = start("four", &loopback().to_string(), &[]);
    let mapped = start("mapped", "[::]:0", &["--advertise", "127.0.0.1", "--join", &addr(&four)]);
    within(BOUND, || all_say([&four, &mapped], &[("four", "alive"), ("mapped", "alive")]));
    assert!(addr(&mapped).starts_with("127.0.0.1:"), "{}", addr(&mapped));
}

#[test]
fn an_interface_and_a_network_pick_the_address() {
    let a = start("a", "0.0.0.0:0", &["--advertise", "lo"]);
    assert!(addr(&a).starts_with("127.0.0.1:"), "{}", addr(&a));
    let b = start("b", "0.0.0.0:0", &["--advertise", "127.0.0.0/8", "--join", &addr(&a)]);
    assert!(addr(&b).starts_with("127.0.0.1:"), "{}", addr(&b));
    let why = b.get("/v1/self").json()["addr_because"].clone();
    assert_eq!(why, "the address of lo in 127.0.0.0/8, as --advertise says");
    within(BOUND, || all_say([&a, &b], &BOTH));
}

#[test]
fn the_agents_own_address_among_the_seeds_is_no_join() {
    let own = loopback().to_string();
    let a = start("a", "0.0.0.0:0", &["--advertise", "lo", "--log-level", "debug"]);
    let answer = a.post("/v1/join", &format!("{{\"addrs\":[\"{}\"]}}", addr(&a))).json();
    assert_eq!(answer["results"][0]["error"], "this is the agent's own address", "{answer}");
    // The address that it binds to, which is not the one that it advertises.
    let port = addr(&a).rsplit_once(':').unwrap().1.to_owned();
    let answer = a.post("/v1/join", &format!("{{\"addrs\":[\"{own}:{port}\"]}}")).json();
    assert_eq!(answer["results"][0]["error"], "this is the agent's own address", "{answer}");
    assert_eq!(a.get("/v1/self").json()["joined"], false);
}

#[test]
fn the_api_over_a_unix_socket_alone() {
    let a = start("a", &loopback().to_string(), &["--http", "unix:DIR/api.sock"]);
    let path = a.dir.0.join("api.sock").display().to_string();
    let members = over_unix(&path, "GET /v1/members HTTP/1.1\r\nHost: localhost\r\n").json();
    assert_eq!(members["members"][0]["name"], "a");
}

#[test]
fn two_clusters_with_each_others_seeds_never_merge_and_say_why() {
    let (one, other) = (loopback().to_string(), loopback().to_string());
    let debug = ["--log-level", "debug"];
    let a = start("a", &one, &[&debug[..], &["--cluster", "one", "--join", &other]].concat());
    let b = start("b", &other, &[&debug[..], &["--cluster", "other", "--join", &one]].concat());
    let why = |theirs| {
        format!(
            "it belongs to cluster \"{theirs}\": give both agents the same --cluster, or remove the address"
        )
    };
    for (agent, theirs, there) in [(&a, "other", &other), (&b, "one", &one)] {
        within(BOUND, || agent.log().contains(&why(theirs)).then_some(()).ok_or_else(|| agent.log()));
        let answer = agent.post("/v1/join", &format!("{{\"addrs\":[\"{there}\"]}}")).json();
        assert_eq!((&answer["joined"], &answer["results"][0]["error"]), (&0.into(), &why(theirs).into()));
    }
    assert_eq!(all_say([&a], &[("a", "alive")]), Ok(()));
    assert_eq!(all_say([&b], &[("b", "alive")]), Ok(()));
    // The counters are published once a second.
    within(BOUND, || match a.get("/v1/info").json()["counters"]["foreign"].as_u64().unwrap() {
        0 => Err("nothing foreign was counted".to_owned()),
        _ => Ok(()),
    });
}
