//! Knowledge that travels between nodes whole, each part with the node whose word it is. Sets grow, and of each reporter the last
//! word counts; nothing is merged by maximum into what this node says itself.

use std::collections::{BTreeMap, BTreeSet};

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    cbor, digest,
    founding::{ClusterId, Founding},
    report::Report,
    word::{Word, WordId},
};
use crate::node::{ClusterName, NodeId};

/// Most foundings that are kept: two are one too many already.
pub(super) const MAX_FOUNDINGS: usize = 16;
/// Most reporters whose word is kept: far more than a group has voters.
const MAX_REPORTS: usize = 256;
/// Most retired ids that are kept.
const MAX_RETIRED: usize = 4_096;
/// Most words of operators that are kept.
const MAX_WORDS: usize = 1_024;

/// Knowledge of clusters of one name.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Knowledge {
    /// Foundings, each the word of its founders: a set that only grows.
    pub foundings: BTreeMap<ClusterId, Founding>,
    /// The last word of each reporter about its own server.
    pub reports: BTreeMap<NodeId, Report>,
    /// Ids that their owners have given up.
    pub retired: BTreeSet<NodeId>,
    /// Words of operators.
    pub words: BTreeMap<WordId, Word>,
}

/// Willingness to take an operator's word from another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    /// They count where they were said, because a stranger could send them too.
    Here,
    /// They count everywhere: only holders of the group key can send them.
    Everywhere,
}

impl Knowledge {
    /// Takes in what another node knows; returns true if that was news. `me` is the one reporter whose word is not taken from
    /// others.
    pub(super) fn merge(&mut self, theirs: &Self, name: &ClusterName, me: NodeId, words: Words) -> bool {
        let before = self.clone();
        for (id, founding) in &theirs.foundings {
            let is_genuine = *id == founding.id() && founding.is_genuine(name);
            if is_genuine && self.foundings.len() < MAX_FOUNDINGS {
                self.foundings.entry(*id).or_insert_with(|| founding.clone());
            }
        }
        let retired = theirs.retired.iter().filter(|id| **id != me);
        self.retired.extend(retired.take(MAX_RETIRED.saturating_sub(self.retired.len())));
        for (reporter, report) in &theirs.reports {
            let known = self.reports.get(reporter);
            let is_newer = known.is_none_or(|known| report.number > known.number);
            let has_room = known.is_some() || self.reports.len() < MAX_REPORTS;
            if *reporter != me && is_newer && has_room && report.is_sound() {
                self.reports.insert(*reporter, report.clone());
            }
        }
        if words == Words::Everywhere {
            for (id, word) in &theirs.words {
                if word.id() == *id && self.words.len() < MAX_WORDS {
                    self.words.entry(*id).or_insert_with(|| word.clone());
                }
            }
        }
        *self != before
    }

    /// A number that differs wherever two nodes know different things; `None` if nothing is known. Words that count here alone
    /// are no knowledge for others.
    pub(super) fn digest(&self, words: Words) -> Option<u64> {
        let words = self.words.keys().filter(|_| words == Words::Everywhere);
        let mut hash = Sha256::new();
        let mut any = false;
        let mut add = |tag: u8, bytes: &[u8]| {
            any = true;
            hash.update([tag]);
            hash.update(bytes);
        };
        self.foundings.keys().for_each(|id| add(0, id.as_bytes()));
        for (reporter, report) in &self.reports {
            add(1, reporter.as_bytes());
            add(2, &report.number.to_be_bytes());
        }
        self.retired.iter().for_each(|id| add(3, id.as_bytes()));
        words.for_each(|id| add(4, id.as_bytes()));
        any.then(|| u64::from_be_bytes(digest::first(hash)))
    }
}

/// A map of four lists: 0 foundings, 1 pairs of reporter and report, 2 retired ids, 3 words.
impl<C> Encode<C> for Knowledge {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        context: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.map(4)?.u8(0)?.array(self.foundings.len() as u64)?;
        self.foundings.values().try_for_each(|founding| founding.encode(e, context))?;
        e.u8(1)?.array(self.reports.len() as u64)?;
        for (reporter, report) in &self.reports {
            e.array(2)?;
            cbor::node_id::encode(reporter, e, context)?;
            report.encode(e, context)?;
        }
        e.u8(2)?.array(self.retired.len() as u64)?;
        self.retired.iter().try_for_each(|id| cbor::node_id::encode(id, e, context))?;
        e.u8(3)?.array(self.words.len() as u64)?;
        self.words.values().try_for_each(|word| word.encode(e, context))
    }
}

impl<'b, C> Decode<'b, C> for Knowledge {
    fn decode(d: &mut minicbor::Decoder<'b>, context: &mut C) -> Result<Self, minicbor::decode::Error> {
        let endless = || minicbor::decode::Error::message("a list without a length");
        let mut knowledge = Self::default();
        for _ in 0..d.map()?.ok_or_else(endless)? {
            match d.u8()? {
                0 => {
                    for _ in 0..d.array()?.ok_or_else(endless)? {
                        let founding: Founding = d.decode_with(context)?;
                        knowledge.foundings.insert(founding.id(), founding);
                    }
                }
                1 => {
                    for _ in 0..d.array()?.ok_or_else(endless)? {
                        if d.array()? != Some(2) {
                            return Err(minicbor::decode::Error::message("no pair of reporter and report"));
                        }
                        let reporter = cbor::node_id::decode(d, context)?;
                        knowledge.reports.insert(reporter, d.decode_with(context)?);
                    }
                }
                2 => {
                    for _ in 0..d.array()?.ok_or_else(endless)? {
                        knowledge.retired.insert(cbor::node_id::decode(d, context)?);
                    }
                }
                3 => {
                    for _ in 0..d.array()?.ok_or_else(endless)? {
                        let word: Word = d.decode_with(context)?;
                        knowledge.words.insert(word.id(), word);
                    }
                }
                _ => d.skip()?,
            }
        }
        Ok(knowledge)
    }
}
