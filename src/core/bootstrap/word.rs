//! Words of operators: a set that only grows. A word stands while no word that has seen it stands over it, so that no clock and no
//! order of arrival decides.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
};

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{cbor, digest, forgetting::Forgotten, founding::ClusterId};
use crate::{
    node::NodeId,
    signing::{Domain, Signed, Statement},
};

/// The name of a word: the digest of all of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct WordId(#[n(0)] ClusterId);

impl WordId {
    /// Its bytes.
    pub(super) fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for WordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for WordId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for WordId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ClusterId::deserialize(deserializer).map(Self)
    }
}

/// A word of an operator.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode, Decode)]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Word {
    /// Content of the word.
    #[n(0)]
    pub said: Said,
    /// The node at which it was said.
    #[cbor(n(1), with = "cbor::node_id")]
    pub node: NodeId,
    /// Number of the word among those of that node.
    #[n(2)]
    pub number: u64,
    /// The words that were known there.
    #[n(3)]
    pub seen: BTreeSet<WordId>,
}

/// The content of a word.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode, Decode)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// This cluster is the one that is meant; the others named are given up.
    #[n(0)]
    Keep {
        /// The cluster that is meant.
        #[n(0)]
        kept: ClusterId,
        /// The clusters that are given up.
        #[n(1)]
        given_up: BTreeSet<ClusterId>,
    },
    /// This cluster is over.
    #[n(1)]
    Over(#[n(0)] ClusterId),
    /// The node of this id is gone for good and counts no more.
    #[n(2)]
    GoneId(#[cbor(n(0), with = "cbor::node_id")] NodeId),
    /// The agent at this address is gone for good and counts no more.
    #[n(3)]
    GoneAddr(#[cbor(n(0), with = "cbor::text")] SocketAddr),
    /// This node is gone from every view, until it shows that it lives.
    #[n(4)]
    Forgotten(#[n(0)] Forgotten),
}

impl Statement for Word {
    const DOMAIN: Domain = Domain::Word;
}

impl Word {
    /// The name of this word.
    pub fn id(&self) -> WordId {
        let bytes = minicbor::to_vec(self).expect("writing to a vector cannot fail");
        WordId(digest::first(Sha256::new_with_prefix(bytes)).into())
    }
}

/// A node or an address that an operator calls gone for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gone {
    /// A node.
    Id(NodeId),
    /// An address that a provider lists.
    Addr(SocketAddr),
}

impl Gone {
    /// The word that says so.
    pub(super) fn said(self) -> Said {
        match self {
            Self::Id(id) => Said::GoneId(id),
            Self::Addr(addr) => Said::GoneAddr(addr),
        }
    }
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Addr(addr) => addr.fmt(f),
        }
    }
}

/// Whom operators have called gone for good, each with the node at which it was said.
pub(super) fn vouched(words: &BTreeMap<WordId, Signed<Word>>) -> impl Iterator<Item = (Gone, NodeId)> {
    words.values().filter_map(|word| match word.said {
        Said::GoneId(id) => Some((Gone::Id(id), word.node)),
        Said::GoneAddr(addr) => Some((Gone::Addr(addr), word.node)),
        Said::Keep { .. } | Said::Over(_) | Said::Forgotten(_) => None,
    })
}

/// The clusters that operators have spoken about, by the words that stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Spoken {
    /// Clusters that are given up or over.
    pub(super) ended: BTreeSet<ClusterId>,
    /// Clusters of which one standing word says that they are kept and another that they are not.
    pub(super) disputed: BTreeSet<ClusterId>,
    /// Ids that are gone for good.
    pub(super) gone: BTreeSet<NodeId>,
    /// Addresses that are gone for good.
    pub(super) gone_addrs: BTreeSet<SocketAddr>,
}

impl Spoken {
    /// Weighs all words.
    pub(super) fn weigh(words: &BTreeMap<WordId, Signed<Word>>) -> Self {
        let is_overruled = |id: &WordId, word: &Word| {
            words.values().any(|later| {
                later.seen.contains(id) && later.said.is_about_clusters() == word.said.is_about_clusters()
            })
        };
        let standing =
            words.iter().filter(|(id, word)| !word.said.is_about_clusters() || !is_overruled(id, word));
        let (mut kept, mut ended, mut spoken) = (BTreeSet::new(), BTreeSet::new(), Self::default());
        for (_, word) in standing {
            match &word.said {
                Said::Keep { kept: id, given_up } => {
                    kept.insert(*id);
                    ended.extend(given_up);
                }
                Said::Over(id) => _ = ended.insert(*id),
                Said::GoneId(id) => _ = spoken.gone.insert(*id),
                Said::GoneAddr(addr) => _ = spoken.gone_addrs.insert(*addr),
                Said::Forgotten(_) => {}
            }
        }
        // A later word about one cluster leaves what an earlier one said about others.
        let all = words.values().filter_map(|word| match &word.said {
            Said::Over(id) => Some(*id),
            Said::Keep { .. } | Said::GoneId(_) | Said::GoneAddr(_) | Said::Forgotten(_) => None,
        });
        ended.extend(all.filter(|id| !kept.contains(id)));
        spoken.disputed = kept.intersection(&ended).copied().collect();
        spoken.ended = ended;
        spoken
    }
}

impl Said {
    fn is_about_clusters(&self) -> bool {
        matches!(self, Self::Keep { .. } | Self::Over(_))
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::fixture::{id, signed},
        *,
    };

    fn keep(kept: u8, other: u8, node: usize, seen: &[&Word]) -> Word {
        let said = Said::Keep { kept: [kept; 16].into(), given_up: [[other; 16].into()].into() };
        Word { said, node: id(node), number: 1, seen: seen.iter().map(|word| word.id()).collect() }
    }

    fn weigh(words: &[&Word]) -> Spoken {
        let signed = |word: &&Word| (word.id(), signed(0, (*word).clone()));
        Spoken::weigh(&words.iter().map(signed).collect())
    }

    /// Every order of arrival ends in the same state, because words are a set; two that contradict each other unseen are disputed,
    /// and a third that has seen both ends it.
    #[test]
    fn opposite_words_are_disputed_until_one_is_said_that_has_seen_both() {
        let (k, l): (ClusterId, ClusterId) = ([1; 16].into(), [2; 16].into());
        let first = keep(1, 2, 0, &[]);
        assert_eq!(weigh(&[&first]).ended, [l].into());
        let unseen = keep(2, 1, 1, &[]);
        assert_eq!(weigh(&[&first, &unseen]).disputed, [k, l].into());
        let later = keep(2, 1, 1, &[&first]);
        let spoken = weigh(&[&first, &later]);
        assert_eq!((spoken.ended, spoken.disputed), ([k].into(), BTreeSet::new()));
        let third = keep(1, 2, 2, &[&first, &unseen]);
        let spoken = weigh(&[&first, &unseen, &third]);
        assert_eq!((spoken.ended, spoken.disputed), ([l].into(), BTreeSet::new()));
    }
}
