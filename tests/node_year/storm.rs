//! Storms: several faults at once, again and again. Verdicts may be wrong meanwhile; but once a storm is over all agree
//! again, have the quorum, and nothing that was decided is taken back.

use std::time::Duration;

use rand::RngExt as _;

use super::{Failed, Fault, Life, SECOND, Suspect};
use crate::sim::Node;

impl Life {
    /// True if the fault can begin now: a process that does not run, or is stopped, cannot be stopped or leave.
    fn may_begin(&self, fault: &Fault) -> bool {
        let in_order = |node: &Node| self.world.runs(*node) && !self.world.is_paused(*node);
        match fault {
            Fault::Pause(node) | Fault::Restart(node) | Fault::Leave(node) => in_order(node),
            Fault::Loss(_)
            | Fault::Crash(_)
            | Fault::Partition(_)
            | Fault::Mute(_)
            | Fault::Deaf(_)
            | Fault::Blackout => true,
        }
    }

    /// Begins two to six faults, each while the others last, and ends all at once.
    fn weather_storm(&mut self) -> Result<(), String> {
        let mut faults = Vec::new();
        for _ in 0..self.rng.random_range(2..=6) {
            let fault = self.pick();
            if self.may_begin(&fault) {
                self.log += &format!("{:?} {fault:?}\n", self.world.elapsed());
                *self.tally.faults.entry(fault.name()).or_default() += 1;
                self.begin(&fault);
                // A member that was about to leave is no longer, once it has restarted.
                if let Fault::Restart(again) = fault {
                    faults.retain(|fault| !matches!(fault, Fault::Leave(node) if *node == again));
                }
                faults.push(fault);
            }
            let lasts = Duration::from_millis(self.rng.random_range(0..20_000));
            self.world.run_for(lasts);
        }
        self.log += &format!("{:?} over\n", self.world.elapsed());
        self.end(&faults);
        self.check_together()?;
        self.check_decisions()
    }

    /// Lives through storms, with a minute between them.
    pub(super) fn live_in_storms(&mut self, time: Duration) -> Result<(), String> {
        while self.world.elapsed() < time {
            let from = self.world.history.changes.len();
            let weathered = self.weather_storm();
            weathered.map_err(|problem| format!("{:?}\n{problem}", &self.world.history.changes[from..]))?;
            self.world.run_for(60 * SECOND);
        }
        let said = |what| self.world.history.changes.iter().filter(|change| change.status == what).count();
        (self.tally.suspicions, self.tally.failures) = (said(Suspect), said(Failed));
        self.tally.node_time = self.nodes.iter().map(|_| self.world.elapsed()).sum();
        Ok(())
    }
}
