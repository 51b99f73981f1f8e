//! Counts of what happened in lives.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use serde_json::json;

use crate::campaigns::print_result;

/// Counts of one life, or of many.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) node_time: Duration,
    pub(super) faults: BTreeMap<&'static str, u64>,
    pub(super) suspicions: usize,
    pub(super) failures: usize,
}

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        self.node_time += other.node_time;
        self.suspicions += other.suspicions;
        self.failures += other.failures;
        for (name, count) in other.faults {
            *self.faults.entry(name).or_default() += count;
        }
    }

    /// Prints the counts as a line of results.
    pub(super) fn print(&self, scenario: &str, seeds: &Range<u64>) {
        print_result(&json!({
            "suite": "campaign", "scenario": scenario, "n": 10, "agent": "chronik", "clusters": seeds.end - seeds.start,
            "node_hours": self.node_time.as_secs() / 3_600,
            "faults": self.faults, "faults_in_all": self.faults.values().sum::<u64>(),
            "suspicions": self.suspicions, "called_failed": self.failures,
        }));
    }
}
