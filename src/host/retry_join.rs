//! Asks the providers, paces itself, and never gives up: fast while alone, slow when healthy, never stopped.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use chronik_providers::{Cadence, Discover, DiscoverError, FailureKind, Seeds};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::sync::mpsc;

use crate::{
    backoff::Backoff,
    handle::Handle,
    shutdown::Hangups,
    snapshot::{ProviderReport, Snapshot},
};

/// Answers that hold shorter than this are asked for again no sooner: a TTL of 0 must not become a busy loop.
const SHORTEST_VALIDITY: Duration = Duration::from_secs(5);
/// The longest wait while alone or below expect.
const LONGEST_WHILE_FORMING: Duration = Duration::from_secs(60);
/// After polls that failed, the wait grows to this.
const LONGEST_AFTER_FAILURE: Duration = Duration::from_secs(600);

/// A provider's news for the agent.
#[derive(Debug)]
pub struct Update {
    /// Number of the `--retry-join`, in the order given.
    pub position: usize,
    /// All that is known of it now.
    pub report: ProviderReport,
}

/// One provider, asked for ever.
pub struct Source {
    provider: Box<dyn Discover>,
    position: usize,
    report: ProviderReport,
    rng: StdRng,
    /// Polls in a row while this node was alone or below expect.
    forming: u32,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.report.fmt(f)
    }
}

/// Need of this node to hear from its providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Need {
    /// It is alone, or sees fewer servers than it expects.
    forming: bool,
    /// Members that share the providers' rations.
    sharing: u32,
}

impl Need {
    fn of(snapshot: &Snapshot) -> Self {
        let active = snapshot.membership.active().count();
        let short = snapshot.quorum.expect.is_some() && !snapshot.quorum.expect_met;
        Self { forming: active <= 1 || short, sharing: u32::try_from(active.max(1)).unwrap_or(u32::MAX) }
    }
}

impl Source {
    /// A source that has not been asked yet; `spec` is shown with its secrets masked.
    pub fn new(
        position: usize,
        name: &'static str,
        spec: String,
        provider: Box<dyn Discover>,
        seed: u64,
    ) -> Self {
        let report = ProviderReport {
            provider: name,
            spec,
            addrs: Vec::new(),
            instances: BTreeMap::new(),
            answered: None,
            took: None,
            warnings: Vec::new(),
            error: None,
            failures: 0,
            polls: 0,
            next: None,
        };
        Self { provider, position, report, rng: StdRng::seed_from_u64(seed), forming: 0 }
    }

    /// Report on it so far.
    pub fn report(&self) -> ProviderReport {
        self.report.clone()
    }

