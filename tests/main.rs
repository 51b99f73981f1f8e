//! The one integration crate.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where and stop"
)]

mod api;
mod cli;
mod running;
