//! The rules by name, so that the checks can leave out each of them and see what goes wrong.
//!
//! That gone is looked at anew in each step is no rule of its own: [`super::times::Times`] forgets who is not gone, and an old look
//! is a broken promise of the caller's.

/// One rule of admission. Each is caught by the exhaustive check or by the property test if it is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rule {
    /// Nothing is changed without a majority of the list, nor so that less than one of the new list is up.
    Majority,
    /// Nobody gets a vote with its admission where there are learners.
    LearnerFirst,
    /// A learner gets a vote only once it runs and has caught up.
    CaughtUp,
    /// No vote makes the list even while a voter is not seen.
    NeverOutnumber,
    /// A voter that is not seen counts as down, whether it is gone or not.
    Seen,
    /// Without learners, nobody is admitted while an admitted one is not up.
    OneAtATime,
    /// Without learners, a majority of the new list is up without the newcomer.
    NewMajority,
    /// No more voters than `--voters`.
    Enough,
    /// A joiner that has no place among the voters runs without a vote.
    Spare,
    /// A server that is not blank is not admitted: a removed one keeps the votes that it gave.
    Blank,
    /// Without a group key nothing is admitted by itself.
    GroupKey,
    /// An agent is admitted only if it has proven itself.
    Proven,
    /// A voter is gone only if its agent is away for all living voters' agents.
    Gone,
    /// A gone voter is replaced after `--replace-failed`.
    Patience,
    /// An even list removes the gone one without a joiner.
    Even,
    /// An odd list of a server with learners removes the gone one only for a learner that has caught up.
    First,
    /// An odd list without learners removes the gone one only for a joiner.
    Joiner,
    /// An admitted one that does not come up is removed again, by whoever is beside the leader then.
    NotUp,
    /// It has two minutes.
    TwoMinutes,
    /// Nobody leaves an odd list for good while another voter is down.
    Leaver,
    /// A change is on the condition of the version of the list that was looked at.
    Version,
}

/// The rules that hold: all of them, but for checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rules {
    left_out: Option<Rule>,
}

#[cfg(test)]
impl Rule {
    /// Every rule.
    pub(super) const ALL: &'static [Self] = &[
        Self::Majority,
        Self::LearnerFirst,
        Self::CaughtUp,
        Self::NeverOutnumber,
        Self::Seen,
        Self::OneAtATime,
        Self::NewMajority,
        Self::Enough,
        Self::Spare,
        Self::Blank,
        Self::GroupKey,
        Self::Proven,
        Self::Gone,
        Self::Patience,
        Self::Even,
        Self::First,
        Self::Joiner,
        Self::NotUp,
        Self::TwoMinutes,
        Self::Leaver,
        Self::Version,
    ];
}

impl Rules {
    /// All rules.
    pub(super) const ALL: Self = Self { left_out: None };

    /// True if a rule holds.
    pub(super) fn has(self, rule: Rule) -> bool {
        self.left_out != Some(rule)
    }

    /// All rules but one.
    #[cfg(test)]
    pub(super) const fn without(rule: Rule) -> Self {
        Self { left_out: Some(rule) }
    }
}
