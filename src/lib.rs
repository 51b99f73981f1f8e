//! The agent as a library: bind, then run until told to stop.

pub mod advertise;
pub mod config;
pub mod handle;
pub mod membership;
mod nearest;
pub mod node;
pub mod quorum;
pub mod snapshot;
