//! The one task that owns the gossip machine, the sockets and the clock: one `select!`, and after each wake-up the same
//! order: take in everything, then do what is due, then persist, send, publish.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};

use super::{
    Ended,
    alarm::Alarm,
    saving::{Saving, Written},
};
use crate::{
    bootstrap::{Reason, Status},
    config::LEAVE_WITHIN,
    gossip::{Event, ExchangeId, JoinId, KeysId, NoAnswer},
    handle::{Command, JoinOutcome},
    machine::Machine,
    membership::Membership,
    node::NodeId,
    quorum::Quorum,
    retry_join::Update,
    service_manager::ServiceManager,
    snapshot::{About, Discovery, ProviderReport, Rendered, Snapshot},
    state_dir::StateDir,
    transport::{self, Datagrams, Request},
    watchdog::Pulse,
    wire::{KeyChange, MAX_DATAGRAM, MemberKeys},
};

/// Most datagrams taken in before the timers get their turn; more than a socket's buffer holds after a pause.
const DATAGRAMS_A_TURN: usize = 2_048;
/// How long a refresh of the snapshot waits for something else to wake the task; with members, a probe will.
const REFRESH_SLACK: Duration = Duration::from_millis(400);
/// What is left of a graceful stop for the API to finish its answers in.
const GOODBYE_WITHIN: Duration = LEAVE_WITHIN.saturating_sub(Duration::from_millis(1_500));

/// Where everything comes from.
#[derive(Debug)]
pub(super) struct Inputs {
    pub(super) datagrams: Datagrams,
    pub(super) asked: mpsc::Receiver<Command>,
    pub(super) requested: mpsc::Receiver<Request>,
    pub(super) updated: mpsc::Receiver<Update>,
}

/// The task's state.
pub(super) struct Core {
    pub(super) machine: Machine,
    pub(super) state: Arc<StateDir>,
    pub(super) inputs: Inputs,
    pub(super) dials: JoinSet<(ExchangeId, Result<Bytes, NoAnswer>)>,
    pub(super) writes: JoinSet<()>,
    pub(super) about: Arc<About>,
    pub(super) membership: Arc<Membership>,
    pub(super) quorum: Arc<Quorum>,
    pub(super) founding: Arc<Status>,
    pub(super) discovery: Arc<Discovery>,
    pub(super) snapshots: watch::Sender<Arc<Snapshot>>,
    pub(super) joins: BTreeMap<JoinId, oneshot::Sender<Vec<JoinOutcome>>>,
    pub(super) asked_keys: BTreeMap<KeysId, oneshot::Sender<Option<Vec<MemberKeys>>>>,
    /// To whoever keeps the file with the keys.
    pub(super) key_changes: mpsc::Sender<KeyChange>,
    pub(super) goodbyes: Vec<oneshot::Sender<()>>,
    /// When the goodbye must be over.
    pub(super) leave_by: Option<Instant>,
    pub(super) left: bool,
    /// Answers to be given at the end of the turn, after what they speak of is on disk.
    pub(super) answers: Vec<Answer>,
    pub(super) saving: Saving,
    pub(super) new_id: fn() -> NodeId,
    pub(super) kept_peers: Vec<SocketAddr>,
    pub(super) keep_peers_after: Instant,
    pub(super) refresh_at: Instant,
    alarm: Alarm,
    /// Nobody, unless the agent is the program.
    pub(super) service_manager: ServiceManager,
    /// Of this task, for who watches it.
    pub(super) pulse: Pulse,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.machine.fmt(f)
    }
}

/// An answer that waits for the end of the turn.
type Answer = Box<dyn FnOnce() + Send>;

/// What woke the task.
enum Wake {
    Stop,
    Command(Command),
    Request(Request),
    Update(Update),
    Dialled((ExchangeId, Result<Bytes, NoAnswer>)),
    Written(Box<Written>),
    Datagrams,
    Time,
}

