//! The number of voters that an operator wants.

use std::fmt;

/// Value of `--voters`: odd, since an even list bears no more failures than the odd one below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct VoterCount(u16);

/// Most voters without a warning: each more slows down every write, and 7 bear three failures.
const WITHOUT_A_WARNING: u16 = 7;

impl VoterCount {
    /// The number itself.
    pub fn get(self) -> usize {
        usize::from(self.0)
    }

    /// Warning that belongs to it, if there is one.
    pub fn warning(self) -> Option<String> {
        (self.0 > WITHOUT_A_WARNING).then(|| {
            format!(
                "--voters {self}: each voter slows down every write, and {WITHOUT_A_WARNING} bear the loss of three; \
                 --voters {WITHOUT_A_WARNING} lets the others run without a vote"
            )
        })
    }
}

impl fmt::Display for VoterCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Error: a number of voters that no list should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidVoterCount {
    /// No voters.
    #[error("--voters 0 keeps no voter: give an odd number, or leave it out")]
    Zero,
    /// An even number of voters.
    #[error("--voters {0} is even and bears no more failures than {below}: give --voters {below}{above}", below = .0 - 1, above = or_above(*.0))]
    Even(u16),
}

impl InvalidVoterCount {
    /// The error as the end of a sentence that begins with flag and value.
    pub fn advice(&self) -> String {
        let text = self.to_string();
        let (_, advice) = text.split_once("--voters ").unwrap_or_default();
        advice.split_once(' ').unwrap_or_default().1.to_owned()
    }
}

/// The odd number above an even one, as the end of a sentence.
fn or_above(even: u16) -> String {
    even.checked_add(1).map_or_else(String::new, |above| format!(" or --voters {above}"))
}

impl TryFrom<u16> for VoterCount {
    type Error = InvalidVoterCount;
    fn try_from(count: u16) -> Result<Self, InvalidVoterCount> {
        match count {
            0 => Err(InvalidVoterCount::Zero),
            even if even.is_multiple_of(2) => Err(InvalidVoterCount::Even(even)),
            odd => Ok(Self(odd)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_number_is_refused_with_its_neighbours() {
        let error = VoterCount::try_from(4).unwrap_err();
        assert_eq!(
            error.to_string(),
            "--voters 4 is even and bears no more failures than 3: give --voters 3 or --voters 5"
        );
        let advice = "is even and bears no more failures than 3: give --voters 3 or --voters 5";
        assert_eq!(error.advice(), advice);
        assert_eq!(InvalidVoterCount::Zero.advice(), "keeps no voter: give an odd number, or leave it out");
        assert_eq!(VoterCount::try_from(0), Err(InvalidVoterCount::Zero));
        assert_eq!(VoterCount::try_from(5).map(VoterCount::get), Ok(5));
    }

    #[test]
    fn more_than_seven_are_warned_about() {
        assert_eq!(VoterCount::try_from(7).unwrap().warning(), None);
        let warning = VoterCount::try_from(9).unwrap().warning().unwrap();
        assert!(warning.starts_with("--voters 9: each voter slows down every write"), "{warning}");
    }
}
