//! What happens when a time comes, and whom this node dials of its own accord.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use foca::{Member, Message, State, Timer};
use rand::{
    RngExt as _,
    seq::{IndexedRandom as _, IteratorRandom as _},
};

use super::{
    Event, Gossip, JoinId, Peer, Phase, Purpose, exchange::Exchange, rumours, suspicion::Evidence,
    sync::Request, timers::Tick,
};
use crate::{node::NodeId, wire::Kind};

/// How often the goodbye is repeated: with three listeners a round, five rounds reach everyone of a dozen and start
/// the rumour in any larger cluster.
const GOODBYES: u8 = 5;
/// Most members that are told goodbye directly; the rumour tells the rest.
const DIRECT_GOODBYES: usize = 128;

/// A timer later than this says that the machine or the process is too busy: four times what scheduling in a virtual
/// machine costs.
const LATE: Duration = Duration::from_millis(250);

/// A comparison takes two round trips, of a quarter of a second at worst.
const SOONEST_ASKED_AGAIN: Duration = Duration::from_millis(250);
/// As seldom as a join whose seeds do not answer.
const LATEST_ASKED_AGAIN: Duration = Duration::from_secs(2);

/// When metadata that has not come is asked for.
#[derive(Default)]
pub(super) struct MissingMetadata {
    /// Whether a timer for it runs.
    is_due: bool,
    /// Of how many members it was missing when it was asked for last, and how long the wait was after that.
    lacking: usize,
    wait: Duration,
}

impl MissingMetadata {
    /// Twice as long each time nothing has come of it.
    fn next_wait(&mut self, lacking: usize) -> Duration {
        let has_changed = std::mem::replace(&mut self.lacking, lacking) != lacking;
        self.wait = if has_changed { SOONEST_ASKED_AGAIN } else { (self.wait * 2).min(LATEST_ASKED_AGAIN) };
        self.wait
    }
}

