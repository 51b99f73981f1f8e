//! The provider and the C library side by side, in one network, at the same real name servers: knot, unbound, dnsmasq, BIND.

use std::net::IpAddr;

use super::island::Island;

/// The servers, by a word for what they do. [`Island`] starts them.
const SERVERS: &[(&str, &str)] = &[
    ("good", "127.0.0.11"),      // knot, which has the zone
    ("bogus", "127.0.0.12"),     // unbound, which says SERVFAIL: its trust anchor does not fit
    ("recursive", "127.0.0.14"), // unbound, which asks knot
    ("refusing", "127.0.0.15"),  // unbound, which refuses without repeating the question
    ("idle", "127.0.0.16"),      // dnsmasq, which knows nobody to ask and says REFUSED
    ("cache", "127.0.0.17"),     // dnsmasq, which asks knot
    ("foreign", "127.0.0.18"),   // BIND, which has no zone and says REFUSED
    ("lame", "127.0.0.19"),      // BIND, which names another server that is not there
    ("silent", "10.255.0.2"),    // nobody, and packets get lost
    ("closed", "127.0.0.99"),    // nobody, and packets are refused
];

/// Situations in which the C library finds the name.
const ROWS: &[&str] = &[
    "good",
    "cache",
    "recursive",
    "bogus good",
    "refusing good",
    "idle good",
    "foreign good",
    "lame good",
    "closed good",
    "recursive cache",
    "good bogus",
    "good foreign",
    "cache idle",
    "foreign idle good",
    "bogus refusing recursive",
    "closed closed cache",
    "silent good",
    "silent bogus good",
];

fn resolv_conf(row: &str) -> String {
    let addr = |word: &str| SERVERS.iter().find(|(known, _)| *known == word).unwrap().1;
    let servers: String = row.split(' ').map(|word| format!("nameserver {}\n", addr(word))).collect();
    // The C library waits 5 s for a silent server otherwise.
    servers + "options timeout:1\n"
}

#[test]
fn what_the_c_library_finds_is_found() {
    let island = Island::start();
    let members: [IpAddr; 2] = ["10.0.0.1", "10.0.0.2"].map(|ip| ip.parse().unwrap());
    for row in ROWS {
        island.resolv_conf(&resolv_conf(row));
        let hosts = island.provider("provider=dns name=m.svc.test");
        let service = island.provider("provider=dns name=_c._udp.svc.test");
        let c_library = island.c_library("m.svc.test");
        println!("{row:24} hosts {hosts:?}, service {service:?}, C library {c_library:?}");
        assert_eq!(c_library, members, "{row}");
        assert_eq!(hosts, ["10.0.0.1:7946", "10.0.0.2:7946"], "{row}");
        assert_eq!(service, ["10.0.0.1:7001", "10.0.0.2:7002"], "{row}");
    }
}

#[test]
fn a_search_list_is_tried_on_request() {
    let island = Island::start();
    let members: [IpAddr; 2] = ["10.0.0.1", "10.0.0.2"].map(|ip| ip.parse().unwrap());
    for (search, ndots) in [("svc.test", 1), ("x.svc.test svc.test", 5)] {
        island.resolv_conf(&format!("nameserver 127.0.0.11\nsearch {search}\noptions ndots:{ndots}\n"));
        assert_eq!(island.c_library("m"), members, "{search}");
        let found = island.provider("provider=dns name=m search=yes");
        assert_eq!(found, ["10.0.0.1:7946", "10.0.0.2:7946"], "{search}");
        let service = island.provider("provider=dns name=_c._udp search=yes");
        assert_eq!(service, ["10.0.0.1:7001", "10.0.0.2:7002"], "{search}");
        let [error] = &island.provider("provider=dns name=m")[..] else { panic!("more than a line") };
        assert!(error.contains("says REFUSED"), "{error}");
    }
}

/// Each server is named with its fault.
#[test]
fn the_error_says_whose_fault_it_is() {
    let island = Island::start();
    island.resolv_conf(&resolv_conf("bogus foreign closed"));
    let sentence = "error: dns: no name server answers for m.svc.test.: 127.0.0.12 says SERVFAIL, \
        127.0.0.18 says REFUSED, 127.0.0.99 is no name server: the port is closed";
    assert_eq!(island.provider("provider=dns name=m.svc.test"), [sentence]);
    // Without a line that names one, the server is the host itself, as for the C library.
    island.resolv_conf("");
    let sentence =
        "error: dns: no name server answers for m.svc.test.: 127.0.0.1 is no name server: the port is closed";
    assert_eq!(island.provider("provider=dns name=m.svc.test"), [sentence]);
}
