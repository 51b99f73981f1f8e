//! `provider=dns`: the answers of knot and dnsmasq, and of a name server that misbehaves.

mod island;
mod side_by_side;

use std::time::Duration;

use chronik_providers::{DiscoverError, FailureKind, Seeds, Spec};

use crate::{
    fault_name_server::FaultNameServer,
    knot::{Dnsmasq, Knot},
};

async fn ask(spec: &str) -> Result<Seeds, DiscoverError> {
    Spec::parse(spec).unwrap().connect(7946).unwrap().discover().await
}

fn seeds(addrs: &[&str], ttl: u64, warnings: &[&str]) -> Seeds {
    Seeds {
        addrs: addrs.iter().map(|addr| addr.parse().unwrap()).collect(),
        valid_for: Some(Duration::from_secs(ttl)),
        warnings: warnings.iter().map(|warning| String::from(*warning)).collect(),
        ..Seeds::default()
    }
}

fn failure(message: &str) -> Result<Seeds, DiscoverError> {
    Err(DiscoverError { provider: "dns", kind: FailureKind::Unavailable, message: message.to_owned() })
}

/// The seeds of `_gossip._udp.svc.test`, the lowest priority first; the time to live is that of one AAAA record.
fn gossip() -> Seeds {
    seeds(&["10.0.0.1:7001", "10.0.0.2:7002", "[fd00::1]:7001", "[fd00::3]:7003"], 20, &[])
}

