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
mod besieged;
mod bounds;
mod campaigns;
mod cli;
mod cluster;
mod convergence;
mod coordinates;
#[cfg(any(feature = "aws", feature = "dns"))]
#[path = "../providers/tests/daemon.rs"]
#[expect(
    dead_code,
    reason = "the providers' own tests have a network for it, and tell name servers which port to take"
)]
mod daemon;
mod deploy;
mod detection;
mod embedded;
mod encryption;
mod encryption_sim;
mod environment;
mod exhausted;
mod flood;
mod forgetting;
mod founding;
mod founding_api;
mod founding_sim;
mod guards;
mod healing;
mod hostile;
mod hosts;
mod identity;
mod killing;
#[cfg(feature = "dns")]
#[path = "../providers/tests/knot.rs"]
#[expect(dead_code, reason = "the providers' own tests ask a cache too")]
mod knot;
mod loopback;
mod many_addrs;
mod memory;
mod messages;
#[cfg(feature = "aws")]
#[path = "../providers/tests/moto.rs"]
mod moto;
mod node_year;
mod pages;
mod parts;
mod performance;
mod remedies;
mod running;
mod scale;
mod scenarios;
#[cfg(feature = "aws")]
mod secrets;
mod server_driver;
mod server_stub;
mod service_manager;
mod share;
mod siege;
mod sim;
mod tidy;
mod token;
mod watchdog;
