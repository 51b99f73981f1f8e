//! The whole pure core of an agent: gossip, the founding decision, and what each tells the other. The running agent and
//! the simulator drive this same machine.

mod keys;
mod saving;
mod sightings;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    num::NonZeroU16,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rand::rngs::StdRng;

use crate::{
    bootstrap::{
        self, Bootstrap, ClusterId, DataLoss, EstablishedReport, Message, NodeRecord, Outgoing,
        OverrideRefused, ReportRefused, Reset, ResetRefused, Server, ServerReport, Status,
    },
    counters::Counters,
    gossip::{Dial, Event, ExchangeId, Gossip, JoinId, NoAnswer, Peer, Transmit},
    membership::{FoundingNews, Membership, Metadata},
    node::{Epoch, NodeId},
    quorum::Quorum,
};

pub use self::{saving::Save, sightings::zone_of};

/// A server that reports itself counts as running for this long: three of the heartbeats of ten seconds that the
/// documentation asks for.
const SERVER_UP_FOR: Duration = Duration::from_secs(30);

/// How often it is looked at what has changed with the time alone.
const AGES: Duration = Duration::from_secs(1);

/// The whole pure core. Drive it like [`Gossip`], with one thing more: save what [`Self::poll_save`] gives and hand it
/// back to [`Self::saved`], until there is nothing left; if [`Self::awaits_save`] says so, before anything more is sent.
#[derive(Debug)]
pub struct Machine {
    gossip: Gossip,
    membership: Membership,
    bootstrap: Bootstrap,
    /// The latest start of this node; a later one than on disk waits to be saved.
    epoch: Epoch,
    epoch_saved: bool,
    expect: Option<NonZeroU16>,
    server: Option<(ServerReport, Instant)>,
    seeds: BTreeMap<SocketAddr, Instant>,
    duplicate: Option<SocketAddr>,
    /// The gossip's membership that the founding has seen.
    viewed: Option<u64>,
    viewed_at: Instant,
    /// The founding may have come to another end since it was last looked at.
    touched: bool,
    quorum: Quorum,
    founding: Status,
    events: Vec<Event>,
}

