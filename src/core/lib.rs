//! The pure core of the agent: who is there, what is a majority, who founds the cluster. It is told the time and the
//! dice, takes bytes in and gives bytes out; no runtime, no socket, no file and no format is in reach of it.

pub mod admission;
pub mod backoff;
pub mod bootstrap;
pub mod choice;
pub mod council;
pub mod counters;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod gossip;
pub mod machine;
pub mod membership;
pub mod node;
pub mod quorum;
pub mod shown;
pub mod signing;
pub mod wire;
