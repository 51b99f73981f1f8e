//! The agent as a library: [`agent::Agent::bind`], then [`agent::Agent::run`] until told to stop.
//!
//! A server that has its agent inside asks it through a [`handle::Handle`]: [`handle::Handle::decision`] is what to do,
//! as a value; [`handle::Handle::establish`] says that it is done; [`handle::Handle::snapshot`] is everything else.
//! `examples/embedded` founds a real Raft group that way.
//!
#![doc = include_str!("ARCHITECTURE.md")]

mod accepting;
pub mod advertise;
pub mod agent;
pub mod api;
pub mod backoff;
pub mod bootstrap;
pub mod cli;
pub mod config;
mod descriptors;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod gossip;
pub mod handle;
pub mod http;
pub mod key_file;
pub mod machine;
pub mod membership;
pub mod node;
pub mod quorum;
pub mod retry_join;
pub mod service_manager;
pub mod shutdown;
pub mod snapshot;
pub mod state_dir;
pub mod token;
pub mod transport;
mod watchdog;
pub mod wire;
