//! The gossip machine: the SWIM engine and everything around it that makes a membership out of it. Pure: it is told
//! the time and the dice, takes bytes in and gives bytes out.

mod action;
mod challenge;
mod clock;
mod codec;
mod comparing;
mod coordinates;
mod course;
mod detector;
mod dials;
mod duplicates;
mod echoes;
mod engine;
mod facts;
#[cfg(test)]
mod fixture;
mod frame;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod horizon;
mod joining;
mod key_frames;
mod keyrings;
mod leaving;
mod link;
mod lives;
mod merging;
mod metadata;
mod output;
mod own;
mod packet;
mod partition;
mod parts;
mod peer;
mod record;
mod roster;
mod rumours;
mod settings;
mod state;
mod timing;

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Instant};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use self::{
    action::{Action, Agenda, Purpose, Question},
    clock::Clock,
    comparing::Comparing,
    coordinates::Coordinates,
    detector::Detector,
    engine::Engine,
    facts::facts,
    horizon::Horizon,
    joining::Joining,
    keyrings::Keyrings,
    link::Link,
    own::Own,
    partition::Partition,
    parts::{Parts, Phase},
    record::Reader,
    roster::Roster,
    state::Request,
};
pub use self::{
    dials::DialUse,
    engine::Backlog,
    metadata::{MAX_METADATA, MAX_RUMOUR, MetadataError, MetadataTooLarge, decode, encode},
    output::{Dial, Event, ExchangeId, JoinId, KeysId, NoAnswer, Transmit},
    peer::{Peer, PeerError},
    record::{Claimed, LifeProof, ReadRecord, Record, Stamp},
    settings::Settings,
    timing::Timing,
};
use crate::{
    counters::Counters,
    membership::{Member, MemberStatus, Membership, Metadata},
    node::NodeId,
    wire::{KeyChange, KeyState, Keyring, Stranger, Wire},
};

/// The gossip machine.
///
/// Drive it so: feed it with `handle_*`, and after each burst of input drain every `poll_*` until it is empty.
///
/// 1. Take in everything that waits on the sockets (`handle_datagram`, `handle_request`, `handle_reply`) *before*
///    `handle_timeout`: after a pause the answers that prove others alive are in the socket, and a timer that ran
///    first would call them failed.
/// 2. Call `handle_timeout(now)` once `poll_timeout()` has passed.
/// 3. Drain `poll_event` first, and make an `Event::SaveEpoch` durable before sending anything that follows it.
/// 4. Send what `poll_transmit` gives; for each `poll_dial` open a stream, write the frame, read one frame, and hand
///    it, or why there is none, to `handle_reply`.
/// 5. Show `membership()`, or of it what `poll_change` names.
///
/// Inside, each part owns its state. A part is told facts and pushes actions. The course of an input begins in `course`, and
/// the loop in `parts` carries out what follows.
pub struct Gossip {
    parts: Parts,
}

impl std::fmt::Debug for Gossip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (cluster, phase) = (self.parts.link.wire().cluster(), self.parts.phase);
        write!(f, "Gossip of {} in cluster {cluster}, {phase:?}", self.me().id)
    }
}

impl Gossip {
    /// A node alone, about to look for the others.
    ///
    /// # Errors
    /// If the metadata is too large to travel.
    pub fn new(settings: Settings, now: Instant) -> Result<Self, MetadataTooLarge> {
        let me = Peer::new(settings.key.id(), settings.addr, settings.epoch, 0);
        let Settings {
            cluster, timing, key, former, metadata, cached, encryption, read_record, seed, ..
        } = settings;
        let mut rng = StdRng::seed_from_u64(seed);
        let engine_rng = StdRng::seed_from_u64(rng.random());
        let own = Own::new(key, cluster.clone(), rng.random(), former);
        let secret = StdRng::seed_from_u64(seed.rotate_left(1)).random();
        let mut parts = Parts {
            engine: Engine::new(me, &timing, engine_rng, Reader::new(cluster.clone(), read_record)),
            roster: Roster::new(me.id),
            detector: Detector::default(),
            partition: Partition::default(),
            joining: Joining::new(me.addr(), cached),
            comparing: Comparing::new(&timing),
            link: Link::new(Wire::new(cluster, encryption), secret),
            keyrings: Keyrings::default(),
            clock: Clock::new(rng),
            coordinates: Coordinates::new(StdRng::seed_from_u64(!seed)),
            own,
            horizon: Horizon::new(me.epoch(), now),
            agenda: Agenda::default(),
            timing,
            phase: Phase::Running,
            events: VecDeque::new(),
        };
        parts.write_metadata(metadata)?;
        parts.pump(now);
        parts.settle(now);
        parts.begin(now);
        Ok(Self { parts })
    }

