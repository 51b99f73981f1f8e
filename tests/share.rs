//! The share that a run takes of what is tried with many seeds.

use crate::environment;

/// The loop of editing and testing takes one seed in sixteen, the first ones: no test may cost it much more than a second.
const ONE_IN: u64 = 16;

/// All seeds, or the loop's share, which is at least one. nextest says which of its profiles runs: the default one is the
/// loop; `tests/run` has another, and `cargo test` has none.
pub(crate) fn of(all: u64) -> u64 {
    let profile = environment::text("NEXTEST_PROFILE");
    if profile.is_some_and(|profile| profile == "default") { all.div_ceil(ONE_IN) } else { all }
}

/// The first elements of a list: all of them, or the loop's share.
pub(crate) fn first<T>(all: &[T]) -> &[T] {
    &all[..of(all.len() as u64) as usize]
}
