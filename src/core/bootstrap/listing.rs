//! The servers, clusters and addresses that a reason names.

use std::{fmt, net::SocketAddr};

use super::cluster::Voter;
use crate::node::{NodeId, NodeName};

/// A server that expects another number of founders than this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherExpect {
    /// Name of the server.
    pub name: NodeName,
    /// Number of founders that it expects.
    pub expect: u16,
}

impl fmt::Display for OtherExpect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} expects {}", self.name, self.expect)
    }
}

/// Servers that count, and silent addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counting {
    /// Name or id, and address, of each server.
    pub servers: Vec<(String, SocketAddr)>,
    /// Addresses that a provider lists and that have never answered.
    pub silent: Vec<SocketAddr>,
}

/// Servers that a sentence about their number shows.
const COUNTED_SHOWN: usize = 32;

impl fmt::Display for Counting {
    /// All of them, as far as a sentence bears that: whoever has to act needs each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut items: Vec<String> =
            self.servers.iter().map(|(name, addr)| format!("{name} at {addr}")).collect();
        items.extend(self.silent.iter().map(|addr| format!("{addr}, which never answered")));
        let more = items.len().saturating_sub(COUNTED_SHOWN);
        items.truncate(COUNTED_SHOWN);
        f.write_str(&items.join("; "))?;
        if more > 0 { write!(f, "; and {more} more") } else { Ok(()) }
    }
}

/// The ids of founders, as `--founders` takes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Founders(pub Vec<NodeId>);

impl fmt::Display for Founders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&ids.join(","))
    }
}

/// Voters that one list has and another has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneSided(pub Vec<Voter>);

impl fmt::Display for OneSided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(if names.is_empty() { "nobody" } else { "" })?;
        f.write_str(&names.join(", "))
    }
}

/// Items that are printed in one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing<T>(pub Vec<T>);

/// Items that a sentence shows: a provider may list thousands, and a reader takes in a few.
const SHOWN: usize = 8;

impl<T: fmt::Display> fmt::Display for Listing<T> {
    /// The first few items, with commas between them, and the number of the others.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.0.iter().take(SHOWN).enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            item.fmt(f)?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_names_eight_of_many() {
        assert_eq!(Listing(vec![1, 2]).to_string(), "1, 2");
        assert_eq!(Listing((1..=10).collect()).to_string(), "1, 2, 3, 4, 5, 6, 7, 8 and 2 more");
    }
}
