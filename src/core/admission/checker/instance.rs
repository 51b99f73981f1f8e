//! An instance of the small world: how many servers, what may happen to them, and which rule is left out.

use crate::admission::rule::{Rule, Rules};

/// A mishap of a voter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is lost for ever.
    Lost,
    /// It fails, or leaves, and may come back.
    Down,
    /// Its server crashes, and its agent lives.
    ServerDown,
}

/// A promise of the caller's (`admission`, how to drive it).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Promise {
    /// Sight of who is up is of the same step.
    FreshLook,
    /// A voter that leaves stops only when it is off the list.
    StopsRemoved,
    /// Each agent beside a member looks, whether it is beside the leader or not.
    AllLook,
}

/// The rule or promise that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeftOut {
    Nothing,
    Rule(Rule),
    Promise(Promise),
}

/// The steps that are explored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Steps {
    /// Every step that the rules allow. For a server with learners a removal may be one change with the promotion or two; if only
    /// in `one`, it is one.
    All { one: bool },
    /// The one step that is given out, for a server that can or cannot make both in one change.
    First { can_swap: bool },
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Instance {
    pub(super) voters: usize,
    pub(super) joiners: usize,
    pub(super) crashes: u8,
    pub(super) joiner_crashes: u8,
    pub(super) leaves: u8,
    pub(super) has_learners: bool,
    pub(super) most: Option<u16>,
    /// A removed one that is back counts as up in the baseline.
    pub(super) heals: bool,
    pub(super) never_replaced: bool,
    pub(super) faults: &'static [Fault],
    pub(super) steps: Steps,
    /// Learners are admitted, start and catch up one after the other, with room for one.
    pub(super) is_fine: bool,
    /// No learner is taken beside a voter that is down.
    pub(super) is_strict: bool,
    pub(super) left_out: LeftOut,
}

/// All that may happen to a voter.
pub(super) const ALL: &[Fault] = &[Fault::Lost, Fault::Down, Fault::ServerDown];
/// Mishaps without servers that crash while their agents live.
pub(super) const GONE: &[Fault] = &[Fault::Lost, Fault::Down];
/// Losses alone.
pub(super) const LOST: &[Fault] = &[Fault::Lost];

impl Instance {
    /// An instance in which up to three voters crash, and one newcomer dies.
    pub(super) fn new(voters: usize, joiners: usize, has_learners: bool, most: Option<u16>) -> Self {
        Self {
            voters,
            joiners,
            crashes: 3,
            joiner_crashes: 1,
            leaves: 0,
            has_learners,
            most,
            heals: false,
            never_replaced: false,
            faults: if voters == 3 { ALL } else { GONE },
            steps: Steps::All { one: false },
            is_fine: false,
            is_strict: false,
            left_out: LeftOut::Nothing,
        }
    }

    pub(super) fn rules(&self) -> Rules {
        match self.left_out {
            LeftOut::Rule(rule) => Rules::without(rule),
            LeftOut::Nothing | LeftOut::Promise(_) => Rules::ALL,
        }
    }

    pub(super) fn keeps(&self, promise: Promise) -> bool {
        self.left_out != LeftOut::Promise(promise)
    }

    /// Most voters, as the ends are judged by.
    pub(super) fn most_voters(&self) -> usize {
        match self.most {
            Some(most) => usize::from(most),
            None if self.has_learners => usize::MAX,
            None => self.voters,
        }
    }
}
