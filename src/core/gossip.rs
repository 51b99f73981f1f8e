//! The gossip machine: the SWIM engine and everything around it that makes a membership out of it. Pure: it is told
//! the time and the dice, takes bytes in and gives bytes out.

mod codec;
mod compare;
mod contacts;
mod coordinates;
mod engine;
mod exchange;
mod frame;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod heal;
mod health;
mod inbound;
mod keys;
mod metadata;
mod output;
mod peer;
mod probing;
mod profile;
mod rumours;
mod sending;
mod strangers;
mod suspicion;
mod sync;
mod takeover;
mod tick;
mod timers;
mod trouble;
mod view;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use foca::{AccumulatingRuntime, Foca};
use litemap::LiteMap;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use self::{
    codec::SwimCodec,
    contacts::Contacts,
    coordinates::Coordinates,
    exchange::{Exchange, Join, Purpose},
    health::Health,
    keys::AskedKeys,
    probing::Probing,
    rumours::{Rumour, Rumours},
    strangers::Strangers,
    suspicion::Suspicions,
    sync::EntryHash,
    tick::MissingMetadata,
    timers::{Tick, Timers},
    trouble::Trouble,
    view::{News, View},
};
pub use self::{
    metadata::{
        MAX_METADATA, MAX_RUMOUR, MetadataError, MetadataTooLarge, ReadRecord, Record, Stamp, decode, encode,
    },
    output::{Dial, Event, ExchangeId, JoinId, KeysId, NoAnswer, Transmit},
    peer::{Peer, PeerError},
    profile::Timing,
};
use crate::{
    counters::Counters,
    membership::Metadata,
    node::{ClusterName, Epoch, NodeId},
    wire::{Encryption, Stranger, Wire},
};

/// The gossip machine.
///
/// Drive it so: feed it with `handle_*`, and after each burst of input drain every `poll_*` until it is empty.
///
/// 1. Take in everything that waits on the sockets (`handle_datagram`, `handle_request`, `handle_reply`) *before*
///    `handle_timeout`: after a pause the answers that prove others alive are in the socket, and a timer that ran
///    first would call them failed.
/// 2. Call `handle_timeout(now)` once `poll_timeout()` has passed.
/// 3. Drain `poll_event` first, and make an `Event::Persist` durable before sending anything that follows it.
/// 4. Send what `poll_transmit` gives; for each `poll_dial` open a stream, write the frame, read one frame, and hand
///    it, or why there is none, to `handle_reply`.
/// 5. Show `membership()`, or of it what `poll_change` names.
pub struct Gossip {
    wire: Wire,
    strangers: Strangers,
    timing: Timing,
    me: Peer,
    phase: Phase,
    foca: Foca<Peer, SwimCodec, StdRng, Rumours>,
    runtime: AccumulatingRuntime<Peer>,
    pending_rumours: mpsc::Receiver<Rumour>,
    /// So many rumours wait that introductions are left to the comparisons.
    crowded: bool,
    /// The engine's current timer token; it gives no other way to learn it.
    token: u8,
    /// This life of the node in the engine's last message, and its incarnation in it.
    incarnation: (Peer, u16),
    /// The engine's gossip timer, while there is nothing to tell.
    resting: Option<foca::Timer<Peer>>,
    missing_metadata: MissingMetadata,
    probing: Probing,
    coordinates: Coordinates,
    suspicions: Suspicions,
    trouble: Trouble,
    health: Health,
    /// Indirect probes that this node helped with and that were answered.
    relayed: BTreeSet<(NodeId, u8)>,
    /// For how many members the engine is configured.
    configured_size: usize,
    rng: StdRng,
    timers: Timers,
    contacts: Contacts,
    exchanges: BTreeMap<ExchangeId, Exchange>,
    next_exchange: u64,
    /// When the next comparison follows the one that is scheduled, and which chain of them counts.
    compare_after: Duration,
    compare_chain: u32,
    joins: BTreeMap<JoinId, Join>,
    next_join: u64,
    asked_keys: BTreeMap<KeysId, AskedKeys>,
    next_keys: u64,
    key_trouble: Option<String>,
    records: LiteMap<NodeId, Arc<Record>>,
    read_record: ReadRecord,
    left: BTreeMap<NodeId, (Epoch, u16)>,
    heard: BTreeMap<NodeId, Heard>,
    known: View,
    /// Over the hashes of all entries of the view.
    digest: EntryHash,
    news: News,
    /// Grows with every change of the view, and whose entries have changed since somebody asked.
    index: u64,
    changes: BTreeSet<NodeId>,
    /// When this process last found itself paused.
    stalled: Option<Instant>,
    /// Who votes in the founded cluster, of those that are known, and how many of them must be there.
    voters: Vec<NodeId>,
    required_voters: usize,
    /// The engine has renewed this node of its own accord.
    rejoined: bool,
    /// When this node last gave way to another half of the cluster.
    healed: Option<Instant>,
    transmits: VecDeque<Transmit>,
    dials: VecDeque<Dial>,
    events: VecDeque<Event>,
    counters: Counters,
}

