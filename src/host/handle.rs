//! What a client of the running agent holds, inside this process: the latest snapshot, and a way to ask for something
//! to be done.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc};

use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    bootstrap::{
        ClusterId, Decision, EstablishedReport, OverrideRefused, ReportRefused, ResetRefused, ServerReport,
    },
    node::NodeId,
    snapshot::Snapshot,
    wire::{KeyChange, Keyring, MemberKeys},
};

/// A request to the agent.
#[derive(Debug)]
pub enum Command {
    /// Contact these addresses now, and keep them as seeds.
    Join {
        /// Where.
        addrs: Vec<SocketAddr>,
        /// How each ended, once all have.
        reply: oneshot::Sender<Vec<JoinOutcome>>,
    },
    /// The co-located server says who it is and whether it holds data. Repeated, it is its heartbeat.
    Attest {
        /// What it says.
        report: ServerReport,
        /// Answered when it is taken in, and on disk where that matters.
        reply: oneshot::Sender<Result<(), Unwritten>>,
    },
    /// The co-located server reports that its group exists, and who votes in it.
    Establish {
        /// What it reports.
        report: EstablishedReport,
        /// Whether that is taken in.
        reply: oneshot::Sender<Result<Result<(), ReportRefused>, Unwritten>>,
    },
    /// An operator names the founders against what is known.
    Override {
        /// The founders.
        founders: BTreeSet<NodeId>,
        /// The new cluster's id, or why not.
        reply: oneshot::Sender<Result<Result<ClusterId, OverrideRefused>, Unwritten>>,
    },
    /// An operator has this node forget its cluster.
    Reset {
        /// Even where the cluster is established.
        lose_data: bool,
        /// What was forgotten, or why nothing was. After `StartOver` the agent stops and starts as a new node.
        reply: oneshot::Sender<Result<Result<Forgotten, ResetRefused>, Unwritten>>,
    },
    /// The keys were read: use them from now on. Or why they stay as they are.
    SetKeyring {
        /// The keys.
        keyring: Result<Keyring, String>,
        /// Answered when they are in use.
        reply: oneshot::Sender<()>,
    },
    /// Ask every member how its keyring stands.
    Keys {
        /// What each is to do first.
        change: Option<KeyChange>,
        /// What each said, once all have; nothing where this agent has no keys.
        reply: oneshot::Sender<Option<Vec<MemberKeys>>>,
    },
    /// Say goodbye and stop.
    Leave {
        /// Answered when the goodbye is said.
        reply: oneshot::Sender<()>,
    },
}

/// What a reset made this node forget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgotten {
    /// The second cluster of the same name; the established one stays.
    Rival,
    /// Everything: the node starts again, under this new id.
    Everything {
        /// The new id.
        new_id: NodeId,
    },
}

/// How the contact to one address ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinOutcome {
    /// The address.
    pub addr: SocketAddr,
    /// Nothing, or why it failed; a contact with oneself is a failure.
    pub error: Option<String>,
}

/// The agent has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the agent has stopped")]
pub struct Stopped;

/// What was asked is known here and not on disk: a crash would lose it. It is written once the disk takes it; a reset is
/// not done at all, and has to be asked for again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not on disk yet: {0}")]
pub struct Unwritten(pub String);

/// Why something is not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotDone {
    /// The agent has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The disk refuses it.
    #[error(transparent)]
    Unwritten(#[from] Unwritten),
}

/// A cheap, cloneable hold on the running agent.
#[derive(Debug, Clone)]
pub struct Handle {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    commands: mpsc::Sender<Command>,
}

impl Handle {
    /// Joins the two ends that the agent made.
    pub fn new(snapshots: watch::Receiver<Arc<Snapshot>>, commands: mpsc::Sender<Command>) -> Self {
        Self { snapshots, commands }
    }

