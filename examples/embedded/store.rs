//! The values that the group agrees on. A Raft node keeps them in memory, and so for one life only.

use std::{collections::BTreeMap, fmt::Debug, ops::RangeBounds};

use openraft::{
    BasicNode, Entry, EntryPayload, LogId, LogState, OptionalSend, RaftLogReader, RaftSnapshotBuilder,
    Snapshot, SnapshotMeta, StorageError, StoredMembership, Vote,
    storage::{LogFlushed, RaftLogStorage, RaftStateMachine},
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

openraft::declare_raft_types!(
    /// The types of this group.
    pub(crate) KeyValue: D = Put, R = (), NodeId = u16, Node = BasicNode, SnapshotData = State
);

/// The one command.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Put {
    pub(crate) key: String,
    pub(crate) value: String,
}

/// The log and the vote. A watch channel is the cell that its readers share.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogStore(watch::Sender<Log>);

#[derive(Debug, Default)]
struct Log {
    vote: Option<Vote<u16>>,
    entries: BTreeMap<u64, Entry<KeyValue>>,
    purged: Option<LogId<u16>>,
}

impl RaftLogReader<KeyValue> for LogStore {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry<KeyValue>>, StorageError<u16>> {
        Ok(self.0.borrow().entries.range(range).map(|(_, entry)| entry.clone()).collect())
    }
}

impl RaftLogStorage<KeyValue> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<KeyValue>, StorageError<u16>> {
        let log = self.0.borrow();
        let last = log.entries.last_key_value().map(|(_, entry)| entry.log_id);
        Ok(LogState { last_purged_log_id: log.purged, last_log_id: last.or(log.purged) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<u16>) -> Result<(), StorageError<u16>> {
        self.0.send_modify(|log| log.vote = Some(*vote));
        Ok(())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<u16>>, StorageError<u16>> {
        Ok(self.0.borrow().vote)
    }

    async fn append<I>(&mut self, entries: I, done: LogFlushed<KeyValue>) -> Result<(), StorageError<u16>>
    where
        I: IntoIterator<Item = Entry<KeyValue>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries = entries.into_iter().map(|entry| (entry.log_id.index, entry));
        self.0.send_modify(|log| log.entries.extend(entries));
        done.log_io_completed(Ok(()));
        Ok(())
    }

    async fn truncate(&mut self, from: LogId<u16>) -> Result<(), StorageError<u16>> {
        self.0.send_modify(|log| log.entries.retain(|index, _| *index < from.index));
        Ok(())
    }

    async fn purge(&mut self, to: LogId<u16>) -> Result<(), StorageError<u16>> {
        self.0.send_modify(|log| {
            log.entries.retain(|index, _| *index > to.index);
            log.purged = Some(to);
        });
        Ok(())
    }
}

/// The result of the committed entries. It is its own snapshot: small, and immutable once cloned.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct State {
    applied: Option<LogId<u16>>,
    voters: StoredMembership<u16, BasicNode>,
    pub(crate) values: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct StateMachine(pub(crate) watch::Sender<State>);

impl RaftSnapshotBuilder<KeyValue> for StateMachine {
    async fn build_snapshot(&mut self) -> Result<Snapshot<KeyValue>, StorageError<u16>> {
        let state = self.0.borrow().clone();
        let meta = SnapshotMeta {
            last_log_id: state.applied,
            last_membership: state.voters.clone(),
            snapshot_id: state.applied.map_or_else(String::new, |applied| applied.to_string()),
        };
        Ok(Snapshot { meta, snapshot: Box::new(state) })
    }
}

impl RaftStateMachine<KeyValue> for StateMachine {
    type SnapshotBuilder = Self;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogId<u16>>, StoredMembership<u16, BasicNode>), StorageError<u16>> {
        let state = self.0.borrow();
        Ok((state.applied, state.voters.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<()>, StorageError<u16>>
    where
        I: IntoIterator<Item = Entry<KeyValue>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut answers = Vec::new();
        let entries = entries.into_iter();
        self.0.send_modify(|state| {
            for entry in entries {
                state.applied = Some(entry.log_id);
                match entry.payload {
                    EntryPayload::Blank => {}
                    EntryPayload::Normal(Put { key, value }) => drop(state.values.insert(key, value)),
                    EntryPayload::Membership(voters) => {
                        state.voters = StoredMembership::new(Some(entry.log_id), voters);
                    }
                }
                answers.push(());
            }
        });
        Ok(answers)
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<State>, StorageError<u16>> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        _meta: &SnapshotMeta<u16, BasicNode>,
        snapshot: Box<State>,
    ) -> Result<(), StorageError<u16>> {
        self.0.send_replace(*snapshot);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<KeyValue>>, StorageError<u16>> {
        let is_blank = self.0.borrow().applied.is_none();
        if is_blank { Ok(None) } else { self.build_snapshot().await.map(Some) }
    }
}
