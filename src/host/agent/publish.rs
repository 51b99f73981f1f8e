//! The core as others see it: the snapshot for readers, and the log for operators.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use crate::{
    bootstrap::{Decision, Reason},
    budget::Use,
    gossip::DialUse,
    machine::{Machine, Seed},
    membership::Membership,
    retry_join::Update,
    servers::Seen,
    snapshot::{About, Discovery, ProviderReport, Snapshot},
};

/// Interval at which a snapshot is published though nothing has changed, so that `last_heard` stays true.
const REFRESH: Duration = Duration::from_secs(1);
/// Time for which a refresh waits for something else to wake the task; with members, a probe will.
const REFRESH_SLACK: Duration = Duration::from_millis(400);

/// The publisher of snapshots. The last one stands in the channel, and nowhere else.
pub(super) struct Publisher {
    about: Arc<About>,
    discovery: Arc<Discovery>,
    /// The server beside the agent, if a driver asks it.
    server: Option<Arc<Seen>>,
    snapshots: watch::Sender<Arc<Snapshot>>,
    refresh_at: Instant,
}

impl Publisher {
    /// A publisher, and the end from which its snapshots are read.
    pub(super) fn new(
        machine: &Machine,
        about: Arc<About>,
        reports: Vec<ProviderReport>,
    ) -> (Self, watch::Receiver<Arc<Snapshot>>) {
        let refresh_at = about.started.instant;
        let discovery = Arc::new(Discovery { index: 1, providers: reports });
        let first = Arc::new(snapshot(machine, &about, &discovery, None, None, refresh_at));
        let (snapshots, seen) = watch::channel(first);
        (Self { about, discovery, server: None, snapshots, refresh_at }, seen)
    }

    /// The time at which the task has to wake for a refresh.
    pub(super) fn due(&self) -> Instant {
        self.refresh_at + REFRESH_SLACK
    }

    /// Makes a snapshot due in this turn.
    pub(super) fn refresh(&mut self, now: Instant) {
        self.refresh_at = now;
    }

    /// Takes in a provider's report. Returns the seeds of all providers, each with the name of its own.
    pub(super) fn take_update(&mut self, update: Update, now: Instant) -> Vec<Seed> {
        let discovery = Arc::make_mut(&mut self.discovery);
        if let Some(report) = discovery.providers.get_mut(update.position) {
            *report = update.report;
            discovery.index += 1;
        }
        let seeds = (1..).zip(&discovery.providers).flat_map(|(number, report)| {
            let by: Arc<str> =
                format!("provider {}, number {number} of `chronik-agent discovery`", report.provider).into();
            report.addrs.iter().map(move |addr| Seed { addr: *addr, by: by.clone() })
        });
        let seeds = seeds.collect();
        self.refresh(now);
        seeds
    }

    /// Takes in how the server beside the agent was seen last.
    pub(super) fn take_server(&mut self, seen: Seen, now: Instant) {
        if self.server.as_ref().is_none_or(|last| last.index != seen.index) {
            self.refresh(now);
        }
        self.server = Some(Arc::new(seen));
    }

    /// True while a provider has not answered at all.
    pub(super) fn has_unheard_provider(&self) -> bool {
        self.discovery.providers.iter().any(|report| report.answered.is_none())
    }

    /// True if there is something new to see, or a refresh is due.
    pub(super) fn is_due(&self, machine: &Machine, now: Instant) -> bool {
        let last = self.snapshots.borrow();
        last.membership.index != machine.membership().index
            || last.founding.index != machine.founding().index
            || last.quorum.index != machine.quorum().index
            || now >= self.refresh_at
    }