impl Core {
    pub(super) fn new(
        machine: Machine,
        state: StateDir,
        inputs: Inputs,
        about: Arc<About>,
        reports: Vec<ProviderReport>,
        key_changes: mpsc::Sender<KeyChange>,
        new_id: fn() -> NodeId,
    ) -> (Self, watch::Receiver<Arc<Snapshot>>) {
        let started = about.started.instant;
        let membership = Arc::new(machine.membership().clone());
        let quorum = Arc::new(machine.quorum().clone());
        let founding = Arc::new(machine.founding().clone());
        let discovery = Arc::new(Discovery { index: 1, providers: reports });
        let first = Snapshot {
            about: about.clone(),
            membership: membership.clone(),
            quorum: quorum.clone(),
            founding: founding.clone(),
            discovery: discovery.clone(),
            counters: machine.counters(),
            encryption: machine.secrecy(),
            joined: false,
            leaving: false,
            taken: started,
            rendered: Rendered::default(),
        };
        let (snapshots, seen) = watch::channel(Arc::new(first));
        let core = Self {
            machine,
            state: Arc::new(state),
            inputs,
            dials: JoinSet::new(),
            writes: JoinSet::new(),
            about,
            membership,
            quorum,
            founding,
            discovery,
            snapshots,
            joins: BTreeMap::new(),
            asked_keys: BTreeMap::new(),
            key_changes,
            goodbyes: Vec::new(),
            leave_by: None,
            left: false,
            answers: Vec::new(),
            saving: Saving::default(),
            new_id,
            kept_peers: Vec::new(),
            keep_peers_after: started,
            refresh_at: started,
            alarm: Alarm::new(),
            service_manager: ServiceManager::default(),
            pulse: Pulse::default(),
        };
        (core, seen)
    }

    /// Runs until the goodbye is said.
    pub(super) async fn run(mut self, stop: impl Future<Output = ()>) -> Ended {
        tokio::pin!(stop);
        let mut buffer = vec![0; MAX_DATAGRAM + 1];
        let mut stopped = false;
        while !self.left {
            let due = self.due();
            let wake = tokio::select! {
                biased;
                () = &mut stop, if !stopped => Wake::Stop,
                Some(Ok(written)) = self.saving.under_way.join_next() => Wake::Written(Box::new(written)),
                () = self.inputs.datagrams.readable() => Wake::Datagrams,
                Some(request) = self.inputs.requested.recv() => Wake::Request(request),
                Some(Ok(dialled)) = self.dials.join_next() => Wake::Dialled(dialled),
                Some(command) = self.inputs.asked.recv() => Wake::Command(command),
                Some(update) = self.inputs.updated.recv() => Wake::Update(update),
                () = self.alarm.wait(due, now()) => Wake::Time,
            };
            // A disk that does not answer stands still with the whole agent: it could neither vote nor learn.
            if self.saving.under_way.is_empty() {
                self.pulse.beat();
            }
            let now = now();
            stopped |= matches!(wake, Wake::Stop);
            self.take(wake, now);
            self.take_what_waits(&mut buffer, now);
            self.machine.handle_timeout(now);
            self.drain(now).await;
        }
        // Writes that are under way are finished; they are short.
        self.finish_saving(now()).await;
        while self.writes.join_next().await.is_some() {}
        for goodbye in self.goodbyes {
            // Whoever asked may have gone.
            goodbye.send(()).ok();
        }
        if self.saving.starts_over() { Ended::StartOver } else { Ended::Left }
    }

    fn due(&self) -> Instant {
        let dues = [self.machine.poll_timeout(), self.saving.due(), self.leave_by];
        dues.into_iter().flatten().fold(self.refresh_at + REFRESH_SLACK, Instant::min)
    }

    fn take(&mut self, wake: Wake, now: Instant) {
        match wake {
            Wake::Stop => self.leave(now),
            Wake::Command(command) => self.take_command(command, now),
            Wake::Request(Request { from, frame, reply }) => {
                // Like a datagram it may say what has to be on disk first.
                if let Some(answer) = self.machine.handle_request(from, &frame, now) {
                    self.answer(reply, answer);
                }
            }
            Wake::Dialled((exchange, answer)) => {
                self.machine.handle_reply(exchange, answer.as_deref().map_err(Clone::clone), now);
            }
            Wake::Update(update) => self.take_update(update, now),
            Wake::Written(written) => self.take_written(*written, now),
            Wake::Datagrams | Wake::Time => {}
        }
    }

    /// Takes in everything that waits, so that no timer judges before the evidence is heard.
    fn take_what_waits(&mut self, buffer: &mut [u8], now: Instant) {
        for _ in 0..DATAGRAMS_A_TURN {
            match self.inputs.datagrams.try_receive(buffer) {
                Ok((length, from)) => self.machine.handle_datagram(canonical(from), &buffer[..length], now),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                // An ICMP answer to something sent earlier; the next datagram is behind it.
                Err(error) => tracing::trace!(%error, "datagram error"),
            }
        }
        while let Ok(request) = self.inputs.requested.try_recv() {
            self.take(Wake::Request(request), now);
        }
        while let Ok(command) = self.inputs.asked.try_recv() {
            self.take(Wake::Command(command), now);
        }
        while let Ok(update) = self.inputs.updated.try_recv() {
            self.take(Wake::Update(update), now);
        }
        while let Some(dialled) = self.dials.try_join_next() {
            if let Ok(dialled) = dialled {
                self.take(Wake::Dialled(dialled), now);
            }
        }
    }

