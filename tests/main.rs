//! The one integration crate: one link instead of one a file.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on should stop where it stands, and say why"
)]

mod addresses;
mod api;
mod awaiting;
mod cli;
mod cluster;
mod convergence;
mod guards;
mod hostile;
mod identity;
mod loopback;
mod running;
mod sim;
mod tidy;
