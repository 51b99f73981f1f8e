//! Agents with `--server etcd`: the driver asks the real etcd, and nobody reports anything by hand.

use std::fs;

use serde_json::{Value, json};

use super::{
    etcd::{PARTS, PATIENCE, Pair, etcdctl, members, wait_for_health, wait_for_quorum},
    need,
};
use crate::{
    awaiting::within,
    cluster,
    founding_api::{LOOK, wait_until},
};

/// Agents with a driver, each with its etcd under `exec`, which is told neither template nor data directory.
#[track_caller]
fn found(names: &[&str]) -> (Vec<Pair>, String) {
    let (addrs, seeds) = cluster::addrs(names.len());
    let mut pairs: Vec<Pair> =
        names.iter().zip(&addrs).map(|(name, addr)| pair(name, addr, &seeds)).collect();
    for pair in &mut pairs {
        pair.exec_with(&[]);
    }
    wait_for_health(&pairs);
    (pairs, seeds)
}

fn pair(name: &str, addr: &str, seeds: &str) -> Pair {
    Pair::with(name, addr, seeds, &["--server", &format!("etcd=http://{addr}:2379")])
}

#[track_caller]
fn wait_for_report(pair: &Pair, decision: &str, voters: usize) -> Value {
    wait_until(&pair.agent, LOOK, |answer| {
        answer["decision"] == decision
            && answer["established"] == true
            && answer["voters"].as_array().is_some_and(|listed| {
                listed.len() == voters && listed.iter().all(|voter| !voter["id"].is_null())
            })
    })
}

/// The driver's word on its server.
#[track_caller]
fn wait_for_driver(pair: &Pair, is_so: impl Fn(&Value) -> bool) -> Value {
    wait_until(&pair.agent, "/v1/self", |answer| is_so(&answer["driver"]))["driver"].clone()
}

#[test]
fn a_cluster_is_reported_by_itself_and_so_is_a_loss() {
    need(&PARTS);
    let (mut pairs, seeds) = found(&["a", "b", "c"]);
    for pair in &pairs {
        let answer = wait_for_report(pair, "resume", 3);
        assert_eq!(answer["reasons"], json!([]));
        assert!(answer["config_index"].as_u64().unwrap() > 0, "{answer}");
        let driver = wait_for_driver(pair, |driver| !driver["leader"].is_null());
        assert_eq!(
            (&driver["answers"], &driver["voters"], &driver["troubles"]),
            (&json!(true), &json!(3), &json!([]))
        );
        assert!(["a", "b", "c"].contains(&driver["leader"]["name"].as_str().unwrap()), "{driver}");
        assert!(!pair.data().join(".chronik-server-id").exists(), "nothing of ours lies in its directory");
    }
    let leaders =
        pairs.iter().filter(|pair| pair.agent.get("/metrics").body.contains("chronik_agent_server_leads 1"));
    assert_eq!(leaders.count(), 1);

    // One stops: its agent lives, and everybody hears that its server is silent.
    pairs[2].kill_server();
    for pair in &pairs {
        wait_until(&pair.agent, "/v1/members", |answer| {
            let members = answer["members"].as_array().unwrap();
            members.iter().any(|member| member["name"] == "c" && member["server"] == "silent")
        });
        wait_for_quorum(pair, 3, 2);
    }
    let driver = wait_for_driver(&pairs[2], |driver| driver["answers"] == false);
    let trouble = driver["troubles"][0].as_str().unwrap();
    let place = format!("etcd at {}", pairs[2].client());
    assert!(
        trouble.starts_with(&place) && trouble.contains("start the server, or say with --server"),
        "{trouble}"
    );

    // With its data it goes on.
    pairs[2].exec_with(&[]);
    wait_for_quorum(&pairs[0], 3, 3);
    assert_eq!(etcdctl(&pairs[0], &["put", "key", "acknowledged"]).unwrap(), "OK\n");

    // Without, it is told so, and not started.
    pairs[2].kill_server();
    fs::remove_dir_all(pairs[2].data().join("member")).unwrap();
    pairs[2].exec_with(&[]);
    wait_until(&pairs[2].agent, LOOK, |answer| {
        answer["decision"] == "wait" && answer["reasons"][0]["code"] == "server_state_lost"
    });
    pairs[2].kill_server();

    // It is replaced by a fourth with etcd's own tool: every agent hears of both from its own server.
    let listed = members(&pairs[0]).unwrap();
    let lost = listed.iter().find(|member| member["name"] == "c").unwrap();
    let lost = format!("{:x}", lost["ID"].as_u64().unwrap());
    within(PATIENCE, || etcdctl(&pairs[0], &["member", "remove", &lost]));
    wait_for_report(&pairs[1], "resume", 2);
    let mut fourth = pair("d", &cluster::loopback().to_string(), &seeds);
    wait_until(&fourth.agent, LOOK, |answer| answer["reasons"][0]["code"] == "not_admitted");
    let peers = format!("--peer-urls={}", fourth.peer());
    within(PATIENCE, || etcdctl(&pairs[0], &["member", "add", "d", &peers]));
    wait_until(&fourth.agent, LOOK, |answer| {
        answer["voters"].as_array().is_some_and(|voters| voters.len() == 3)
    });
    fourth.exec_with(&[]);
    wait_for_health([&fourth]);
    wait_for_report(&fourth, "resume", 3);
    wait_for_quorum(&fourth, 3, 3);
    assert_eq!(etcdctl(&fourth, &["get", "key"]).unwrap(), "key\nacknowledged\n");
}

