//! The whole pure core of an agent: gossip and the founding decision, and the news that each has for the other. The running
//! agent and the simulator drive this same machine.

mod councils;
mod readers;
mod review;
mod saving;
mod server;
mod sightings;

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    num::NonZeroU16,
    sync::Arc,
    time::Instant,
};

use bytes::Bytes;
use rand::{SeedableRng as _, rngs::StdRng};

use self::{
    review::{Look, Review},
    saving::Start,
    server::ServerBeside,
    sightings::{Awaited, Lookout, Seeds},
};
pub use self::{
    saving::Save,
    sightings::{Seed, zone_of},
};
use crate::{
    bootstrap::{
        self, Bootstrap, Certificate, Decision, Doubt, ForgetRefused, LastLife, Message, NodeRecord,
        Outgoing, Reason, Server, ServerId, ServerReport, Status,
    },
    council::{Council, Taken},
    counters::Counters,
    gossip::{Dial, Event, ExchangeId, Gossip, JoinId, KeysId, NoAnswer, Peer, Transmit},
    membership::Membership,
    node::NodeId,
    quorum::Quorum,
    wire::{KeyChange, KeyState, Keyring, Secrecy},
};

/// The whole pure core: gossip and the founding, joined.
///
/// Drive it like [`Gossip`], with two things more:
///
/// 1. After each burst of input call [`Self::finish_input`]: what gossip brought goes to the founding, and what the
///    founding says goes out by gossip. ([`Self::handle_fault`], [`Self::saved`] and [`Self::save_failed`] do that
///    themselves, because they release what waited for the disk.)
/// 2. Save what [`Self::poll_save`] gives and hand it back to [`Self::saved`], until there is nothing left; if
///    [`Self::awaits_save`] says so, before anything more is sent.
#[derive(Debug)]
pub struct Machine {
    gossip: Gossip,
    bootstrap: Bootstrap,
    start: Start,
    server: ServerBeside,
    seeds: Seeds,
    awaited: Awaited,
    /// Digest of the founders that this node names.
    named: Option<u64>,
    /// Address of another agent that has this node's id.
    duplicate: Option<SocketAddr>,
    /// `--bootstrap-expect`, for the quorum.
    expect: Option<NonZeroU16>,
    review: Review,
    /// The answers for readers.
    membership: Membership,
    quorum: Quorum,
    founding: Status,
    /// The nodes that gossip was told to forget.
    forgotten: BTreeMap<NodeId, LastLife>,
    /// Talk about the members of the servers.
    council: Council,
    /// Events for the caller.
    events: VecDeque<Event>,
}

impl Machine {
    /// Joins the two halves. `record` is on disk already.
    pub fn new(
        gossip: Gossip,
        founding: bootstrap::Config,
        record: NodeRecord,
        mut rng: StdRng,
        now: Instant,
    ) -> Self {
        let expect =
            founding.terms.as_ref().and_then(|terms| NonZeroU16::new(u16::try_from(terms.expect()).ok()?));
        let named = founding.terms.as_ref().and_then(bootstrap::Terms::named_digest);
        let NodeRecord { epoch, founding: record } = record;
        let council = Council::new(StdRng::from_rng(&mut rng));
        let bootstrap = Bootstrap::new(founding, record, now, rng);
        let membership = gossip.membership();
        let quorum = Quorum { index: 1, ..Quorum::forming(&membership, expect) };
        let certificate = bootstrap.certificate().cloned().map(Arc::new);
        let founding = Status { index: 1, ..Self::status(&bootstrap, None, certificate) };
        let mut machine = Self {
            gossip,
            bootstrap,
            start: Start::saved(epoch),
            server: ServerBeside::default(),
            seeds: Seeds::new(),
            awaited: Awaited::default(),
            named,
            duplicate: None,
            expect,
            review: Review::new(now),
            membership,
            quorum,
            founding,
            forgotten: BTreeMap::new(),
            council,
            events: VecDeque::new(),
        };
        machine.finish_input(now);
        machine
    }

    /// The founding as readers see it, without an index.
    fn status(
        bootstrap: &Bootstrap,
        server: Option<Server>,
        certificate: Option<Arc<Certificate>>,
    ) -> Status {
        Status {
            index: 0,
            decision: bootstrap.decision().clone(),
            cluster: bootstrap.cluster().cloned(),
            certificate,
            server,
            fault: bootstrap.fault().cloned(),
            remarks: bootstrap.remarks().to_vec(),
            offers: bootstrap.offers(),
            vouched: bootstrap.vouched(),
            holders: bootstrap.holders().clone(),
            admits: bootstrap.admits(),
        }
    }

