//! The agent as a library: bind, then run until told to stop.

pub mod bootstrap;
pub mod node;
