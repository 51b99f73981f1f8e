//! The failure detector: who is suspected, how long the accused has to refute, and when the verdict falls. The engine's
//! own suspicion is one timer at one prober; here it waits for others to confirm (Lifeguard's dynamic suspicion), asks
//! them at once instead of waiting until chance has them probe, and tells the accused.

mod accusers;
mod asking;
mod case;
mod checks;
mod health;
mod probe;
mod speech;
#[cfg(test)]
mod tests;
mod trouble;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

use foca::{Header, Member, State, Timer};
use rand::rngs::StdRng;

pub(super) use self::probe::{Transport, Way};
use self::{
    accusers::Accusers,
    asking::{accusing_ping, ask_others, warning},
    case::{Case, Waits},
    checks::{Check, Checks},
    health::Health,
    probe::{Outcome, Probes},
    speech::Speech,
    trouble::Trouble,
};
use super::{
    action::{Action, Draft, Judge, Purpose, Question, Source, Suspect, Telling},
    clock::{Tick, Wait},
    engine::Sent,
    facts::Facts,
    peer::Peer,
    roster::{Change, Life},
    rumours::{Accusation, Evidence, Rumour},
    timing::Timing,
};
use crate::node::NodeId;

/// Everything this node knows about suspicions, and about how members answer.
#[derive(Debug, Default)]
pub(super) struct Detector {
    /// Suspicions that this node follows up.
    cases: BTreeMap<NodeId, Case>,
    checks: Checks,
    accusers: Accusers,
    /// Time at which a suspect that was heard from was last told that it is one.
    reminded: BTreeMap<NodeId, Instant>,
    /// Members over which another node's verdict waits.
    sentenced: BTreeSet<NodeId>,
    probes: Probes,
    speech: Speech,
    trouble: Trouble,
    health: Health,
    /// Number of suspicions followed up since the start.
    suspicions: u64,
}

impl Detector {
    /// Takes in further evidence against a member whose case is open. Returns whether it is.
    pub(super) fn add_evidence(
        &mut self,
        suspect: &Suspect,
        facts: &Facts<'_>,
        out: &mut Vec<Action>,
    ) -> bool {
        let Suspect { accused, incarnation, evidence, source } = *suspect;
        let case = self.cases.get_mut(&accused.id);
        let Some(case) = case.filter(|case| case.accused == accused && case.incarnation >= incarnation)
        else {
            return false;
        };
        case.doubted |= source == Source::Verdict;
        if evidence == Evidence::Refused && case.evidence != evidence {
            case.evidence = evidence;
            self.accuse(&accused, incarnation, evidence, facts, out);
            self.plan_verdict(&accused.id, facts, out);
        }
        true
    }

    /// Opens the case of a suspicion, if the engine has taken it.
    pub(super) fn open_case(
        &mut self,
        suspect: &Suspect,
        facts: &Facts<'_>,
        rng: &mut StdRng,
        out: &mut Vec<Action>,
    ) {
        let Suspect { accused, incarnation, evidence, source } = *suspect;
        if !facts.roster.state(&accused).is_suspect_at(incarnation) {
            return;
        }
        self.cases.insert(accused.id, Case::new(suspect, facts.now));
        self.suspicions += 1;
        self.accuse(&accused, incarnation, evidence, facts, out);
        out.push(warning(&accused, incarnation));
        match source {
            Source::Probe | Source::Verdict => ask_others(&accused, incarnation, facts, rng, out),
            Source::Check => {}
        }
        self.plan_verdict(&accused.id, facts, out);
    }

    /// Tells everybody that this node suspects a member, unless enough others do.
    fn accuse(
        &self,
        accused: &Peer,
        incarnation: u16,
        evidence: Evidence,
        facts: &Facts<'_>,
        out: &mut Vec<Action>,
    ) {
        let said = Accusation { from: facts.me().id, accused: *accused, incarnation, evidence };
        if !self.has_enough(&said) {
            out.push(Action::Tell(Rumour::Accused(said)));
        }
    }

