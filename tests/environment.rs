//! Variables of the environment with which a person makes tests take other seeds, more time, or write their results.

use std::ops::Range;

/// The value of a variable, if it is set.
#[expect(clippy::disallowed_methods, reason = "only the person who runs the tests knows what for")]
pub(crate) fn text(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A number, or `usual`.
pub(crate) fn number(name: &str, usual: u64) -> u64 {
    text(name).map_or(usual, |text| text.parse().unwrap())
}

/// A range of numbers that is written as `from..to`, or `usual`.
pub(crate) fn range(name: &str, usual: Range<u64>) -> Range<u64> {
    let Some(text) = text(name) else { return usual };
    let (from, to) = text.split_once("..").unwrap();
    from.parse().unwrap()..to.parse().unwrap()
}
