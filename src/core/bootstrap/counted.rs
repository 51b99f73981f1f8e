//! The servers that may have a vote, as one node counts them. Every ballot carries the set of its proposer, so that two nodes
//! that know of different servers notice together when there are too many.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use minicbor::{Decode, Encode};

use super::cbor;
use crate::node::NodeId;

/// Most entries that are read from others: far more than any terms bear.
const MAX_ENTRIES: u64 = 4_096;

/// Servers that may have a vote.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Counted {
    /// Those that are known, each with the address of its agent.
    pub ids: BTreeMap<NodeId, SocketAddr>,
    /// Addresses that a provider lists and that have never answered.
    pub silent: BTreeSet<SocketAddr>,
}

impl Counted {
    /// The number of different servers.
    pub fn len(&self) -> usize {
        let known: BTreeSet<&SocketAddr> = self.ids.values().collect();
        self.ids.len() + self.silent.iter().filter(|addr| !known.contains(addr)).count()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds what another node counts.
    pub(super) fn add(&mut self, other: &Self) {
        other.ids.iter().for_each(|(id, addr)| _ = self.ids.entry(*id).or_insert(*addr));
        self.silent.extend(&other.silent);
    }

    /// Both sets together.
    pub(super) fn with(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.add(other);
        both
    }
}

/// An array of two: pairs of id and address, and addresses.
impl<C> Encode<C> for Counted {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        context: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(2)?.map(self.ids.len() as u64)?;
        for (id, addr) in &self.ids {
            cbor::node_id::encode(id, e, context)?;
            cbor::text::encode(addr, e, context)?;
        }
        e.array(self.silent.len() as u64)?;
        self.silent.iter().try_for_each(|addr| cbor::text::encode(addr, e, context))
    }
}

impl<'b, C> Decode<'b, C> for Counted {
    fn decode(d: &mut minicbor::Decoder<'b>, context: &mut C) -> Result<Self, minicbor::decode::Error> {
        let bounded = |length: Option<u64>| {
            length
                .filter(|length| *length <= MAX_ENTRIES)
                .ok_or_else(|| minicbor::decode::Error::message("a list without a length, or too long"))
        };
        if d.array()? != Some(2) {
            return Err(minicbor::decode::Error::message("no pair of ids and addresses"));
        }
        let mut counted = Self::default();
        for _ in 0..bounded(d.map()?)? {
            let id = cbor::node_id::decode(d, context)?;
            counted.ids.insert(id, cbor::text::decode(d, context)?);
        }
        for _ in 0..bounded(d.array()?)? {
            counted.silent.insert(cbor::text::decode(d, context)?);
        }
        Ok(counted)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fixture::id, *};

    #[test]
    fn an_address_at_which_a_known_server_lives_counts_once() {
        let addr = |last: u8| SocketAddr::from(([10, 0, 0, last], 7946));
        let ours = Counted { ids: [(id(0), addr(1))].into(), silent: [addr(2)].into() };
        let theirs = Counted { ids: [(id(1), addr(2))].into(), silent: [addr(1), addr(3)].into() };
        assert_eq!((ours.len(), theirs.len(), ours.with(&theirs).len()), (2, 3, 3));
        let bytes = minicbor::to_vec(&theirs).unwrap();
        assert_eq!(minicbor::decode::<Counted>(&bytes).unwrap(), theirs);
    }
}
