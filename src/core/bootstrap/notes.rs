//! Notes of what was said to the server beside this agent, on disk before it is said: whether a blank one is new, or has lost its
//! data.

use serde::{Deserialize, Serialize};

use super::{founding::ClusterId, server_id::ServerId};

/// Notes about the server beside this agent, in one cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notes {
    /// The cluster.
    pub cluster_id: ClusterId,
    /// The server that was told to initialise.
    pub told: Told,
    /// Set once the server has begun: it was started, or has held data.
    pub begun: bool,
    /// Set once a list of voters has named this node.
    pub named: bool,
    /// The last start of the server that is known.
    #[serde(default)]
    pub last_start: Option<LastStart>,
}

/// The last start of a server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastStart {
    /// The server.
    pub server_id: ServerId,
    /// Number of the start, as it lies beside the data.
    pub number: u64,
}

/// The server that was told to initialise.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// None.
    #[default]
    Nobody,
    /// The server of this id, and no other.
    Server(ServerId),
    /// Somebody who did not say who he is, or servers of several ids: it may have been any.
    Anybody,
}

/// The blank server that asks, by these notes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blank {
    /// It may initialise: nothing was begun here, and no other server was told to.
    New,
    /// It may have initialised before, and lost its data since.
    Again,
}

impl Notes {
    /// The notes of a server to which nothing was said yet.
    pub(super) fn new(cluster_id: ClusterId) -> Self {
        Self { cluster_id, told: Told::Nobody, begun: false, named: false, last_start: None }
    }

    /// True if a server beside this agent was told to initialise, or has begun.
    pub(super) fn is_own(&self) -> bool {
        self.begun || self.told != Told::Nobody
    }

    /// Notes that a server is told to initialise; `None` is one that does not say who it is. Such a note stays one, whatever is
    /// named later: it may have been about this very server.
    pub(super) fn note_told(&mut self, server: Option<&ServerId>) {
        self.told = match (&self.told, server) {
            (Told::Nobody, Some(id)) => Told::Server(id.clone()),
            (Told::Server(told), Some(id)) if told == id => return,
            _ => Told::Anybody,
        };
    }

    /// Notes a start of a server; of one server the last one counts.
    pub(super) fn note_start(&mut self, server_id: &ServerId, number: u64) {
        let before = self.start_of(server_id).unwrap_or(0);
        self.last_start = Some(LastStart { server_id: server_id.clone(), number: number.max(before) });
    }

    /// Number of the last start of a server that is noted.
    pub(super) fn start_of(&self, server_id: &ServerId) -> Option<u64> {
        self.last_start.as_ref().filter(|last| last.server_id == *server_id).map(|last| last.number)
    }

    /// Judges a blank server; `None` is one that does not say who it is.
    pub(super) fn judge_blank(&self, server: Option<&ServerId>) -> Blank {
        let is_new = match (&self.told, server) {
            (Told::Nobody, _) => true,
            (Told::Server(told), Some(id)) => told == id,
            (Told::Server(_), None) | (Told::Anybody, _) => false,
        };
        if is_new && !self.begun { Blank::New } else { Blank::Again }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str) -> ServerId {
        name.to_owned().try_into().unwrap()
    }

    #[test]
    fn a_server_that_was_told_under_its_own_id_alone_is_new_until_it_begins() {
        let mut notes = Notes::new([1; 16].into());
        assert_eq!(notes.judge_blank(None), Blank::New);
        notes.note_told(Some(&server("a")));
        assert_eq!(notes.judge_blank(Some(&server("a"))), Blank::New);
        assert_eq!(notes.judge_blank(Some(&server("b"))), Blank::Again, "its id went with its data");
        assert_eq!(notes.judge_blank(None), Blank::Again);
        notes.begun = true;
        assert_eq!(notes.judge_blank(Some(&server("a"))), Blank::Again);
    }

    #[test]
    fn a_note_without_an_id_stays_one() {
        let mut notes = Notes::new([1; 16].into());
        notes.note_told(None);
        notes.note_told(Some(&server("a")));
        assert_eq!(notes.told, Told::Anybody);
        assert_eq!(notes.judge_blank(Some(&server("a"))), Blank::Again);
    }
}
