//! The agent as a library: [`agent::Agent::bind`], then [`agent::Agent::run`] until told to stop.
//!
//! A server that has its agent inside asks it through a [`handle::Handle`]: [`handle::Handle::decision`] is what to do,
//! as a value; [`handle::Handle::establish`] says that it is done; [`handle::Handle::snapshot`] is everything else.
//! `examples/embedded` founds a real Raft group that way.
//!
#![doc = include_str!("ARCHITECTURE.md")]

pub mod api;
pub mod cli;
pub mod config;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod host;
pub mod http;
pub mod servers;
pub mod snapshot;

pub use chronik_core::{
    admission, backoff, bootstrap, choice, council, counters, gossip, machine, membership, node, quorum,
    shown, signing, wire,
};
use host::{accepting, descriptors, durable, reporter, watchdog};
pub use host::{
    advertise, agent, budget, handle, key_file, log, retry_join, service_manager, shutdown, state_dir, token,
    transport,
};