impl Machine {
    /// Joins the two halves. `record` is on disk already.
    pub fn new(
        gossip: Gossip,
        founding: bootstrap::Config,
        record: NodeRecord,
        rng: StdRng,
        now: Instant,
    ) -> Self {
        let expect =
            founding.terms.as_ref().and_then(|terms| NonZeroU16::new(u16::try_from(terms.expect()).ok()?));
        let NodeRecord { epoch, founding: record } = record;
        let bootstrap = Bootstrap::new(founding, record, now, rng);
        let membership = gossip.membership();
        let quorum = Quorum { index: 1, ..Quorum::forming(&membership, expect) };
        let founding = Status {
            index: 1,
            decision: bootstrap.decision().clone(),
            cluster: bootstrap.cluster().cloned(),
            server: None,
            fault: bootstrap.fault().cloned(),
        };
        let mut machine = Self {
            gossip,
            membership,
            bootstrap,
            epoch,
            epoch_saved: true,
            expect,
            server: None,
            seeds: BTreeMap::new(),
            duplicate: None,
            viewed: None,
            viewed_at: now,
            touched: true,
            quorum,
            founding,
            events: Vec::new(),
        };
        machine.turn(now);
        machine
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
            self.touched = true;
        }
    }

    /// Takes `seeds` as what the providers list now.
    pub fn set_seeds(&mut self, seeds: impl IntoIterator<Item = SocketAddr>, now: Instant) {
        let known = std::mem::take(&mut self.seeds);
        self.seeds = seeds.into_iter().map(|addr| (addr, known.get(&addr).copied().unwrap_or(now))).collect();
        self.gossip.set_seeds(self.seeds.keys().copied(), now);
        self.viewed = None;
    }

    /// Contacts `addrs` now, and keeps them among the seeds.
    pub fn join(&mut self, addrs: impl IntoIterator<Item = SocketAddr>, now: Instant) -> JoinId {
        self.gossip.join(addrs, now)
    }

    /// Says goodbye.
    pub fn leave(&mut self, now: Instant) {
        self.gossip.leave(now);
    }

    /// The server beside this agent says who it is. Repeated, it is its heartbeat.
    pub fn server_attests(&mut self, report: ServerReport, now: Instant) {
        self.touched = true;
        self.server = Some((report.clone(), now));
        self.bootstrap.server_attests(report, now);
    }

    /// The server reports that its group exists, and who votes in it.
    ///
    /// # Errors
    /// Says what contradicts what is known here.
    pub fn established(&mut self, report: &EstablishedReport, now: Instant) -> Result<(), ReportRefused> {
        self.touched = true;
        self.bootstrap.established(report, now)
    }

    /// An operator names the founders against what is known.
    ///
    /// # Errors
    /// Says why not.
    pub fn override_founders(
        &mut self,
        founders: &BTreeSet<NodeId>,
        now: Instant,
    ) -> Result<ClusterId, OverrideRefused> {
        self.touched = true;
        self.bootstrap.override_founders(founders, now)
    }

    /// An operator has this node forget its cluster. After `StartOver`, write the new record and build a new machine.
    ///
    /// # Errors
    /// Something is established, and losing it was not agreed to.
    pub fn reset(&mut self, new_id: NodeId, loss: DataLoss, now: Instant) -> Result<Reset, ResetRefused> {
        self.touched = true;
        self.bootstrap.reset(new_id, loss, now)
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.gossip.poll_transmit()
    }

    /// The next stream to open.
    pub fn poll_dial(&mut self) -> Option<Dial> {
        self.gossip.poll_dial()
    }

    /// The next thing the caller has to know; never `Persist` or `Founding`, which end here.
    pub fn poll_event(&mut self) -> Option<Event> {
        (!self.events.is_empty()).then(|| self.events.remove(0))
    }

    /// When `handle_timeout` wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.gossip.poll_timeout(), self.bootstrap.poll_timeout()].into_iter().flatten().min()
    }

    /// Ends every burst of input: what gossip brought goes to the founding, what the founding says goes out by gossip.
    pub fn turn(&mut self, now: Instant) {
        while let Some(event) = self.gossip.poll_event() {
            self.take_event(event, now);
        }
        self.follow_gossip();
        let index = self.membership.index;
        // Contact grows old without any change of the membership.
        let looked_at = self.viewed == Some(index) && now.duration_since(self.viewed_at) < AGES;
        if !looked_at {
            self.viewed_at = now;
        }
        if self.viewed != Some(index) || (!looked_at && self.has_aged(now)) {
            self.viewed = Some(index);
            let sightings = self.sightings(now);
            self.bootstrap.handle_sightings(sightings, now);
            self.touched = true;
        }
        // A pause is noticed by gossip alone.
        self.touched |= self.gossip.is_stale(now) != self.quorum.stale;
        // Most datagrams change nothing that is looked at below.
        if !std::mem::take(&mut self.touched) {
            return;
        }
        while let Some(Outgoing { to, message }) = self.bootstrap.poll_message() {
            self.gossip.send_founding(to, minicbor_bytes(&message), now);
        }
        self.tell_news(now);
        self.refresh(now);
    }

    fn take_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Persist(epoch) => {
                self.epoch = epoch;
                self.epoch_saved = false;
            }
            Event::Founding(from, bytes) => match minicbor::decode::<Message>(&bytes) {
                Ok(message) => {
                    self.touched = true;
                    self.bootstrap.handle_message(from, &message, now);
                }
                Err(error) => tracing::debug!(%from, %error, "founding message refused"),
            },
            Event::DuplicateId { addr, .. } => {
                self.duplicate = Some(addr);
                self.viewed = None;
                self.events.push(event);
            }
            Event::JoinEnded(..) | Event::ChangeKeys(_) | Event::KeysAnswered(..) | Event::Left => {
                self.events.push(event);
            }
        }
    }

    /// Tells the others what is known of the cluster here.
    fn tell_news(&mut self, now: Instant) {
        let cluster = self.bootstrap.cluster();
        let news = FoundingNews {
            cluster_id: cluster.map(|cluster| cluster.id),
            config_index: cluster.map_or(0, |cluster| cluster.config_index),
            established: cluster.is_some_and(|cluster| cluster.established),
            attestation: self.bootstrap.attestation(),
            server_up: self.server_up(now),
        };
        if self.gossip.own_metadata().founding != news {
            let metadata = Metadata { founding: news, ..self.gossip.own_metadata().clone() };
            if let Err(error) = self.gossip.set_metadata(metadata, now) {
                tracing::error!(%error, "what is known of the cluster cannot be told");
            }
        }
    }

    fn server_up(&self, now: Instant) -> Option<bool> {
        let (_, at) = self.server.as_ref().filter(|(report, _)| !report.once)?;
        Some(now.duration_since(*at) <= SERVER_UP_FOR)
    }

    fn refresh(&mut self, now: Instant) {
        let up = self.server_up(now);
        self.founding.update(Status {
            index: 0,
            decision: self.bootstrap.decision().clone(),
            cluster: self.bootstrap.cluster().cloned(),
            server: self.server.as_ref().map(|(report, _)| Server { report: report.clone(), up }),
            fault: self.fault().cloned(),
        });
        let unheard = self.gossip.is_stale(now).then(|| {
            let ids = self.membership.members.keys().copied();
            ids.filter(|id| *id != self.gossip.me().id && !self.gossip.hears(*id, now)).collect()
        });
        let quorum =
            Quorum::assess(&self.membership, &self.founding, self.expect, unheard.as_ref(), self.duplicate);
        let voters =
            if quorum.has_quorum() { Quorum::known_voters(&self.membership, &self.founding) } else { vec![] };
        self.gossip.set_voters(voters, quorum.required);
        self.quorum.update(quorum);
    }

    /// Who is there.
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// When and how each member was last heard from, for a membership that is otherwise unchanged.
    pub fn refresh_contact(&mut self) {
        for member in self.membership.members.values_mut() {
            self.gossip.refresh_contact(member);
        }
    }

    /// Takes over what has changed of who is there.
    fn follow_gossip(&mut self) {
        while let Some(id) = self.gossip.poll_change() {
            match self.gossip.member(id) {
                Some(member) => self.membership.members.insert(id, member),
                None => self.membership.members.remove(&id),
            };
        }
        self.membership.index = self.gossip.index();
    }

    /// Whether that is a majority.
    pub fn quorum(&self) -> &Quorum {
        &self.quorum
    }

    /// What the server is to do, and the cluster as it is known here.
    pub fn founding(&self) -> &Status {
        &self.founding
    }

    /// This node as it travels on the wire now.
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
}

fn minicbor_bytes(message: &Message) -> Vec<u8> {
    minicbor::to_vec(message).expect("writing to a vector cannot fail")
}
