//! The agent as a library: bind, then run until told to stop.

pub mod config;
pub mod gossip;
pub mod handle;
pub mod membership;
pub mod node;
pub mod quorum;
pub mod snapshot;
pub mod wire;
