//! The SWIM engine, foca, and all that is known of it from outside: its timer token, its incarnation, its probe, and
//! the members that each input may have changed.

use std::{collections::BTreeSet, sync::mpsc, time::Duration};

use bytes::BufMut as _;
use foca::{AccumulatingRuntime, Codec as _, Foca, Header, Member, Message, OwnedNotification, State, Timer};
use rand::rngs::StdRng;

use super::{
    action::{Draft, Telling},
    codec::{SwimCodec, put_item},
    packet::Sifted,
    peer::Peer,
    record::Reader,
    rumours::{Rumour, Rumours},
    timing::Timing,
};
use crate::node::NodeId;

/// Number of states in one call after which the queues' room is given back: each may bring a notification.
const MANY: usize = 64;

/// The SWIM engine. A call leaves what it produced in the engine's queues; drain them by `poll_output`, then by
/// `poll_rumour`, before the next input.
pub(super) struct Engine {
    foca: Foca<Peer, SwimCodec, StdRng, Rumours>,
    runtime: AccumulatingRuntime<Peer>,
    rumours: mpsc::Receiver<Rumour>,
    reader: Reader,
    /// Current timer token of foca, which gives no other way to learn it.
    token: u8,
    /// This node's life in the last message that was sent.
    said: Said,
    /// Gossip timer of foca, taken out while there is nothing to tell.
    resting: Option<Timer<Peer>>,
    /// Number of nodes that foca is configured for.
    configured_size: usize,
    /// Target of the probe under way. At the end of the probe foca suspects it if it has not answered, and does not say so.
    probed: Option<NodeId>,
    touched: Touched,
    /// Set if the queues have held many products, whose room is given back once they are empty.
    is_swollen: bool,
    /// Number of inputs that foca refused.
    refused: u64,
}

/// Members that may have changed since the view was compared with the engine.
#[derive(Debug, Default)]
pub(super) struct Touched {
    pub(super) ids: BTreeSet<NodeId>,
    /// Set if the engine was started afresh.
    pub(super) all: bool,
}

/// This node as it last spoke.
#[derive(Debug, Clone, Copy)]
struct Said {
    life: Peer,
    incarnation: u16,
}

/// Product of a call.
#[derive(Debug)]
pub(super) enum Output {
    /// A timer to run after some time.
    Timer(Timer<Peer>, Duration),
    /// A message to send.
    Send(Sent),
    /// News of foca. The view is never built from it, for it does not tell all that happens.
    Notice(OwnedNotification<Peer>),
}

/// A message that foca sends.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) to: Peer,
    pub(super) header: Header<Peer>,
    pub(super) bytes: Vec<u8>,
    /// Set if foca has raised this node's incarnation since the last message: it refuted a suspicion.
    pub(super) refutes: bool,
}

/// Stage of a probe at which a timer of foca runs.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The ping was not answered in time, and others are asked to ping its target.
    Indirect(Peer),
    /// The probe under way ends, and the next begins.
    Next,
}

impl Engine {
    /// An engine that knows nobody.
    pub(super) fn new(me: Peer, timing: &Timing, rng: StdRng, reader: Reader) -> Self {
        let (handler, rumours) = Rumours::new(reader.clone());
        Self {
            foca: Foca::with_custom_broadcast(me, timing.engine(1), rng, SwimCodec, handler),
            runtime: AccumulatingRuntime::new(),
            rumours,
            reader,
            token: 0,
            said: Said { life: me, incarnation: 0 },
            resting: None,
            configured_size: 1,
            probed: None,
            touched: Touched::default(),
            is_swollen: false,
            refused: 0,
        }
    }

    /// Starts afresh as `me`, with this side's active members and those of the other side, of which nobody is told. Members
    /// that this side called failed are forgotten: it was parted from them when it did.
    pub(super) fn restart(&mut self, me: Peer, there: Vec<Member<Peer>>, timing: &Timing, rng: StdRng) {
        let active: Vec<_> = self.active_states().cloned().collect();
        // foca lets an entry stand that says failed of a life that another calls active: active ones go first.
        let others = there.into_iter().filter(|member| member.id().id != me.id);
        let (up, down): (Vec<_>, Vec<_>) = others.partition(|member| member.state() != State::Down);
        let is_up = |id: &NodeId| active.iter().chain(&up).any(|member| member.id().id == *id);
        let down: Vec<_> = down.into_iter().filter(|member| !is_up(&member.id().id)).collect();
        let members = active.into_iter().chain(up).map(without_suspicion).chain(down).collect();
        let (handler, rumours) = Rumours::new(self.reader.clone());
        let config = timing.engine(self.configured_size);
        self.foca = Foca::with_custom_broadcast(me, config, rng, SwimCodec, handler);
        self.rumours = rumours;
        (self.said, self.token, self.resting) = (Said { life: me, incarnation: 0 }, 0, None);
        self.touched.all = true;
        self.apply_all(members, Telling::Quiet);
    }

