//! The cluster of which a server's data is: that of the agent, or another one.

use super::driver::{Driver, Identity};
use crate::{
    bootstrap::{Cluster, ClusterId},
    choice::Choice as _,
    node::ClusterName,
};

/// The cluster of which a server is, as far as its own identity proves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Belonging {
    /// The one that is known here.
    Same(ClusterId),
    /// Another one, under the id by which agents would adopt it.
    Other(ClusterId),
    /// Not proven: none is known here, or its identity does not follow from what is known.
    Open,
}

impl Belonging {
    /// The cluster of a server of this identity, where `cluster` is the one that is known.
    pub fn of(
        driver: &dyn Driver,
        name: &ClusterName,
        identity: &Identity,
        cluster: Option<&Cluster>,
    ) -> Self {
        let Some(cluster) = cluster else { return Self::Open };
        let adopted = adopted(driver, name, identity);
        let Some(founding) = &cluster.founding else {
            return if adopted == cluster.id { Self::Same(cluster.id) } else { Self::Open };
        };
        match driver.founded_as(founding) {
            names if names.is_empty() => Self::Open,
            names if names.contains(&identity.group) => Self::Same(cluster.id),
            _ => Self::Other(adopted),
        }
    }

    /// The cluster, where it is proven.
    pub fn proven(self) -> Option<ClusterId> {
        match self {
            Self::Same(id) | Self::Other(id) => Some(id),
            Self::Open => None,
        }
    }
}

/// The id under which a cluster is adopted that is older than its agents, and whose servers say of which group they are.
pub fn adopted(driver: &dyn Driver, name: &ClusterName, identity: &Identity) -> ClusterId {
    ClusterId::adopted_group(name, driver.kind().word(), &identity.group)
}