    /// Takes `seeds` as what the providers list now. A new one is dialled at once while this node is alone.
    pub fn set_seeds(&mut self, seeds: impl IntoIterator<Item = SocketAddr>, now: Instant) {
        if self.parts.joining.set_seeds(seeds) && self.parts.engine.is_alone() {
            let mut out = Vec::new();
            self.parts.joining.begin_round(&facts!(self.parts, now), self.parts.clock.rng(), &mut out);
            self.carry_out(out, now);
        }
    }

    /// Contacts `addrs` now, and keeps them among the addresses worth dialling. `Event::JoinEnded` says how each ended.
    pub fn join(&mut self, addrs: impl IntoIterator<Item = SocketAddr>, now: Instant) -> JoinId {
        let mut out = Vec::new();
        let id = self.parts.joining.join(addrs, now, &mut out);
        self.carry_out(out, now);
        id
    }

    /// Replaces this node's metadata and tells everybody.
    ///
    /// # Errors
    /// If it is too large to travel; nothing changes then.
    pub fn set_metadata(&mut self, metadata: Metadata, now: Instant) -> Result<(), MetadataTooLarge> {
        self.parts.write_metadata(metadata)?;
        self.parts.pump(now);
        self.parts.settle(now);
        Ok(())
    }

    /// Sends a message about the founding to a member; to nobody if it is unknown or gone.
    pub fn send_founding(&mut self, to: NodeId, message: Vec<u8>, now: Instant) {
        let is_there = |peer: &Peer| peer.id != self.me().id && self.parts.roster.state(peer).is_active();
        let Some(peer) = self.parts.roster.peer(&to).filter(is_there) else { return };
        let seal = self.parts.own.seal_message(to, &message);
        let question = Question::Ready(Request::Founding(seal, message.into()));
        self.carry_out([Action::Ask { to: peer.addr(), question, purpose: Purpose::Founding }], now);
    }

    /// Forgets this life of a node and all before it. A process that speaks in one is told so, and renews itself.
    pub fn forget(&mut self, life: Peer, now: Instant) {
        self.carry_out([Action::Forget(life)], now);
    }

    /// A member in the life that it leads, or led last; `None` for a stranger.
    pub fn peer(&self, id: NodeId) -> Option<Peer> {
        self.parts.roster.peer(&id)
    }

    /// Carries out actions, and what follows from them.
    fn carry_out(
        &mut self,
        actions: impl IntoIterator<Item = Action, IntoIter: DoubleEndedIterator>,
        now: Instant,
    ) {
        self.parts.agenda.put_first(actions);
        self.parts.pump(now);
    }

    /// Takes note of the members that vote in the founded cluster, and of how many of them must be there; none if that
    /// cannot be said.
    pub fn set_voters(&mut self, voters: Vec<NodeId>, required: usize) {
        self.parts.partition.set_voters(voters, required);
    }

    /// Uses other keys from now on; nothing happens if this node had none at its start.
    pub fn set_keyring(&mut self, keyring: Keyring) {
        self.parts.link.set_keyring(keyring);
        self.parts.keyrings.clear_trouble();
    }

    /// Takes note of the reason for which the keys stay as they are: every member that asks is told.
    pub fn set_key_trouble(&mut self, trouble: String) {
        self.parts.keyrings.set_trouble(trouble);
    }

    /// Asks every member how its keyring stands and, if a change is given, to do it, this node too.
    /// `Event::KeysAnswered` says what they said. `None` if this node has no keys.
    pub fn ask_keys(&mut self, change: Option<KeyChange>, now: Instant) -> Option<KeysId> {
        let mut out = Vec::new();
        let own = self.parts.link.keyring()?;
        let id = self.parts.keyrings.ask(change, own, &facts!(self.parts, now), &mut out);
        self.carry_out(out, now);
        Some(id)
    }

    /// The keys in use, if there are any.
    pub fn keyring(&self) -> Option<&Keyring> {
        self.parts.link.keyring()
    }

    /// State of the keyring; `None` if there is none.
    pub fn key_state(&self) -> Option<KeyState> {
        Some(self.parts.keyrings.state(self.keyring()?))
    }

    /// The last sender that has no key in common with this node.
    pub fn stranger(&self) -> Option<&Stranger> {
        self.parts.link.stranger()
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.parts.link.poll_transmit()
    }

