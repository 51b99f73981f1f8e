//! The nemesis: real agents and real etcd servers, on hosts that are network namespaces, under a random program of
//! everything that goes wrong; then quiet. Checked afterwards over all that was said: CONTRIBUTING.md tells how to read it.
//!
//! Each program runs in a process of its own, in namespaces of its own: whatever is left of it ends with that process.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on should stop where it stands, and say why"
)]

#[path = "../awaiting.rs"]
mod awaiting;
mod checks;
mod deserved;
mod disks;
#[path = "../environment.rs"]
mod environment;
mod history;
mod http;
mod network;
mod node;
mod operators;
mod program;
mod quiet;
mod run;
mod stranger;
mod threads;
mod writes;

use std::{
    fs,
    ops::Range,
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use awaiting::now;
use program::Program;

/// Programs of every run of all tests. Each has found something: a wrong report that outlived its retraction, a server that was
/// killed between its start and its first write, an agent that called its orderly end a defect.
const SHORT: [u64; 3] = [4, 21, 200];
/// Programs of a night.
const NIGHT: Range<u64> = 0..200;
/// Time for one program, its quiet and its checks included.
const PATIENCE: Duration = Duration::from_secs(180);
/// The variable by which the process of a program is told its seed.
const WORLD: &str = "NEMESIS_WORLD";
/// The variable by which it is told its folder. It mounts disks there, which are gone with it; then the folder can be removed.
const PLACE: &str = "NEMESIS_PLACE";

#[test]
fn a_few_programs_end_as_they_should() {
    run_all("a_few_programs_end_as_they_should", SHORT.to_vec());
}

#[test]
#[ignore = "three hours: tests/nightly nemesis"]
fn programs_end_as_they_should() {
    let seeds = environment::range("NEMESIS_SEEDS", NIGHT).collect();
    run_all("programs_end_as_they_should", seeds);
}

/// Runs the programs of these seeds, `NEMESIS_JOBS` at once; or, in the process of one, that one.
fn run_all(test: &str, seeds: Vec<u64>) {
    if let Some(seed) = environment::text(WORLD) {
        let place = environment::text(PLACE).unwrap();
        return run::run(&Program::of(seed.parse().unwrap()), place.as_ref());
    }
    need_parts();
    if let Some(lack) = lack() {
        println!("NOT TESTED: no namespaces are to be had here: {lack}");
        return;
    }
    let (next, founded, writes, begin) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0), now());
    let jobs = environment::number("NEMESIS_JOBS", 1);
    let failed: Vec<u64> = thread::scope(|scope| {
        let work = || {
            let mut failed = Vec::new();
            while let Some(seed) = seeds.get(usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap()) {
                let (is_well, said) = run_one(test, *seed);
                failed.extend((!is_well).then_some(*seed));
                founded.fetch_add(u64::from(said.contains(": one founding, ")), Ordering::Relaxed);
                writes.fetch_add(writes_in(&said), Ordering::Relaxed);
            }
            failed
        };
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let (founded, writes) = (founded.into_inner(), writes.into_inner());
    println!(
        "{} programs, {founded} founded, {} with findings, {writes} writes, {:.0?}",
        seeds.len(),
        failed.len(),
        begin.elapsed()
    );
    assert!(failed.is_empty(), "programs of these seeds have findings: {failed:?}");
}

/// Runs one program in a process and namespaces of its own, and prints what it printed; returns whether it is well, and that.
fn run_one(test: &str, seed: u64) -> (bool, String) {
    let mut command = world();
    command.arg(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--include-ignored", "--nocapture"]).env(WORLD, seed.to_string());
    let place = std::env::temp_dir().join(format!("nemesis-{}-{seed}", std::process::id()));
    fs::create_dir_all(&place).unwrap();
    command.env(PLACE, &place);
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
    fs::remove_dir_all(&place).ok();
    let said = String::from_utf8_lossy(&stdout).trim().to_owned();
    println!("{said}");
    if !status.success() {
        println!("{}\nagain: {}", String::from_utf8_lossy(&stderr).trim(), again(seed));
    }
    (status.success(), said)
}

/// The acknowledged writes that a program tells of.
fn writes_in(said: &str) -> u64 {
    let words: Vec<&str> = said.split_whitespace().collect();
    let number = words.windows(2).find(|pair| pair[1] == "writes,").map(|pair| pair[0].parse());
    number.and_then(Result::ok).unwrap_or(0)
}

fn again(seed: u64) -> String {
    format!(
        "NEMESIS_SEEDS={seed}..{} cargo test --no-default-features --test nemesis -- programs_end --ignored --nocapture",
        seed + 1
    )
}

/// A command that runs another one in namespaces of its own, as root in them, until this thread ends.
fn world() -> Command {
    let mut command = Command::new("timeout");
    command.args(["-s", "KILL", &PATIENCE.as_secs().to_string(), "unshare", "-nm"]);
    if !rustix::process::geteuid().is_root() {
        command.arg("-Ur");
    }
    command.args(["setpriv", "--pdeathsig", "KILL"]);
    command
}

/// Asserts that all is installed that can be.
fn need_parts() {
    let needed = ["etcd", "ip", "nft", "unshare", "nsenter", "setpriv", "timeout"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |command: &&str| std::env::split_paths(&path).any(|place| place.join(command).exists());
    let missing: Vec<_> = needed.iter().filter(|command| !is_there(command)).collect();
    let packages = "etcd-server, iproute2, nftables and util-linux on Debian";
    assert!(missing.is_empty(), "missing here: {missing:?} ({packages}); tests/run as root installs them");
}

/// The reason why this process may make no namespaces, if it may not.
fn lack() -> Option<String> {
    let made = world().args(["mount", "-t", "tmpfs", "none", "/mnt"]).output().unwrap();
    (!made.status.success()).then(|| String::from_utf8_lossy(&made.stderr).trim().to_owned())
}
