//! `provider=aws`, from the instance in an imitation of EC2 to the member in the list. The instances have the very
//! loopback addresses that the agents listen on.

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::{
    awaiting::{now, within},
    cluster::{addrs, all_say, start},
    moto::Moto,
    running::{Agent, Ended, run},
};

const SECOND: Duration = Duration::from_secs(1);
const ALL: [(&str, &str); 3] = [("a", "alive"), ("b", "alive"), ("c", "alive")];

/// A forwarder to a server that can be barred.
struct Gate {
    addr: SocketAddr,
    barred: Arc<AtomicBool>,
}

impl Gate {
    fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let gate = Self { addr: listener.local_addr().unwrap(), barred: Arc::default() };
        let barred = gate.barred.clone();
        // The thread ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if !barred.load(Ordering::Relaxed) {
                    let onward = TcpStream::connect(server).unwrap();
                    forward(stream.try_clone().unwrap(), onward.try_clone().unwrap(), &barred);
                    forward(onward, stream, &barred);
                }
            }
        });
        gate
    }
}

/// Forwards bytes until the gate is barred.
fn forward(mut from: TcpStream, mut to: TcpStream, barred: &Arc<AtomicBool>) {
    let barred = barred.clone();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = io::Read::read(&mut from, &mut buffer) {
            if barred.load(Ordering::Relaxed) || io::Write::write_all(&mut to, &buffer[..length]).is_err() {
                break;
            }
        }
        from.shutdown(Shutdown::Both).ok();
        to.shutdown(Shutdown::Both).ok();
    });
}

fn provider(agent: &Agent) -> Value {
    agent.get("/v1/discovery").json()["providers"][0].clone()
}

#[test]
fn instances_find_each_other_for_ever_though_ec2_fails_for_a_while() {
    let moto = Moto::start();
    let gate = Gate::before(moto.url.trim_start_matches("http://").trim_end_matches('/').parse().unwrap());
    let (addrs, _) = addrs(4);
    let instances: Vec<_> = addrs.iter().map(String::as_str).collect();
    moto.fill("servers", &instances[..3]);
    let spec = format!(
        "provider=aws tag_key=chronik tag_value=server region=us-east-1 endpoint=http://{} access_key_id=any \
         secret_access_key=hunter2",
        gate.addr
    );
    // While five are expected and three are there, the agents ask as often as they may.
    let flags = ["--retry-join", &spec, "--bootstrap-expect", "5"];
    let begin = now();
    let [a, b, c] = std::array::from_fn(|n| start(["a", "b", "c"][n], &addrs[n], &flags));
    within(5 * SECOND, || all_say([&a, &b, &c], &ALL));
    println!("all list three {:?} after the first start", begin.elapsed());
    // EC2 tells each its zone, which is its tag.
    within(5 * SECOND, || {
        let members = a.get("/v1/members").json();
        let zones =
            members["members"].as_array().unwrap().iter().map(|member| member["tags"]["zone"].clone());
        let zones: Vec<_> = zones.collect();
        let is_told =
            zones.iter().all(|zone| zone.as_str().is_some_and(|zone| zone.starts_with("us-east-1")));
        is_told.then_some(()).ok_or_else(|| format!("{zones:?}"))
    });

    // `d` has no seeds: only the others can find it.
    let d = start("d", &addrs[3], &[]);
    moto.fill("servers", &instances[3..]);
    let all = [&ALL[..], &[("d", "alive")]].concat();
    let (_, took) = within(40 * SECOND, || all_say([&a, &b, &c, &d], &all));
    println!("found {took:?} after its instance ran");

    let (before, _) = within(70 * SECOND, || {
        let found = provider(&a);
        (found["addrs"].as_array().unwrap().len() == 4)
            .then_some(found.clone())
            .ok_or_else(|| found.to_string())
    });
    gate.barred.store(true, Ordering::Relaxed);
    let (failing, _) = within(90 * SECOND, || {
        let found = provider(&a);
        found["error"].is_string().then_some(found.clone()).ok_or_else(|| found.to_string())
    });
    println!("meanwhile: {}", failing["error"]);
    assert_eq!(failing["addrs"], before["addrs"], "the last good answer holds");
    assert_eq!(all_say([&a, &b, &c, &d], &all), Ok(()));
    gate.barred.store(false, Ordering::Relaxed);
    let (_, took) = within(90 * SECOND, || {
        let found = provider(&a);
        (found["error"].is_null() && found["failures"] == 0).then_some(()).ok_or_else(|| found.to_string())
    });
    println!("asked with success {took:?} after its return");
    assert_eq!(all_say([&a, &b, &c, &d], &all), Ok(()));
    for agent in [&a, &b, &c, &d] {
        assert!(!agent.log().contains("status=failed"), "{}", agent.log());
        assert!(!agent.log().contains("hunter2"), "a secret in the log");
        assert!(
            !agent.get("/v1/info").body.contains("hunter2")
                && !agent.get("/v1/discovery").body.contains("hunter2")
        );
    }
}

#[test]
fn a_mistyped_key_is_a_suggestion_before_anything_starts() {
    let spec = "provider=aws tag_kye=chronik tag_value=server";
    let expected = "chronik-agent: --retry-join number 1: unknown key `tag_kye` for provider=aws; did you mean `tag_key`?\n";
    assert_eq!(run(["--retry-join", spec]), Ended::failed(64, expected));
}
