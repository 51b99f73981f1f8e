//! The one task that owns the gossip machine, the sockets and the clock: one `select!`, and after each wake-up the same
//! order: take in everything, then do what is due, then persist, send, publish.

mod commands;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

use super::{
    alarm::Alarm,
    peers::KeptPeers,
    publish::Publisher,
    replies::Replies,
    saving::{Saving, Written},
    talks::Talks,
    tolls::{Tolls, Took},
};
use crate::{
    bootstrap::{NodeRecord, Reason},
    config::LEAVE_WITHIN,
    gossip::Event,
    handle::{Command, JoinOutcome},
    machine::Machine,
    reporter::Wished,
    retry_join::Update,
    service_manager::{ServiceManager, Stage},
    signing::NodeKey,
    snapshot::{About, ProviderReport, Snapshot},
    state_dir::StateDir,
    transport::{self, Budgets, Datagrams, Dialled, Frame, Request},
    watchdog::Pulse,
    wire::{KeyChange, Keyring, MAX_DATAGRAM},
};

/// Most datagrams taken in before the timers get their turn; more than a socket's buffer holds after a pause.
const DATAGRAMS_A_TURN: usize = 2_048;
/// Time for the frames and requests that wait in one turn; a state of thousands of members takes a part of it.
const FRAMES_A_TURN: Duration = Duration::from_millis(50);
/// Time allowed for the goodbye; the rest of a graceful stop is for the API to finish its answers.
const GOODBYE_WITHIN: Duration = LEAVE_WITHIN.saturating_sub(Duration::from_millis(1_500));

/// The end of a life of the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The agent said goodbye.
    Left,
    /// An operator had it forget everything: bind again, and a new node starts.
    StartOver,
    /// This host has another address: bind again, and the node goes on under that.
    Moved,
}

/// The sources of everything that comes in.
#[derive(Debug)]
pub(super) struct Inputs {
    pub(super) datagrams: Datagrams,
    pub(super) asked: mpsc::Receiver<Command>,
    pub(super) requested: mpsc::Receiver<Request>,
    pub(super) updated: mpsc::Receiver<Update>,
}

/// The tasks to which something goes out beside the network.
#[derive(Debug)]
pub(super) struct Outputs {
    pub(super) key_changes: mpsc::Sender<KeyChange>,
    /// Operators' wishes for the reporter.
    pub(super) reporter: mpsc::Sender<Wished>,
}

/// The end of this life of the agent.
#[derive(Debug, Default)]
struct Leaving {
    /// Deadline of the goodbye; set once the agent leaves.
    by: Option<Instant>,
    /// Set once the goodbye is said or its time is over.
    is_over: bool,
    /// Set if the node goes on at another address.
    moves: bool,
}

/// The state of the task.
pub(super) struct Core {
    machine: Machine,
    about: Arc<About>,
    inputs: Inputs,
    dials: JoinSet<Dialled>,
    budgets: Budgets,
    tolls: Tolls,
    publisher: Publisher,
    saving: Saving,
    peers: KeptPeers,
    replies: Replies,
    talks: Talks,
    /// Changes of the keys, for the task that keeps their file.
    key_changes: mpsc::Sender<KeyChange>,
    leaving: Leaving,
    new_key: fn() -> NodeKey,
    alarm: Alarm,
    watched: Watched,
}

/// The signs of life of this task.
#[derive(Default)]
struct Watched {
    /// Inactive if the agent is embedded in another program.
    service_manager: ServiceManager,
    /// For the watchdog.
    pulse: Pulse,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.machine.fmt(f)
    }
}

/// An input, or another reason why the task woke.
enum Wake {
    Stop,
    Command(Command),
    Request(Request),
    Update(Update),
    Dialled(Dialled),
    Written(Box<Written>),
    Datagrams,
    Time,
}

impl Core {
    /// Joins the machine with its inputs and with what it feeds.
    pub(super) fn new(
        machine: Machine,
        state: StateDir,
        inputs: Inputs,
        about: Arc<About>,
        reports: Vec<ProviderReport>,
        Outputs { key_changes, reporter }: Outputs,
        new_key: fn() -> NodeKey,
    ) -> (Self, watch::Receiver<Arc<Snapshot>>) {
        let state = Arc::new(state);
        let (publisher, seen) = Publisher::new(&machine, about.clone(), reports);
        let core = Self {
            machine,
            inputs,
            dials: JoinSet::new(),
            budgets: Budgets::default(),
            tolls: Tolls::default(),
            publisher,
            saving: Saving::new(state.clone()),
            peers: KeptPeers::new(state, about.started.instant),
            replies: Replies::default(),
            talks: Talks::new(reporter),
            about,
            key_changes,
            leaving: Leaving::default(),
            new_key,
            alarm: Alarm::new(),
            watched: Watched::default(),
        };
        (core, seen)
    }

    /// Tells the service manager of this process how the agent is, from now on.
    pub(super) fn tell(&mut self, service_manager: ServiceManager) {
        self.watched.service_manager = service_manager;
    }

