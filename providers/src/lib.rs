//! Providers of seed addresses, and the specs that say which one to ask. A provider returns addresses and how long they
//! hold, nothing else: it knows no node, no cluster and no quorum.

mod address;
#[cfg(feature = "aws")]
mod aws;
mod checked;
mod discovery;
#[cfg(feature = "dns")]
mod dns;
mod fixed;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod line;
#[cfg(any(feature = "aws", test))]
mod masking;
mod nearest;
mod registration;
mod registry;
#[cfg(feature = "aws")]
mod secret;
mod spec;

pub use crate::{
    address::{Address, AddressFault, Host, HostName, parse_port},
    checked::Reach,
    discovery::{Cadence, Discover, DiscoverError, FailureKind, Instance, Seeds},
    nearest::nearest,
    registry::Spec,
    spec::{error::SpecError, pairs::GrammarFault},
};
