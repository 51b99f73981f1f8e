//! Members that speak but cannot be reached: what they send arrives, and nothing that is sent to the address they give does. That is
//! a wrong address or a closed port, no failure: the member stays as it is, and one line says so until it is reached again.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use foca::{Header, Message};

use super::probe::Probes;
use crate::{
    gossip::{facts::Facts, peer::Peer, timing::Timing},
    node::NodeId,
};

/// Number of probes in a row that were not answered while the member spoke, from which on it counts as unreachable.
const PROBES: u32 = 3;

/// The members that were heard while nothing reached them.
#[derive(Debug, Default)]
pub(super) struct Speech {
    unreached: BTreeMap<NodeId, u32>,
}

impl Speech {
    /// The answer to give to the engine in the place of a member that has not answered the probe under way, and has spoken
    /// meanwhile.
    pub(super) fn answer(&mut self, probes: &mut Probes, facts: &Facts<'_>) -> Option<Header<Peer>> {
        if let Some(id) = probes.reached()
            && self.note_reached(&id)
        {
            tracing::info!(%id, "a member is reached again at its address");
        }
        let (target, number, sent) = probes.open()?;
        let known = facts.roster.active_state(&target)?;
        if !self.has_spoken(&target, sent, facts) {
            return None;
        }
        probes.note_unreached(target.id);
        if self.note_unreached(target.id) {
            let name = facts.roster.record(&target.id).map(|record| record.metadata().name.to_string());
            tracing::warn!(
                id = %target.id, name = name.unwrap_or_default(), addr = %target.addr(),
                "a member speaks, but nothing that is sent to its address arrives: start its agent with an --advertise that \
                 others reach, or open that port for UDP and TCP"
            );
        }
        let (src, src_incarnation) = (target, known.incarnation());
        Some(Header { src, src_incarnation, dst: facts.me(), message: Message::Ack(number) })
    }

    /// True if a member that did not answer a probe sent at `sent` has spoken since. One of which it is known that it speaks and
    /// cannot be reached has longer: in a large cluster each hears it seldom.
    pub(super) fn has_spoken(&self, target: &Peer, sent: Instant, facts: &Facts<'_>) -> bool {
        let window = if self.is_unreachable(&target.id) {
            self.window(facts.size(), facts.timing)
        } else {
            Duration::ZERO
        };
        let heard = facts.roster.heard(&target.id);
        heard.is_some_and(|heard| heard.life == *target && heard.at + window > sent)
    }

    /// Time in which a member of a cluster of this size probes each other one, twice over.
    fn window(&self, size: usize, timing: &Timing) -> Duration {
        timing.probe_period * 2 * u32::try_from(size.max(2)).unwrap_or(u32::MAX)
    }

    /// Takes note that a probe was answered by nothing but the member's own speech. Returns whether that is to be told.
    pub(super) fn note_unreached(&mut self, id: NodeId) -> bool {
        let probes = self.unreached.entry(id).or_default();
        *probes = probes.saturating_add(1);
        *probes == PROBES
    }

    /// Takes note that a member answers. Returns whether that is to be told.
    pub(super) fn note_reached(&mut self, id: &NodeId) -> bool {
        self.unreached.remove(id).is_some_and(|probes| probes >= PROBES)
    }

    /// True if a member speaks and cannot be reached.
    pub(super) fn is_unreachable(&self, id: &NodeId) -> bool {
        self.unreached.get(id).is_some_and(|probes| *probes >= PROBES)
    }

    /// Forgets nodes that are no longer known.
    pub(super) fn retain(&mut self, known: impl Fn(&NodeId) -> bool) {
        self.unreached.retain(|id, _| known(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gossip::fixture::{View, peer};

    #[test]
    fn whoever_speaks_is_no_failure_and_whoever_falls_silent_is_one() {
        let mut view = View::of([2, 3]);
        let (mut speech, sent) = (Speech::default(), view.now);
        assert!(!speech.has_spoken(&peer(2), sent, &view.facts()));
        view.wait(Duration::from_millis(1));
        view.roster.note_heard(peer(2), view.now);
        assert!(speech.has_spoken(&peer(2), sent, &view.facts()));
        assert!(!speech.has_spoken(&peer(2), view.now, &view.facts()), "it was heard before it was probed");
        let told: Vec<_> = (0..5).map(|_| speech.note_unreached(peer(2).id)).collect();
        assert_eq!(told, [false, false, true, false, false], "once");
        let probed = view.now + Duration::from_millis(300);
        assert!(speech.has_spoken(&peer(2), probed, &view.facts()), "it speaks to others meanwhile");
        assert!(!speech.has_spoken(&peer(2), view.now + Duration::from_secs(9), &view.facts()));
        assert!(speech.note_reached(&peer(2).id) && !speech.note_reached(&peer(2).id));
    }
}