    /// Runs foca and counts a refusal.
    fn call(
        &mut self,
        call: impl FnOnce(
            &mut Foca<Peer, SwimCodec, StdRng, Rumours>,
            &mut AccumulatingRuntime<Peer>,
        ) -> Result<(), foca::Error>,
    ) {
        if let Err(error) = call(&mut self.foca, &mut self.runtime) {
            tracing::trace!(%error, "the engine refused");
            self.refused += 1;
        }
    }

    /// Takes in states of members.
    pub(super) fn apply_all(&mut self, members: Vec<Member<Peer>>, telling: Telling) {
        self.touched.ids.extend(members.iter().map(|member| member.id().id));
        self.is_swollen |= members.len() > MANY;
        let tell = telling == Telling::Aloud;
        self.call(|foca, runtime| foca.apply_many(members.into_iter(), tell, runtime));
    }

    /// Takes in the state of one member.
    pub(super) fn apply(&mut self, member: Member<Peer>, telling: Telling) {
        self.apply_all(vec![member], telling);
    }

    /// Takes in a message.
    pub(super) fn receive(&mut self, message: &Sifted) {
        self.touched.ids.extend(&message.about);
        self.call(|foca, runtime| foca.handle_data(&message.bytes, runtime));
    }

    /// Takes in an answer that was given otherwise than by a message.
    pub(super) fn take_answer(&mut self, header: &Header<Peer>) {
        let mut bytes = Vec::new();
        SwimCodec.encode_header(header, &mut bytes).expect("a vector has room");
        bytes.put_u16(0);
        self.touched.ids.insert(header.src.id);
        self.call(|foca, runtime| foca.handle_data(&bytes, runtime));
    }

    /// Runs a timer.
    pub(super) fn run_timer(&mut self, timer: Timer<Peer>) {
        let about = match &timer {
            Timer::ProbeRandomMember(_) => self.probed.take(),
            Timer::RemoveDown(peer) | Timer::ChangeSuspectToDown { member_id: peer, .. } => Some(peer.id),
            Timer::SendIndirectProbe { .. }
            | Timer::PeriodicAnnounce(_)
            | Timer::PeriodicAnnounceDown(_)
            | Timer::PeriodicGossip(_) => None,
        };
        self.touched.ids.extend(about);
        self.call(|foca, runtime| foca.handle_timer(timer, runtime));
    }

    /// Calls a member failed that is suspect at this incarnation.
    pub(super) fn condemn(&mut self, accused: Peer, incarnation: u16) {
        let token = self.token;
        self.run_timer(Timer::ChangeSuspectToDown { member_id: accused, incarnation, token });
    }

    /// Takes out a member, whatever its state.
    pub(super) fn forget(&mut self, member: Peer) {
        self.apply(Member::down(member), Telling::Quiet);
        self.run_timer(Timer::RemoveDown(member));
    }

    /// Gossips now.
    pub(super) fn gossip(&mut self) {
        self.call(|foca, runtime| foca.gossip(runtime));
    }

    /// Says goodbye.
    pub(super) fn leave(&mut self) {
        self.touched.ids.insert(self.me().id);
        self.call(|foca, runtime| foca.leave_cluster(runtime));
    }

    /// Goes on as `me`, a later life of this node.
    pub(super) fn change_identity(&mut self, me: Peer) {
        self.touched.ids.insert(me.id);
        self.call(|foca, runtime| foca.change_identity(me, runtime));
    }

    /// Spreads an encoded rumour.
    pub(super) fn tell(&mut self, rumour: &[u8]) {
        if let Err(error) = self.foca.add_broadcast(rumour) {
            tracing::debug!(%error, "rumour not told");
        }
    }

    /// Fits the constants that depend on the cluster's size, once that has changed by a fifth.
    pub(super) fn fit(&mut self, timing: &Timing) {
        let size = self.size();
        if size.abs_diff(self.configured_size) * 5 > self.configured_size {
            self.configured_size = size;
            if let Err(error) = self.foca.set_config(timing.engine(size)) {
                tracing::debug!(%error, size, "the engine keeps its constants");
            }
        }
    }

