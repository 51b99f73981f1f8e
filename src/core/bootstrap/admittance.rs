//! The word of the agent beside the leader about the place of this server among the members: whether it is on their list, and for
//! what it waits. It is heard every few seconds, kept in memory for that long, and decides nothing but when a server is started.

use std::time::{Duration, Instant};

use minicbor::{Decode, Encode};

use super::{cluster::Voter, founding::ClusterId, reason::Reason};
use crate::node::NodeId;

/// Time for which a word counts: the agent beside the leader looks every two seconds, and a look takes up to three.
const COUNTS_FOR: Duration = Duration::from_secs(10);
/// Most members on a list, as of voters in a report.
const MOST_MEMBERS: usize = 64;
/// Most bytes of a sentence.
const MOST_BYTES: usize = 512;

/// The place of one server among the members.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Admittance {
    /// The cluster.
    #[n(0)]
    pub cluster_id: ClusterId,
    /// Set if the server is on the list, with a vote or without, so that it may be started.
    #[n(1)]
    pub is_listed: bool,
    /// The reason for which it is not, or has no vote.
    #[n(2)]
    pub wait: Option<Held>,
    /// All members on the list, those without a vote included; empty unless this server is one of them.
    #[n(3)]
    pub members: Vec<Voter>,
}

/// The reason for which a server is not admitted, or has no vote.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Held {
    /// This voter is gone and has not been replaced yet.
    #[n(0)]
    VoterToReplace(#[n(0)] String),
    /// This voter is down.
    #[n(1)]
    VoterDown(#[n(0)] String),
    /// There are as many voters as are kept, of which there is the greatest number.
    #[n(2)]
    EnoughVoters(#[n(0)] u64, #[n(1)] u64),
    /// It holds data and was taken off the list.
    #[n(3)]
    Removed,
    /// Another one: a sentence, and its remedy.
    #[n(4)]
    Other(#[n(0)] String, #[n(1)] String),
}

impl Admittance {
    /// True if it keeps the bounds that every honest word does, and holds nothing that a command line could mistake.
    pub(super) fn is_sound(&self) -> bool {
        let plain = |text: &str| text.len() <= MOST_BYTES && !text.chars().any(char::is_control);
        let is_address = |address: &String| plain(address) && !address.contains([',', ' ', '=']);
        let has_addresses = |member: &Voter| member.endpoints.values().all(is_address);
        let is_plain = match &self.wait {
            Some(Held::VoterToReplace(name) | Held::VoterDown(name)) => plain(name),
            Some(Held::Other(sentence, remedy)) => plain(sentence) && plain(remedy),
            Some(Held::EnoughVoters(..) | Held::Removed) | None => true,
        };
        is_plain && self.members.len() <= MOST_MEMBERS && self.members.iter().all(has_addresses)
    }
}

impl Held {
    /// The reason that the server is told.
    pub(super) fn reason(&self, cluster_id: ClusterId) -> Reason {
        match self.clone() {
            Self::VoterToReplace(voter) => Reason::VoterToReplace { voter },
            Self::VoterDown(voter) => Reason::VoterDown { voter },
            Self::EnoughVoters(voters, most) => Reason::EnoughVoters { voters, most },
            Self::Removed => Reason::RemovedVoter { cluster_id },
            Self::Other(why, remedy) => Reason::NotAdmitted { why, remedy },
        }
    }
}

/// The last word that was heard.
#[derive(Debug, Clone, Default)]
pub(super) struct Heard(Option<(Admittance, Instant)>, Option<NodeId>);

impl Heard {
    /// Takes in a word.
    pub(super) fn hear(&mut self, from: NodeId, word: Admittance, now: Instant) {
        *self = Self(Some((word, now)), Some(from));
    }

    /// The node whose word it is, while one counts.
    pub(super) fn from(&self) -> Option<NodeId> {
        self.1.filter(|_| self.0.is_some())
    }

    /// Forgets a word that counts no more; returns the time at which the present one ends.
    pub(super) fn end(&mut self, now: Instant) -> Option<Instant> {
        self.0.take_if(|(_, at)| *at + COUNTS_FOR <= now);
        self.0.as_ref().map(|(_, at)| *at + COUNTS_FOR)
    }

    /// The word about this cluster.
    pub(super) fn about(&self, cluster_id: ClusterId) -> Option<&Admittance> {
        self.0.as_ref().map(|(word, _)| word).filter(|word| word.cluster_id == cluster_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_counts_for_a_while_and_holds_nothing_that_a_command_line_could_mistake() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
        let now = Instant::now();
        let id: ClusterId = [1; 16].into();
        let member = |address: &str| Voter {
            id: None,
            ordinal: None,
            name: None,
            endpoints: [("peer".parse().unwrap(), address.to_owned())].into(),
        };
        let word = |wait, address: &str| Admittance {
            cluster_id: id,
            is_listed: true,
            wait,
            members: vec![member(address)],
        };
        assert!(word(None, "[::1]:2380").is_sound());
        assert!(
            !word(None, "a:1,b=http://c:1").is_sound() && !word(None, "a:1\n--force-new-cluster").is_sound()
        );
        assert!(!word(Some(Held::VoterDown("a\u{1b}".to_owned())), "a:1").is_sound());
        assert!(!word(Some(Held::Other("x".repeat(513), String::new())), "a:1").is_sound());
        let mut heard = Heard::default();
        let from = [7; 16].try_into().unwrap();
        heard.hear(from, word(None, "a:1"), now);
        assert_eq!(heard.from(), Some(from));
        assert_eq!(heard.about([2; 16].into()), None);
        assert_eq!(heard.end(now), Some(now + COUNTS_FOR));
        assert!(heard.about(id).is_some());
        assert_eq!(heard.end(now + COUNTS_FOR), None);
        assert_eq!(heard.about(id), None);
    }
}
