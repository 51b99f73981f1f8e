//! Closed sets of values, each with one word by which people and programs write it.

/// A closed set of values. The edges make parsers, help texts and answers of it.
pub trait Choice: Copy + 'static {
    /// All values, in the order in which they are listed.
    const ALL: &'static [Self];

    /// The word for this value.
    fn word(self) -> &'static str;

    /// One sentence without a full stop that says what this value means.
    fn meaning(self) -> &'static str;

    /// The value that `word` stands for, if there is one.
    fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|value| value.word() == word)
    }
}