impl std::fmt::Debug for Gossip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gossip of {} in cluster {}, {:?}", self.me.id, self.wire.cluster(), self.phase)
    }
}

/// Where this node is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// It has said goodbye; nothing it hears may bring it back.
    Leaving,
    /// Another, older process uses the same node id. This one has stopped.
    Duplicate,
}

/// When and in which life a member was last heard from directly.
#[derive(Debug, Clone, Copy)]
struct Heard {
    at: Instant,
    life: Peer,
}

/// What the machine needs to know before it starts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Agents of other clusters are never listened to.
    pub cluster: ClusterName,
    /// How fast the protocol runs.
    pub timing: Timing,
    /// This node; its epoch is persisted already.
    pub me: Peer,
    /// What this node says of itself.
    pub metadata: Metadata,
    /// Members of the last run, to try beside the seeds.
    pub cached: Vec<SocketAddr>,
    /// With what it encrypts; nothing: it does not.
    pub encryption: Option<Encryption>,
    /// How it reads others' metadata: [`Record::read`].
    pub read_record: ReadRecord,
    /// Seed of the generator: the same seed and the same input give the same output.
    pub seed: u64,
}

impl Gossip {
    /// A node alone, about to look for the others.
    ///
    /// # Errors
    /// Where the metadata is too large to travel.
    pub fn new(settings: Settings, now: Instant) -> Result<Self, MetadataTooLarge> {
        let Settings { cluster, timing, me, metadata, cached, encryption, read_record, seed } = settings;
        let mut rng = StdRng::seed_from_u64(seed);
        let (rumours, pending_rumours) = Rumours::new(read_record);
        let engine_rng = StdRng::seed_from_u64(rng.random());
        let foca = Foca::with_custom_broadcast(me, timing.engine(1), engine_rng, SwimCodec, rumours);
        let mut gossip = Self {
            wire: Wire::new(cluster, encryption),
            strangers: Strangers::default(),
            timing,
            me,
            phase: Phase::Running,
            foca,
            runtime: AccumulatingRuntime::new(),
            pending_rumours,
            crowded: false,
            token: 0,
            incarnation: (me, 0),
            resting: None,
            missing_metadata: MissingMetadata::default(),
            probing: Probing::default(),
            coordinates: Coordinates::new(StdRng::seed_from_u64(!seed)),
            suspicions: Suspicions::default(),
            trouble: Trouble::default(),
            health: Health::default(),
            relayed: BTreeSet::new(),
            configured_size: 1,
            rng,
            timers: Timers::default(),
            contacts: Contacts::new(me.addr(), cached),
            exchanges: BTreeMap::new(),
            next_exchange: 0,
            compare_after: timing.compare_period,
            compare_chain: 0,
            joins: BTreeMap::new(),
            next_join: 0,
            asked_keys: BTreeMap::new(),
            next_keys: 0,
            key_trouble: None,
            records: LiteMap::new_vec(),
            read_record,
            left: BTreeMap::new(),
            heard: BTreeMap::new(),
            known: View::new_vec(),
            digest: 0,
            news: News::default(),
            index: 0,
            changes: BTreeSet::new(),
            stalled: None,
            voters: Vec::new(),
            required_voters: 0,
            rejoined: false,
            healed: None,
            transmits: VecDeque::new(),
            dials: VecDeque::new(),
            events: VecDeque::new(),
            counters: Counters::default(),
        };
        gossip.set_metadata(metadata, now)?;
        gossip.news.of(me.id);
        gossip.timers.schedule(now, Tick::JoinRound);
        gossip.after(now, timing.heal_period, Tick::Heal);
        gossip.after(now, timing.compare_period, Tick::Compare(0));
        gossip.refresh_view(now);
        Ok(gossip)
    }

