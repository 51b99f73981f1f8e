//! The example `discover`, run as a command: the SDK takes its settings from the environment, which a command has to itself.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// The outcome of a command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Output {
    /// Lines of standard output: addresses.
    pub(crate) addrs: Vec<String>,
    /// Lines of standard error: warnings and errors.
    pub(crate) complaints: Vec<String>,
    /// Exit code: 0 for addresses, 2 for none, 4 for a failed poll, 64 for wrong usage.
    pub(crate) code: i32,
    /// Time from start to end.
    pub(crate) took: Duration,
}

/// Polls `times` times, with these environment variables and no others.
pub(crate) fn discover(spec: &str, times: u32, env: &[(&str, &str)]) -> Output {
    #[expect(clippy::disallowed_methods, reason = "a time-out is measured in real time")]
    let start = Instant::now();
    let output = Command::new(example())
        .arg(spec)
        .arg(times.to_string())
        .env_clear()
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let lines = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect();
    Output {
        addrs: lines(&output.stdout),
        complaints: lines(&output.stderr),
        code: output.status.code().unwrap_or(-1),
        took: start.elapsed(),
    }
}

/// The path of the example, which cargo puts beside the directory of this test.
pub(crate) fn example() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join("examples/discover");
    assert!(
        path.exists(),
        "{} is missing: run without --test, or cargo build --examples first",
        path.display()
    );
    path
}
