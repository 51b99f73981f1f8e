//! Numbers for servers that need small integers: each given once, and never again.
//!
//! The founding gives 1…N. A later one is given by the admission itself: the agent beside the leader asks a majority of the
//! present voters' agents and takes the least number above all that their reports, number files or the list show. A removal waits
//! until a majority of those that stay have the highest number on disk, so that any majority that is asked later knows of it.
//! Both are on the condition of the list's version; a server without versions must refuse a number in use, and an agent that slept
//! across two changes can still give one again there, as can a removal by hand.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    list::{List, Listed},
    majority::majority,
    wait::Wait,
};
use crate::{bootstrap::ServerId, node::NodeId};

/// Answers of agents to one question, asked after the list was read and for this step alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Highest number that each agent has **on disk**: in its reports or its number file. This agent's own is among them.
    pub on_disk: BTreeMap<NodeId, u64>,
}

impl Numbers {
    /// The highest number that the list or an answer shows.
    pub fn highest(&self, list: &List) -> u64 {
        let listed = list.members.values().filter_map(|member| member.number);
        listed.chain(self.on_disk.values().copied()).max().unwrap_or(0)
    }

    /// The number for a newcomer.
    ///
    /// # Errors
    /// The voters that have answered are no majority of the voters, or the numbers are spent.
    pub fn next(&self, list: &List) -> Result<u64, Wait> {
        self.is_known(list)?;
        self.highest(list).checked_add(1).ok_or(Wait::NumbersSpent)
    }

    /// Says whether a member may be removed.
    ///
    /// # Errors
    /// The voters that have answered are no majority of the voters, or those that stay and have the highest number on disk are none of
    /// what is left; the caller sends it to those that the error names.
    pub fn may_remove(&self, list: &List, removed: &ServerId) -> Result<(), Wait> {
        self.is_known(list)?;
        let number = self.highest(list);
        let stay: Vec<_> =
            list.members.iter().filter(|(id, member)| member.is_voter && *id != removed).collect();
        let need = majority(stay.len());
        let has = |member: &Listed| self.answer(member).is_some_and(|on_disk| on_disk >= number);
        let have = stay.iter().filter(|(_, member)| has(member)).count();
        let without: BTreeSet<NodeId> =
            stay.iter().filter(|(_, member)| !has(member)).filter_map(|(_, member)| member.node).collect();
        if have >= need { Ok(()) } else { Err(Wait::NumberNotKept { number, have, need, without }) }
    }

    /// Says whether a majority of the voters' agents has answered: any number that was given is known to one of them.
    fn is_known(&self, list: &List) -> Result<(), Wait> {
        let voters: Vec<_> = list.members.values().filter(|member| member.is_voter).collect();
        let answered = voters.iter().filter(|voter| self.answer(voter).is_some()).count();
        let need = majority(voters.len());
        if answered >= need { Ok(()) } else { Err(Wait::NumberUnknown { answered, need }) }
    }

    fn answer(&self, voter: &Listed) -> Option<u64> {
        self.on_disk.get(&voter.node?).copied()
    }
}
