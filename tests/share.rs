//! How much of what is tried with many seeds a run takes.

/// The loop of editing and testing takes one seed in so many, the first ones: no test may cost it much more than a second.
const ONE_IN: u64 = 8;

/// All of them, or the loop's share, which is at least one. nextest says which of its profiles runs: the default one is the
/// loop; `tests/run` has another, and `cargo test` has none.
pub(crate) fn of(all: u64) -> u64 {
    #[expect(clippy::disallowed_methods, reason = "only whoever runs the tests knows what for")]
    let profile = std::env::var("NEXTEST_PROFILE");
    if profile.is_ok_and(|profile| profile == "default") { all.div_ceil(ONE_IN) } else { all }
}

/// The same of a list.
pub(crate) fn first<T>(all: &[T]) -> &[T] {
    &all[..of(all.len() as u64) as usize]
}