    /// The next product of the calls: timers first, then messages, then news.
    pub(super) fn poll_output(&mut self) -> Option<Output> {
        while let Some((after, timer)) = self.runtime.to_schedule() {
            if let Timer::ProbeRandomMember(token) = timer {
                self.token = token;
            }
            if matches!(timer, Timer::PeriodicGossip(_)) {
                self.resting = self.has_nothing_to_tell().then(|| timer.clone());
                if self.resting.is_some() {
                    continue;
                }
            }
            return Some(Output::Timer(timer, after));
        }
        if let Some((to, bytes)) = self.runtime.to_send() {
            return Some(Output::Send(self.note_sent(to, bytes.to_vec())));
        }
        let Some(notice) = self.runtime.to_notify() else {
            if std::mem::take(&mut self.is_swollen) {
                self.runtime = AccumulatingRuntime::new();
            }
            return None;
        };
        let about = match &notice {
            OwnedNotification::MemberUp(peer)
            | OwnedNotification::MemberDown(peer)
            | OwnedNotification::Rename(_, peer)
            | OwnedNotification::Rejoin(peer) => Some(peer.id),
            OwnedNotification::Idle | OwnedNotification::Active | OwnedNotification::Defunct => None,
        };
        self.touched.ids.extend(about);
        Some(Output::Notice(notice))
    }

    /// Learns from a message what foca does not tell: its probe, and its own incarnation.
    fn note_sent(&mut self, to: Peer, bytes: Vec<u8>) -> Sent {
        let header = SwimCodec.decode_header(&bytes[..]).expect("the codec wrote it");
        let refutes = header.src == self.said.life && header.src_incarnation > self.said.incarnation;
        self.said = Said { life: header.src, incarnation: header.src_incarnation };
        if matches!(header.message, Message::Ping(_)) {
            self.probed = Some(to.id);
        }
        Sent { to, header, bytes, refutes }
    }

    /// The next rumour that was heard for the first time.
    pub(super) fn poll_rumour(&mut self) -> Option<Rumour> {
        self.rumours.try_recv().ok()
    }

    /// Members that the calls may have changed since this was last asked; `None` if there are none.
    pub(super) fn take_touched(&mut self) -> Option<Touched> {
        let any = self.touched.all || !self.touched.ids.is_empty();
        any.then(|| std::mem::take(&mut self.touched))
    }

    /// The gossip timer, if it rests although there is something to tell.
    pub(super) fn wake(&mut self) -> Option<Timer<Peer>> {
        if self.has_nothing_to_tell() { None } else { self.resting.take() }
    }

    fn has_nothing_to_tell(&self) -> bool {
        self.backlog() == Backlog::default()
    }

    /// The stage of a probe at which `timer` runs; `None` for other timers, and for those of a former token.
    pub(super) fn stage(&self, timer: &Timer<Peer>) -> Option<Stage> {
        match timer {
            Timer::SendIndirectProbe { probed_id, token } if *token == self.token => {
                Some(Stage::Indirect(*probed_id))
            }
            Timer::ProbeRandomMember(token) if *token == self.token => Some(Stage::Next),
            Timer::SendIndirectProbe { .. }
            | Timer::ProbeRandomMember(_)
            | Timer::ChangeSuspectToDown { .. }
            | Timer::PeriodicAnnounce(_)
            | Timer::PeriodicAnnounceDown(_)
            | Timer::PeriodicGossip(_)
            | Timer::RemoveDown(_) => None,
        }
    }

    /// The bytes of a message of our own.
    pub(super) fn write(&self, to: &Peer, draft: &Draft) -> Vec<u8> {
        let me = self.me();
        let src_incarnation = if self.said.life == me { self.said.incarnation } else { 0 };
        let header = Header { src: me, src_incarnation, dst: *to, message: draft.message.clone() };
        let mut out = Vec::new();
        SwimCodec.encode_header(&header, &mut out).expect("a vector has room");
        out.put_u16(u16::try_from(draft.updates.len()).unwrap_or(0));
        for update in &draft.updates {
            SwimCodec.encode_member(update, &mut out).expect("a vector has room");
        }
        for item in &draft.items {
            put_item(item, &mut out);
        }
        out
    }

    /// Reader of others' records.
    pub(super) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// This node in its present life.
    pub(super) fn me(&self) -> Peer {
        *self.identity()
    }

    /// This node in its present life, borrowed.
    pub(super) fn identity(&self) -> &Peer {
        self.foca.identity()
    }

    /// Number of active nodes, this one included.
    pub(super) fn size(&self) -> usize {
        self.foca.num_members() + 1
    }

    /// True if there is no active member beside this node.
    pub(super) fn is_alone(&self) -> bool {
        self.foca.num_members() == 0
    }

