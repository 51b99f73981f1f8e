//! Tests that need parts from outside this repository: etcd, name servers, an imitation of EC2, a tracer, a library that shifts
//! the clock, and root. `cargo nextest run` leaves these tests out, so that it passes anywhere; `tests/run` installs the
//! parts and runs them. A part that is missing is a failure that says how to get it.

#[cfg(feature = "aws")]
mod discovery_aws;
#[cfg(feature = "dns")]
mod discovery_dns;
mod disk;
mod etcd;
mod etcd_grows;
mod etcd_server;
mod wall_clock;

/// Asserts that each of these commands is installed; each is named with the Debian package that has it.
#[track_caller]
fn need(commands: &[(&str, &str)]) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |command: &str| std::env::split_paths(&path).any(|place| place.join(command).exists());
    let missing = commands.iter().filter(|(command, _)| !is_there(command));
    let missing: Vec<_> =
        missing.map(|(command, package)| format!("{command} ({package} on Debian)")).collect();
    assert!(
        missing.is_empty(),
        "missing here: {}; install that, or run tests/run as root once, which does",
        missing.join(", ")
    );
}

/// Asserts that root runs the test: only root may mount, and trace other processes.
#[track_caller]
fn need_root() {
    let is_root = rustix::process::geteuid().is_root();
    assert!(
        is_root,
        "only root may mount and trace: run this test as root; tests/run leaves it out otherwise"
    );
}
