//! The example `discover`, run as a command: its environment is its own, as the SDK's settings need.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// What the command printed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Output {
    /// Addresses.
    pub(crate) addrs: Vec<String>,
    /// Warnings and errors.
    pub(crate) complaints: Vec<String>,
    /// 0 addresses, 2 none, 4 failed, 64 wrong usage.
    pub(crate) code: i32,
    /// From start to end.
    pub(crate) took: Duration,
}

/// Asks `times` times, with these environment variables and no others.
pub(crate) fn discover(spec: &str, times: u32, env: &[(&str, &str)]) -> Output {
    #[expect(clippy::disallowed_methods, reason = "real time is what a time-out is measured in")]
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

/// Where cargo puts it, beside the directory of this test.
fn example() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join("examples/discover");
    assert!(
        path.exists(),
        "{} is missing: run without --test, or cargo build --examples first",
        path.display()
    );
    path
}
