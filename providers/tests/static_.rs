//! `provider=static`.

use std::{net::SocketAddr, time::Duration};

use chronik_providers::{Cadence, Seeds, Spec};

use crate::command::discover;

async fn discover_seeds(spec: &str) -> Seeds {
    Spec::parse(spec).unwrap().connect(7946).unwrap().discover().await.unwrap()
}

#[tokio::test]
async fn addresses_keep_their_order_and_come_once() {
    let seeds = discover_seeds("10.0.0.2, 10.0.0.1:1 [fd00::1]:2 fd00::1,10.0.0.2:7946").await;
    let addrs = ["10.0.0.2:7946", "10.0.0.1:1", "[fd00::1]:2", "[fd00::1]:7946"];
    let addrs = addrs.map(|addr| addr.parse().unwrap()).to_vec();
    assert_eq!(seeds, Seeds { addrs, ..Seeds::default() });
}

#[test]
fn addresses_that_are_read_already_make_the_same_spec() {
    let addrs = ["10.0.0.2:7946".parse().unwrap(), "[fd00::1]:2".parse().unwrap()];
    assert_eq!(Spec::of_addrs(&addrs), Spec::parse("10.0.0.2:7946,[fd00::1]:2"));
    let error = |addrs: &[SocketAddr]| Spec::of_addrs(addrs).unwrap_err().to_string();
    let no_port = "10.0.0.2:0".parse().unwrap();
    let expected = "provider=static: addrs: `10.0.0.2:0` has a bad port: a port is a number from 1 to 65535";
    assert_eq!(error(&[no_port]), expected);
    let expected = "provider=static: addrs lists 257 addresses: 256 at most, and a few are enough";
    assert_eq!(error(&[addrs[0]; 257]), expected);
}

#[tokio::test]
async fn names_are_looked_up() {
    let seeds = discover_seeds("provider=static addrs=localhost:9").await;
    assert!(seeds.addrs.contains(&"127.0.0.1:9".parse().unwrap()), "{seeds:?}");
    assert_eq!(seeds.warnings, Vec::<String>::new());
}

#[test]
fn it_may_be_asked_every_second() {
    let cadence = Spec::parse("a").unwrap().connect(1).unwrap().cadence();
    let wanted = Cadence { floor: Duration::from_secs(1), settled: Duration::from_secs(30), rationed: false };
    assert_eq!(cadence, wanted);
}

#[test]
fn the_example_prints_addresses_and_errors() {
    let output = discover("10.0.0.1,10.0.0.2:1", 1, &[]);
    assert_eq!(
        (output.code, output.addrs, output.complaints.len()),
        (0, vec!["10.0.0.1:7946".to_owned(), "10.0.0.2:1".to_owned()], 0)
    );
    let output = discover("provider=satic addrs=a", 1, &[]);
    let error = "error: unknown provider `satic`; did you mean `static`?: the providers are aws, dns, static";
    assert_eq!((output.code, output.complaints), (64, vec![error.to_owned()]));
    assert!(output.took < Duration::from_secs(30));
}
