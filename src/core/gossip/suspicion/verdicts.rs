//! Verdicts of others, and of this node while it was cut off: none of them counts before the accused could refute it.

use std::time::{Duration, Instant};

use foca::{Identity as _, Member, State};

use super::{
    super::{Gossip, Peer, timers::Tick},
    Evidence, Suspicion,
};
use crate::wire::Kind;

/// For so long a node that hears nobody judges nobody: it is cut off or stands still, and the fault is its own. Its
/// quorum is stale meanwhile, and so not claimed. The outages of Rapid's campaign take 20 s; an operator who looks half a
/// minute later should see who is missing, for it may be true that all others are gone.
const CUT_OFF_JUDGES_AFTER: Duration = Duration::from_secs(25);

impl Gossip {
    /// For how long this node has heard nobody at all, if no host has refused it.
    pub(super) fn hears_nobody(&self, suspicion: &Suspicion, now: Instant) -> Option<Duration> {
        let refused = suspicion.evidence == Evidence::Refused
            || self.confirmers(suspicion).contains(&Evidence::Refused);
        let last = self.heard.values().map(|heard| now.saturating_duration_since(heard.at)).min();
        last.filter(|ago| !refused && *ago > self.timing.deaf_after())
    }

    /// Whether this node is cut off, and its verdict can wait: it hears nobody, though there are others beside the accused.
    pub(super) fn is_cut_off(&self, suspicion: &Suspicion, now: Instant) -> bool {
        let ago = self.hears_nobody(suspicion, now);
        self.foca.num_members() > 1 && ago.is_some_and(|ago| ago < CUT_OFF_JUDGES_AFTER)
    }

    /// Another node has called an active member failed. It may have been cut off from that member, or from everybody,
    /// so its word counts where the member has been suspect for as long as it takes to refute that.
    pub(in crate::gossip) fn hear_verdict(&mut self, verdict: &Member<Peer>, now: Instant) {
        let (accused, incarnation) = (*verdict.id(), verdict.incarnation());
        if self.is_doubted(&accused) {
            return;
        }
        match self.suspect_since(&accused, incarnation) {
            Some(since) => {
                let at = since + self.timing.gone_after();
                if at <= now {
                    self.carry_out(&accused, incarnation, now);
                } else if self.suspicions.sentenced.insert(accused.id) {
                    self.timers.schedule(at, Tick::Sentence(accused, incarnation));
                }
            }
            None => self.doubt(&accused, incarnation, now),
        }
    }

    /// Another node calls a member failed against whom nothing was heard here. It is suspected, and gets the chance to
    /// refute: another's word alone kills nobody.
    pub(in crate::gossip) fn doubt(&mut self, accused: &Peer, incarnation: u16, now: Instant) {
        // Its former side may say so for a while.
        if self.is_settling(now) {
            return;
        }
        // One that has refuted a later suspicion has refuted this one.
        let is_accused = |member: &&Member<Peer>| {
            member.id() == accused && member.state() == State::Alive && member.incarnation() <= incarnation
        };
        let known = self.foca.iter_members().find(is_accused).map(|member| *member.id());
        let Some(accused) = known else { return };
        self.suspect(accused, incarnation, Evidence::Silent, true, now);
        if let Some(suspicion) = self.suspicions.running.get_mut(&accused.id) {
            suspicion.doubted = true;
        }
    }

    fn is_doubted(&self, accused: &Peer) -> bool {
        let running = self.suspicions.running.get(&accused.id);
        running.is_some_and(|suspicion| suspicion.doubted && suspicion.accused == *accused)
    }

    /// The accused has had the time to refute another node's verdict.
    pub(in crate::gossip) fn carry_out(&mut self, accused: &Peer, incarnation: u16, now: Instant) {
        self.suspicions.sentenced.remove(&accused.id);
        if self.suspect_since(accused, incarnation).is_some() && !self.is_doubted(accused) {
            let down = Member::new(*accused, incarnation, State::Down);
            self.engine(now, |foca, runtime| foca.apply_many([down].into_iter(), true, runtime));
            self.news.of(accused.id);
        }
    }

    /// A member has been heard from. If it is suspect it may not know, since what told it so was lost: then it is told
    /// again, for until it has refuted it stays suspect.
    pub(in crate::gossip) fn remind(&mut self, life: &Peer, now: Instant) {
        if self.suspect_since(life, u16::MAX).is_none() {
            return;
        }
        let suspect = |member: &&Member<Peer>| member.id() == life && member.state() == State::Suspect;
        let incarnation = self.foca.iter_members().find(suspect).map(Member::incarnation);
        let due = |at: &Instant| now >= *at + self.timing.gone_after();
        if let Some(incarnation) = incarnation
            && self.suspicions.reminded.get(&life.id).is_none_or(due)
        {
            self.suspicions.reminded.insert(life.id, now);
            let warning = self.accusing_ping(life, incarnation);
            self.transmit(life.addr(), Kind::Swim, &warning);
        }
    }

    /// A node has been heard from. Where this one has called others failed while it heard nobody, it was cut off: the
    /// others may be there as well, and are learnt anew.
    pub(in crate::gossip) fn forget_lonely_verdicts(&mut self, heard: &Peer, now: Instant) {
        if self.suspicions.judged_alone
            && self.is_member(heard)
            && let Some(me) = self.me.renew()
        {
            tracing::info!(
                "others are heard from again; this node forgets whom it took for failed, and rejoins"
            );
            self.counters.renewals += 1;
            self.begin_anew(me, std::iter::empty(), now);
        }
    }
}