    /// Takes `seeds` as what the providers list now. A new one is dialled at once while this node is alone.
    pub fn set_seeds(&mut self, seeds: impl IntoIterator<Item = SocketAddr>, now: Instant) {
        if self.contacts.set_seeds(seeds) && self.is_alone() {
            self.begin_round(now);
        }
    }

    /// Contacts `addrs` now, and keeps them among the seeds. `Event::JoinEnded` says how each ended.
    pub fn join(&mut self, addrs: impl IntoIterator<Item = SocketAddr>) -> JoinId {
        let id = JoinId(self.next_join);
        self.next_join += 1;
        let addrs: BTreeSet<_> = addrs.into_iter().collect();
        self.joins.insert(id, Join { outstanding: addrs.len(), ended: Vec::new() });
        for addr in addrs {
            self.contacts.ask(addr);
            self.dial(addr, Purpose::Asked(id));
        }
        self.finish_join(id);
        id
    }

    /// Replaces what this node says of itself and tells everybody.
    ///
    /// # Errors
    /// Where it is too large to travel; nothing changes then.
    pub fn set_metadata(&mut self, metadata: Metadata, now: Instant) -> Result<(), MetadataTooLarge> {
        let bytes = encode(&metadata)?;
        let version = self.records.get(&self.me.id).map_or(1, |record| record.stamp.version + 1);
        let stamp = Stamp { epoch: self.me.epoch(), version };
        let metadata = metadata.into();
        self.keep_own(Record { owner: self.me.id, stamp, bytes, metadata });
        self.tell_metadata(&self.me.clone());
        self.refresh_view(now);
        Ok(())
    }

    /// Who was last heard that has no key in common with this node.
    pub fn stranger(&self) -> Option<&Stranger> {
        self.strangers.last()
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next stream to open.
    pub fn poll_dial(&mut self) -> Option<Dial> {
        self.dials.pop_front()
    }

    /// The next thing the caller has to know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When `handle_timeout` wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// What this node says of itself.
    pub fn own_metadata(&self) -> &Metadata {
        &self.records.get(&self.me.id).expect("a node has its own metadata from the start").metadata
    }

    /// This node as it travels on the wire now.
    pub fn me(&self) -> &Peer {
        &self.me
    }

    /// How fast the protocol runs.
    pub fn timing(&self) -> &Timing {
        &self.timing
    }

    /// When a node was last heard from directly.
    pub fn last_heard(&self, id: NodeId) -> Option<Instant> {
        self.heard.get(&id).map(|heard| heard.at)
    }

    /// Whether a node was heard from directly so lately that this node does not take itself for cut off.
    pub fn hears(&self, id: NodeId, now: Instant) -> bool {
        let bound = self.timing.deaf_after();
        self.last_heard(id).is_some_and(|at| now.saturating_duration_since(at) <= bound)
    }

    /// Whether an agent has ever answered from `addr`.
    pub fn has_answered(&self, addr: SocketAddr) -> bool {
        self.contacts.has_answered(addr)
    }

    /// Whether `addr` is this node's.
    pub fn is_own(&self, addr: SocketAddr) -> bool {
        self.contacts.owns(addr)
    }

    /// Whether this node's picture is old: it was paused a moment ago, or has not heard from anybody for some time
    /// though it has members.
    pub fn is_stale(&self, now: Instant) -> bool {
        let bound = self.timing.deaf_after();
        let deaf = !self.is_alone()
            && self.heard.values().all(|heard| now.saturating_duration_since(heard.at) > bound);
        deaf || self.stalled.is_some_and(|at| now.saturating_duration_since(at) < self.timing.stall() * 2)
    }

    /// Whether this node has ever heard from another one.
    pub fn joined(&self) -> bool {
        !self.heard.is_empty()
    }

    /// Whether this node has stopped because an older process uses its id.
    pub fn is_duplicate(&self) -> bool {
        self.phase == Phase::Duplicate
    }

    /// Counts since the start.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn is_alone(&self) -> bool {
        self.foca.num_members() == 0
    }
}

