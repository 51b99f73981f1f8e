//! The campaigns with which others have measured failure detectors, run in the simulated world: Lifeguard's anomalies and
//! Rapid's asymmetric loss. A share of each runs as a test; the whole are measurements. Each measurement prints a line of
//! raw results, and adds it to the file that `SIM_RESULTS` names; CONTRIBUTING.md has the commands.

mod asymmetric;
mod lifeguard;
mod tradeoff;

use std::{fs::OpenOptions, io::Write as _, time::Duration};

use serde_json::Value;

const SECOND: Duration = Duration::from_secs(1);

/// A line of raw results, of any measurement in the simulated world.
pub(crate) fn result(line: &Value) {
    eprintln!("{line}");
    #[expect(clippy::disallowed_methods, reason = "where the raw results of a measurement go")]
    if let Ok(file) = std::env::var("SIM_RESULTS") {
        let mut file = OpenOptions::new().create(true).append(true).open(file).unwrap();
        writeln!(file, "{line}").unwrap();
    }
}