impl Gossip {
    /// Does what is due. Everything that waits on the sockets must have been taken in before.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.notice_stall(now);
        while let Some(tick) = self.timers.pop_due(now) {
            self.tick(tick, now);
        }
        self.refresh_view(now);
    }

    /// After a pause, suspicions have run out that their victims had no chance to refute towards this node: they get
    /// their time once more. A timer that is a little late says that this node is slow.
    fn notice_stall(&mut self, now: Instant) {
        let Some(due) = self.timers.next() else { return };
        let late = now.saturating_duration_since(due);
        if late > LATE {
            self.health.worse(1);
        }
        if late <= self.timing.stall() {
            return;
        }
        self.counters.stalls += 1;
        self.stalled = Some(now);
        tracing::warn!(late_s = late.as_secs_f64(), "this process was paused; suspicions are put off");
        self.suspicions.begin_again(now);
    }

    fn tick(&mut self, tick: Tick, now: Instant) {
        match tick {
            Tick::Swim(timer) => {
                if let Timer::SendIndirectProbe { probed_id, token } = &timer
                    && *token == self.token
                {
                    self.ping_again(probed_id);
                }
                if timer == Timer::ProbeRandomMember(self.token) {
                    self.end_probe();
                }
                if let Timer::RemoveDown(peer) = &timer {
                    self.news.of(peer.id);
                }
                self.engine(now, |foca, runtime| foca.handle_timer(timer, runtime));
            }
            Tick::Goodbye(round) => self.repeat_goodbye(round, now),
            _ if self.phase != Phase::Running => {}
            Tick::JoinRound => {
                self.contacts.due();
                if self.is_alone() {
                    self.begin_round(now);
                }
            }
            Tick::Verdict(id) => self.judge(id, now),
            Tick::Sentence(accused, incarnation) => self.carry_out(&accused, incarnation, now),
            Tick::CheckEnds(id) => self.end_check(id, Evidence::Silent, now),
            Tick::Nack(asker, target, number) => {
                if !self.relayed.remove(&(target, number)) {
                    let nack = rumours::nack_item(number);
                    let message = self.swim_message(&asker, Message::Gossip, &[], &[nack]);
                    self.transmit(asker.addr(), Kind::Swim, &message);
                }
            }
            Tick::Refresh(id) => self.news.of(id),
            Tick::Widen => self.widen(now),
            Tick::Heal => self.heal(now),
            Tick::Compare(chain) => {
                if chain == self.compare_chain {
                    self.compare(now);
                }
            }
            Tick::AskMetadata => {
                self.missing_metadata.is_due = false;
                self.ask_metadata(now);
            }
            Tick::Reach(id) => {
                let addr = self.foca.iter_membership_state().find(|member| member.id().id == id);
                if let Some(addr) = addr.map(|member| member.id().addr()) {
                    self.dial(addr, Purpose::Exchange);
                }
            }
        }
    }

    /// Dials everybody who is known, a few at first, and sees to it that this is done again.
    pub(super) fn begin_round(&mut self, now: Instant) {
        let failed: Vec<_> = self.failed().map(|peer| peer.addr()).collect();
        if self.contacts.begin_round(failed.into_iter(), &mut self.rng) {
            self.widen(now);
        }
        if self.contacts.may_plan() {
            let wait = self.contacts.backoff(&self.timing, &mut self.rng);
            self.after_exactly(now, wait, Tick::JoinRound);
        }
    }

    fn widen(&mut self, now: Instant) {
        let Some(addrs) = self.contacts.widen() else { return };
        for addr in addrs {
            self.dial(addr, Purpose::Round);
        }
        self.after_exactly(now, self.timing.widen_after, Tick::Widen);
    }

    /// Dials one of those that are missing: a failed member may be back, and a seed that nobody lists may be the door
    /// to another half of the cluster.
    fn heal(&mut self, now: Instant) {
        self.after(now, self.timing.heal_period, Tick::Heal);
        let active = self.foca.iter_members().map(|member| member.id().addr());
        let failed: Vec<_> = self.failed().map(|peer| peer.addr()).collect();
        if let Some(addr) = self.contacts.missing(active, failed.into_iter(), &mut self.rng) {
            self.dial(addr, Purpose::Exchange);
        }
    }

    /// Opens a stream to `to`, unless one is open already for the same purpose.
    pub(super) fn dial(&mut self, to: SocketAddr, purpose: Purpose) {
        let running =
            self.exchanges.values().any(|exchange| exchange.to == to && exchange.purpose == purpose);
        if running {
            return;
        }
        let request = if purpose == Purpose::Compare {
            Request::Compare(self.digest)
        } else {
            Request::Exchange(self.shared_state().encode())
        };
        self.request(to, purpose, &request);
    }

    /// Sends a message about the founding to a member; to nobody where it is unknown or gone.
    pub fn send_founding(&mut self, to: NodeId, message: Vec<u8>) {
        let member = self.foca.iter_members().find(|member| member.id().id == to);
        if let Some(addr) = member.map(|member| member.id().addr()) {
            let request = Request::founding(self.me.id, message);
            self.request(addr, Purpose::Founding, &request);
        }
    }

    /// Compares the state with one of those whose metadata has not come, until all has or they are gone. Where many have
    /// joined at once, what one brings is that of most.
    fn ask_metadata(&mut self, now: Instant) {
        let members = self.foca.iter_members().map(Member::id);
        let lacking = members.filter(|peer| !self.records.contains_key(&peer.id)).map(Peer::addr);
        let lacking: Vec<_> = lacking.collect();
        let wait = self.missing_metadata.next_wait(lacking.len());
        let Some(addr) = lacking.choose(&mut self.rng) else { return };
        let comparing = |exchange: &Exchange| matches!(exchange.purpose, Purpose::Compare | Purpose::Trade);
        if !self.exchanges.values().any(comparing) {
            self.dial(*addr, Purpose::Compare);
        }
        self.ask_metadata_after(wait, now);
    }

    /// Metadata travels with the news of its owner or shortly after it; if not, it is asked for.
    pub(super) fn ask_metadata_soon(&mut self, now: Instant) {
        self.ask_metadata_after(Duration::from_millis(500), now);
    }

    fn ask_metadata_after(&mut self, wait: Duration, now: Instant) {
        if !std::mem::replace(&mut self.missing_metadata.is_due, true) {
            self.after(now, wait, Tick::AskMetadata);
        }
    }

    /// Takes in how one address of a `join` ended.
    pub(super) fn end_asked(&mut self, id: JoinId, to: SocketAddr, outcome: Result<(), String>) {
        if let Some(join) = self.joins.get_mut(&id) {
            join.outstanding -= 1;
            join.ended.push((to, outcome.err()));
        }
        self.finish_join(id);
    }

    /// Ends a `join` whose last address has ended.
    pub(super) fn finish_join(&mut self, id: JoinId) {
        if self.joins.get(&id).is_some_and(|join| join.outstanding == 0)
            && let Some(join) = self.joins.remove(&id)
        {
            self.events.push_back(Event::JoinEnded(id, join.ended));
        }
    }

    /// Says goodbye: to every member at once, then by rumour for a few rounds more. `Event::Left` when it is done.
    /// From here on nothing that is heard changes anything.
    pub fn leave(&mut self, now: Instant) {
        if self.phase != Phase::Running {
            self.events.push_back(Event::Left);
            return;
        }
        self.phase = Phase::Leaving;
        self.tell(&rumours::left_rumour(&self.me));
        self.say_goodbye();
        self.engine(now, |foca, runtime| foca.leave_cluster(runtime));
        self.after_exactly(now, self.timing.gossip_period, Tick::Goodbye(1));
        self.news.of(self.me.id);
        self.refresh_view(now);
    }

    /// Tells members directly that this life ends.
    pub(super) fn say_goodbye(&mut self) {
        let mut payload = Vec::new();
        super::peer::put_peer(&self.me, &mut payload);
        let listeners = self.foca.iter_members().map(|member| member.id().addr());
        for addr in listeners.sample(&mut self.rng, DIRECT_GOODBYES) {
            self.transmit(addr, Kind::Goodbye, &payload);
        }
    }

    fn repeat_goodbye(&mut self, round: u8, now: Instant) {
        if round >= GOODBYES || self.is_alone() {
            self.events.push_back(Event::Left);
            return;
        }
        if round == 2 {
            self.say_goodbye();
        }
        self.engine(now, |foca, runtime| foca.gossip(runtime));
        self.after_exactly(now, self.timing.gossip_period, Tick::Goodbye(round + 1));
    }

    /// The members that failed and did not say goodbye.
    pub(super) fn failed(&self) -> impl Iterator<Item = &Peer> {
        self.foca
            .iter_membership_state()
            .filter(|member| member.state() == State::Down)
            .map(Member::id)
            .filter(|peer| peer.id != self.me.id && !self.has_left(peer))
    }

    /// Whether this life of a node said goodbye.
    pub(super) fn has_left(&self, peer: &Peer) -> bool {
        self.left.get(&peer.id).is_some_and(|life| *life >= (peer.epoch(), peer.bump()))
    }

    /// Schedules `tick` around `after` from now: half to one and a half of it, so that nodes fall out of step.
    pub(super) fn after(&mut self, now: Instant, after: Duration, tick: Tick) {
        let jitter = self.rng.random_range(0.5..1.5);
        self.after_exactly(now, after.mul_f64(jitter), tick);
    }

    /// A little more or less than `wait`, so that nodes fall out of step.
    pub(super) fn jitter(&mut self, wait: Duration) -> Duration {
        wait.mul_f64(self.rng.random_range(0.9..1.1))
    }

    pub(super) fn after_exactly(&mut self, now: Instant, after: Duration, tick: Tick) {
        self.timers.schedule(now + after, tick);
    }

    /// A random share of `most`, so that many who react to one event do not react together.
    pub(super) fn spread(&mut self, most: Duration) -> Duration {
        most.mul_f64(self.rng.random_range(0.0..1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What one member has never sent does not make the next one wait.
    #[test]
    fn the_wait_for_metadata_begins_anew_once_nothing_is_missing() {
        let mut missing = MissingMetadata::default();
        let waits: Vec<_> =
            [1, 1, 1, 1, 1, 0, 1].map(|lacking| missing.next_wait(lacking).as_millis()).into();
        assert_eq!(waits, [250, 500, 1_000, 2_000, 2_000, 250, 250]);
    }
}
