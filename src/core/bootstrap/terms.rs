//! The terms on which a server takes part: the number of the founders, or their ids.

use std::{collections::BTreeSet, num::NonZeroU16};

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{cbor, digest};
use crate::node::NodeId;

/// The value of `--bootstrap-expect` or `--founders`. Servers agree only with servers of the same terms, because a
/// quorum under one need not meet a quorum under another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Terms {
    /// Any servers of this number found, and any of this number are a quorum.
    Count(NonZeroU16),
    /// Exactly these servers found, and a majority of them is a quorum.
    Named(NamedFounders),
}

/// The servers that an operator named as founders: at least one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "BTreeSet<NodeId>", into = "BTreeSet<NodeId>")]
pub struct NamedFounders(BTreeSet<NodeId>);

/// Error: a list of founders that is empty or too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a list of founders names at least one server and at most 65535")]
pub struct NoFounders;

impl TryFrom<BTreeSet<NodeId>> for NamedFounders {
    type Error = NoFounders;
    fn try_from(ids: BTreeSet<NodeId>) -> Result<Self, NoFounders> {
        let fits = !ids.is_empty() && u16::try_from(ids.len()).is_ok();
        if fits { Ok(Self(ids)) } else { Err(NoFounders) }
    }
}

impl From<NamedFounders> for BTreeSet<NodeId> {
    fn from(founders: NamedFounders) -> Self {
        founders.0
    }
}

impl NamedFounders {
    /// The servers, ordered by id.
    pub fn ids(&self) -> &BTreeSet<NodeId> {
        &self.0
    }
}

impl Terms {
    /// The number of founders.
    pub fn expect(&self) -> usize {
        match self {
            Self::Count(count) => usize::from(count.get()),
            Self::Named(founders) => founders.0.len(),
        }
    }

    /// The number of promises, and of accepts, that completes a ballot once a founder is silent.
    ///
    /// Any two quorums share a server: of a count, as long as at most [`Terms::most_servers`] take part; of a named
    /// list, always.
    pub fn quorum(&self) -> usize {
        match self {
            Self::Count(_) => self.expect(),
            Self::Named(founders) => founders.0.len() / 2 + 1,
        }
    }

    /// The largest number of servers under which any two quorums share one; `None` if the founders are named.
    pub fn most_servers(&self) -> Option<usize> {
        match self {
            Self::Count(_) => Some(2 * self.expect() - 1),
            Self::Named(_) => None,
        }
    }

    /// A number that differs for different lists of named founders; `None` if they are only counted.
    pub fn named_digest(&self) -> Option<u64> {
        let Self::Named(NamedFounders(ids)) = self else { return None };
        let mut hash = Sha256::new();
        ids.iter().for_each(|id| hash.update(id.as_bytes()));
        Some(u64::from_be_bytes(digest::first(hash)))
    }

    /// True if this server's promises and accepts count.
    pub fn counts(&self, id: NodeId) -> bool {
        match self {
            Self::Count(_) => true,
            Self::Named(founders) => founders.0.contains(&id),
        }
    }
}

/// A map of one entry: 0 the count, 1 the named ids.
impl<C> Encode<C> for Terms {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        context: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.map(1)?;
        match self {
            Self::Count(count) => e.u8(0)?.u16(count.get())?.ok(),
            Self::Named(founders) => {
                e.u8(1)?.array(founders.0.len() as u64)?;
                founders.0.iter().try_for_each(|id| cbor::node_id::encode(id, e, context))
            }
        }
    }
}

impl<'b, C> Decode<'b, C> for Terms {
    fn decode(d: &mut Decoder<'b>, context: &mut C) -> Result<Self, decode::Error> {
        if d.map()? != Some(1) {
            return Err(decode::Error::message("terms are a count or a list of founders"));
        }
        match d.u8()? {
            0 => Ok(Self::Count(d.decode_with(context)?)),
            1 => {
                let length = d.array()?.ok_or_else(|| decode::Error::message("a list without a length"))?;
                let ids: BTreeSet<NodeId> =
                    (0..length).map(|_| cbor::node_id::decode(d, context)).collect::<Result<_, _>>()?;
                Ok(Self::Named(ids.try_into().map_err(decode::Error::custom)?))
            }
            _ => Err(decode::Error::message("terms of a kind that this version does not know")),
        }
    }
}
