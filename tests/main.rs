//! The one integration crate: one link instead of one a file.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]

mod api;
mod cli;
mod convergence;
mod founding;
mod founding_sim;
mod guards;
mod running;
mod scenarios;
mod sim;