#[cfg(test)]
mod tests {
    use foca::{Codec as _, Header, Member, Message};

    use super::*;
    use crate::{
        membership::FoundingNews,
        node::Role,
        wire::{self, Kind},
    };

    fn machine(number: u8, now: Instant) -> Gossip {
        let id = NodeId::try_from([number; 16]).unwrap();
        let me = Peer::new(id, ([127, 0, 0, number], 7946).into(), Epoch(1), 0);
        let metadata = Metadata {
            name: format!("n{number}").parse().unwrap(),
            role: Role::Server,
            expect: None,
            endpoints: BTreeMap::new(),
            tags: BTreeMap::new(),
            founding: FoundingNews::default(),
        };
        let cluster = "test".parse().unwrap();
        let (timing, cached, seed) = (Timing::LAN, vec![], number.into());
        let settings = Settings {
            cluster,
            timing,
            me,
            metadata,
            cached,
            encryption: None,
            read_record: Record::read,
            seed,
        };
        Gossip::new(settings, now).unwrap()
    }

    /// Hands everything that one has to send to the other, and back, until nothing is left.
    pub(super) fn talk(a: &mut Gossip, b: &mut Gossip, now: Instant) {
        // Both, not either: each may have something new after the other has spoken.
        while hand_over(a, b, now) | hand_over(b, a, now) {}
    }

    /// Two that know each other.
    pub(super) fn acquainted(now: Instant) -> (Gossip, Gossip) {
        let (mut a, mut b) = (machine(1, now), machine(2, now));
        a.set_seeds([b.me.addr()], now);
        talk(&mut a, &mut b, now);
        (a, b)
    }

    fn hand_over(from: &mut Gossip, to: &mut Gossip, now: Instant) -> bool {
        let mut any = false;
        while let Some(Transmit { payload, .. }) = from.poll_transmit() {
            to.handle_datagram(from.me.addr(), &payload, now);
            any = true;
        }
        while let Some(Dial { exchange, frame, .. }) = from.poll_dial() {
            let answer = to.handle_request(from.me.addr(), &frame, now);
            let answer = answer.as_deref().ok_or(NoAnswer::Failed("none".to_owned()));
            from.handle_reply(exchange, answer, now);
            any = true;
        }
        any
    }