#[test]
fn an_etcd_of_another_cluster_reports_nothing_and_is_told_so() {
    need(&PARTS);
    let (mut pairs, _seeds) = found(&["a", "b", "c"]);
    for pair in &pairs {
        wait_for_report(pair, "resume", 3);
    }
    pairs[2].kill_server();
    fs::remove_dir_all(pairs[2].data()).unwrap();
    // Somebody starts an etcd of its own there.
    let (peer, client, data) = (pairs[2].peer(), pairs[2].client(), pairs[2].data());
    let server = std::process::Command::new("etcd")
        .args(["--name", "x", "--data-dir", data.to_str().unwrap(), "--listen-peer-urls", &peer])
        .args(["--initial-advertise-peer-urls", &peer, "--initial-cluster", &format!("x={peer}")])
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn();
    pairs[2].server = Some(server.unwrap());
    wait_until(&pairs[2].agent, LOOK, |answer| {
        answer["decision"] == "wait" && answer["reasons"][0]["code"] == "server_disagrees"
    });
    let driver =
        wait_for_driver(&pairs[2], |driver| driver["troubles"].as_array().is_some_and(|all| !all.is_empty()));
    let trouble = driver["troubles"][0].as_str().unwrap();
    assert!(trouble.contains("is of its own cluster") && trouble.contains(&client), "{trouble}");
    let answer = wait_for_report(&pairs[0], "resume", 3);
    assert_eq!(answer["reasons"], json!([]), "the others go on");
}

#[test]
fn a_driver_that_asks_the_server_of_another_agent_says_so() {
    need(&PARTS);
    let (pairs, seeds) = found(&["a", "b", "c"]);
    wait_for_report(&pairs[0], "resume", 3);
    let wrong = ["--server", &format!("etcd={}", pairs[0].client())];
    let lost = Pair::with("d", &cluster::loopback().to_string(), &seeds, &wrong);
    let expected = format!(
        "etcd at {} is the server beside a: say with --server where the one beside this agent is asked",
        pairs[0].client()
    );
    wait_for_driver(&lost, |driver| driver["troubles"] == json!([expected]));
    wait_until(&lost.agent, LOOK, |answer| answer["reasons"][0]["code"] == "not_admitted");
    assert_eq!(lost.agent.get("/v1/self").json()["server"], Value::Null, "it attests nothing");
}

/// Makes a certificate for `addr` that an authority of its own has signed, in files of this directory.
#[cfg(feature = "tls")]
fn certify(dir: &std::path::Path, addr: &str) {
    let script = format!(
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=ca -days 2 &&
         openssl req -newkey rsa:2048 -nodes -keyout key.pem -out req.pem -subj /CN=etcd &&
         printf 'subjectAltName=IP:{addr}\\nextendedKeyUsage=serverAuth,clientAuth\\n' >ext &&
         openssl x509 -req -in req.pem -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem -days 2 -extfile ext"
    );
    let made = std::process::Command::new("sh").args(["-c", &script]).current_dir(dir).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[cfg(feature = "tls")]
#[test]
fn an_etcd_that_wants_certificates_is_asked_by_tls() {
    need(&PARTS);
    need(&[("openssl", "openssl")]);
    let addr = cluster::loopback().to_string();
    let dir = crate::running::Dir::new();
    certify(&dir.0, &addr);
    let file = |name: &str| dir.0.join(name).display().to_string();
    let (url, ca, cert, key) =
        (format!("https://{addr}:2379"), file("ca.pem"), file("cert.pem"), file("key.pem"));
    let server = format!("etcd={url}");
    let with_ca = ["--bootstrap-expect", "1", "--server", &server, "--server-ca-file", &ca];
    let own = ["--server-cert-file", &cert, "--server-key-file", &key];
    let agent = cluster::start("a", &addr, &[&with_ca[..], &own].concat());
    let mut pair = Pair { agent, server: None, addr: addr.clone() };
    let started = crate::running::program()
        .args(["exec", &pair.agent.at(), "--", "etcd", "--data-dir", pair.data().to_str().unwrap()])
        .args([
            "--listen-peer-urls",
            &pair.peer(),
            "--listen-client-urls",
            &url,
            "--advertise-client-urls",
            &url,
        ])
        .args(["--cert-file", &cert, "--key-file", &key, "--trusted-ca-file", &ca, "--client-cert-auth"])
        .stdout(std::process::Stdio::null())
        .stderr(fs::File::create(pair.agent.dir.0.join("etcd.log")).unwrap())
        .spawn();
    pair.server = Some(started.unwrap());
    wait_for_report(&pair, "resume", 1);
    wait_for_driver(&pair, |driver| driver["leader"]["name"] == "a" && driver["troubles"] == json!([]));

    // Files are read again: without a certificate that etcd takes, and without one that proves etcd, nothing is believed.
    for name in ["key.pem", "ca.pem"] {
        let right = fs::read(file(name)).unwrap();
        fs::write(file(name), "no PEM").unwrap();
        let driver = wait_for_driver(&pair, |driver| driver["answers"] == false);
        let trouble = driver["troubles"][0].as_str().unwrap();
        assert!(
            trouble.contains(&url) && trouble.contains("cannot be asked by TLS") && trouble.contains(name),
            "{trouble}"
        );
        fs::write(file(name), right).unwrap();
        wait_for_driver(&pair, |driver| driver["answers"] == true);
    }
    // Of another authority.
    let other = crate::running::Dir::new();
    certify(&other.0, &addr);
    fs::copy(other.0.join("ca.pem"), file("ca.pem")).unwrap();
    let driver = wait_for_driver(&pair, |driver| driver["answers"] == false);
    assert!(driver["troubles"][0].as_str().unwrap().contains("invalid peer certificate"), "{driver}");
}