    /// Accounts of what others may have of the streams.
    pub(super) fn budgets(&self) -> Budgets {
        self.budgets.clone()
    }

    /// Signs of life of this task.
    pub(super) fn pulse(&self) -> &Pulse {
        &self.watched.pulse
    }

    /// The keys in use, if there are any.
    pub(super) fn keyring(&self) -> Option<&Keyring> {
        self.machine.gossip().keyring()
    }

    /// Runs until the goodbye is said. As long as this is there, the other tasks wait for it; they end once it is dropped.
    pub(super) async fn run(&mut self, stop: impl Future<Output = ()>) -> Ended {
        tokio::pin!(stop);
        let mut buffer = vec![0; MAX_DATAGRAM + 1];
        let mut stopped = false;
        while !self.leaving.is_over {
            let due = self.due();
            let wake = tokio::select! {
                biased;
                () = &mut stop, if !stopped => Wake::Stop,
                Some(written) = self.saving.ended() => Wake::Written(Box::new(written)),
                () = self.inputs.datagrams.readable() => Wake::Datagrams,
                Some(request) = self.inputs.requested.recv() => Wake::Request(request),
                Some(Ok(dialled)) = self.dials.join_next() => Wake::Dialled(dialled),
                Some(command) = self.inputs.asked.recv() => Wake::Command(command),
                Some(update) = self.inputs.updated.recv() => Wake::Update(update),
                () = self.alarm.wait(due, now()) => Wake::Time,
            };
            // A disk that does not answer counts as a standstill: without it the agent can neither vote nor learn.
            if self.saving.is_idle() {
                self.watched.pulse.beat();
            }
            let now = now();
            stopped |= matches!(wake, Wake::Stop);
            self.take(wake, now);
            self.take_what_waits(&mut buffer, now);
            self.machine.handle_timeout(now);
            self.drain(now).await;
        }
        self.finish_saving(now()).await;
        self.peers.finish().await;
        self.replies.goodbye_said();
        match (self.saving.starts_over(), self.leaving.moves) {
            (true, _) => Ended::StartOver,
            (false, true) => Ended::Moved,
            (false, false) => Ended::Left,
        }
    }

    fn due(&self) -> Instant {
        let dues = [self.machine.poll_timeout(), self.saving.due(), self.leaving.by];
        dues.into_iter().flatten().fold(self.publisher.due(), Instant::min)
    }

    fn take(&mut self, wake: Wake, now: Instant) {
        match wake {
            Wake::Stop => {
                self.leaving.moves = false;
                self.leave(now);
            }
            Wake::Command(command) => self.take_command(command, now),
            Wake::Request(Request { from, frame, reply, held }) => {
                if !self.tolls.admit(from.ip(), now) {
                    return;
                }
                let began = Took::begin();
                let answer = self.machine.handle_request(from, &frame.whole(), now);
                self.tolls.charge(from.ip(), began, now);
                drop(held);
                // Like a datagram, the answer may depend on something that has to be on disk first.
                if let Some(answer) = answer.and_then(|frame| self.budgets.answer(from.ip(), frame)) {
                    self.replies.await_turn(reply, answer);
                }
            }
            Wake::Dialled(Dialled { exchange, answer, held }) => {
                let answer = answer.map(Frame::whole);
                self.machine.handle_reply(exchange, answer.as_deref().map_err(Clone::clone), now);
                drop(held);
            }
            Wake::Update(update) => {
                let own = update.report.instances.get(&self.machine.me().addr());
                if let Some(zone) = own.and_then(|instance| instance.zone.as_deref()) {
                    self.machine.note_zone(zone, now);
                }
                let seeds = self.publisher.take_update(update, now);
                self.machine.note_unheard_providers(self.publisher.has_unheard_provider());
                self.machine.set_seeds(seeds, now);
            }
            Wake::Written(written) => self.take_written(*written, now),
            Wake::Datagrams | Wake::Time => {}
        }
    }

    /// Takes in everything that waits, so that no timer judges before the evidence is in.
    fn take_what_waits(&mut self, buffer: &mut [u8], now: Instant) {
        for _ in 0..DATAGRAMS_A_TURN {
            match self.inputs.datagrams.try_receive(buffer) {
                Ok((length, from)) => self.machine.handle_datagram(canonical(from), &buffer[..length], now),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                // An ICMP answer to something sent earlier; the next datagram is behind it.
                Err(error) => tracing::trace!(%error, "datagram error"),
            }
        }
        let begin = self::now();
        while begin.elapsed() < FRAMES_A_TURN
            && let Ok(request) = self.inputs.requested.try_recv()
        {
            self.take(Wake::Request(request), now);
        }
        while begin.elapsed() < FRAMES_A_TURN
            && let Ok(command) = self.inputs.asked.try_recv()
        {
            self.take(Wake::Command(command), now);
        }
        while let Ok(update) = self.inputs.updated.try_recv() {
            self.take(Wake::Update(update), now);
        }
        while begin.elapsed() < FRAMES_A_TURN
            && let Some(dialled) = self.dials.try_join_next()
        {
            if let Ok(dialled) = dialled {
                self.take(Wake::Dialled(dialled), now);
            }
        }
    }

