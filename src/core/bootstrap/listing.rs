//! The servers, clusters and addresses that a reason names.

use std::{collections::BTreeSet, fmt, net::SocketAddr, sync::Arc, time::Duration};

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
    pub silent: Vec<SilentAddr>,
}

/// An address from which no answer has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SilentAddr {
    /// The address.
    pub addr: SocketAddr,
    /// Time for which it has been listed here without an answer, and by which providers; `None` if another agent counts it.
    pub listed: Option<(Silence, Arc<BTreeSet<Arc<str>>>)>,
}

/// A time of silence, in steps that a reader cares for: what is told changes only with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence(Duration);

impl From<Duration> for Silence {
    fn from(silence: Duration) -> Self {
        let step = match silence.as_secs() {
            ..60 => 10,
            60..3_600 => 60,
            3_600..172_800 => 3_600,
            172_800.. => 86_400,
        };
        Self(Duration::from_secs(silence.as_secs() / step * step))
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            0 => f.write_str("for less than 10 s"),
            seconds @ ..60 => write!(f, "for {seconds} s"),
            seconds @ 60..3_600 => write!(f, "for {} min", seconds / 60),
            seconds @ 3_600..172_800 => write!(f, "for {} h", seconds / 3_600),
            seconds @ 172_800.. => write!(f, "for {} days", seconds / 86_400),
        }
    }
}

impl fmt::Display for SilentAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.listed {
            Some((silence, by)) => {
                let by: Vec<&str> = by.iter().map(AsRef::as_ref).collect();
                write!(f, "{} (silent {silence}, listed by {})", self.addr, by.join(" and by "))
            }
            None => write!(f, "{} (listed at another agent)", self.addr),
        }
    }
}

/// Servers that a sentence about their number shows.
const COUNTED_SHOWN: usize = 18;

impl fmt::Display for Counting {
    /// All of them, as far as a sentence bears that: whoever has to act needs each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut items: Vec<String> =
            self.servers.iter().map(|(name, addr)| format!("{name} at {addr}")).collect();
        items.extend(self.silent.iter().map(|silent| format!("{silent}, which never answered")));
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
    fn a_silence_is_told_in_steps() {
        let told = |seconds| Silence::from(Duration::from_secs(seconds)).to_string();
        assert_eq!(
            [0, 9, 19, 61, 7_199].map(told),
            ["for less than 10 s", "for less than 10 s", "for 10 s", "for 1 min", "for 1 h",]
        );
        assert_eq!([172_799, 172_800, 900_000].map(told), ["for 47 h", "for 2 days", "for 10 days"]);
    }

    #[test]
    fn a_sentence_names_eight_of_many() {
        assert_eq!(Listing(vec![1, 2]).to_string(), "1, 2");
        assert_eq!(Listing((1..=10).collect()).to_string(), "1, 2, 3, 4, 5, 6, 7, 8 and 2 more");
    }
}