#[tokio::test]
async fn services() {
    let knot = Knot::start();
    let ask = |name| {
        let spec = knot.spec(name);
        async move { ask(&spec).await }
    };
    assert_eq!(ask("_gossip._udp.svc.test").await, Ok(gossip()));
    assert_eq!(ask("_gossip._udp.svc.test.").await, Ok(gossip()), "a final dot");
    assert_eq!(ask("_alias._udp.svc.test").await, Ok(gossip()), "an alias for the service");
    let target = seeds(&["10.0.0.1:7001", "[fd00::1]:7001"], 20, &[]);
    assert_eq!(ask("_target._udp.svc.test").await, Ok(target), "an alias for the target");
    assert_eq!(ask("_none._udp.svc.test").await, Ok(seeds(&[], 300, &[])), "not offered");
    assert_eq!(ask("_zero._udp.svc.test").await, Ok(seeds(&["10.0.0.2:7001"], 0, &[])));
    let part = seeds(
        &["10.0.0.1:7001", "[fd00::1]:7001"],
        20,
        &[
            "missing.svc.test. does not exist (NXDOMAIN)",
            &format!("no name server answers for n.servfail.test.: {} says SERVFAIL", knot.addr()),
            "txt.svc.test. has neither an A nor an AAAA record",
        ],
    );
    assert_eq!(ask("_part._udp.svc.test").await, Ok(part), "some targets have no address");
    let lost =
        "no target of _lost._udp.svc.test. has an address: missing.svc.test. does not exist (NXDOMAIN)";
    assert_eq!(ask("_lost._udp.svc.test").await, failure(lost));
    let many: Vec<_> = (1..=120).map(|n| format!("10.1.0.{n}:7946")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    assert_eq!(ask("_many._udp.svc.test").await, Ok(seeds(&many, 300, &[])), "over TCP");
    assert_eq!(ask("_x._udp.svc.test").await, failure("_x._udp.svc.test. does not exist (NXDOMAIN)"));
    assert_eq!(
        ask("_x._udp.servfail.test").await,
        failure(&format!("no name server answers for _x._udp.servfail.test.: {} says SERVFAIL", knot.addr()))
    );
    assert_eq!(
        ask("_x._udp.foreign.test").await,
        failure(&format!("no name server answers for _x._udp.foreign.test.: {} says REFUSED", knot.addr()))
    );
    assert!(ask("_loop._udp.svc.test").await.is_err());
}

#[tokio::test]
async fn hosts() {
    let knot = Knot::start();
    let ask = |name, port| {
        let spec = format!("{} {port}", knot.spec(name));
        async move { ask(&spec).await }
    };
    assert_eq!(ask("n1.svc.test", "").await, Ok(seeds(&["10.0.0.1:7946", "[fd00::1]:7946"], 20, &[])));
    assert_eq!(ask("n2.svc.test", "port=1").await, Ok(seeds(&["10.0.0.2:1"], 300, &[])));
    assert_eq!(ask("n3.svc.test", "").await, Ok(seeds(&["[fd00::3]:7946"], 300, &[])));
    assert_eq!(ask("alias.svc.test", "").await, Ok(seeds(&["10.0.0.1:7946", "[fd00::1]:7946"], 20, &[])));
    assert_eq!(ask("txt.svc.test", "").await, failure("txt.svc.test. has neither an A nor an AAAA record"));
    assert_eq!(ask("x.svc.test", "").await, failure("x.svc.test. does not exist (NXDOMAIN)"));
    assert_eq!(
        ask("_gossip._udp.svc.test", "port=1").await,
        failure("_gossip._udp.svc.test. has neither an A nor an AAAA record"),
        "with a port the name is a host's"
    );
}

#[tokio::test]
async fn a_change_shows_at_the_next_poll() {
    let knot = Knot::start();
    let spec = knot.spec("_live._udp.svc.test");
    let provider = Spec::parse(&spec).unwrap().connect(7946).unwrap();
    let first = seeds(&["10.0.0.1:7001", "[fd00::1]:7001"], 5, &[]);
    assert_eq!(provider.discover().await, Ok(first));
    knot.update("add _live._udp.svc.test. 5 SRV 0 0 7002 n2.svc.test.");
    let both = seeds(&["10.0.0.1:7001", "10.0.0.2:7002", "[fd00::1]:7001"], 5, &[]);
    assert_eq!(provider.discover().await, Ok(both));
    knot.update("delete _live._udp.svc.test. SRV 0 0 7001 n1.svc.test.");
    assert_eq!(provider.discover().await, Ok(seeds(&["10.0.0.2:7002"], 5, &[])));
}

#[tokio::test]
async fn a_server_that_was_gone_is_asked_again() {
    let mut knot = Knot::start();
    let spec = knot.spec("_zero._udp.svc.test");
    let provider = Spec::parse(&spec).unwrap().connect(7946).unwrap();
    knot.stop();
    assert!(provider.discover().await.is_err());
    knot.resume();
    assert_eq!(provider.discover().await, Ok(seeds(&["10.0.0.2:7001"], 0, &[])));
}

#[tokio::test]
async fn a_cache_in_between() {
    let knot = Knot::start();
    let dnsmasq = Dnsmasq::start(&knot);
    for _ in 0..2 {
        let seeds = ask(&dnsmasq.spec("_gossip._udp.svc.test")).await.unwrap();
        assert_eq!((seeds.addrs, seeds.warnings), (gossip().addrs, vec![]));
        assert!(seeds.valid_for <= Some(Duration::from_secs(20)), "ages in the cache");
    }
    assert_eq!(ask(&dnsmasq.spec("_many._udp.svc.test")).await.unwrap().addrs.len(), 120);
}

#[tokio::test]
async fn name_servers_that_misbehave() {
    let server = FaultNameServer::start();
    let ask = |name: &str| {
        let spec = format!("provider=dns resolver=localhost:{} name={name}.bad.test", server.port);
        async move { ask(&spec).await }
    };
    let said = |name: &str, said: &str| {
        format!("no name server answers for {name}.bad.test.: 127.0.0.1:{} {said}", server.port)
    };
    let silent = |name: &str| failure(&said(name, "is silent"));
    let one = Ok(seeds(&["10.9.0.1:7946"], 7, &[]));
    let (drop, id, garbage, second, refused, cut, aonly, mixed, mute) = tokio::join!(
        ask("drop"),
        ask("id"),
        ask("garbage"),
        ask("second"),
        ask("refused"),
        ask("cut"),
        ask("aonly"),
        ask("_mixed._udp"),
        ask("_mute._udp"),
    );
    assert_eq!(drop, silent("drop"));
    assert_eq!(id, silent("id"));
    assert_eq!(garbage, silent("garbage"));
    assert_eq!(second, one, "the first packet is lost");
    assert_eq!(refused, failure(&said("refused", "says REFUSED")));
    assert_eq!(cut, one, "truncated, so asked again by TCP");
    let half = seeds(&["10.9.0.1:7946"], 7, &[&said("aonly", "is silent")]);
    assert_eq!(aonly, Ok(half.clone()), "A is answered, AAAA is not");
    let mut warnings = half.warnings.clone();
    warnings.push(said("drop", "is silent"));
    assert_eq!(mixed, Ok(Seeds { warnings, ..half }), "some targets are answered");
    let lost = format!("no target of _mute._udp.bad.test. has an address: {}", said("drop", "is silent"));
    assert_eq!(mute, failure(&lost));
}

/// Plays every way in which a name server fails a poll: the error is one line, and the same provider takes the answer of the
/// server once that is mended.
#[tokio::test]
async fn a_name_server_that_is_mended_is_believed_again() {
    let server = FaultNameServer::start();
    let said = |name: &str, said: &str| {
        format!("no name server answers for {name}.bad.test.: 127.0.0.1:{} {said}", server.port)
    };
    let faults = [
        ("drop", said("drop", "is silent")),
        ("id", said("id", "is silent")),
        ("garbage", said("garbage", "is silent")),
        ("servfail", said("servfail", "says SERVFAIL")),
        ("refused", said("refused", "says REFUSED")),
        ("nxdomain", "nxdomain.bad.test. does not exist (NXDOMAIN)".to_owned()),
        ("nodata", "nodata.bad.test. has neither an A nor an AAAA record".to_owned()),
        (
            "_mute._udp",
            format!("no target of _mute._udp.bad.test. has an address: {}", said("drop", "is silent")),
        ),
    ];
    let asked = faults.map(async |(name, sentence)| {
        let provider = Spec::parse(&server.spec(name)).unwrap().connect(7946).unwrap();
        assert_eq!(provider.discover().await, failure(&sentence));
        provider
    });
    let providers = futures_util::future::join_all(asked).await;
    server.mend();
    let good = Ok(seeds(&["10.9.0.1:7946"], 7, &[]));
    for provider in providers {
        assert_eq!(provider.discover().await, good);
    }
}

#[tokio::test]
async fn nobody_listens_at_the_name_server() {
    let port = crate::daemon::free_port();
    let sentence = format!(
        "no name server answers for a.bad.test.: 127.0.0.1:{port} is no name server: the port is closed"
    );
    assert_eq!(
        ask(&format!("provider=dns resolver=127.0.0.1:{port} name=a.bad.test")).await,
        failure(&sentence)
    );
}

/// Plays what a server may put into an answer beside what it was asked for.
#[tokio::test]
async fn what_cannot_be_a_seed_is_left_out() {
    let server = FaultNameServer::start();
    let foreign = ask(&server.spec("foreign")).await;
    assert_eq!(foreign, Ok(seeds(&["10.9.0.1:7946"], 7, &[])), "an A record of another name");
    let blocked = ask(&server.spec("blocked")).await;
    let sentence = "none of the 1 addresses listed can be a seed: 0.0.0.0 is no host's address (filters give it for names \
        that they block): left out";
    assert_eq!(blocked, failure(sentence));
    let zero = ask(&server.spec("_zeroport._udp")).await;
    let warning = "10.9.0.1:0 has port 0, at which nobody listens: left out";
    assert_eq!(zero, Ok(seeds(&["10.9.0.1:7946"], 7, &[warning])));
}

/// A time to live is told as the server gave it, and one with the highest bit is none (RFC 2181, 8).
#[tokio::test]
async fn a_time_to_live_is_as_the_server_gave_it() {
    let server = FaultNameServer::start();
    for (name, ttl) in
        [("ttl-0", 0), ("ttl-604800", 604_800), ("ttl-2147483647", 2_147_483_647), ("ttl-2147483653", 0)]
    {
        assert_eq!(ask(&server.spec(name)).await, Ok(seeds(&["10.9.0.1:7946"], ttl, &[])), "{name}");
    }
}

#[tokio::test]
async fn half_an_answer_is_taken_and_the_other_half_is_a_warning() {
    let server = FaultNameServer::start();
    let answer = ask(&server.spec("halffail")).await;
    let warning =
        format!("no name server answers for halffail.bad.test.: 127.0.0.1:{} says SERVFAIL", server.port);
    assert_eq!(answer, Ok(seeds(&["10.9.0.1:7946"], 7, &[&warning])));
}
