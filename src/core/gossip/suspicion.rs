//! Suspicions: who accuses whom, how long the accused has to refute, and when the verdict falls. The engine's own
//! suspicion is one timer at one prober; here it waits for others to confirm (Lifeguard's dynamic suspicion), asks them
//! at once instead of waiting until chance has them probe, and tells the accused.

mod accusers;
mod verdicts;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

use foca::{Member, Message, State, Timer};
use rand::seq::IteratorRandom as _;

use super::{
    Gossip, Peer, Purpose,
    rumours::{self, Accusation},
    suspicion::accusers::Accusers,
    sync::Request,
    timers::Tick,
};
use crate::node::NodeId;

/// An unconfirmed suspicion waits this many times as long as a confirmed one. Others are asked at once, so that a dead
/// member's suspicion is confirmed within two waits for an answer; six as in Lifeguard would only add to the case of a
/// node that nobody answers, which is the one at fault.
const UNCONFIRMED: u32 = 4;
/// So many must confirm for the shortest wait; fewer where there are fewer. Lifeguard's K.
const CONFIRMATIONS: usize = 2;
/// So many are asked to look for themselves: twice what is needed and one more, since some are slow or gone as well.
const ASKED: usize = 5;
/// How often a verdict is put off because nobody confirms though others are heard from.
const PUT_OFF: u32 = 3;
/// Members looked at for others at the same time.
const MAX_CHECKS: usize = 64;

/// What speaks against a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Evidence {
    /// It did not answer, or others say so.
    Silent,
    /// Its host answers that no process listens there.
    Refused,
}

/// A suspicion that this node follows up.
#[derive(Debug)]
struct Suspicion {
    accused: Peer,
    incarnation: u16,
    since: Instant,
    evidence: Evidence,
    put_off: u32,
    /// It began with another node's verdict, which is not to be believed before it has ended.
    doubted: bool,
}

/// A member that this node looks at because others asked it to.
#[derive(Debug)]
struct Check {
    accused: Peer,
    since: Instant,
    askers: Vec<Peer>,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Suspicions {
    running: BTreeMap<NodeId, Suspicion>,
    checks: BTreeMap<NodeId, Check>,
    pub(super) accusers: Accusers,
    /// When a suspect that was heard from was last told that it is one.
    reminded: BTreeMap<NodeId, Instant>,
    /// Over whom another's verdict waits.
    sentenced: BTreeSet<NodeId>,
    /// This node has called others failed while it heard nobody.
    pub(super) judged_alone: bool,
}

impl Suspicion {
    /// How long the accused has, from `since`. `confirmers` is what others found, `shortest` the wait of a confirmed
    /// suspicion, `gone` that of one where the host itself says that the process is gone, `others` how many could
    /// confirm.
    fn wait(&self, confirmers: &[Evidence], shortest: Duration, gone: Duration, others: usize) -> Duration {
        let needed = CONFIRMATIONS.min(others);
        let confirmed = confirmers.len().min(needed);
        let refused = confirmers.iter().filter(|evidence| **evidence == Evidence::Refused).count()
            + usize::from(self.evidence == Evidence::Refused);
        // One host's word is not enough where another could look: a firewall refuses, too.
        if refused > needed.min(1) {
            return gone.min(shortest);
        }
        let longest = shortest * UNCONFIRMED;
        if needed == 0 || confirmed == needed {
            return shortest;
        }
        let counted = |count: usize| f64::from(u32::try_from(count + 1).unwrap_or(u32::MAX)).ln();
        longest - (longest - shortest).mul_f64(counted(confirmed) / counted(needed))
    }
}

impl Suspicions {
    /// Forgets what is said about those who are no longer known, or only of lives that are over.
    pub(super) fn retain(&mut self, known: impl Fn(&NodeId) -> bool) {
        self.accusers.retain(&known);
        self.running.retain(|id, _| known(id));
        self.checks.retain(|id, _| known(id));
        self.reminded.retain(|id, _| known(id));
        self.sentenced.retain(known);
    }

