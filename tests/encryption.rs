//! Encrypted gossip between real agents: agents that are let in or kept out, packets that are answered or not, and changes
//! of the keys of a running cluster.

use std::{
    fs::{self, Permissions},
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream, UdpSocket},
    os::unix::fs::PermissionsExt as _,
    time::Duration,
};

use chronik_agent::wire::{self, Kind};

use crate::{
    awaiting::within,
    cluster::{addrs, all_say, loopback},
    running::{Agent, Dir, Ended, run},
};

const SOON: Duration = Duration::from_secs(20);

/// A new key.
struct NewKey {
    text: String,
    id: String,
}

fn keygen() -> NewKey {
    let Ended { code, out: key, .. } = run(["keygen"]);
    assert_eq!(code, 0);
    let text = key.trim().to_owned();
    let id = wire::Key::parse(&text).expect("keygen prints keys").id().to_string();
    NewKey { text, id }
}

fn write_keys(dir: &Dir, keys: &[&str]) {
    let path = dir.file("keys", &keys.join("\n"));
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

fn start(name: &str, addr: &str, seeds: &str, keys: &[&str]) -> Agent {
    let dir = Dir::new();
    let own = ["--node-name", name, "--bind", addr, "--join", seeds];
    if keys.is_empty() {
        return Agent::launch(dir, &own);
    }
    write_keys(&dir, keys);
    Agent::launch(
        dir,
        &[own.as_slice(), &["--encrypt-key-file", "DIR/keys", "--require-encryption"]].concat(),
    )
}

fn trio(key: &str) -> ([Agent; 3], Vec<String>, String) {
    let (addrs, seeds) = addrs(3);
    let names = ["a", "b", "c"];
    let agents = std::array::from_fn(|n| start(names[n], &addrs[n], &seeds, &[key]));
    within(SOON, || all_say(&agents, &ALL));
    (agents, addrs, seeds)
}

const ALL: [(&str, &str); 3] = [("a", "alive"), ("b", "alive"), ("c", "alive")];

/// The ids of each member's keys, by name; the first is the one that encrypts.
fn keyrings(agent: &Agent) -> Vec<(String, Vec<String>)> {
    let answer = agent.get("/v1/keys").json();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let row = |member: &serde_json::Value| {
        (text(&member["name"]), member["keys"].as_array().unwrap().iter().map(text).collect())
    };
    let mut rows: Vec<_> = answer["members"].as_array().unwrap().iter().map(row).collect();
    rows.sort();
    rows
}

/// Checks that three members have exactly these keys.
fn all_have(agent: &Agent, keys: &[&str]) -> Result<(), String> {
    let found = keyrings(agent);
    let right = found.iter().all(|(_, found)| found == keys);
    if right && found.len() == 3 { Ok(()) } else { Err(format!("{found:?}")) }
}

#[test]
fn the_keys_of_a_running_cluster_change_and_no_member_is_called_failed() {
    let NewKey { text: one, id: first } = keygen();
    let NewKey { text: two, id: second } = keygen();
    let ([a, b, mut c], ..) = trio(&one);
    let keys = |args: &[&str]| run([&["keys"], args, &[&a.at()]].concat());
    let fresh = Dir::new();
    let file = fresh.file("new", &two);
    let Ended { code, out: table, error } = keys(&["install", &file]);
    assert_eq!((code, error.as_str()), (0, ""), "{table}");
    all_have(&a, &[&first, &second]).unwrap();
    // A key must not encrypt before all members have it: to use one that is not installed is refused.
    let Ended { code, out: table, .. } = keys(&["use", "00000000"]);
    assert!(
        code == 1 && table.matches("key 00000000 is not in the keyring: install it first").count() == 3,
        "{table}"
    );
    let Ended { code, out: table, .. } = keys(&["use", &second]);
    assert_eq!(code, 0, "{table}");
    let Ended { code, out: table, .. } = keys(&["remove", &second]);
    assert!(code == 1 && table.contains("is the one that sends: use another one first"), "{table}");
    // A member that is away meanwhile is named, and gets its keys when it is back.
    c.kill();
    let Ended { code, out: table, .. } = keys(&["list"]);
    assert!(code == 1 && table.contains("connection refused: nothing listens there"), "{table}");
    c.restart();
    within(SOON, || all_say([&a, &b, &c], &ALL));
    let Ended { code, out: table, .. } = keys(&["remove", &first]);
    assert_eq!(code, 0, "{table}");
    all_have(&b, &[&second]).unwrap();
    for agent in [&a, &b, &c] {
        let on_disk = fs::read_to_string(agent.dir.0.join("keys")).unwrap();
        assert_eq!(on_disk.trim(), two);
        for secret in [&one, &two] {
            assert!(!agent.log().contains(secret.as_str()), "a key is in the log");
        }
        for path in ["/v1/info", "/v1/keys", "/metrics", "/v1/self"] {
            let body = agent.get(path).body;
            assert!(!body.contains(&one) && !body.contains(&two), "a key is in {path}");
        }
    }
}

#[test]
fn a_member_that_cannot_write_its_keys_says_so_and_stays() {
    let NewKey { text: one, id: first } = keygen();
    let NewKey { text: two, id: second } = keygen();
    let ([a, b, c], ..) = trio(&one);
    // A directory in the way of the new file stops even root from writing it.
    fs::create_dir(c.dir.0.join(".keys.chronik-agent")).unwrap();
    let answer = a.post("/v1/keys/install", &format!("{{\"key\":\"{two}\"}}")).json();
    assert_eq!(answer["done"], false);
    let rows = answer["members"].as_array().unwrap();
    let row = |name| rows.iter().find(|row| row["name"] == name).unwrap();
    let error = row("c")["error"].as_str().unwrap();
    assert!(error.starts_with("--encrypt-key-file ") && error.contains("/keys: "), "{error}");
    assert_eq!(row("b")["keys"], serde_json::json!([first, second]));
    assert_eq!(row("c")["keys"], serde_json::json!([first]));
    fs::remove_dir(c.dir.0.join(".keys.chronik-agent")).unwrap();
    let answer = a.post("/v1/keys/install", &format!("{{\"key\":\"{two}\"}}")).json();
    assert_eq!(answer["done"], true, "{answer}");
    all_say([&a, &b, &c], &ALL).unwrap();
}

#[test]
fn another_key_is_named_on_both_sides_and_mended_by_the_file_alone() {
    let NewKey { text: one, id: first } = keygen();
    let NewKey { text: two, id: second } = keygen();
    let ([a, b, c], _, seeds) = trio(&one);
    let d = start("d", &loopback().to_string(), &seeds, &[&two]);
    let sees = |agent: &Agent, id: &str| {
        let last = agent.get("/v1/info").json()["encryption"]["last_undecryptable"].clone();
        let error = last["error"].as_str().unwrap_or_default();
        let wanted = format!("wrong key: it is encrypted under key {id}");
        if error.starts_with(&wanted) { Ok(()) } else { Err(format!("{last}")) }
    };
    within(SOON, || sees(&a, &second));
    let Ended { code, out: text, .. } = run(["join", &d.at(), seeds.split(',').next().unwrap()]);
    assert!(code == 1 && text.contains("wrong key, or no chronik-agent there"), "{text}");
    all_say([&a, &b, &c], &ALL).unwrap();
    all_say([&d], &[("d", "alive")]).unwrap();
    // A bad file changes nothing; a good one lets it join, without a restart.
    write_keys(&d.dir, &["nonsense"]);
    d.signal("HUP");
    let trouble = || {
        let trouble = d.get("/v1/info").json()["encryption"]["trouble"].clone();
        let text = trouble.as_str().unwrap_or_default();
        if text
            .ends_with("line 1 is no key: write the base64 of 32 bytes, as `chronik-agent keygen` prints it")
        {
            Ok(())
        } else {
            Err(format!("{trouble}"))
        }
    };
    within(SOON, trouble);
    write_keys(&d.dir, &[&one]);
    within(SOON, || all_say([&a, &b, &c, &d], &[&ALL[..], &[("d", "alive")]].concat()));
    assert_eq!(d.get("/v1/info").json()["encryption"]["sends"], first);
    assert_eq!(d.get("/v1/info").json()["encryption"]["trouble"], serde_json::Value::Null);
}

#[test]
fn without_the_key_nobody_is_answered_a_single_byte() {
    let one = keygen().text;
    let ([a, b, c], addrs, _) = trio(&one);
    let to: SocketAddr = format!("{}:7946", addrs[0]).parse().unwrap();
    let socket = UdpSocket::bind((loopback(), 0)).unwrap();
    let cluster = "chronik".parse().unwrap();
    let mut frames = vec![b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0xC7; 200]];
    for kind in [Kind::Swim, Kind::Goodbye, Kind::Request, Kind::Reply, Kind::Refusal, Kind::Challenge] {
        for name in ["chronik", "other"] {
            frames.push(wire::seal(&name.parse().unwrap(), kind, &[7; 60]).to_vec());
        }
        let mut sealed = wire::seal(&cluster, kind, &[9; 120]).to_vec();
        // The second byte is the version: this one says that the packet is encrypted.
        sealed[1] = 2;
        frames.push(sealed);
    }
    let before = a.get("/v1/info").json()["counters"]["refused"].as_u64().unwrap();
    for frame in &frames {
        socket.send_to(frame, to).unwrap();
        let mut stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.write_all(&u32::try_from(frame.len()).unwrap().to_be_bytes()).unwrap();
        stream.write_all(frame).unwrap();
        let mut answer = Vec::new();
        let ended = stream.read_to_end(&mut answer);
        assert!(ended.is_ok() || ended.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
        assert!(answer.is_empty(), "{frame:?} was answered {answer:?}");
    }
    // All frames have been read by now, so that an answer would have been sent.
    within(SOON, || {
        let refused = a.get("/v1/info").json()["counters"]["refused"].as_u64().unwrap() - before;
        if refused >= 2 * frames.len() as u64 { Ok(()) } else { Err(format!("{refused} refused")) }
    });
    socket.set_nonblocking(true).unwrap();
    let answered = socket.recv_from(&mut [0; 2048]);
    assert!(answered.is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "a datagram was answered");
    all_say([&a, &b, &c], &ALL).unwrap();
}

#[test]
fn an_agent_that_is_to_encrypt_does_not_start_without_a_good_key() {
    let dir = Dir::new();
    let check = |more: &[&str]| {
        let Ended { code, error, .. } = run([&["--check", "--bind", "127.0.0.1"], more].concat());
        (code, error)
    };
    let (code, error) = check(&["--require-encryption"]);
    assert!(
        code == 64 && error.contains("--require-encryption") && error.contains("--encrypt-key-file"),
        "{error}"
    );
    let path = dir.file("keys", "x\n");
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    let (code, error) = check(&["--encrypt-key-file", &path]);
    assert!(code == 64 && error.contains(&format!("chmod 600 {path}")), "{error}");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    let (code, error) = check(&["--encrypt-key-file", &path]);
    assert!(code == 64 && error.contains("line 1 is no key"), "{error}");
    let (code, error) = check(&["--encrypt-key-file", "/nowhere/keys"]);
    assert!(code == 64 && error.contains("--encrypt-key-file /nowhere/keys: No such file"), "{error}");
}

#[test]
fn an_agent_without_keys_says_how_to_get_them() {
    let agent = Agent::start(&[]);
    let (status, detail) = agent.get("/v1/keys").problem();
    assert_eq!(
        (status, detail.as_str()),
        (409, "this agent was started without keys: give every agent --encrypt-key-file first")
    );
    for (path, body, wanted) in [
        ("/v1/keys/install", r#"{"key":"c2VjcmV0"}"#, "`key` is no key: "),
        ("/v1/keys/use", r#"{"id":"12"}"#, "`id`: that is no key id: "),
    ] {
        let (status, detail) = agent.post(path, body).problem();
        assert!(status == 400 && detail.starts_with(wanted) && !detail.contains("c2VjcmV0"), "{detail}");
    }
    // An agent that binds to loopback alone needs no warning.
    assert!(!agent.log().contains("gossip is not encrypted"), "{}", agent.log());
}