    /// True if so many others accuse the same member of the same that one more accusation is of no use.
    pub(super) fn has_enough(&self, said: &Accusation) -> bool {
        self.accusers.are_enough(said)
    }

    /// Takes in another node's accusation. This node refutes those against itself, also if they come through others: an
    /// accuser that was parted from it could not tell it, and an accusation that nobody refutes would confirm another's
    /// suspicion an hour later.
    pub(super) fn hear_accusation(&mut self, said: Accusation, facts: &Facts<'_>, out: &mut Vec<Action>) {
        let Accusation { from, accused, incarnation, .. } = said;
        let me = facts.me();
        if accused == me {
            let suspect = Member::new(me, incarnation, State::Suspect);
            return out.push(Action::Apply(vec![suspect], Telling::Aloud));
        }
        let is_present = !matches!(facts.roster.state(&accused), Life::Unknown | Life::Other);
        if from != me.id && is_present && !self.has_enough(&said) {
            self.accusers.remember(said);
            self.plan_verdict(&accused.id, facts, out);
        }
    }

    fn verdict_at(&self, case: &Case, facts: &Facts<'_>) -> Instant {
        let patience = self.trouble.patience(case.accused.id, facts.now);
        let waits = Waits {
            confirmed: facts.timing.suspicion(facts.size()) * patience,
            gone: facts.timing.gone_after(),
        };
        case.verdict_at(&self.confirmers(case), waits, facts.size().saturating_sub(2))
    }

    /// Evidence that others found who suspect the same.
    fn confirmers(&self, case: &Case) -> Vec<Evidence> {
        self.accusers.evidence(&case.accused, case.incarnation)
    }

    fn plan_verdict(&self, id: &NodeId, facts: &Facts<'_>, out: &mut Vec<Action>) {
        if let Some(case) = self.cases.get(id) {
            out.push(Action::At(self.verdict_at(case, facts).max(facts.now), Tick::Verdict(*id)));
        }
    }

    /// Judges a suspicion if it has run out. foca 2.0.0 tells a member that it is down when its suspicion ends, even if it
    /// has refuted it in time; a healthy node then renews itself, and at 20 % loss clusters of three never come to rest. So
    /// a suspicion that was refuted never reaches the engine.
    pub(super) fn review(&mut self, id: NodeId, facts: &Facts<'_>, rng: &mut StdRng, out: &mut Vec<Action>) {
        let Some(case) = self.cases.get(&id) else { return };
        let (accused, incarnation) = (case.accused, case.incarnation);
        if !facts.roster.state(&accused).is_suspect_at(incarnation) {
            self.cases.remove(&id);
            return;
        }
        if self.verdict_at(case, facts) > facts.now {
            return self.plan_verdict(&id, facts, out);
        }
        let confirmers = self.confirmers(case);
        if case.is_cut_off(&confirmers, facts) {
            return self.begin_again(id, facts, rng, out);
        }
        let is_alone = facts.others() > 1 && case.silence(&confirmers, facts).is_some();
        let unshared = case.is_unshared(&confirmers, facts);
        if unshared && self.cases.get_mut(&id).is_some_and(Case::try_put_off) {
            return self.begin_again(id, facts, rng, out);
        }
        self.cases.remove(&id);
        let judge = if is_alone { Judge::CutOff } else { Judge::Connected };
        out.push(Action::Condemn { accused, incarnation, judge });
    }

    /// Gives the accused its time once more, and tells it so.
    fn begin_again(&mut self, id: NodeId, facts: &Facts<'_>, rng: &mut StdRng, out: &mut Vec<Action>) {
        let Some(case) = self.cases.get_mut(&id) else { return };
        case.since = facts.now;
        let (accused, incarnation) = (case.accused, case.incarnation);
        out.push(warning(&accused, incarnation));
        ask_others(&accused, incarnation, facts, rng, out);
        self.plan_verdict(&id, facts, out);
    }