    /// The process was paused: everybody gets his time once more.
    pub(super) fn begin_again(&mut self, now: Instant) {
        self.running.values_mut().for_each(|suspicion| suspicion.since = now);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Gossip {
    /// This node has its own reason to suspect a member. `ask` has others look, too.
    pub(super) fn suspect(
        &mut self,
        accused: Peer,
        incarnation: u16,
        evidence: Evidence,
        ask: bool,
        now: Instant,
    ) {
        let same = |known: &&mut Suspicion| known.accused == accused && known.incarnation >= incarnation;
        if let Some(known) = self.suspicions.running.get_mut(&accused.id).filter(same) {
            if evidence == Evidence::Refused && known.evidence != evidence {
                known.evidence = evidence;
                self.accuse(&accused, incarnation, evidence);
                self.plan_verdict(accused.id, now);
            }
            return;
        }
        let member = Member::new(accused, incarnation, State::Suspect);
        self.news.of(accused.id);
        self.engine(now, |foca, runtime| foca.apply_many([member].into_iter(), true, runtime));
        if !self.is_suspect(&accused, incarnation) {
            return;
        }
        let suspicion = Suspicion { accused, incarnation, since: now, evidence, put_off: 0, doubted: false };
        self.suspicions.running.insert(accused.id, suspicion);
        self.counters.suspicions += 1;
        self.accuse(&accused, incarnation, evidence);
        let warning = self.accusing_ping(&accused, incarnation);
        self.transmit(accused.addr(), crate::wire::Kind::Swim, &warning);
        if ask {
            self.ask_others(&accused, incarnation);
        }
        self.plan_verdict(accused.id, now);
    }

    /// Whether the engine holds this life of a member for suspect, unrefuted.
    pub(super) fn is_suspect(&self, accused: &Peer, incarnation: u16) -> bool {
        self.foca.iter_members().any(|member| {
            member.id() == accused && member.incarnation() == incarnation && member.state() == State::Suspect
        })
    }

    /// Tells everybody that this node suspects a member, unless enough others do.
    fn accuse(&mut self, accused: &Peer, incarnation: u16, evidence: Evidence) {
        let refused = evidence == Evidence::Refused;
        let accusation = Accusation { from: self.me.id, accused: *accused, incarnation, refused };
        if !self.suspicions.accusers.are_enough(&accusation) {
            self.tell(&rumours::accusation_rumour(&accusation));
        }
    }

    /// A ping that tells its target that it is suspected; its answer refutes.
    fn accusing_ping(&self, accused: &Peer, incarnation: u16) -> Vec<u8> {
        let suspect = Member::new(*accused, incarnation, State::Suspect);
        self.swim_message(accused, Message::Ping(0), &[suspect], &[])
    }

    fn ask_others(&mut self, accused: &Peer, incarnation: u16) {
        let others = self.foca.iter_members().map(|member| *member.id()).filter(|peer| peer != accused);
        let asked = others.sample(&mut self.rng, ASKED);
        let item = rumours::check_item(accused, incarnation);
        for other in asked {
            let message = self.swim_message(&other, Message::Gossip, &[], std::slice::from_ref(&item));
            self.transmit(other.addr(), crate::wire::Kind::Swim, &message);
        }
    }

    /// Another node suspects a member.
    pub(super) fn hear_accusation(&mut self, said: Accusation, now: Instant) {
        let accused = said.accused;
        if accused == self.me {
            return self.refute(&said, now);
        }
        let is_present = self.sight_of(&accused.id).is_some_and(|sight| sight.peer == accused);
        if said.from != self.me.id && is_present && !self.suspicions.accusers.are_enough(&said) {
            self.suspicions.accusers.remember(said);
            self.plan_verdict(accused.id, now);
        }
    }

    /// Another node suspects this one. Where it was parted from this one it may have told everybody else, but could not
    /// tell whom it suspects; and what nobody refutes would confirm another's suspicion an hour later.
    fn refute(&mut self, said: &Accusation, now: Instant) {
        let suspect = Member::new(self.me, said.incarnation, State::Suspect);
        self.engine(now, |foca, runtime| foca.apply_many([suspect].into_iter(), true, runtime));
    }

    /// What the others found who suspect the same.
    fn confirmers(&self, suspicion: &Suspicion) -> Vec<Evidence> {
        self.suspicions.accusers.found(&suspicion.accused, suspicion.incarnation)
    }

    fn verdict_at(&self, suspicion: &Suspicion, now: Instant) -> Instant {
        let size = self.foca.num_members() + 1;
        let patience = self.timing.suspicion(size) * self.trouble.patience(suspicion.accused.id, now);
        let others = size.saturating_sub(2);
        let confirmers = self.confirmers(suspicion);
        suspicion.since + suspicion.wait(&confirmers, patience, self.timing.gone_after(), others)
    }

    fn plan_verdict(&mut self, id: NodeId, now: Instant) {
        if let Some(suspicion) = self.suspicions.running.get(&id) {
            let at = self.verdict_at(suspicion, now).max(now);
            self.timers.schedule(at, Tick::Verdict(id));
        }
    }

    /// A suspicion may have run out. The engine of foca 2.0.0 tells a member that it is down when its suspicion ends,
    /// even where it has refuted it in time; a healthy node then renews itself, and at 20 % loss clusters of three
    /// never come to rest. So a suspicion that was refuted never reaches the engine.
    pub(super) fn judge(&mut self, id: NodeId, now: Instant) {
        let Some(suspicion) = self.suspicions.running.get(&id) else { return };
        let (accused, incarnation, since) = (suspicion.accused, suspicion.incarnation, suspicion.since);
        if !self.is_suspect(&accused, incarnation) {
            self.suspicions.running.remove(&id);
            return;
        }
        if self.verdict_at(suspicion, now) > now {
            return self.plan_verdict(id, now);
        }
        if self.is_cut_off(suspicion, now) {
            return self.begin_suspicion_again(id, now);
        }
        let is_alone = self.foca.num_members() > 1 && self.hears_nobody(suspicion, now).is_some();
        if self.speaks_for_it(suspicion, since) && self.put_off(id, now) {
            return;
        }
        self.suspicions.running.remove(&id);
        self.suspicions.judged_alone |= is_alone;
        let timer = Timer::ChangeSuspectToDown { member_id: accused, incarnation, token: self.token };
        self.engine(now, |foca, runtime| foca.handle_timer(timer, runtime));
    }

    /// Whether the verdict would be this node's alone: the accused itself was heard since, or nobody confirms though
    /// others are there to do so.
    fn speaks_for_it(&self, suspicion: &Suspicion, since: Instant) -> bool {
        let heard_since = |id: NodeId, life: Option<&Peer>| {
            self.heard
                .get(&id)
                .is_some_and(|heard| heard.at > since && life.is_none_or(|life| heard.life == *life))
        };
        let itself = heard_since(suspicion.accused.id, Some(&suspicion.accused));
        let others = self.foca.iter_members().map(|member| member.id().id);
        let mut others = others.filter(|id| *id != suspicion.accused.id);
        itself || (self.confirmers(suspicion).is_empty() && others.any(|id| heard_since(id, None)))
    }

    fn put_off(&mut self, id: NodeId, now: Instant) -> bool {
        let Some(suspicion) = self.suspicions.running.get_mut(&id) else { return false };
        if suspicion.put_off >= PUT_OFF {
            return false;
        }
        suspicion.put_off += 1;
        self.begin_suspicion_again(id, now);
        true
    }

    /// The accused has its time once more, and is told so.
    fn begin_suspicion_again(&mut self, id: NodeId, now: Instant) {
        let Some(suspicion) = self.suspicions.running.get_mut(&id) else { return };
        suspicion.since = now;
        let (accused, incarnation) = (suspicion.accused, suspicion.incarnation);
        let warning = self.accusing_ping(&accused, incarnation);
        self.transmit(accused.addr(), crate::wire::Kind::Swim, &warning);
        self.ask_others(&accused, incarnation);
        self.plan_verdict(id, now);
    }

    /// Somebody suspects a member and asks this node to look for itself, by datagram and by stream.
    pub(super) fn check(&mut self, asker: Peer, accused: Peer, incarnation: u16, now: Instant) {
        let known = self.foca.iter_members().find(|member| *member.id() == accused).cloned();
        let Some(known) = known else { return };
        // What travelled was without its address.
        let accused = *known.id();
        if known.incarnation() > incarnation {
            return self.speak_for(&asker, &known);
        }
        if let Some(check) = self.suspicions.checks.get_mut(&accused.id) {
            check.askers.push(asker);
            check.askers.truncate(MAX_CHECKS);
            return;
        }
        if self.suspicions.checks.len() >= MAX_CHECKS {
            return;
        }
        let check = Check { accused, since: now, askers: vec![asker] };
        self.suspicions.checks.insert(accused.id, check);
        let ping = self.accusing_ping(&accused, incarnation);
        self.transmit(accused.addr(), crate::wire::Kind::Swim, &ping);
        self.request(accused.addr(), Purpose::Check(accused), &Request::Swim(ping.into()));
        let wait = self.answer_within() * 2;
        self.after_exactly(now, wait, Tick::CheckEnds(accused.id));
    }

    /// A check has ended: by an answer, by a refusal, or because its time is over.
    pub(super) fn end_check(&mut self, id: NodeId, evidence: Evidence, now: Instant) {
        let Some(Check { accused, since, askers }) = self.suspicions.checks.remove(&id) else { return };
        let Some(known) = self.foca.iter_members().find(|member| *member.id() == accused).cloned() else {
            return;
        };
        let heard = self.heard.get(&id).is_some_and(|heard| heard.life == accused && heard.at >= since);
        if heard && evidence == Evidence::Silent {
            askers.iter().for_each(|asker| self.speak_for(asker, &known));
            return;
        }
        let incarnation = known.incarnation();
        self.suspect(accused, incarnation, evidence, false, now);
        let refused = evidence == Evidence::Refused;
        let said = Accusation { from: self.me.id, accused, incarnation, refused };
        let item = rumours::accusation_rumour(&said);
        for asker in askers {
            let message = self.swim_message(&asker, Message::Gossip, &[], std::slice::from_ref(&item));
            self.transmit(asker.addr(), crate::wire::Kind::Swim, &message);
        }
    }

    /// Tells whoever asked what this node knows of the accused.
    fn speak_for(&mut self, asker: &Peer, accused: &Member<Peer>) {
        let message = self.swim_message(asker, Message::Gossip, std::slice::from_ref(accused), &[]);
        self.transmit(asker.addr(), crate::wire::Kind::Swim, &message);
    }

    /// A stream to `to` ended that was to show whether a member is there.
    pub(super) fn end_ping(&mut self, purpose: Purpose, to: SocketAddr, refused: bool, now: Instant) {
        if let Purpose::Ping(target) = purpose
            && refused
            && target.addr() == to
        {
            let known = self.foca.iter_members().find(|member| *member.id() == target);
            if let Some(incarnation) = known.map(Member::incarnation)
                && self.probing.unanswered(&target).is_some()
            {
                self.suspect(target, incarnation, Evidence::Refused, true, now);
            }
        }
        if let Purpose::Check(target) = purpose {
            let answered =
                self.suspicions.checks.get(&target.id).is_some_and(|check| {
                    self.heard.get(&target.id).is_some_and(|heard| heard.at >= check.since)
                });
            if refused {
                self.end_check(target.id, Evidence::Refused, now);
            } else if answered {
                self.end_check(target.id, Evidence::Silent, now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{acquainted, talk},
        *,
    };
    use crate::{gossip::rumours::Rumour, node::Epoch};

    /// By invented accusers, of ever later incarnations and lives, and against members who never were.
    #[test]
    fn a_hostile_member_cannot_make_a_node_remember_ever_more_words_against_others() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
        let now = Instant::now();
        let (mut a, b) = acquainted(now);
        for number in 0..3_000_u16 {
            let invented = NodeId::try_from((u128::from(number) << 8 | 7).to_be_bytes()).unwrap();
            let unknown = Peer::new(invented, b.me.addr(), Epoch(1), 0);
            let later = b.me.reborn(Epoch(u64::from(number)), 0);
            for accused in [b.me, later, unknown] {
                for refused in [false, true] {
                    let said = Accusation { from: invented, accused, incarnation: number, refused };
                    a.hear(Rumour::Accused(said), now);
                }
            }
        }
        let kept = a.suspicions.accusers.len();
        assert!(kept <= 6, "{kept} are remembered");
    }

    /// Its accusers were parted from it and could not warn it, and have given way since. What others were told of it must
    /// not confirm a suspicion of theirs long after.
    #[test]
    fn a_member_refutes_what_it_hears_of_itself_through_others() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
        let now = Instant::now();
        let (mut a, mut b) = acquainted(now);
        for from in (5..8).map(id) {
            let said = Accusation { from, accused: b.me, incarnation: 0, refused: false };
            a.hear(Rumour::Accused(said), now);
        }
        assert_eq!(a.suspicions.accusers.found(&b.me, 0).len(), 3);
        for tenth in 1..20 {
            let now = now + Duration::from_millis(100) * tenth;
            a.handle_timeout(now);
            b.handle_timeout(now);
            talk(&mut a, &mut b, now);
        }
        let incarnation = a.sight_of(&b.me.id).unwrap().incarnation;
        assert_eq!(a.suspicions.accusers.found(&b.me, incarnation), [], "of incarnation {incarnation}");
    }

    fn id(last: u8) -> NodeId {
        NodeId::try_from([last; 16]).unwrap()
    }

    fn suspicion(evidence: Evidence) -> Suspicion {
        #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
        let since = Instant::now();
        let accused = Peer::new(id(1), ([10, 0, 0, 1], 7946).into(), Epoch(1), 0);
        Suspicion { accused, incarnation: 0, since, evidence, put_off: 0, doubted: false }
    }

    #[test]
    fn confirmations_shorten_the_wait_and_two_refusals_end_it() {
        let (second, gone) = (Duration::from_secs(1), Duration::from_millis(300));
        let wait = |evidence, confirmers: &[_], others| {
            suspicion(evidence).wait(confirmers, second, gone, others).as_secs_f64()
        };
        use Evidence::{Refused, Silent};
        assert_eq!(wait(Silent, &[], 8), 4.0);
        assert!((wait(Silent, &[Silent], 8) - 2.107).abs() < 0.001);
        assert_eq!(wait(Silent, &[Silent, Silent], 8), 1.0);
        assert_eq!(wait(Silent, &[Silent], 1), 1.0, "of three members one can confirm");
        assert_eq!(wait(Silent, &[], 0), 1.0, "of two none can");
        assert_eq!(wait(Refused, &[], 8), 4.0, "one host's word is not enough");
        assert_eq!(wait(Refused, &[Refused], 8), 0.3);
        assert_eq!(wait(Refused, &[], 0), 0.3, "unless nobody else can look");
    }
}
