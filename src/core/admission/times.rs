//! The only memory of admission: since when a member is gone, and since when an admitted one is not up.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{list::Listed, look::Look};
use crate::bootstrap::ServerId;

/// Longest time between two looks over which a state counts as having lasted: a few looks that come every few seconds may be
/// missed, and after a pause nobody knows what was in between.
pub(super) const LOOKS_APART: Duration = Duration::from_secs(60);

/// Times since which members have been in a state without a break, as far as the looks of this agent tell.
#[derive(Debug, Clone, Default)]
pub(super) struct Times {
    last: Option<Instant>,
    gone: BTreeMap<ServerId, Instant>,
    not_up: BTreeMap<ServerId, Instant>,
}

impl Times {
    /// Takes in a look. A member that is not gone in it loses its time, one that is keeps the time that it has.
    pub(super) fn observe(&mut self, look: &Look, now: Instant) {
        let is_fresh = self.last.is_some_and(|last| now.saturating_duration_since(last) <= LOOKS_APART);
        if !is_fresh {
            self.gone.clear();
            self.not_up.clear();
        }
        self.last = Some(now);
        let not_up = std::mem::take(&mut self.not_up);
        let is_gone = |_: &ServerId, member: &Listed| member.is_voter && look.is_gone(member);
        // A voter that was seen never to have run stays one until it is up: its agent may say meanwhile that it has begun.
        let is_not_up = |id: &ServerId, member: &Listed| {
            let is_noted = not_up.contains_key(id) && member.has_run != Some(true);
            !member.is_up() && (!member.is_voter || is_noted || look.has_never_run(member))
        };
        self.not_up = kept(&not_up, look, now, is_not_up);
        self.gone = kept(&self.gone, look, now, is_gone);
    }

    /// Time since which a voter is gone.
    pub(super) fn gone_since(&self, member: &ServerId) -> Option<Instant> {
        self.gone.get(member).copied()
    }

    /// Time since which a voter was admitted and is not up, or a learner is not up.
    pub(super) fn not_up_since(&self, member: &ServerId) -> Option<Instant> {
        self.not_up.get(member).copied()
    }
}

/// The members that `is` says yes to, each with its time, or `now` if it is new.
fn kept(
    before: &BTreeMap<ServerId, Instant>,
    look: &Look,
    now: Instant,
    is: impl Fn(&ServerId, &Listed) -> bool,
) -> BTreeMap<ServerId, Instant> {
    let members = look.list.members.iter().filter(|(id, member)| is(id, member));
    members.map(|(id, _)| (id.clone(), before.get(id).copied().unwrap_or(now))).collect()
}