    fn take_update(&mut self, update: Update, now: Instant) {
        let mut discovery = Discovery::clone(&self.discovery);
        if let Some(report) = discovery.providers.get_mut(update.position) {
            *report = update.report;
            discovery.index += 1;
        }
        let seeds: Vec<_> = discovery.providers.iter().flat_map(|report| report.addrs.clone()).collect();
        self.discovery = Arc::new(discovery);
        self.refresh_at = now;
        self.machine.set_seeds(seeds, now);
    }

    pub(super) fn leave(&mut self, now: Instant) {
        if self.leave_by.is_none() {
            tracing::info!("saying goodbye");
            self.leave_by = Some(now + GOODBYE_WITHIN);
            self.refresh_at = now;
            self.machine.leave(now);
        }
    }

    /// Answers once what was done is seen, and what it says may be said.
    pub(super) fn answer<T: Send + 'static>(&mut self, reply: oneshot::Sender<T>, answer: T) {
        self.answers.push(Box::new(move || {
            // Whoever asked may have gone.
            reply.send(answer).ok();
        }));
    }

    /// Gives the answers of this turn, and of those that waited for the disk what may be given.
    pub(super) fn give_answers(&mut self) {
        for answer in self.answers.drain(..) {
            answer();
        }
        self.give_durable_answers();
    }

    /// Persists, sends and publishes what the input brought about, in this order.
    async fn drain(&mut self, now: Instant) {
        self.machine.turn(now);
        self.persist(now).await;
        while let Some(event) = self.machine.poll_event() {
            self.act_on(event, now);
        }
        while let Some(transmit) = self.machine.poll_transmit() {
            let to = self.reachable(transmit.to);
            // A full buffer loses the datagram, as the network may; the protocol is made for that.
            if let Err(error) = self.inputs.datagrams.send(&transmit.payload, to) {
                tracing::trace!(%to, %error, "datagram not sent");
            }
        }
        while let Some(dial) = self.machine.poll_dial() {
            self.dials.spawn(transport::dial(dial, self.about.bound.ip()));
        }
        while self.writes.try_join_next().is_some() {}
        self.publish(now);
        // Whoever asks next sees what was done.
        self.give_answers();
        self.left |= self.leave_by.is_some_and(|by| by <= now);
    }

    fn act_on(&mut self, event: Event, now: Instant) {
        match event {
            Event::JoinEnded(join, outcomes) => {
                let outcomes =
                    outcomes.into_iter().map(|(addr, error)| JoinOutcome { addr, error }).collect();
                if let Some(reply) = self.joins.remove(&join) {
                    // Whoever asked may have gone.
                    reply.send(outcomes).ok();
                }
            }
            Event::KeysAnswered(asked, answers) => {
                if let Some(reply) = self.asked_keys.remove(&asked) {
                    // Whoever asked may have gone.
                    reply.send(Some(answers)).ok();
                }
            }
            Event::ChangeKeys(change) => {
                if self.key_changes.try_send(change).is_err() {
                    self.machine.set_keyring(Err("too many changes at once: ask again".to_owned()));
                }
            }
            Event::Left => self.left = true,
            Event::DuplicateId { addr, stopped } => {
                tracing::error!(other = %addr, stopped, "{}", Reason::DuplicateId { addr });
                self.refresh_at = now;
            }
            Event::Persist(_) | Event::Founding(..) => {}
        }
    }

    /// A socket bound to an IPv6 address reaches IPv4 ones in their mapped form.
    fn reachable(&self, to: SocketAddr) -> SocketAddr {
        match (self.about.bound, to.ip()) {
            (SocketAddr::V6(_), IpAddr::V4(ip)) => SocketAddr::new(ip.to_ipv6_mapped().into(), to.port()),
            _ => to,
        }
    }
}

fn canonical(from: SocketAddr) -> SocketAddr {
    SocketAddr::new(from.ip().to_canonical(), from.port())
}

#[expect(clippy::disallowed_methods, reason = "the one place where the running agent reads the clock")]
fn now() -> Instant {
    Instant::now()
}