    /// Gives all accused their time once more, since they could not refute to a process that was paused.
    pub(super) fn begin_all_again(&mut self, now: Instant) {
        self.cases.values_mut().for_each(|case| case.since = now);
    }

    /// Looks at a member that another node suspects, by datagram and by stream.
    pub(super) fn check(
        &mut self,
        asker: Peer,
        accused: &Peer,
        incarnation: u16,
        facts: &Facts<'_>,
        out: &mut Vec<Action>,
    ) {
        let Some(known) = facts.roster.active_state(accused) else { return };
        // The accused travels without its address.
        let accused = *known.id();
        if known.incarnation() > incarnation {
            return out.push(Action::Send(asker, Draft::update(known)));
        }
        if !self.checks.try_begin(accused, asker, facts.now) {
            return;
        }
        out.push(warning(&accused, incarnation));
        let question = Question::Swim(accused, accusing_ping(&accused, incarnation));
        out.push(Action::Ask { to: accused.addr(), question, purpose: Purpose::Check(accused) });
        let wait = Wait::Exactly(self.answer_within(facts.timing) * 2);
        out.push(Action::After(wait, Tick::CheckEnds(accused.id)));
    }

    /// Ends the look at a member: by an answer, by a refusal, or because its time is over.
    pub(super) fn end_check(
        &mut self,
        id: &NodeId,
        evidence: Evidence,
        facts: &Facts<'_>,
        out: &mut Vec<Action>,
    ) {
        let Some(Check { accused, since, askers }) = self.checks.end(id) else { return };
        let Some(known) = facts.roster.active_state(&accused) else { return };
        let heard = facts.roster.heard(id);
        let answered = heard.is_some_and(|heard| heard.life == accused && heard.at >= since);
        if answered && evidence == Evidence::Silent {
            let tell = |asker| Action::Send(asker, Draft::update(known.clone()));
            return out.extend(askers.into_iter().map(tell));
        }
        let incarnation = known.incarnation();
        out.push(Action::Suspect(Suspect { accused, incarnation, evidence, source: Source::Check }));
        let said = Accusation { from: facts.me().id, accused, incarnation, evidence };
        let item = Rumour::Accused(said).encode();
        out.extend(askers.into_iter().map(|asker| Action::Send(asker, Draft::item(item.clone()))));
    }

    /// Takes note that the stream of a look at a member has ended.
    pub(super) fn end_check_stream(
        &mut self,
        accused: &Peer,
        evidence: Evidence,
        facts: &Facts<'_>,
        out: &mut Vec<Action>,
    ) {
        let heard = facts.roster.heard(&accused.id);
        let since = self.checks.since(&accused.id);
        let answered = heard.zip(since).is_some_and(|(heard, since)| heard.at >= since);
        if evidence == Evidence::Refused || answered {
            self.end_check(&accused.id, evidence, facts, out);
        }
    }

    /// Takes note that a host has refused the stream of a ping: its process is gone.
    pub(super) fn note_refused_ping(
        &self,
        target: Peer,
        from: SocketAddr,
        facts: &Facts<'_>,
        out: &mut Vec<Action>,
    ) {
        if target.addr() == from
            && let Some((_, _, sent)) = self.probes.open().filter(|(open, ..)| *open == target)
            && !self.speech.has_spoken(&target, sent, facts)
            && let Some(known) = facts.roster.active_state(&target)
        {
            let (incarnation, evidence) = (known.incarnation(), Evidence::Refused);
            let suspect = Suspect { accused: target, incarnation, evidence, source: Source::Probe };
            out.push(Action::Suspect(suspect));
        }
    }