    /// Asks, tells the agent, waits, and asks again, at once on SIGHUP, until the agent is gone.
    pub async fn run(mut self, handle: Handle, updates: mpsc::Sender<Update>) {
        let mut hangups = Hangups::catch("providers are asked at their own pace");
        loop {
            let began = now();
            let answer = self.provider.discover().await;
            let need = Need::of(&handle.snapshot());
            let wait = self.take(answer, began, now(), need);
            let update = Update { position: self.position, report: self.report.clone() };
            if updates.send(update).await.is_err() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = hangups.next() => {}
                // Somebody who was content and now is alone asks at once.
                lost = handle.wait_for(|snapshot| Need::of(snapshot).forming), if !need.forming => {
                    if lost.is_err() {
                        return;
                    }
                    self.forming = 0;
                    tokio::time::sleep(self.provider.cadence().floor.min(wait)).await;
                }
            }
        }
    }

    /// Takes in an answer or a failure and says how long to wait. A failed poll keeps the last good answer.
    fn take(
        &mut self,
        answer: Result<Seeds, DiscoverError>,
        began: Instant,
        now: Instant,
        need: Need,
    ) -> Duration {
        self.report.polls += 1;
        self.report.took = Some(now.duration_since(began));
        let cadence = self.provider.cadence();
        let wait = match answer {
            Ok(Seeds { addrs, valid_for, warnings, instances }) => {
                self.note_answer(&addrs, &warnings);
                self.report = ProviderReport {
                    addrs,
                    instances,
                    warnings,
                    answered: Some(now),
                    error: None,
                    failures: 0,
                    ..self.report.clone()
                };
                self.wait_after_answer(cadence, need, valid_for)
            }
            Err(error) => {
                self.note_failure(&error);
                self.report.failures = self.report.failures.saturating_add(1);
                self.report.error = Some(error.message);
                // A throttled source serves others as well: back off twice as fast.
                let steps = if error.kind == FailureKind::Throttled {
                    self.report.failures.saturating_mul(2)
                } else {
                    self.report.failures
                };
                cadence
                    .floor
                    .max(Backoff::new(cadence.floor, LONGEST_AFTER_FAILURE).wait(steps, &mut self.rng))
            }
        };
        self.report.next = Some(now + wait);
        wait
    }

    /// While alone or below expect, ever more slowly, but never more slowly than once settled.
    fn wait_after_answer(&mut self, cadence: Cadence, need: Need, valid_for: Option<Duration>) -> Duration {
        let settled = self.wait_when_settled(cadence, need, valid_for);
        if !need.forming {
            self.forming = 0;
            return settled;
        }
        self.forming = self.forming.saturating_add(1);
        let backoff = Backoff::new(cadence.floor, LONGEST_WHILE_FORMING);
        backoff.wait(self.forming, &mut self.rng).min(settled).max(cadence.floor)
    }

    fn wait_when_settled(&mut self, cadence: Cadence, need: Need, valid_for: Option<Duration>) -> Duration {
        // Everybody asks on average once in N intervals, so that all together ask about once an interval.
        let interval =
            if cadence.rationed { cadence.settled.saturating_mul(need.sharing) } else { cadence.settled };
        let jittered = interval.mul_f64(self.rng.random_range(0.5..1.5));
        match valid_for {
            Some(valid) if !cadence.rationed => jittered.min(valid.max(SHORTEST_VALIDITY)).max(cadence.floor),
            _ => jittered,
        }
    }

    fn note_answer(&self, addrs: &[SocketAddr], warnings: &[String]) {
        let (provider, spec) = (self.report.provider, &self.report.spec);
        if self.report.answered.is_none() || self.report.error.is_some() || self.report.addrs != addrs {
            tracing::info!(provider, spec, ?addrs, "seeds");
        }
        if self.report.warnings != warnings {
            for warning in warnings {
                tracing::warn!(provider, spec, warning, "seeds are incomplete");
            }
        }
    }

    /// Logs a failure once, not at every poll.
    fn note_failure(&self, error: &DiscoverError) {
        let (provider, spec, message) = (self.report.provider, &self.report.spec, &error.message);
        if self.report.error.as_ref() == Some(message) {
            tracing::debug!(provider, spec, message, "the provider still fails");
        } else {
            tracing::warn!(
                provider,
                spec,
                error = message,
                "the provider fails; the agent goes on with what it knows"
            );
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the shell reads the clock")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(spec: &str, valid_for: Option<Duration>, need: Need) -> Vec<Duration> {
        let spec: chronik_providers::Spec = chronik_providers::Spec::parse(spec).unwrap();
        let provider = spec.connect(7946).unwrap();
        let cadence = provider.cadence();
        let mut source = Source::new(0, spec.provider(), spec.to_string(), provider, 1);
        (0..1_000).map(|_| source.wait_after_answer(cadence, need, valid_for)).collect()
    }

    #[test]
    fn below_expect_it_asks_at_least_as_often_as_when_settled() {
        let need = Need { forming: true, sharing: 3 };
        // A static list is settled at 15 to 45 s, and at most as long as the answer holds.
        let waits = |valid_for| waits("10.0.0.1", valid_for, need);
        assert!(waits(None).iter().all(|wait| *wait <= Duration::from_secs(45)));
        let valid = Duration::from_secs(7);
        assert!(waits(Some(valid)).iter().all(|wait| (Duration::from_secs(1)..=valid).contains(wait)));
    }
}
