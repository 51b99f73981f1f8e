//! Every provider against real servers on loopback: knot and dnsmasq for DNS, moto for EC2, and doubles that misbehave.
//! Servers listen on free ports, and a test waits for a line of a server's log or for its answer.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

#[cfg(feature = "aws")]
mod aws;
#[cfg(feature = "aws")]
mod aws_faults;
#[cfg(feature = "aws")]
mod black_hole;
mod command;
mod daemon;
#[cfg(feature = "dns")]
mod dns;
#[cfg(feature = "dns")]
mod fault_name_server;
#[cfg(feature = "aws")]
mod fleet;
#[cfg(feature = "aws")]
mod http_double;
#[cfg(feature = "aws")]
mod imds;
#[cfg(feature = "dns")]
mod knot;
#[cfg(feature = "aws")]
mod moto;
mod rows;
mod spec;
mod static_;
