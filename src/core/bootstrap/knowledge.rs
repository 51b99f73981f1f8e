//! Knowledge that travels between nodes whole, each part with the node whose word it is. Sets grow, and of each reporter the last
//! word counts; nothing is merged by maximum into what this node says itself.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    cbor,
    certificate::Certificate,
    digest,
    founding::ClusterId,
    report::Report,
    word::{Word, WordId},
};
use crate::{
    node::{ClusterName, NodeId},
    signing::{Domain, Signed, Statement},
};

/// Most foundings that are kept: two are one too many already.
pub(super) const MAX_FOUNDINGS: usize = 16;
/// Most reporters whose word is kept: far more than a group has voters.
const MAX_REPORTS: usize = 256;
/// Most retired ids that are kept.
const MAX_RETIRED: usize = 1_024;
/// Most words of operators that are kept.
const MAX_WORDS: usize = 1_024;

/// Knowledge of clusters of one name.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Knowledge {
    /// Foundings, each the word of its founders: a set that only grows.
    pub foundings: BTreeMap<ClusterId, Certificate>,
    /// The last word of each reporter about its own server.
    pub reports: BTreeMap<NodeId, Signed<Report>>,
    /// Ids that their owners have given up.
    pub retired: BTreeMap<NodeId, Signed<Retirement>>,
    /// Words of operators.
    pub words: BTreeMap<WordId, Signed<Word>>,
}

/// The end of an id, by its owner.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(map)]
pub struct Retirement {
    /// The id.
    #[cbor(n(0), with = "cbor::node_id")]
    pub id: NodeId,
}

impl Statement for Retirement {
    const DOMAIN: Domain = Domain::Retirement;
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
            if *id == founding.id() && founding.cluster() == name && self.foundings.len() < MAX_FOUNDINGS {
                self.foundings.entry(*id).or_insert_with(|| founding.clone());
            }
        }
        for (id, retirement) in &theirs.retired {
            let is_theirs = retirement.cluster() == name && retirement.id == *id;
            if *id != me && is_theirs && self.retired.len() < MAX_RETIRED {
                self.retired.entry(*id).or_insert_with(|| retirement.clone());
            }
        }
        for (reporter, report) in &theirs.reports {
            let known = self.reports.get(reporter);
            let is_newer = known.is_none_or(|known| report.number > known.number);
            let has_room = known.is_some() || self.reports.len() < MAX_REPORTS;
            if *reporter != me && report.cluster() == name && is_newer && has_room && report.is_sound() {
                self.reports.insert(*reporter, report.clone());
            }
        }
        if words == Words::Everywhere {
            for (id, word) in &theirs.words {
                let is_of_its_node = word.cluster() == name && word.node == word.signer();
                if is_of_its_node && self.words.len() < MAX_WORDS {
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
        self.retired.keys().for_each(|id| add(3, id.as_bytes()));
        words.for_each(|id| add(4, id.as_bytes()));
        any.then(|| u64::from_be_bytes(digest::first(hash)))
    }
}

/// A map of four lists: 0 foundings, 1 reports, 2 ends of ids, 3 words.
impl<C> Encode<C> for Knowledge {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        context: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.map(4)?.u8(0)?.array(self.foundings.len() as u64)?;
        self.foundings.values().try_for_each(|founding| founding.encode(e, context))?;
        e.u8(1)?.array(self.reports.len() as u64)?;
        self.reports.values().try_for_each(|report| report.encode(e, context))?;
        e.u8(2)?.array(self.retired.len() as u64)?;
        self.retired.values().try_for_each(|retirement| retirement.encode(e, context))?;
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
                        let founding: Certificate = d.decode_with(context)?;
                        knowledge.foundings.insert(founding.id(), founding);
                    }
                }
                1 => {
                    for _ in 0..d.array()?.ok_or_else(endless)? {
                        let report: Signed<Report> = d.decode_with(context)?;
                        knowledge.reports.insert(report.signer(), report);
                    }
                }
                2 => {
                    for _ in 0..d.array()?.ok_or_else(endless)? {
                        let retirement: Signed<Retirement> = d.decode_with(context)?;
                        knowledge.retired.insert(retirement.signer(), retirement);
                    }
                }
                3 => {
                    for _ in 0..d.array()?.ok_or_else(endless)? {
                        let word: Signed<Word> = d.decode_with(context)?;
                        knowledge.words.insert(word.id(), word);
                    }
                }
                _ => d.skip()?,
            }
        }
        Ok(knowledge)
    }
}