    /// Publishes a snapshot, and logs the changes since the last one. `leave_by` is the deadline of an agent that says
    /// goodbye.
    pub(super) fn publish(
        &mut self,
        machine: &Machine,
        budgets: Vec<Use>,
        leave_by: Option<Instant>,
        now: Instant,
    ) {
        self.refresh_at = now + REFRESH;
        let budgets = [budgets, dials(machine.gossip().dial_use())].concat();
        let next = Snapshot {
            budgets,
            ..snapshot(machine, &self.about, &self.discovery, self.server.clone(), leave_by, now)
        };
        let next = Arc::new(next);
        let last = self.snapshots.borrow().clone();
        if last.membership.index != next.membership.index {
            log_changes(&last.membership, &next.membership);
        }
        if last.founding.index != next.founding.index {
            log_decision(&last.founding.decision, &next.founding.decision);
        }
        let has_news = last.membership.index != next.membership.index
            || last.quorum.index != next.quorum.index
            || last.founding.index != next.founding.index
            || last.discovery.index != next.discovery.index
            || server_index(&last) != server_index(&next)
            || last.joined != next.joined
            || last.leaving != next.leaving;
        // A reader that waits for a change is not woken for a refresh.
        self.snapshots.send_if_modified(|current| {
            *current = next;
            has_news
        });
    }
}

fn server_index(snapshot: &Snapshot) -> Option<u64> {
    snapshot.server.as_ref().map(|server| server.index)
}

/// The present state as readers see it.
fn snapshot(
    machine: &Machine,
    about: &Arc<About>,
    discovery: &Arc<Discovery>,
    server: Option<Arc<Seen>>,
    leave_by: Option<Instant>,
    now: Instant,
) -> Snapshot {
    Snapshot {
        about: about.clone(),
        membership: Arc::new(machine.membership().clone()),
        quorum: Arc::new(machine.quorum().clone()),
        founding: Arc::new(machine.founding().clone()),
        discovery: discovery.clone(),
        server,
        counters: machine.counters(),
        budgets: Vec::new(),
        encryption: machine.secrecy(),
        joined: machine.gossip().joined(),
        leaving: leave_by.is_some(),
        taken: now,
    }
}

fn dials(DialUse { in_flight, waiting, given_up }: DialUse) -> Vec<Use> {
    let (most, waits) = (DialUse::MAX_IN_FLIGHT, DialUse::MAX_WAITING);
    let under_way = Use { name: "dials", used: in_flight, limit: most, refused: 0 };
    vec![under_way, Use { name: "dials_waiting", used: waiting, limit: waits, refused: given_up }]
}

/// Logs the decision for the server: a wait once for each kind of reason, not for each count in it.
fn log_decision(before: &Decision, after: &Decision) {
    match after {
        Decision::Wait { reasons } => {
            let known: Vec<_> = match before {
                Decision::Wait { reasons } => reasons.iter().map(Reason::code).collect(),
                Decision::Bootstrap(_) | Decision::Resume(_) | Decision::Join(_) | Decision::Conflict(_) => {
                    vec![]
                }
            };
            for reason in reasons.iter().filter(|reason| !known.contains(&reason.code())) {
                tracing::info!(decision = "wait", code = reason.code(), "{reason}");
            }
        }
        same if same == before => {}
        Decision::Bootstrap(group) => tracing::info!(decision = "bootstrap", cluster = %group.cluster_id),
        Decision::Resume(group) => tracing::info!(decision = "resume", cluster = %group.cluster_id),
        Decision::Join(group) => tracing::info!(decision = "join", cluster = %group.cluster_id),
        Decision::Conflict(conflict) => {
            let clusters = &conflict.clusters;
            tracing::error!(
                decision = "conflict",
                ?clusters,
                "an operator has to say which cluster is meant"
            );
        }
    }
}

/// Logs each member whose status or epoch has changed, or that is new.
fn log_changes(before: &Membership, after: &Membership) {
    for (id, member) in &after.members {
        let before = before.members.get(id);
        let (name, addr, status) = (&member.name, member.addr, member.status);
        match before {
            Some(before) if before.status == status && before.epoch == member.epoch => {}
            Some(before) => tracing::info!(%name, %id, %addr, %status, was = %before.status, "member"),
            None => tracing::info!(%name, %id, %addr, %status, "member"),
        }
    }
}