    /// Weighs another node's verdict on an active member. That node may have been cut off from the member, or from
    /// everybody, so its word counts only once the member has been suspect for as long as it takes to refute that.
    pub(super) fn hear_verdict(&mut self, verdict: &Member<Peer>, facts: &Facts<'_>, out: &mut Vec<Action>) {
        let (accused, incarnation) = (*verdict.id(), verdict.incarnation());
        if self.is_doubted(&accused) {
            return;
        }
        let Some(since) = facts.roster.state(&accused).suspect_since(incarnation) else {
            return doubt(&accused, incarnation, facts, out);
        };
        let at = since + facts.timing.gone_after();
        if at <= facts.now {
            self.carry_out(&accused, incarnation, facts, out);
        } else if self.sentenced.insert(accused.id) {
            out.push(Action::At(at, Tick::Sentence { accused, incarnation }));
        }
    }

    fn is_doubted(&self, accused: &Peer) -> bool {
        self.cases.get(&accused.id).is_some_and(|case| case.doubted && case.accused == *accused)
    }

    /// Carries out another node's verdict, if the accused has had the time to refute it and did not.
    pub(super) fn carry_out(
        &mut self,
        accused: &Peer,
        incarnation: u16,
        facts: &Facts<'_>,
        out: &mut Vec<Action>,
    ) {
        self.sentenced.remove(&accused.id);
        if facts.roster.state(accused).suspect_since(incarnation).is_some() && !self.is_doubted(accused) {
            let down = Member::new(*accused, incarnation, State::Down);
            out.push(Action::Apply(vec![down], Telling::Aloud));
        }
    }

    /// Tells a suspect that was heard from that it is one: if what told it so was lost, it does not know, and stays
    /// suspect until it refutes.
    pub(super) fn remind(&mut self, heard: &Peer, facts: &Facts<'_>, out: &mut Vec<Action>) {
        let Life::Suspect { incarnation, .. } = facts.roster.state(heard) else { return };
        let is_due = |at: &Instant| facts.now >= *at + facts.timing.gone_after();
        if self.reminded.get(&heard.id).is_none_or(is_due) {
            self.reminded.insert(heard.id, facts.now);
            out.push(warning(heard, incarnation));
        }
    }

    /// Takes note of a message of the engine that is about to be sent.
    pub(super) fn note_sent(&mut self, sent: &Sent, now: Instant) {
        if sent.refutes {
            self.health.worsen(1);
        }
        self.probes.note_sent(&sent.header, &sent.to, &sent.bytes, now);
    }

    /// Takes note of a message that came, of which the first datagram that answers a probe tells the round trip.
    pub(super) fn note_received(
        &mut self,
        header: &Header<Peer>,
        transport: Transport,
        facts: &Facts<'_>,
        out: &mut Vec<Action>,
    ) -> Option<Duration> {
        let round_trip = self.probes.note_answer(header, transport, facts.now);
        self.probes.relay(header, facts.timing, out);
        round_trip
    }

    /// Takes note that a helper had no answer to a probe either.
    pub(super) fn note_nack(&mut self, number: u8) {
        self.probes.note_nack(number);
    }

    /// Tells a node that asked for help with its probe that no answer came, unless one did.
    pub(super) fn tell_nack(&mut self, asker: Peer, target: NodeId, number: u8, out: &mut Vec<Action>) {
        self.probes.tell_nack(asker, target, number, out);
    }

    /// Sends an unanswered ping again over a stream.
    pub(super) fn ask_again(&self, target: &Peer, out: &mut Vec<Action>) {
        self.probes.ask_again(target, out);
    }

    /// The answer to give to the engine in the place of a member that has not answered the probe under way, and has spoken
    /// meanwhile: it cannot be reached, and is there.
    pub(super) fn answer_of_speaker(&mut self, facts: &Facts<'_>) -> Option<Header<Peer>> {
        self.speech.answer(&mut self.probes, facts)
    }