    /// Takes in one datagram.
    pub fn handle_datagram(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) {
        self.gossip.handle_datagram(from, datagram, now);
    }

    /// Takes in a frame that somebody sent over a stream he opened, and says what to answer.
    pub fn handle_request(&mut self, from: SocketAddr, frame: &[u8], now: Instant) -> Option<Bytes> {
        self.gossip.handle_request(from, frame, now)
    }

    /// Takes in the answer to a dial, or why there is none.
    pub fn handle_reply(&mut self, exchange: ExchangeId, reply: Result<&[u8], NoAnswer>, now: Instant) {
        self.gossip.handle_reply(exchange, reply, now);
    }

    /// Does what is due. Everything that waits on the sockets must have been taken in before.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.gossip.poll_timeout().is_some_and(|due| due <= now) {
            self.gossip.handle_timeout(now);
        }
        if self.bootstrap.poll_timeout().is_some_and(|due| due <= now) {
            self.bootstrap.handle_timeout(now);
            self.review.mark_outdated();
        }
        if self.council.poll_timeout().is_some_and(|due| due <= now) {
            self.council.handle_timeout(now);
        }
    }

    /// Takes `seeds` as what the providers list now.
    pub fn set_seeds(&mut self, seeds: impl IntoIterator<Item = impl Into<Seed>>, now: Instant) {
        self.seeds = sightings::list(&self.seeds, seeds.into_iter().map(Into::into), now);
        self.gossip.set_seeds(self.seeds.keys().copied(), now);
        self.review.look_again();
    }

    /// Takes the zone in which a provider sees this node for its tag `zone`, unless it has one.
    pub fn note_zone(&mut self, zone: &str, now: Instant) {
        let mut metadata = self.gossip.own_metadata().clone();
        if zone_of(&metadata.tags).is_some() {
            return;
        }
        let Ok(key) = "zone".parse() else { return };
        metadata.tags.insert(key, zone.to_owned());
        match self.gossip.set_metadata(metadata, now) {
            Ok(()) => self.bootstrap.set_zone(zone),
            Err(error) => tracing::warn!(zone, %error, "the zone that a provider tells does not fit"),
        }
    }

    /// Waits for seeds of both families: the socket takes both, and `--seed-gate strict` asks for every address that it reaches.
    pub fn await_both_families(&mut self) {
        self.awaited.both_families = true;
    }

    /// Notes whether a provider has not answered at all yet.
    pub fn note_unheard_providers(&mut self, unheard: bool) {
        if self.awaited.unheard_providers != unheard {
            self.awaited.unheard_providers = unheard;
            self.review.look_again();
        }
    }

    /// Contacts `addrs` now, and keeps them among the seeds.
    pub fn join(&mut self, addrs: impl IntoIterator<Item = SocketAddr>, now: Instant) -> JoinId {
        self.gossip.join(addrs, now)
    }

    /// Says goodbye.
    pub fn leave(&mut self, now: Instant) {
        self.gossip.leave(now);
    }

    /// Takes in the server's word about itself. Repeated, it is its heartbeat. While another one runs, that one stays the server
    /// beside this agent.
    pub fn server_attests(&mut self, report: ServerReport, now: Instant) {
        if self.is_another(&report.server_id, now) {
            return;
        }
        self.review.mark_outdated();
        self.server.note(report.clone(), now);
        self.bootstrap.server_attests(report, now);
    }

    /// Takes in that the server gives no answer, though it was asked several times; a report ends that.
    pub fn server_is_silent(&mut self, now: Instant) {
        if self.server.is_up(now) != Some(false) {
            self.review.mark_outdated();
        }
        self.server.note_silence();
    }

    fn is_another(&self, server_id: &ServerId, now: Instant) -> bool {
        self.server.status(now).is_some_and(|running| running.excludes(server_id))
    }

    /// Takes in that the server asks what to do, under this id if it gives one; returns the answer, to be given once that is on
    /// disk.
    pub fn server_asks(&mut self, server_id: Option<&ServerId>, now: Instant) -> Decision {
        if server_id.is_some_and(|id| self.is_another(id, now)) {
            return self.founding.decision_for(server_id);
        }
        self.review.mark_outdated();
        self.bootstrap.server_asks(server_id, now)
    }

    /// Takes in that the server is started now; returns the decision by which it is.
    pub fn server_begins(&mut self, report: ServerReport, now: Instant) -> Decision {
        if self.is_another(&report.server_id, now) {
            return self.founding.decision_for(Some(&report.server_id));
        }
        self.review.mark_outdated();
        self.server.note(report.clone(), now);
        self.bootstrap.server_begins(report, now)
    }

    /// Forgets a failed or left member; returns whether it goes on counting.
    ///
    /// # Errors
    /// It is alive, or unknown.
    pub fn forget(&mut self, id: NodeId, now: Instant) -> Result<bool, ForgetRefused> {
        let last = self.gossip.peer(id);
        let last = last.map(|peer| LastLife { epoch: peer.epoch(), bump: peer.bump(), addr: peer.addr() });
        self.bootstrap().forget(id, last, now)
    }

    /// The founding half, to be told the server's reports and the operators' words.
    pub fn bootstrap(&mut self) -> &mut Bootstrap {
        self.review.mark_outdated();
        &mut self.bootstrap
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.gossip.poll_transmit()
    }

    /// The next stream to open.
    pub fn poll_dial(&mut self) -> Option<Dial> {
        self.gossip.poll_dial()
    }

    /// The next thing the caller has to know; never `SaveEpoch` or `Founding`, which end here.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Time at which `handle_timeout` wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let others = [self.bootstrap.poll_timeout(), self.council.poll_timeout()];
        others.into_iter().chain([self.gossip.poll_timeout()]).flatten().min()
    }

    /// Ends a burst of input.
    pub fn finish_input(&mut self, now: Instant) {
        while let Some(event) = self.gossip.poll_event() {
            self.take_event(event, now);
        }
        self.follow_gossip();
        while let Some((to, talk)) = self.council.poll_talk() {
            self.gossip.send_founding(to, talk, now);
        }
        let index = self.membership.index;
        let look = self.review.look(index, now);
        if look == Look::Changed || look == Look::Aged && self.has_aged(now) {
            let sightings = self.lookout().sightings(now);
            self.bootstrap.handle_sightings(sightings, now);
            self.review.mark_seen(index);
        }
        // A pause is noticed by gossip alone.
        if self.gossip.is_stale(now) != self.quorum.stale {
            self.review.mark_outdated();
        }
        // Most datagrams change nothing that is looked at below.
        if !self.review.take_outdated() {
            return;
        }
        while let Some(Outgoing { to, message }) = self.bootstrap.poll_message() {
            let bytes = minicbor::to_vec(&message).expect("writing to a vector cannot fail");
            self.gossip.send_founding(to, bytes, now);
        }
        self.follow_words(now);
        self.tell_news(now);
        self.refresh(now);
    }

    /// Has gossip forget whom operators have forgotten, and takes over what becomes of the view.
    fn follow_words(&mut self, now: Instant) {
        let forgotten = self.bootstrap.forgotten();
        if forgotten == self.forgotten {
            return;
        }
        for (id, last) in forgotten.iter().filter(|(id, last)| self.forgotten.get(id) != Some(last)) {
            self.gossip.forget(Peer::new(*id, last.addr, last.epoch, last.bump), now);
        }
        self.forgotten = forgotten;
        self.follow_gossip();
        let sightings = self.lookout().sightings(now);
        self.bootstrap.handle_sightings(sightings, now);
        self.review.mark_seen(self.membership.index);
    }

    fn lookout(&self) -> Lookout<'_> {
        let Self { gossip, membership, seeds, forgotten, awaited, duplicate, .. } = self;
        let (awaited, duplicate) = (*awaited, *duplicate);
        Lookout { gossip, membership, seeds, forgotten, awaited, duplicate }
    }

    /// True if facts that the founding goes by have changed with the time alone. They are looked at in any case until a
    /// cluster is known, since nobody waits for the work that an idle agent saves.
    fn has_aged(&self, now: Instant) -> bool {
        self.bootstrap.cluster().is_none()
            || self.quorum.stale
            || self.founding.server != self.server.status(now)
            || self.lookout().has_aged(&self.bootstrap, now)
    }

    fn take_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::SaveEpoch(epoch) => self.start.begin(epoch),
            Event::Founding(from, bytes) => self.take_message(from, &bytes, now),
            Event::ForeignLife(is_running) => {
                let doubt = if is_running { Doubt::Copied } else { Doubt::RolledBack };
                self.bootstrap().doubt(doubt, now);
                self.events.push_back(event);
            }
            Event::DuplicateId { addr, .. } => {
                self.duplicate = Some(addr);
                self.bootstrap().doubt(Doubt::Copied, now);
                self.review.look_again();
                self.events.push_back(event);
            }
            Event::DuplicateGone => {
                self.duplicate = None;
                self.review.look_again();
                self.events.push_back(event);
            }
            Event::JoinEnded(..) | Event::ChangeKeys(_) | Event::KeysAnswered(..) | Event::Left => {
                self.events.push_back(event);
            }
        }
    }

    fn take_message(&mut self, from: NodeId, bytes: &[u8], now: Instant) {
        let known = (&self.gossip, &self.membership, &self.bootstrap);
        match councils::take(&mut self.council, known, (from, bytes), now) {
            Taken::Here => {}
            Taken::Word(word) => self.bootstrap().hear_admittance(from, *word, now),
            Taken::Foreign => match minicbor::decode::<Message>(bytes) {
                Ok(message) => self.bootstrap().handle_message(from, &message, now),
                Err(error) => tracing::debug!(%from, %error, "founding message refused"),
            },
        }
    }

    /// The talk about the members of the servers.
    pub fn council(&mut self) -> &mut Council {
        &mut self.council
    }

    /// The members.
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// The quorum among them.
    pub fn quorum(&self) -> &Quorum {
        &self.quorum
    }

    /// The decision for the server, and the cluster as it is known here.
    pub fn founding(&self) -> &Status {
        &self.founding
    }

    /// This node in its present life.
    pub fn me(&self) -> &Peer {
        self.gossip.me()
    }

    /// The gossip half, to look at.
    pub fn gossip(&self) -> &Gossip {
        &self.gossip
    }

    /// Counts since the start.
    pub fn counters(&self) -> Counters {
        self.gossip.counters()
    }

    /// Takes in why the record does not serve: nothing is voted or saved from here on.
    pub fn handle_fault(&mut self, fault: Reason, now: Instant) {
        self.review.mark_outdated();
        self.bootstrap.handle_fault(fault, now);
        self.finish_input(now);
    }

    /// Takes in that a [`Save`] failed: nothing is voted until it succeeds. Keep it, try again, and hand it to
    /// [`Self::saved`] in the end.
    pub fn save_failed(&mut self, why: String, now: Instant) {
        self.review.mark_outdated();
        self.bootstrap.save_failed(why, now);
        self.finish_input(now);
    }

    /// True if a new start of this node has to be on disk before anything more is sent.
    pub fn awaits_save(&self) -> bool {
        self.start.is_unsaved() && self.bootstrap.fault().is_none()
    }

    /// The reason for which the record cannot be relied on, if there is one.
    pub fn fault(&self) -> Option<&Reason> {
        self.bootstrap.fault()
    }

    /// True if what is known of the cluster here is on disk.
    pub fn is_durable(&self) -> bool {
        self.bootstrap.is_durable()
    }

    /// The next record to save: before anything more is sent if [`Self::awaits_save`] says so; what else depends on it
    /// does not come out before [`Self::saved`].
    pub fn poll_save(&mut self) -> Option<Save> {
        let changed = self.bootstrap.poll_save();
        let founding = changed.or_else(|| self.awaits_save().then(|| self.bootstrap.repeat_save()))?;
        Some(self.start.save(founding))
    }

    /// Takes in that a record is saved.
    pub fn saved(&mut self, save: Save, now: Instant) {
        let founding = self.start.note_saved(save);
        self.review.mark_outdated();
        self.bootstrap.saved(founding, now);
        self.finish_input(now);
    }

    /// Uses other keys from now on, or says to whoever asks why it does not.
    pub fn set_keyring(&mut self, keyring: Result<Keyring, String>) {
        match keyring {
            Ok(keyring) => self.gossip.set_keyring(keyring),
            Err(trouble) => self.gossip.set_key_trouble(trouble),
        }
    }

    /// Encryption of gossip now, without the keys.
    pub fn secrecy(&self) -> Secrecy {
        let KeyState { keys, trouble } = self.gossip.key_state().unwrap_or_default();
        Secrecy { keys, trouble, stranger: self.gossip.stranger().cloned() }
    }

    /// Asks every member how its keyring stands, and to change it; nothing where there are no keys.
    pub fn ask_keys(&mut self, change: Option<KeyChange>, now: Instant) -> Option<KeysId> {
        self.gossip.ask_keys(change, now)
    }
}
