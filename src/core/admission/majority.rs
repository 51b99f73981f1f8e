//! Majorities of a list of voters.

/// Least number of a list's voters that is more than half of them.
pub(super) fn majority(voters: usize) -> usize {
    voters / 2 + 1
}

/// Number of voters, and of those that are up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally {
    /// Voters on the list.
    pub(super) voters: usize,
    /// Voters that the leader sees.
    pub(super) up: usize,
}

impl Tally {
    /// True if a majority is up.
    pub(super) fn has_quorum(self) -> bool {
        self.up >= majority(self.voters)
    }

    /// True if one voter more raises the majority by none.
    pub(super) fn is_even(self) -> bool {
        self.voters.is_multiple_of(2)
    }

    /// The list without one of its voters.
    pub(super) fn without(self, voter_is_up: bool) -> Self {
        Self { voters: self.voters.saturating_sub(1), up: self.up.saturating_sub(usize::from(voter_is_up)) }
    }

    /// The list with one voter more.
    pub(super) fn with(self, voter_is_up: bool) -> Self {
        Self { voters: self.voters.saturating_add(1), up: self.up.saturating_add(usize::from(voter_is_up)) }
    }

    /// Voters that may fail before the quorum is lost.
    pub(super) fn spare(self) -> usize {
        self.up.saturating_sub(majority(self.voters))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_list_bears_no_more_than_the_odd_one_below() {
        let spare = |voters| Tally { voters, up: voters }.spare();
        assert_eq!([1, 2, 3, 4, 5, 6, 7].map(spare), [0, 0, 1, 1, 2, 2, 3]);
        assert!(!Tally { voters: 0, up: 0 }.has_quorum(), "no list has no quorum");
        assert!(Tally { voters: 3, up: 3 }.without(true).has_quorum());
        assert!(!Tally { voters: 3, up: 2 }.without(true).has_quorum());
        assert!(!Tally { voters: 1, up: 1 }.with(false).has_quorum());
    }
}
