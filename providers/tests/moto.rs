//! moto, an imitation of EC2 and IAM that shares no code with the SDK: filters, pages, signatures, permissions.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::daemon::Daemon;

/// The script that fills moto. Part of the program, since the tests of both crates use it, each in a folder of its own.
const SCRIPT: &str = include_str!("moto.py");

/// A running moto.
pub(crate) struct Moto {
    _daemon: Daemon,
    /// URL of the server: `http://127.0.0.1:PORT`.
    pub(crate) url: String,
}

impl Moto {
    /// Starts a server without instances.
    pub(crate) fn start() -> Self {
        let mut command = Command::new(program("moto_server"));
        let (daemon, line) = Daemon::start(command.args(["-H", "127.0.0.1", "-p", "0"]), "Running on");
        let url = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned();
        Self { _daemon: daemon, url }
    }

    /// Runs `moto.py`, which fills the server: with `fleet`, `users`, or `servers` at these addresses.
    pub(crate) fn fill(&self, with: &str, addrs: &[&str]) -> Value {
        let mut command = Command::new(program("python"));
        let output = command.args(["-c", SCRIPT, with, &self.url]).args(addrs).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

pub(crate) fn program(name: &str) -> PathBuf {
    let places = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut paths = places.map(|place| place.join("tests/.venv/bin").join(name));
    paths
        .find(|path| path.exists())
        .expect("tests/.venv is missing: run tests/venv once, which makes it with python3")
}