    /// The next stream to open.
    pub fn poll_dial(&mut self) -> Option<Dial> {
        self.parts.poll_dial()
    }

    /// The next thing the caller has to know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.parts.events.pop_front()
    }

    /// Time at which `handle_timeout` wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.parts.clock.next()
    }

    /// The next member whose entry has changed, been added or been taken out since this last returned `None`.
    pub fn poll_change(&mut self) -> Option<NodeId> {
        self.parts.roster.poll_change()
    }

    /// Metadata of this node.
    pub fn own_metadata(&self) -> &Metadata {
        self.parts.own_metadata()
    }

    /// This node in its present life.
    pub fn me(&self) -> &Peer {
        self.parts.engine.identity()
    }

    /// Speed of the protocol.
    pub fn timing(&self) -> &Timing {
        &self.parts.timing
    }

    /// Time of the last direct contact with a node.
    pub fn last_heard(&self, id: NodeId) -> Option<Instant> {
        self.parts.roster.heard(&id).map(|heard| heard.at)
    }

    /// True if a node was heard from directly so lately that this node does not take itself for cut off.
    pub fn hears(&self, id: NodeId, now: Instant) -> bool {
        let bound = self.parts.timing.deaf_after();
        self.last_heard(id).is_some_and(|at| now.saturating_duration_since(at) <= bound)
    }

    /// True if an agent has ever answered from `addr`.
    pub fn has_answered(&self, addr: SocketAddr) -> bool {
        self.parts.joining.has_answered(addr)
    }

    /// True if `addr` is this node's.
    pub fn is_own(&self, addr: SocketAddr) -> bool {
        self.parts.joining.is_own(addr)
    }

    /// True if this node's picture is old: it was paused a moment ago, or has not heard from anybody for some time
    /// though it has members.
    pub fn is_stale(&self, now: Instant) -> bool {
        let bound = self.parts.timing.deaf_after();
        let is_deaf = self.parts.roster.silence(now).is_none_or(|silence| silence > bound);
        (!self.parts.engine.is_alone() && is_deaf)
            || self.parts.clock.has_stalled(self.parts.timing.stall() * 2, now)
    }

    /// True if this node has ever heard from another one.
    pub fn joined(&self) -> bool {
        self.parts.roster.last_contact().is_some()
    }

    /// True if this node has stopped because an older process uses its id.
    pub fn is_duplicate(&self) -> bool {
        self.parts.phase == Phase::Duplicate
    }

    /// Rumours that wait to be passed on.
    pub fn backlog(&self) -> Backlog {
        self.parts.engine.backlog()
    }

    /// Counts since the start.
    pub fn counters(&self) -> Counters {
        let counters = self.parts.link.counters();
        Counters {
            refused: counters.refused + self.parts.engine.refused(),
            renewals: self.parts.partition.renewals(),
            stalls: self.parts.clock.stalls(),
            suspicions: self.parts.detector.suspicions(),
            overlooked: self.parts.roster.overlooked(),
            withheld: self.parts.link.withheld(),
            ..counters
        }
    }

    /// Streams that are under way and that wait, of how many, and the number given up since the start.
    pub fn dial_use(&self) -> DialUse {
        self.parts.link.dial_use()
    }

    /// Version of the view; it grows with every change of an entry.
    pub fn index(&self) -> u64 {
        self.parts.roster.index()
    }

    /// Status of a member; `None` for a stranger.
    pub fn status(&self, id: NodeId) -> Option<MemberStatus> {
        self.parts.roster.status(&id)
    }

    /// Status of each member, this node included, by id.
    pub fn statuses(&self) -> impl Iterator<Item = MemberStatus> {
        self.parts.roster.statuses().map(|(_, status)| status)
    }

    /// Metadata of a node, if it has arrived.
    pub fn metadata(&self, id: NodeId) -> Option<&Arc<Metadata>> {
        self.parts.roster.record(&id).map(|record| record.metadata())
    }

    /// A member's entry; `None` for a stranger.
    pub fn member(&self, id: NodeId) -> Option<Member> {
        let mut member = self.parts.roster.describe(&id)?;
        self.refresh_contact(&mut member);
        Some(member)
    }

    /// Entries of all members.
    pub fn membership(&self) -> Membership {
        let ids = self.parts.roster.statuses().map(|(id, _)| id);
        let members = ids.filter_map(|id| Some((id, self.member(id)?)));
        Membership { index: self.index(), members: members.collect() }
    }

    /// Brings time and way of the last contact up to date in an entry that is otherwise unchanged.
    pub fn refresh_contact(&self, member: &mut Member) {
        let (way, coordinates) = (self.parts.detector.way(&member.id), &self.parts.coordinates);
        let is_me = member.id == self.me().id;
        member.last_heard = self.last_heard(member.id);
        (member.rtt, member.reach) = (way.rtt, way.reach);
        member.coordinate = if is_me { coordinates.own() } else { coordinates.of(&member.id) };
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use foca::{Codec as _, Header, Member, Message, State};
    use zeroize::Zeroizing;

    use super::{
        action::Draft,
        challenge::Challenge,
        codec::SwimCodec,
        fixture::cluster,
        rumours::{Accusation, Evidence, Rumour},
        state::{MAX_MEMBERS, MAX_VERIFIED, Reply, SharedState},
        *,
    };
    use crate::{
        membership::FoundingNews,
        node::{Epoch, Role},
        signing::{KEY_LEN, NodeKey, fixture::key},
        wire::{self, Kind},
    };

    #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
    pub(super) fn start() -> Instant {
        Instant::now()
    }

    fn metadata(name: &str) -> Metadata {
        Metadata {
            name: name.parse().unwrap(),
            role: Role::Server,
            expect: None,
            endpoints: BTreeMap::new(),
            tags: BTreeMap::new(),
            founding: FoundingNews::default(),
        }
    }

    /// A node that nobody knows, at the address of `at`.
    fn invented(number: usize, at: SocketAddr) -> (Own, Arc<Record>) {
        let mut secret = Zeroizing::new([0xEE; KEY_LEN]);
        secret[..8].copy_from_slice(&number.to_be_bytes());
        let own = Own::new(NodeKey::new(&secret), cluster(), 0, None);
        let record = own.record(at, Stamp { epoch: Epoch(1), version: 1 }, metadata("invented")).unwrap();
        (own, record)
    }

    fn machine(number: u8, now: Instant) -> Gossip {
        let (timing, cached, seed) = (Timing::LAN, vec![], number.into());
        let settings = Settings {
            cluster: cluster(),
            timing,
            key: key(number),
            addr: ([127, 0, 0, number], 7946).into(),
            epoch: Epoch(1),
            former: None,
            metadata: metadata(&format!("n{number}")),
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
        a.set_seeds([b.me().addr()], now);
        talk(&mut a, &mut b, now);
        (a, b)
    }

    fn hand_over(from: &mut Gossip, to: &mut Gossip, now: Instant) -> bool {
        let mut any = false;
        while let Some(Transmit { payload, .. }) = from.poll_transmit() {
            to.handle_datagram(from.me().addr(), &payload, now);
            any = true;
        }
        while let Some(Dial { exchange, frame, .. }) = from.poll_dial() {
            let answer = to.handle_request(from.me().addr(), &frame, now);
            let answer = answer.as_deref().ok_or(NoAnswer::Failed("none".to_owned()));
            from.handle_reply(exchange, answer, now);
            any = true;
        }
        any
    }

    /// Hands a SWIM message to a machine.
    fn send(to: &mut Gossip, message: &[u8], from: SocketAddr, now: Instant) {
        let packet = wire::seal(&cluster(), Kind::Swim, &codec::shorten(message));
        to.handle_datagram(from, &packet, now);
    }

    /// A message of `from` to `to` as the engine would write it.
    fn message(from: &Gossip, to: &Gossip, updates: Vec<Member<Peer>>, items: Vec<Vec<u8>>) -> Vec<u8> {
        from.parts.engine.write(to.me(), &Draft { message: Message::Gossip, updates, items })
    }

    #[test]
    fn a_joiner_keeps_the_metadata_of_all_it_is_told_of() {
        let now = start();
        let mut hub = machine(1, now);
        for number in 2..=120 {
            let mut node = machine(number, now);
            node.set_seeds([hub.me().addr()], now);
            talk(&mut node, &mut hub, now);
        }
        let mut joiner = machine(200, now);
        joiner.set_seeds([hub.me().addr()], now);
        talk(&mut joiner, &mut hub, now);
        let nameless = (1..=120).filter(|number| joiner.metadata(key(*number).id()).is_none());
        assert_eq!(nameless.collect::<Vec<_>>(), [0_u8; 0]);
    }

    /// The engine rejoins when it hears of its own death, even when it has just left.
    #[test]
    fn a_node_that_has_left_does_not_come_back_when_told_that_it_is_dead() {
        let now = start();
        let (mut a, b) = acquainted(now);
        assert_eq!((a.membership().members.len(), b.membership().members.len()), (2, 2));
        a.leave(now);
        while a.poll_transmit().is_some() {}
        let header = Header { src: *b.me(), src_incarnation: 0, dst: *a.me(), message: Message::Gossip };
        let mut packet = Vec::new();
        SwimCodec.encode_header(&header, &mut packet).unwrap();
        packet.extend(1_u16.to_be_bytes());
        SwimCodec.encode_member(&Member::down(*a.me()), &mut packet).unwrap();
        send(&mut a, &packet, b.me().addr(), now);
        assert_eq!(a.me().bump(), 0, "it has renewed itself");
        assert_eq!(a.poll_transmit(), None, "it speaks again");
    }

    /// The item may be of a later version, or damaged: the answer that brings it counts all the same.
    #[test]
    fn an_item_that_nobody_knows_does_not_undo_the_message_before_it() {
        let mut now = start();
        let (mut a, b) = acquainted(now);
        let bad = [&[8][..], &[0x7f; 12]].concat();
        for item in [vec![200, 1, 2, 3], bad, vec![8, 0]] {
            let ping = loop {
                now = a.poll_timeout().unwrap().max(now);
                a.handle_timeout(now);
                let sent: Vec<_> = std::iter::from_fn(|| a.poll_transmit()).collect();
                let open = |sent: &Transmit| {
                    codec::restore(wire::open(a.parts.link.wire().cluster(), &sent.payload).ok()?.1, b.me())
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
            let draft = Draft { message: Message::Ack(ping), updates: vec![], items: vec![item] };
            let answer = b.parts.engine.write(a.me(), &draft);
            let before = a.counters().refused;
            now += Duration::from_millis(1);
            send(&mut a, &answer, b.me().addr(), now);
            assert_eq!(a.counters().refused, before + 1);
            assert_eq!(a.member(b.me().id).unwrap().rtt, Some(Duration::from_millis(1)), "it is an answer");
            assert_eq!(a.parts.coordinates.of(&b.me().id), None);
        }
    }

    /// Its accusers were parted from it and could not warn it, and have given way since. What others were told of it must
    /// not confirm a suspicion of theirs long after.
    #[test]
    fn a_member_refutes_what_it_hears_of_itself_through_others() {
        let now = start();
        let (mut a, mut b) = acquainted(now);
        for from in 5..8 {
            let (from, accused) = (key(from).id(), *b.me());
            let said = Accusation { from, accused, incarnation: 0, evidence: Evidence::Silent };
            a.parts.take_rumour(Rumour::Accused(said), now);
        }
        assert!(a.parts.detector.has_enough(&Accusation {
            from: a.me().id,
            accused: *b.me(),
            incarnation: 0,
            evidence: Evidence::Silent
        }));
        for tenth in 1..20 {
            let now = now + Duration::from_millis(100) * tenth;
            a.handle_timeout(now);
            b.handle_timeout(now);
            talk(&mut a, &mut b, now);
        }
        let incarnation = a.parts.roster.member_state(&b.me().id).unwrap().incarnation();
        assert!(incarnation > 0, "it has refuted");
    }

    /// Its own answer to itself was on its way while it renewed itself: no other process has its id.
    #[test]
    fn a_node_that_renews_itself_while_it_dials_itself_is_no_duplicate() {
        let now = start();
        let mut a = machine(1, now);
        a.join([a.me().addr()], now);
        let Dial { exchange, frame, .. } = a.poll_dial().unwrap();
        let answer = a.handle_request(a.me().addr(), &frame, now).unwrap();
        let renewed = a.me().reborn(a.me().epoch(), 1);
        a.parts.engine.change_identity(renewed);
        a.parts.pump(now);
        a.handle_reply(exchange, Ok(&answer), now);
        let events = events(&mut a);
        assert!(matches!(events[..], [Event::JoinEnded(..)]), "{events:?}");
        assert!(a.is_own(a.me().addr()));
    }

    /// Anybody can say so; only a life that is signed with this node's key is one that it may have led.
    #[test]
    fn a_later_life_of_this_node_counts_only_if_it_is_signed_with_its_key() {
        let now = start();
        let (mut a, b) = (machine(1, now), machine(2, now));
        let later = a.me().reborn(Epoch(5), 0);
        let claim = |a: &mut Gossip, own: Option<Own>| {
            let mut state = b.parts.shared_state();
            state.members = vec![Member::alive(later)];
            let stamp = Stamp { epoch: later.epoch(), version: 1 };
            state.records.extend(own.map(|own| own.record(later.addr(), stamp, metadata("n1")).unwrap()));
            let request =
                wire::seal(&cluster(), Kind::Request, &frame::write(&Request::Exchange(state.encode())));
            a.handle_request(b.me().addr(), &request, now).unwrap();
            a.me().epoch()
        };
        assert_eq!(claim(&mut a, None), Epoch(1));
        let update = message(&b, &a, vec![Member::alive(later)], vec![]);
        send(&mut a, &update, b.me().addr(), now);
        assert_eq!(a.me().epoch(), Epoch(1));
        let copy = Own::new(key(1), cluster(), 99, None);
        assert_eq!(claim(&mut a, Some(copy)), Epoch(6), "a copy, or this node before its record went back");
    }

    /// Every event of a machine.
    fn events(node: &mut Gossip) -> Vec<Event> {
        std::iter::from_fn(|| node.poll_event()).collect()
    }

    /// Anybody who can reach an agent can write a state with any sender; only whoever has its key can prove to be one.
    #[test]
    fn nobody_stops_an_agent_by_saying_that_its_id_lives_elsewhere() {
        let now = start();
        let (mut a, b) = acquainted(now);
        events(&mut a);
        let at = SocketAddr::from(([127, 0, 0, 9], 7946));
        let (claimed, older) = (Peer::new(a.me().id, at, Epoch(9), 0), Peer::new(a.me().id, at, Epoch(0), 0));
        let state = || SharedState { sender: claimed, ..b.parts.shared_state() }.encode();
        let mut answered = |answer: &dyn Fn(&Challenge) -> Reply| {
            let request = wire::seal(&cluster(), Kind::Request, &frame::write(&Request::Exchange(state())));
            a.handle_request(at, &request, now);
            let Dial { exchange, frame, .. } =
                std::iter::from_fn(|| a.poll_dial()).last().expect("it looks for itself");
            let (_, payload) = wire::open(&cluster(), &frame).unwrap();
            let Ok(Request::Challenge(challenge)) = frame::read(payload) else { panic!("no challenge") };
            let reply = wire::seal(&cluster(), Kind::Reply, &frame::write(&answer(&challenge)));
            a.handle_reply(exchange, Ok(&reply), now);
            (a.is_duplicate(), events(&mut a))
        };
        let by = |number| {
            move |challenge: &Challenge| {
                let own = Own::new(key(number), cluster(), 5, None);
                Reply::Proof(own.prove(challenge, older, false))
            }
        };
        assert_eq!(answered(&|_| Reply::State(state())), (false, vec![]));
        assert_eq!(answered(&by(3)), (false, vec![]));
        let stopped = Event::DuplicateId { addr: at, stopped: true };
        assert_eq!(answered(&by(1)), (true, vec![stopped]), "an older process, which has the key");
    }

    /// A start is on disk before it is told, so that a record that does not know it was copied, or went back.
    #[test]
    fn a_life_that_the_record_does_not_know_is_told_once_and_a_former_one_is_none() {
        let now = start();
        let mut a = machine(1, now);
        a.parts.own = Own::new(key(1), cluster(), 1, Some(Epoch(4)));
        a.parts.outlive(Epoch(9));
        events(&mut a);
        let mut sees = |epoch| {
            let other = Own::new(key(1), cluster(), 7, None);
            let stamp = Stamp { epoch: Epoch(epoch), version: 1 };
            let record = other.record(a.me().addr(), stamp, metadata("n1")).unwrap();
            a.carry_out([Action::NoteOther(*record.life())], now);
            (events(&mut a), a.me().epoch())
        };
        assert_eq!(sees(4), (vec![], Epoch(10)), "its start before this one");
        assert_eq!(sees(5), (vec![Event::ForeignLife(false)], Epoch(10)));
        assert_eq!(sees(6), (vec![], Epoch(10)), "told before");
        assert_eq!(sees(12), (vec![Event::SaveEpoch(Epoch(13))], Epoch(13)));
        assert_eq!(
            sees(14),
            (vec![Event::ForeignLife(true)], Epoch(13)),
            "it has begun a later life: it runs"
        );
        assert_eq!(sees(16), (vec![], Epoch(13)), "two that cannot reach each other would go on for ever");
    }

    /// One later than the last would be sent as the first, and the others would take this node for dead for ever.
    #[test]
    fn a_claim_that_this_node_lives_in_the_year_10889_makes_no_epoch_that_does_not_travel() {
        let now = start();
        let (mut a, b) = (machine(1, now), machine(2, now));
        for epoch in [Epoch(Epoch::LAST.0 - 1), Epoch::LAST] {
            let claim = a.me().reborn(epoch, u16::MAX);
            let mut state = b.parts.shared_state();
            state.members = vec![Member::alive(claim)];
            let (copy, stamp) = (Own::new(key(1), cluster(), 99, None), Stamp { epoch, version: 1 });
            state.records.push(copy.record(claim.addr(), stamp, metadata("n1")).unwrap());
            let request = frame::write(&Request::Exchange(state.encode()));
            let request = wire::seal(b.parts.link.wire().cluster(), Kind::Request, &request);
            a.handle_request(b.me().addr(), &request, now).unwrap();
            assert!(a.me().epoch() <= Epoch::LAST, "after {epoch}");
        }
    }

    /// By a state, by a message of the engine and by what is beside its updates.
    #[test]
    fn a_hostile_member_cannot_make_a_node_hold_ever_more_members() {
        let now = start();
        let (mut a, b) = acquainted(now);
        let record = |number| invented(number, b.me().addr()).1;
        let alive = |record: &Arc<Record>| Member::alive(record.life().peer());
        let tell = |a: &mut Gossip, records: Vec<Arc<Record>>| {
            let members = records.iter().map(alive).collect();
            let state = SharedState { records, members, ..b.parts.shared_state() };
            let request = frame::write(&Request::Exchange(state.encode()));
            let request = wire::seal(a.parts.link.wire().cluster(), Kind::Request, &request);
            a.handle_request(b.me().addr(), &request, now)
        };
        let all: Vec<_> = (0..MAX_MEMBERS + 1_000).map(record).collect();
        assert!(tell(&mut a, all.clone()).is_none(), "more than there can be");
        for some in all.chunks(MAX_VERIFIED) {
            tell(&mut a, some.to_vec()).unwrap();
        }
        assert_eq!(a.parts.roster.len(), MAX_MEMBERS);
        let more = [record(100_000), record(100_001)];
        let items =
            more.iter().map(|record| Rumour::Metadata(record.life().peer(), Arc::clone(record)).encode());
        let told = message(&b, &a, more.iter().map(alive).collect(), items.collect());
        send(&mut a, &told, b.me().addr(), now);
        a.parts.agenda.put_first(a.parts.meet(&more[0].life().peer()));
        a.parts.pump(now);
        assert_eq!(a.parts.roster.len(), MAX_MEMBERS);
        // Members that are known are heard as before.
        let known = record(5).life().peer();
        let told = message(&b, &a, vec![Member::down(known)], vec![]);
        send(&mut a, &told, b.me().addr(), now);
        let status = a.status(known.id);
        assert_ne!(status, Some(MemberStatus::Alive));
    }

    /// Goodbyes of nodes that never were, passed on and said to this node itself, and words against them.
    #[test]
    fn a_hostile_member_cannot_make_a_node_hold_ever_more_rumours() {
        let now = start();
        let (mut a, b) = acquainted(now);
        for number in 0..6_000 {
            let (own, record) = invented(number, b.me().addr());
            let life = record.life().peer();
            let evidence = Evidence::Silent;
            let said = Accusation { from: life.id, accused: life, incarnation: 0, evidence };
            let goodbye = own.goodbye(life.reborn(life.epoch(), 1));
            let items =
                [Rumour::Left(own.goodbye(life).into()), Rumour::Accused(said)].map(|item| item.encode());
            let told = message(&b, &a, vec![], items.into());
            send(&mut a, &told, b.me().addr(), now);
            let goodbye = wire::seal(&cluster(), Kind::Goodbye, &leaving::payload(&goodbye));
            a.handle_datagram(b.me().addr(), &goodbye, now);
        }
        let Backlog { updates, items } = a.backlog();
        assert!(updates <= 1 && items <= MAX_MEMBERS, "{updates} and {items} rumours wait");
    }

    /// It is too long for a rumour, and no stream between them opens.
    #[test]
    fn metadata_that_never_comes_is_asked_for_ever_less_often() {
        let begin = start();
        let (mut a, mut b) = (machine(1, begin), machine(2, begin));
        let mut metadata = b.own_metadata().clone();
        metadata.tags.insert("long".parse().unwrap(), "v".repeat(5_000));
        b.set_metadata(metadata, begin).unwrap();
        let me = *a.me();
        let proof = *b.parts.roster.record(&b.me().id).unwrap().life();
        a.parts.take_rumour(Rumour::Announced(proof.peer(), proof.into()), begin);
        a.parts.pump(begin);
        let record = Arc::clone(a.parts.roster.record(&me.id).unwrap());
        b.parts.take_rumour(Rumour::Metadata(me, record), begin);
        b.parts.pump(begin);
        let (mut asked, mut now) = (0, begin);
        while now < begin + Duration::from_secs(60) {
            for _ in 0..2 {
                let (from, to) = (&mut a, &mut b);
                from.handle_timeout(now);
                while let Some(Transmit { payload, .. }) = from.poll_transmit() {
                    to.handle_datagram(from.me().addr(), &payload, now);
                }
                while let Some(Dial { exchange, .. }) = from.poll_dial() {
                    asked += 1;
                    from.handle_reply(exchange, Err(NoAnswer::Failed("refused".to_owned())), now);
                }
                std::mem::swap(&mut a, &mut b);
            }
            now = [&a, &b].iter().filter_map(|node| node.poll_timeout()).min().unwrap().max(now);
        }
        assert_eq!(a.metadata(b.me().id), None);
        assert_eq!(a.status(b.me().id), Some(MemberStatus::Alive));
        eprintln!("{asked} streams");
        assert!(asked < 120, "{asked} streams in a minute");
    }

    /// One packet that claims a life near the end of the numbers would shut its node out for ever: there is no later one.
    #[test]
    fn a_life_that_no_clock_has_reached_is_believed_of_nobody() {
        let now = start();
        let mut node = machine(1, now);
        let wall = Epoch(1_790_000_000_000);
        node.parts.horizon = Horizon::new(wall, now);
        let (me, far) = (*node.me(), Epoch(Epoch::LAST.0 - 1));
        let claim = Member::new(me.reborn(far, 0), 0, State::Alive);
        node.carry_out([Action::AnswerClaim(claim)], now);
        assert_eq!(node.me().epoch(), me.epoch());
        let other = Peer::new(machine(2, now).me().id, "10.0.0.2:7946".parse().unwrap(), far, 0);
        let goodbye = Own::new(key(2), cluster(), 0, None).goodbye(other);
        node.parts.take_rumour(Rumour::Left(goodbye.into()), now);
        assert!(
            !node.parts.roster.has_left(&other.reborn(wall, 0)),
            "its next life would be over before it begins"
        );
        assert!(std::iter::from_fn(|| node.poll_event()).next().is_none());
    }

    /// Others may still tell of it for a while, and its own process may only have been out of reach.
    #[test]
    fn a_node_that_is_forgotten_comes_back_in_a_later_life_alone() {
        let now = start();
        let (mut a, mut b) = acquainted(now);
        let life = *b.me();
        a.forget(life, now);
        assert_eq!((a.member(life.id), a.membership().members.len()), (None, 1));
        for state in [State::Alive, State::Down] {
            let mut told = machine(3, now).parts.shared_state();
            told.members.push(Member::new(life, 0, state));
            let request = frame::write(&Request::Exchange(told.encode()));
            let request = wire::seal(a.parts.link.wire().cluster(), Kind::Request, &request);
            a.handle_request("10.0.0.3:7946".parse().unwrap(), &request, now).unwrap();
            let stamp = Stamp { epoch: life.epoch(), version: 9 };
            let proof = *Own::new(key(2), cluster(), 0, None)
                .record(life.addr(), stamp, metadata("n2"))
                .unwrap()
                .life();
            a.parts.take_rumour(Rumour::Announced(life, proof.into()), now);
            a.parts.pump(now);
            assert_eq!(a.status(life.id), None, "{state:?}");
        }
        b.join([a.me().addr()], now);
        talk(&mut a, &mut b, now);
        assert!(b.me().bump() > life.bump(), "it has renewed itself");
        assert_eq!(a.status(life.id), Some(MemberStatus::Alive));
        assert_eq!(a.peer(life.id), Some(*b.me()));
    }

    #[test]
    fn whoever_asks_an_agent_that_is_leaving_is_answered() {
        let now = start();
        let (mut a, b) = (machine(1, now), machine(2, now));
        a.parts.phase = Phase::Duplicate;
        let join = a.join([b.me().addr()], now);
        let events: Vec<_> = std::iter::from_fn(|| a.poll_event()).collect();
        let ended = |event: &Event| {
            matches!(event, Event::JoinEnded(id, ended) if *id == join
                && matches!(&ended[..], [(addr, Some(_))] if *addr == b.me().addr()))
        };
        assert!(events.iter().any(ended), "{events:?}");
    }
}