    /// The latest snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.borrow().clone()
    }

    /// Waits for the first snapshot that satisfies `ready`; the present one counts.
    ///
    /// # Errors
    /// `Stopped` where the agent ends before that.
    pub async fn wait_for(&self, mut ready: impl FnMut(&Snapshot) -> bool) -> Result<Arc<Snapshot>, Stopped> {
        let mut snapshots = self.snapshots.clone();
        let found = snapshots.wait_for(|snapshot| ready(snapshot)).await.map_err(|_| Stopped)?;
        Ok(found.clone())
    }

    /// Waits for what the co-located server is to do: never [`Decision::Wait`], else as it stands on disk. Whoever
    /// wants to know why it takes long reads the reasons in [`Self::snapshot`] meanwhile.
    ///
    /// Ask again after every start: once the group is reported by [`Self::establish`], what was
    /// [`Decision::Bootstrap`] is [`Decision::Resume`].
    ///
    /// # Errors
    /// `Stopped` where the agent ends before that.
    pub async fn decision(&self) -> Result<Decision, Stopped> {
        let waits = |snapshot: &Snapshot| matches!(snapshot.founding.decision, Decision::Wait { .. });
        let decided = self.wait_for(|snapshot| !waits(snapshot)).await?;
        Ok(decided.founding.decision.clone())
    }

    /// Contacts `addrs` now and says how each ended.
    ///
    /// # Errors
    /// `Stopped` where the agent has ended.
    pub async fn join(&self, addrs: Vec<SocketAddr>) -> Result<Vec<JoinOutcome>, Stopped> {
        self.ask(|reply| Command::Join { addrs, reply }).await
    }

    /// Passes on what the co-located server says of itself.
    ///
    /// # Errors
    /// Where the agent has ended. A disk that refuses is no error here: the decision says `fault` where that matters.
    pub async fn attest(&self, report: ServerReport) -> Result<(), Stopped> {
        // Repeated every few seconds, it is not lost.
        self.ask(|reply| Command::Attest { report, reply }).await.map(|_: Result<(), Unwritten>| ())
    }

    /// Passes on that the co-located server's group exists, and who votes in it.
    ///
    /// # Errors
    /// Where the agent has ended, or the disk refuses: then report it again.
    pub async fn establish(&self, report: EstablishedReport) -> Result<Result<(), ReportRefused>, NotDone> {
        Ok(self.ask(|reply| Command::Establish { report, reply }).await??)
    }

    /// Founds with exactly these servers, against what is known.
    ///
    /// # Errors
    /// Where the agent has ended, or the disk refuses.
    pub async fn override_founders(
        &self,
        founders: BTreeSet<NodeId>,
    ) -> Result<Result<ClusterId, OverrideRefused>, NotDone> {
        Ok(self.ask(|reply| Command::Override { founders, reply }).await??)
    }

    /// Has this node forget its cluster.
    ///
    /// # Errors
    /// Where the agent has ended, or the disk refuses.
    pub async fn reset(&self, lose_data: bool) -> Result<Result<Forgotten, ResetRefused>, NotDone> {
        Ok(self.ask(|reply| Command::Reset { lose_data, reply }).await??)
    }

    /// Uses other keys from now on, nothing where the agent was started without any; or tells why they stay.
    ///
    /// # Errors
    /// `Stopped` where the agent has ended.
    pub async fn set_keyring(&self, keyring: Result<Keyring, String>) -> Result<(), Stopped> {
        self.ask(|reply| Command::SetKeyring { keyring, reply }).await
    }

    /// Asks every member how its keyring stands, and first to do the change. A change is told, not awaited: ask again
    /// to see it done. Nothing where the agent was started without keys.
    ///
    /// # Errors
    /// `Stopped` where the agent has ended.
    pub async fn keys(&self, change: Option<KeyChange>) -> Result<Option<Vec<MemberKeys>>, Stopped> {
        self.ask(|reply| Command::Keys { change, reply }).await
    }

    /// Says goodbye to the cluster and stops the agent.
    ///
    /// # Errors
    /// `Stopped` where the agent has ended already.
    pub async fn leave(&self) -> Result<(), Stopped> {
        self.ask(|reply| Command::Leave { reply }).await
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }
}
