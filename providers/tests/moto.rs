//! moto, an imitation of EC2 and IAM that shares no code with the SDK: filters, pages, signatures, permissions.

use std::{path::PathBuf, process::Command};

use serde_json::Value;

use crate::daemon::Daemon;

/// A running moto.
pub(crate) struct Moto {
    _daemon: Daemon,
    /// `http://127.0.0.1:PORT`.
    pub(crate) url: String,
}

impl Moto {
    /// Starts an empty one.
    pub(crate) fn start() -> Self {
        let mut command = Command::new(program("moto_server"));
        let (daemon, line) = Daemon::start(command.args(["-H", "127.0.0.1", "-p", "0"]), "Running on");
        let url = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned();
        Self { _daemon: daemon, url }
    }

    /// Has `moto.py` fill it: `fleet` or `users`.
    pub(crate) fn fill(&self, with: &str) -> Value {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/moto.py");
        let output = Command::new(program("python")).args([script, with, &self.url]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

fn program(name: &str) -> PathBuf {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/.venv/bin")).join(name);
    assert!(path.exists(), "{} is missing: run tests/venv once, which makes it", path.display());
    path
}