    /// Takes in how a write ended.
    fn take_written(&mut self, written: Written, now: Instant) {
        // The disk may be slow, but it answers.
        self.watched.pulse.beat();
        self.saving.take(written, &mut self.machine, &mut self.replies, now);
        if self.saving.starts_over() {
            self.leave(now);
        }
    }

    fn leave(&mut self, now: Instant) {
        if self.leaving.by.is_none() {
            tracing::info!("saying goodbye");
            self.leaving.by = Some(now + GOODBYE_WITHIN);
            self.publisher.refresh(now);
            self.machine.leave(now);
        }
    }

    /// Writes everything that changed. Only a new start of this node is waited for here, since nothing may be sent before
    /// it is on disk; the bootstrap holds back what depends on its record by itself, so that a slow disk does not make
    /// this node deaf.
    async fn persist(&mut self, now: Instant) {
        while self.saving.begin(&mut self.machine, now) && self.machine.awaits_save() {
            if let Some(written) = self.saving.ended().await {
                self.take_written(written, now);
            }
        }
    }

    /// Ends the write under way and those behind it, which are short; a refused one is not tried again.
    async fn finish_saving(&mut self, now: Instant) {
        while self.saving.begin(&mut self.machine, now) {
            if let Some(written) = self.saving.ended().await {
                self.take_written(written, now);
            }
        }
        self.end_turn();
    }

    fn end_turn(&mut self) {
        self.replies.end_turn(self.saving.outcome(&self.machine).as_ref());
    }

    fn publish(&mut self, now: Instant) {
        if !self.publisher.is_due(&self.machine, now) {
            return;
        }
        let leaving = self.leaving.by.is_some();
        // A new start is no end: the service manager would kill the node that follows.
        let ends = leaving && !self.saving.starts_over() && !self.leaving.moves;
        self.watched.service_manager.tell(if ends { Stage::Stopping } else { Stage::Running });
        self.machine.refresh_contact();
        let budgets = self.budgets.use_now().into_iter().chain([self.tolls.use_now(now)]).collect();
        self.publisher.publish(&self.machine, budgets, self.leaving.by, now);
        if !leaving {
            self.peers.keep(self.machine.membership(), self.about.id, now);
        }
    }

    /// Persists, sends and publishes the effects of the input, in this order, and sends the answers last.
    async fn drain(&mut self, now: Instant) {
        self.machine.finish_input(now);
        self.persist(now).await;
        while let Some(event) = self.machine.poll_event() {
            self.act_on(event, now);
        }
        while let Some(event) = self.machine.council().poll_event() {
            self.talks.act(event, &mut self.machine, now);
        }
        while let Some(transmit) = self.machine.poll_transmit() {
            let to = self.reachable(transmit.to);
            // A full buffer loses the datagram, as the network may; the protocol is made for that.
            if let Err(error) = self.inputs.datagrams.send(&transmit.payload, to) {
                tracing::trace!(%to, %error, "datagram not sent");
            }
        }
        while let Some(dial) = self.machine.poll_dial() {
            self.dials.spawn(transport::dial(dial, self.about.bound.ip(), self.budgets.clone()));
        }
        self.publish(now);
        self.end_turn();
        self.leaving.is_over |= self.leaving.by.is_some_and(|by| by <= now);
    }

    fn act_on(&mut self, event: Event, now: Instant) {
        match event {
            Event::JoinEnded(join, outcomes) => {
                let outcomes =
                    outcomes.into_iter().map(|(addr, error)| JoinOutcome { addr, error }).collect();
                self.replies.join_ended(join, outcomes);
            }
            Event::KeysAnswered(asked, answers) => self.replies.keys_answered(asked, answers),
            Event::ChangeKeys(change) => {
                if self.key_changes.try_send(change).is_err() {
                    self.machine.set_keyring(Err("too many changes at once: ask again".to_owned()));
                }
            }
            Event::Left => self.leaving.is_over = true,
            Event::ForeignLife(_) => self.renew_key(),
            Event::DuplicateId { addr, stopped } => {
                tracing::error!(other = %addr, stopped, "{}", Reason::DuplicateId { addr });
                self.renew_key();
                self.publisher.refresh(now);
            }
            Event::DuplicateGone => {
                tracing::info!("the other agent with this node's id is gone");
                self.publisher.refresh(now);
            }
            Event::SaveEpoch(_) | Event::Founding(..) => {}
        }
    }

    /// Goes on as a new node if nothing is lost with this one's id: its record was copied, or is older than what others remember.
    fn renew_key(&mut self) {
        if let Some(founding) = self.machine.bootstrap().afresh((self.new_key)()) {
            tracing::warn!(node = %founding.node_id(), "another record has this node's key; it goes on under a new id");
            let record = NodeRecord { epoch: self.about.epoch, founding };
            self.saving.start_over(record, None);
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