    /// The engine rejoins when it hears of its own death, even when it has just left.
    #[test]
    fn a_joiner_keeps_the_metadata_of_all_it_is_told_of() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
        let now = Instant::now();
        let mut hub = machine(1, now);
        for number in 2..=120 {
            let mut node = machine(number, now);
            node.set_seeds([hub.me.addr()], now);
            talk(&mut node, &mut hub, now);
        }
        let mut joiner = machine(200, now);
        joiner.set_seeds([hub.me.addr()], now);
        talk(&mut joiner, &mut hub, now);
        let nameless =
            (1..=120).filter(|number| joiner.metadata(NodeId::try_from([*number; 16]).unwrap()).is_none());
        assert_eq!(nameless.collect::<Vec<_>>(), [0_u8; 0]);
    }

    #[test]
    fn whoever_has_left_does_not_come_back_when_told_that_he_is_dead() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
        let now = Instant::now();
        let (mut a, b) = acquainted(now);
        assert_eq!((a.membership().members.len(), b.membership().members.len()), (2, 2));
        a.leave(now);
        while a.poll_transmit().is_some() {}
        let header = Header { src: b.me, src_incarnation: 0, dst: a.me, message: Message::Gossip };
        let mut packet = Vec::new();
        SwimCodec.encode_header(&header, &mut packet).unwrap();
        packet.extend(1_u16.to_be_bytes());
        SwimCodec.encode_member(&Member::down(a.me), &mut packet).unwrap();
        let packet = a.wire.seal(a.me.addr(), Kind::Swim, &codec::shorten(&packet));
        a.handle_datagram(b.me.addr(), &packet, now);
        assert_eq!(a.foca.identity().bump(), 0, "it has renewed itself");
        assert_eq!(a.poll_transmit(), None, "it speaks again");
    }

    /// Of a later version, or damaged: the answer that brings it counts all the same.
    #[test]
    fn an_item_that_nobody_knows_does_not_undo_the_message_before_it() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
        let mut now = Instant::now();
        let (mut a, b) = acquainted(now);
        let bad = [&[8][..], &[0x7f; 12]].concat();
        for item in [vec![200, 1, 2, 3], bad, vec![8, 0]] {
            let ping = loop {
                now = a.poll_timeout().unwrap().max(now);
                a.handle_timeout(now);
                let sent: Vec<_> = std::iter::from_fn(|| a.poll_transmit()).collect();
                let open = |sent: &Transmit| {
                    codec::restore(wire::open(a.wire.cluster(), &sent.payload).ok()?.1, &b.me)
                };
                let headers = sent.iter().filter_map(open);
                let headers = headers.filter_map(|message| SwimCodec.decode_header(&message[..]).ok());
                let number = |header: Header<Peer>| {
                    if let Message::Ping(number) = header.message { Some(number) } else { None }
                };
                if let Some(number) = headers.into_iter().find_map(number) {
                    break number;
                }
            };
            let answer = b.swim_message(&a.me, Message::Ack(ping), &[], &[item]);
            let (before, from) = (a.counters.refused, b.me.addr());
            now += Duration::from_millis(1);
            let answer = wire::seal(a.wire.cluster(), Kind::Swim, &codec::shorten(&answer));
            a.handle_datagram(from, &answer, now);
            assert_eq!(a.counters.refused, before + 1);
            assert_eq!(a.probing.end(), Some(probing::Outcome::Answered));
            assert_eq!(a.coordinates.of(&b.me.id), None);
        }
    }

    /// Its own answer to itself was on its way while it renewed itself: no other process has its id.
    #[test]
    fn a_node_that_renews_itself_while_it_dials_itself_is_no_duplicate() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
        let now = Instant::now();
        let mut a = machine(1, now);
        a.join([a.me.addr()]);
        let Dial { exchange, frame, .. } = a.poll_dial().unwrap();
        let answer = a.handle_request(a.me.addr(), &frame, now).unwrap();
        let renewed = a.me.reborn(a.me.epoch(), 1);
        a.engine(now, |foca, runtime| foca.change_identity(renewed, runtime));
        a.me = renewed;
        a.handle_reply(exchange, Ok(&answer), now);
        let events: Vec<_> = std::iter::from_fn(|| a.poll_event()).collect();
        assert!(matches!(events[..], [Event::JoinEnded(..)]), "{events:?}");
        assert!(a.is_own(a.me.addr()));
    }

    /// One later than the last would be sent as the first, and the others would take this node for dead for ever.
    #[test]
    fn a_claim_that_this_node_lives_in_the_year_10889_makes_no_epoch_that_does_not_travel() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
        let now = Instant::now();
        let (mut a, mut b) = (machine(1, now), machine(2, now));
        for epoch in [Epoch(Epoch::LAST.0 - 1), Epoch::LAST] {
            let claim = Member::alive(a.me.reborn(epoch, u16::MAX));
            let mut state = b.shared_state();
            state.members = vec![claim];
            let request = frame::write(&sync::Request::Exchange(state.encode()));
            a.handle_request(b.me.addr(), &b.wire.seal(a.me.addr(), Kind::Request, &request), now).unwrap();
            assert_eq!((a.me.epoch(), a.me.bump()), (Epoch::LAST, 0), "after {epoch}");
        }
    }

    /// By a state, by a message of the engine and by what is beside its updates.
    #[test]
    fn a_hostile_member_cannot_make_a_node_hold_ever_more_members() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
        let now = Instant::now();
        let (mut a, b) = acquainted(now);
        let invented = |number: usize| {
            let mut id = [7; 16];
            id[..8].copy_from_slice(&number.to_be_bytes());
            Member::alive(Peer::new(NodeId::try_from(id).unwrap(), b.me.addr(), Epoch(1), 0))
        };
        let mut state = b.shared_state();
        state.members = (0..compare::MAX_MEMBERS + 1_000).map(invented).collect();
        let request = frame::write(&sync::Request::Exchange(state.encode()));
        a.handle_request(b.me.addr(), &wire::seal(a.wire.cluster(), Kind::Request, &request), now).unwrap();
        assert_eq!(a.known.len(), compare::MAX_MEMBERS);
        let more = [invented(100_000), invented(100_001)];
        let message = b.swim_message(&a.me, Message::Gossip, &more, &[]);
        a.handle_swim(b.me.addr(), &message, false, now);
        a.meet(more[0].id(), now);
        a.refresh_view(now);
        assert_eq!(a.known.len(), compare::MAX_MEMBERS);
        // Those who are known are heard as before.
        let down = Member::down(*invented(5).id());
        let message = b.swim_message(&a.me, Message::Gossip, &[down], &[]);
        a.handle_swim(b.me.addr(), &message, false, now);
        a.refresh_view(now);
        let status = a.status(invented(5).id().id);
        assert_ne!(status, Some(crate::membership::MemberStatus::Alive));
    }

    /// Goodbyes of nodes that never were, passed on and said to this node itself, and words against them.
    #[test]
    fn a_hostile_member_cannot_make_a_node_hold_ever_more_rumours() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
        let now = Instant::now();
        let (mut a, b) = acquainted(now);
        for number in 0..6_000_u128 {
            let invented = |kind: u8| {
                let id = NodeId::try_from((u128::from(kind) << 64 | number).to_be_bytes()).unwrap();
                Peer::new(id, b.me.addr(), Epoch(1), 0)
            };
            let from = invented(7).id;
            let said = rumours::Accusation { from, accused: invented(8), incarnation: 0, refused: false };
            let items = [rumours::left_rumour(&invented(9)), rumours::accusation_rumour(&said)];
            let message = b.swim_message(&a.me, Message::Gossip, &[], &items);
            a.handle_swim(b.me.addr(), &message, false, now);
            let mut goodbye = Vec::new();
            peer::put_peer(&invented(10), &mut goodbye);
            let goodbye = wire::seal(a.wire.cluster(), Kind::Goodbye, &goodbye);
            a.handle_datagram(b.me.addr(), &goodbye, now);
        }
        let (updates, beside) = a.backlog();
        assert!(updates <= 1 && beside <= compare::MAX_MEMBERS, "{updates} and {beside} rumours wait");
    }

    /// It is too long for a rumour, and no stream between them opens.
    #[test]
    fn metadata_that_never_comes_is_asked_for_ever_less_often() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
        let begin = Instant::now();
        let (mut a, mut b) = (machine(1, begin), machine(2, begin));
        let mut metadata = b.own_metadata().clone();
        metadata.tags.insert("long".parse().unwrap(), "v".repeat(5_000));
        b.set_metadata(metadata, begin).unwrap();
        a.meet(&b.me, begin);
        b.meet(&a.me, begin);
        let (mut asked, mut now) = (0, begin);
        while now < begin + Duration::from_secs(60) {
            for _ in 0..2 {
                let (from, to) = (&mut a, &mut b);
                from.handle_timeout(now);
                while let Some(Transmit { payload, .. }) = from.poll_transmit() {
                    to.handle_datagram(from.me.addr(), &payload, now);
                }
                while let Some(Dial { exchange, .. }) = from.poll_dial() {
                    asked += 1;
                    from.handle_reply(exchange, Err(NoAnswer::Failed("refused".to_owned())), now);
                }
                std::mem::swap(&mut a, &mut b);
            }
            now = [&a, &b].iter().filter_map(|node| node.poll_timeout()).min().unwrap().max(now);
        }
        assert_eq!(a.metadata(b.me.id), None);
        assert_eq!(a.status(b.me.id), Some(crate::membership::MemberStatus::Alive));
        eprintln!("{asked} streams");
        assert!(asked < 120, "{asked} streams in a minute");
    }

    #[test]
    fn whoever_asks_an_agent_that_is_leaving_is_answered() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
        let now = Instant::now();
        let (mut a, b) = (machine(1, now), machine(2, now));
        a.phase = Phase::Duplicate;
        let join = a.join([b.me.addr()]);
        let events: Vec<_> = std::iter::from_fn(|| a.poll_event()).collect();
        let ended = |event: &Event| {
            matches!(event, Event::JoinEnded(id, ended) if *id == join
                && matches!(&ended[..], [(addr, Some(_))] if *addr == b.me.addr()))
        };
        assert!(events.iter().any(ended), "{events:?}");
    }
}
