//! The client's end of the running agent, inside this process: the latest snapshot, and a way to send requests.

use std::{collections::BTreeSet, convert::Infallible, net::SocketAddr, sync::Arc};

use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    bootstrap::{
        ClusterId, DataLoss, Decision, EstablishedReport, OverrideRefused, ReportRefused, ResetRefused,
        ServerReport,
    },
    node::NodeId,
    snapshot::Snapshot,
    wire::{KeyChange, Keyring, MemberKeys},
};

/// The way back of an answer that depends on the disk: `Refused` holds an `R`.
pub type Reply<T, R = Infallible> = oneshot::Sender<Result<T, NotDone<R>>>;

/// A request to the agent.
#[derive(Debug)]
pub enum Command {
    /// Contact these addresses now, and keep them as seeds.
    Join {
        /// The addresses.
        addrs: Vec<SocketAddr>,
        /// The outcome for each, once all contacts have ended.
        reply: oneshot::Sender<Vec<JoinOutcome>>,
    },
    /// The co-located server's report of itself. Repeated, it is the server's heartbeat.
    Attest {
        /// The report.
        report: ServerReport,
        /// Answered once the report is taken in, and on disk if that matters.
        reply: Reply<()>,
    },
    /// The co-located server's report that its group exists, and who votes in it.
    Establish {
        /// The report.
        report: EstablishedReport,
        /// Answered once the report is on disk or refused.
        reply: Reply<(), ReportRefused>,
    },
    /// An operator's choice of the founders, against what is known.
    Override {
        /// The founders.
        founders: BTreeSet<NodeId>,
        /// The new cluster's id.
        reply: Reply<ClusterId, OverrideRefused>,
    },
    /// An operator's request that this node forget its cluster.
    Reset {
        /// The consent to forget an established cluster.
        data_loss: DataLoss,
        /// The part that was forgotten. After [`Forgotten::Everything`] the agent stops and starts as a new node.
        reply: Reply<Forgotten, ResetRefused>,
    },
    /// The keys to use from now on, or the reason why they stay as they are.
    SetKeyring {
        /// The keys.
        keyring: Result<Keyring, String>,
        /// Answered once they are in use.
        reply: oneshot::Sender<()>,
    },
    /// Ask every member for the state of its keyring.
    Keys {
        /// The change that each member is to make first.
        change: Option<KeyChange>,
        /// The answers, once all members have given one; `None` if this agent has no keys.
        reply: oneshot::Sender<Option<Vec<MemberKeys>>>,
    },
    /// Say goodbye and stop.
    Leave {
        /// Answered once the goodbye is said.
        reply: oneshot::Sender<()>,
    },
}

/// The part of its memory that a reset made this node forget.
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

/// The outcome of the contact to one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinOutcome {
    /// The address.
    pub addr: SocketAddr,
    /// The reason why it failed; `None` if it worked. A contact with oneself is a failure.
    pub error: Option<String>,
}

/// The agent has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the agent has stopped")]
pub struct Stopped;

/// A request that was taken in and is not on disk: a crash would lose it. It is written once the disk takes it. A reset
/// is not done at all then, and has to be asked for again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not on disk yet: {0}")]
pub struct Unwritten(pub String);

/// The reason why a request is not done; `R` is the machine's refusal of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotDone<R> {
    /// The agent has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The disk refuses it.
    #[error(transparent)]
    Unwritten(#[from] Unwritten),
    /// It contradicts what is known here.
    #[error("{0}")]
    Refused(R),
}

/// A cheap, cloneable hold on the running agent.
#[derive(Debug, Clone)]
pub struct Handle {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    commands: mpsc::Sender<Command>,
}

impl Handle {
    /// A handle on the agent that publishes these snapshots and takes these commands.
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
    /// `Stopped` if the agent ends before that.
    pub async fn wait_for(&self, mut ready: impl FnMut(&Snapshot) -> bool) -> Result<Arc<Snapshot>, Stopped> {
        let mut snapshots = self.snapshots.clone();
        let found = snapshots.wait_for(|snapshot| ready(snapshot)).await.map_err(|_| Stopped)?;
        Ok(found.clone())
    }

