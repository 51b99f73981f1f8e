//! A short siege: the bounds that do not depend on how busy the machine is. The long one is a measurement.

use crate::siege::{Keys, besiege};

/// Length of each siege.
const SECONDS: u64 = 6;

fn assert_bounds(keys: Keys) {
    let rows = besiege(SECONDS, keys);
    rows.iter().for_each(|row| eprintln!("{row}"));
    let exceeded: Vec<_> = rows.iter().filter(|row| row.unit != "ms" && !row.holds()).collect();
    assert!(exceeded.is_empty(), "{exceeded:?}");
}

#[test]
fn without_keys_the_bounds_hold() {
    assert_bounds(Keys::None);
}

#[test]
fn with_keys_the_bounds_hold() {
    assert_bounds(Keys::Set);
}
