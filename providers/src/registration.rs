//! The contract between a provider and the registry: the keys that the provider takes, and a source made of their values.

use std::sync::Arc;

use crate::{
    discovery::Discover,
    spec::{
        error::SpecError,
        keys::{Keys, Schema},
    },
};

/// A provider, as the registry lists it.
pub(crate) struct Registration {
    /// The keys that the provider takes.
    pub(crate) schema: &'static Schema,
    /// Checks the values of a spec. Touches neither network nor files.
    pub(crate) read: fn(Keys) -> Result<Arc<dyn Source>, SpecError>,
}

/// The checked values of one spec.
pub(crate) trait Source: Send + Sync {
    /// Makes the provider ready to be asked. Reads secrets, and touches no network.
    ///
    /// `default_port` is the port of seeds that come without one.
    ///
    /// # Errors
    /// [`SpecError::Secret`].
    fn connect(&self, default_port: u16) -> Result<Box<dyn Discover>, SpecError>;
}