    /// Waits for the decision on what the co-located server is to do, as it stands on disk; never [`Decision::Wait`].
    /// Meanwhile the reasons in [`Self::snapshot`] say why it takes long.
    ///
    /// Ask again after every start: once the group is reported by [`Self::establish`], [`Decision::Bootstrap`] has
    /// become [`Decision::Resume`].
    ///
    /// # Errors
    /// `Stopped` if the agent ends before that.
    pub async fn decision(&self) -> Result<Decision, Stopped> {
        let waits = |snapshot: &Snapshot| matches!(snapshot.founding.decision, Decision::Wait { .. });
        let decided = self.wait_for(|snapshot| !waits(snapshot)).await?;
        Ok(decided.founding.decision.clone())
    }

    /// Contacts `addrs` now. Returns the outcome for each.
    ///
    /// # Errors
    /// `Stopped` if the agent has ended.
    pub async fn join(&self, addrs: Vec<SocketAddr>) -> Result<Vec<JoinOutcome>, Stopped> {
        self.ask(|reply| Command::Join { addrs, reply }).await
    }

    /// Passes on the co-located server's report of itself.
    ///
    /// # Errors
    /// `Stopped` if the agent has ended. A disk that refuses is no error here: the decision says `fault` if that
    /// matters.
    pub async fn attest(&self, report: ServerReport) -> Result<(), Stopped> {
        // Repeated every few seconds, the report is not lost if the disk refuses it once.
        self.ask(|reply| Command::Attest { report, reply }).await.map(|_: Result<(), NotDone<Infallible>>| ())
    }

    /// Passes on that the co-located server's group exists, and who votes in it.
    ///
    /// # Errors
    /// The agent has ended, the report contradicts what is known, or the disk refuses it: then report it again.
    pub async fn establish(&self, report: EstablishedReport) -> Result<(), NotDone<ReportRefused>> {
        self.ask(|reply| Command::Establish { report, reply }).await?
    }

    /// Bootstraps with exactly these servers, against what is known. Returns the new cluster's id.
    ///
    /// # Errors
    /// The agent has ended, the choice is refused, or the disk refuses it.
    pub async fn override_founders(
        &self,
        founders: BTreeSet<NodeId>,
    ) -> Result<ClusterId, NotDone<OverrideRefused>> {
        self.ask(|reply| Command::Override { founders, reply }).await?
    }

    /// Makes this node forget its cluster.
    ///
    /// # Errors
    /// The agent has ended, the cluster is established and its loss is not accepted, or the disk refuses it.
    pub async fn reset(&self, data_loss: DataLoss) -> Result<Forgotten, NotDone<ResetRefused>> {
        self.ask(|reply| Command::Reset { data_loss, reply }).await?
    }

    /// Uses other keys from now on, or notes why they stay as they are. Does nothing if the agent was started without
    /// keys.
    ///
    /// # Errors
    /// `Stopped` if the agent has ended.
    pub async fn set_keyring(&self, keyring: Result<Keyring, String>) -> Result<(), Stopped> {
        self.ask(|reply| Command::SetKeyring { keyring, reply }).await
    }

    /// Asks every member for the state of its keyring, and first to make the change. The members are told the change and
    /// not waited for: ask again to see it made. `None` if the agent was started without keys.
    ///
    /// # Errors
    /// `Stopped` if the agent has ended.
    pub async fn keys(&self, change: Option<KeyChange>) -> Result<Option<Vec<MemberKeys>>, Stopped> {
        self.ask(|reply| Command::Keys { change, reply }).await
    }

    /// Says goodbye to the cluster and stops the agent.
    ///
    /// # Errors
    /// `Stopped` if the agent has ended already.
    pub async fn leave(&self) -> Result<(), Stopped> {
        self.ask(|reply| Command::Leave { reply }).await
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }
}