    /// Ends the probe under way, just before the next.
    pub(super) fn end_probe(&mut self) {
        match self.probes.end() {
            Some(Outcome::Answered) => self.health.improve(),
            Some(Outcome::Failed { silent_helpers }) => self.health.worsen(silent_helpers.unwrap_or(1)),
            None => {}
        }
    }

    /// Takes note that this node is slow.
    pub(super) fn note_slow(&mut self) {
        self.health.worsen(1);
    }

    /// Time that this node waits for an answer.
    fn answer_within(&self, timing: &Timing) -> Duration {
        self.health.stretch(self.probes.wait(timing))
    }

    /// Time after which a timer of the engine runs that it wants after `wait`: a node that is not well, or whose network
    /// is slow, takes longer.
    pub(super) fn pace(&self, timer: &Timer<Peer>, wait: Duration, timing: &Timing) -> Wait {
        match timer {
            Timer::SendIndirectProbe { .. } => Wait::Exactly(self.answer_within(timing)),
            Timer::ProbeRandomMember(_) if !wait.is_zero() => {
                // The indirect stage takes two more waits.
                let period = timing.probe_period.max(self.probes.wait(timing) * 3);
                Wait::About(self.health.stretch(period))
            }
            Timer::PeriodicGossip(_) => Wait::About(wait),
            Timer::ProbeRandomMember(_)
            | Timer::ChangeSuspectToDown { .. }
            | Timer::PeriodicAnnounce(_)
            | Timer::PeriodicAnnounceDown(_)
            | Timer::RemoveDown(_) => Wait::Exactly(wait),
        }
    }

    /// Takes note of a change of a member. Returns until when it counts as degraded, if that may be longer than before.
    pub(super) fn note_change(
        &mut self,
        change: &Change,
        confirmed: Duration,
        now: Instant,
    ) -> Option<Instant> {
        self.trouble.note_change(change, confirmed, now)
    }

    /// True if a member comes and goes.
    pub(super) fn is_degraded(&self, id: NodeId, now: Instant) -> bool {
        self.trouble.degraded_until(id, now).is_some() || self.speech.is_unreachable(&id)
    }

    /// The way to a member.
    pub(super) fn way(&self, id: &NodeId) -> Way {
        self.probes.way(id)
    }

    /// Number of suspicions followed up since the start.
    pub(super) fn suspicions(&self) -> u64 {
        self.suspicions
    }

    /// Forgets nodes that are no longer known.
    pub(super) fn retain(&mut self, known: impl Fn(&NodeId) -> bool) {
        self.accusers.retain(&known);
        self.cases.retain(|id, _| known(id));
        self.checks.retain(&known);
        self.reminded.retain(|id, _| known(id));
        self.sentenced.retain(&known);
        self.probes.retain(&known);
        self.speech.retain(&known);
        self.trouble.retain(known);
    }

    /// Forgets all suspicions, this node's and those of others.
    pub(super) fn forget_suspicions(&mut self) {
        let Self { cases, checks, accusers, reminded, sentenced, .. } = self;
        cases.clear();
        (*checks, *accusers) = (Checks::default(), Accusers::default());
        reminded.clear();
        sentenced.clear();
    }
}

/// Suspects a member against which nothing was heard here, because another node calls it failed. It gets the chance to
/// refute: another's word alone kills nobody.
pub(super) fn doubt(accused: &Peer, at: u16, facts: &Facts<'_>, out: &mut Vec<Action>) {
    // The former side of a node that has given way may say so for a while.
    if facts.is_settling {
        return;
    }
    // A member that has refuted a later suspicion has refuted this one.
    if let Life::Alive { incarnation } = facts.roster.state(accused)
        && incarnation <= at
        && let Some(accused) = facts.roster.peer(&accused.id)
    {
        let evidence = Evidence::Silent;
        out.push(Action::Suspect(Suspect { accused, incarnation: at, evidence, source: Source::Verdict }));
    }
}
