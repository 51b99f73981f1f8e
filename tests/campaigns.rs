//! The campaigns with which the papers on Lifeguard and Rapid measured failure detectors, run in the simulated world:
//! anomalies, and asymmetric loss. A share of each runs as a test; the whole are measurements. Each measurement prints a
//! line of raw results, and adds it to the file that `SIM_RESULTS` names; CONTRIBUTING.md has the commands.

mod asymmetric;
mod lifeguard;
mod tradeoff;

use std::{fs::OpenOptions, io::Write as _, time::Duration};

use serde_json::Value;

use crate::environment;

const SECOND: Duration = Duration::from_secs(1);

/// Prints a line of raw results of any measurement in the simulated world, and adds it to the file.
pub(crate) fn print_result(line: &Value) {
    eprintln!("{line}");
    if let Some(file) = environment::text("SIM_RESULTS") {
        let mut file = OpenOptions::new().create(true).append(true).open(file).unwrap();
        writeln!(file, "{line}").unwrap();
    }
}