    /// Active members, in no order that means anything; the dice choose among them.
    pub(super) fn members(&self) -> impl Iterator<Item = &Peer> {
        self.foca.iter_members().map(Member::id)
    }

    /// States of the active members.
    pub(super) fn active_states(&self) -> impl Iterator<Item = &Member<Peer>> {
        self.foca.iter_members()
    }

    /// States of all members, failed ones included, and of former lives of this node.
    pub(super) fn states(&self) -> impl Iterator<Item = &Member<Peer>> {
        self.foca.iter_membership_state()
    }

    /// Rumours that wait to be passed on.
    pub(super) fn backlog(&self) -> Backlog {
        Backlog { updates: self.foca.updates_backlog(), items: self.foca.custom_broadcast_backlog() }
    }

    /// Number of inputs that foca refused.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }
}

/// Numbers of rumours that wait to be passed on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// States of members.
    pub updates: usize,
    /// Items beside them: metadata, goodbyes, accusations.
    pub items: usize,
}

/// A member's state without its suspicion: nobody would follow that up in a new life of the engine.
fn without_suspicion(member: Member<Peer>) -> Member<Peer> {
    Member::new(*member.id(), member.incarnation(), State::Alive)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        gossip::fixture::{View, goodbye, peer},
        node::Epoch,
    };

    fn touched(engine: &mut Engine) -> Vec<NodeId> {
        engine.take_touched().map(|touched| touched.ids.into_iter().collect()).unwrap_or_default()
    }

    fn drain(engine: &mut Engine) -> Vec<Output> {
        std::iter::from_fn(|| engine.poll_output()).collect()
    }

    #[test]
    fn each_input_marks_the_members_that_it_may_change() {
        let mut engine = View::of([2, 3]).engine;
        engine.apply(Member::new(peer(2), 0, State::Suspect), Telling::Quiet);
        assert_eq!(touched(&mut engine), [peer(2).id]);
        engine.condemn(peer(2), 0);
        assert_eq!(touched(&mut engine), [peer(2).id]);
        assert_eq!(engine.members().collect::<Vec<_>>(), [&peer(3)]);
        drain(&mut engine);
        engine.take_touched();
        engine.gossip();
        assert!(engine.take_touched().is_none(), "gossip changes nobody");
    }

    /// The engine suspects it when the next probe begins, and does not say so.
    #[test]
    fn the_target_of_a_probe_is_marked_when_the_next_begins() {
        let mut engine = View::of([2]).engine;
        let token = engine.token;
        engine.run_timer(Timer::ProbeRandomMember(token));
        let pinged = drain(&mut engine).into_iter().find_map(|output| {
            let Output::Send(sent) = output else { return None };
            matches!(sent.header.message, Message::Ping(_)).then_some(sent.to)
        });
        assert_eq!(pinged, Some(peer(2)));
        engine.take_touched();
        assert_eq!(engine.stage(&Timer::ProbeRandomMember(token)), Some(Stage::Next));
        engine.run_timer(Timer::ProbeRandomMember(token));
        assert_eq!(touched(&mut engine), [peer(2).id]);
    }

    #[test]
    fn its_gossip_rests_while_there_is_nothing_to_tell() {
        let mut engine = View::of([2]).engine;
        engine.run_timer(Timer::PeriodicGossip(engine.token));
        assert!(drain(&mut engine).iter().all(|output| !matches!(output, Output::Timer(..))));
        assert_eq!(engine.wake(), None);
        engine.tell(&Rumour::Left(goodbye(9).into()).encode());
        assert!(engine.wake().is_some() && engine.wake().is_none());
        assert_eq!(engine.backlog(), Backlog { updates: 0, items: 1 });
    }

    #[test]
    fn a_new_life_knows_both_halves_but_not_whom_its_own_called_failed() {
        let mut view = View::of([2, 3, 4]);
        view.suspect(2, 3);
        view.apply(Member::down(peer(4)));
        let me = peer(1).reborn(Epoch(1), 1);
        let there =
            vec![Member::alive(peer(5)), Member::down(peer(3)), Member::down(peer(6)), Member::down(me)];
        view.engine.restart(me, there, &Timing::LAN, rand::SeedableRng::seed_from_u64(1));
        drain(&mut view.engine);
        let mut states: Vec<_> = view.engine.states().map(|it| (it.id().id, it.state())).collect();
        states.sort_by_key(|(id, _)| *id);
        let alive = |number| (peer(number).id, State::Alive);
        assert_eq!(states, [alive(2), alive(3), alive(5), (peer(6).id, State::Down)], "no suspicion is left");
        assert_eq!((view.engine.me(), view.engine.take_touched().is_some_and(|it| it.all)), (me, true));
    }
}
