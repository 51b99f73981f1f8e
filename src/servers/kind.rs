//! The kinds of servers.

use crate::{
    choice::Choice,
    node::{EndpointName, Endpoints},
};

/// A kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// etcd, 3.4 or later.
    Etcd,
    /// Any other, by programs of the user's own.
    Hooks,
}

impl Choice for Kind {
    const ALL: &'static [Self] = &[Self::Etcd, Self::Hooks];

    fn word(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::Hooks => "hooks",
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Etcd => "etcd 3.4 or later",
            Self::Hooks => "Any other, by programs in a directory",
        }
    }
}

/// An endpoint that a server of a kind announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefaultEndpoint {
    /// Its names; the first is taken where none is given.
    pub names: &'static [&'static str],
    /// The port on which such a server listens unless it is told otherwise.
    pub port: u16,
}

/// Words by which a server is told where its data lies.
#[derive(Debug, Clone, Copy)]
pub struct DataWords {
    /// The argument by which it keeps its log elsewhere than its data, with `_` for `-`.
    pub log_dir: &'static str,
    /// The environment variable that says the same.
    pub log_dir_variable: &'static str,
}

/// Facts of a kind that need no server of it.
#[derive(Debug)]
pub struct Facts {
    /// The endpoints that an agent beside such a server announces; by the first, members know each other.
    pub endpoints: &'static [DefaultEndpoint],
    /// The address at which such a server is asked unless another is given.
    pub default_url: Option<&'static str>,
    /// The way in which its data says whose it is, if it does.
    pub data: Option<DataWords>,
}

impl DefaultEndpoint {
    /// Name and address of this endpoint among those that are announced.
    pub fn of<'a>(&self, announced: &'a Endpoints) -> Option<(&'a EndpointName, &'a str)> {
        let named = |name: &&str| announced.iter().find(|(announced, _)| announced.as_str() == *name);
        self.names.iter().find_map(named).map(|(name, address)| (name, address.as_str()))
    }
}
