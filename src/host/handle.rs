//! The client's end of the running agent, inside this process: the latest snapshot, and a way to send requests.

mod council;
mod members;
mod not_done;

use std::{collections::BTreeSet, convert::Infallible, net::SocketAddr, sync::Arc};

use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    bootstrap::{
        ClusterId, DataLoss, Decision, EstablishedReport, ForgetRefused, Gone, OverrideRefused,
        ReportRefused, ResetRefused, ResolveRefused, ServerId, ServerReport, VouchRefused,
    },
    node::NodeId,
    servers::Seen,
    snapshot::Snapshot,
    wire::{KeyChange, Keyring, MemberKeys},
};

pub use self::{
    council::CouncilCommand,
    not_done::{NotDone, Stopped, Unwritten},
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
    /// The co-located server asks what to do. That it is told to bootstrap is noted before it is.
    Ask {
        /// The id that it gives, if it gives one.
        server_id: Option<ServerId>,
        /// Answered once the note is on disk.
        reply: Reply<Decision>,
    },
    /// The co-located server is started now.
    Begin {
        /// Its report of itself, as of this moment.
        report: ServerReport,
        /// The decision by which it is started, once that it begins is on disk.
        reply: Reply<Decision>,
    },
    /// The co-located server takes back what it reported about its group.
    Retract {
        /// Answered once that is on disk.
        reply: Reply<()>,
    },
    /// The co-located server as its driver has just seen it.
    See {
        /// The server for readers.
        seen: Box<Seen>,
        /// Set if it gave no answer several times.
        is_silent: bool,
        /// Its own list of voters, while that is to be compared with the one that counts here.
        list: Option<EstablishedReport>,
    },
    /// A request about the members of the servers.
    Council(CouncilCommand),
    /// An operator's word on the clusters of this name.
    Resolve {
        /// The cluster.
        cluster_id: ClusterId,
        /// Verdict on it.
        verdict: Verdict,
        /// Answered once it is on disk or refused.
        reply: Reply<(), ResolveRefused>,
    },
    /// An operator's word that somebody is gone for good.
    Vouch {
        /// Node or address that is gone.
        gone: Gone,
        /// Answered once it is on disk or refused.
        reply: Reply<(), VouchRefused>,
    },
    /// An operator's word that a failed or left member is to be gone from every view.
    Forget {
        /// The member.
        id: NodeId,
        /// True if it goes on counting; answered once that is on disk or refused.
        reply: Reply<bool, ForgetRefused>,
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
        /// The consent to found beside an established cluster.
        data_loss: DataLoss,
        /// The new cluster's id.
        reply: Reply<ClusterId, OverrideRefused>,
    },
    /// An operator's request that this node forget its cluster.
    Reset {
        /// The consent to forget an established cluster.
        data_loss: DataLoss,
        /// The new id, under which the agent stops and starts as a new node.
        reply: Reply<NodeId, ResetRefused>,
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
    /// Say goodbye at this address, to go on at another.
    Move,
    /// Say goodbye and stop.
    Leave {
        /// Answered once the goodbye is said.
        reply: oneshot::Sender<()>,
    },
}

/// An operator's verdict on a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the one that is meant, and the others of this name are given up.
    Keep,
    /// It is over.
    Over,
}

/// The outcome of the contact to one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinOutcome {
    /// The address.
    pub addr: SocketAddr,
    /// The reason why it failed; `None` if it worked. A contact with oneself is a failure.
    pub error: Option<String>,
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
    /// Meanwhile the reasons in [`Self::snapshot`] say why it takes long. It is the server's own question: that it is told to
    /// bootstrap is noted, so that a server which has lost its data since is not told so again.
    ///
    /// Ask again after every start: once the group is reported by [`Self::establish`], [`Decision::Bootstrap`] has
    /// become [`Decision::Resume`].
    ///
    /// # Errors
    /// The agent ends before that, or the disk refuses the note.
    pub async fn decision(&self) -> Result<Decision, NotDone<Infallible>> {
        let waits = |decision: &Decision| matches!(decision, Decision::Wait { .. });
        loop {
            let decided = self.wait_for(|snapshot| !waits(&snapshot.founding.decision)).await?;
            let decision = decided.founding.decision.clone();
            if !matches!(decision, Decision::Bootstrap(_)) {
                return Ok(decision);
            }
            let told = self.ask_decision(None).await?;
            if !waits(&told) {
                return Ok(told);
            }
        }
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

    /// Notes that the co-located server is told the present decision, under this id if it gives one.
    ///
    /// # Errors
    /// The agent has ended, or the disk refuses the note: then the server must not be told.
    pub async fn ask_decision(&self, server_id: Option<ServerId>) -> Result<Decision, NotDone<Infallible>> {
        self.ask(|reply| Command::Ask { server_id, reply }).await?
    }

    /// Notes that the co-located server is started now, and returns the decision by which it is.
    ///
    /// # Errors
    /// The agent has ended, or the disk refuses the note: then the server must not be started.
    pub async fn begin(&self, report: ServerReport) -> Result<Decision, NotDone<Infallible>> {
        self.ask(|reply| Command::Begin { report, reply }).await?
    }

    /// Takes back what the co-located server has reported about its group.
    ///
    /// # Errors
    /// The agent has ended, or the disk refuses it.
    pub async fn retract(&self) -> Result<(), NotDone<Infallible>> {
        self.ask(|reply| Command::Retract { reply }).await?
    }

    /// Passes on how the driver has just seen the co-located server.
    ///
    /// # Errors
    /// `Stopped` if the agent has ended.
    pub async fn see(
        &self,
        seen: Seen,
        is_silent: bool,
        list: Option<EstablishedReport>,
    ) -> Result<(), Stopped> {
        let command = Command::See { seen: Box::new(seen), is_silent, list };
        self.commands.send(command).await.map_err(|_| Stopped)
    }

    /// Says of a cluster that it is the one that is meant, or that it is over.
    ///
    /// # Errors
    /// The agent has ended, no such cluster stands, or the disk refuses it.
    pub async fn resolve(
        &self,
        cluster_id: ClusterId,
        verdict: Verdict,
    ) -> Result<(), NotDone<ResolveRefused>> {
        self.ask(|reply| Command::Resolve { cluster_id, verdict, reply }).await?
    }

    /// Says that a node or an address is gone for good, and counts no more.
    ///
    /// # Errors
    /// The agent has ended, it is alive or does not count, or the disk refuses it.
    pub async fn vouch(&self, gone: Gone) -> Result<(), NotDone<VouchRefused>> {
        self.ask(|reply| Command::Vouch { gone, reply }).await?
    }

    /// Forgets a failed or left member: it is gone from every view until it shows that it lives. Returns whether it goes on
    /// counting against the largest number of servers, because it may have given a vote.
    ///
    /// # Errors
    /// The agent has ended, the member is alive or unknown, or the disk refuses it.
    pub async fn forget(&self, id: NodeId) -> Result<bool, NotDone<ForgetRefused>> {
        self.ask(|reply| Command::Forget { id, reply }).await?
    }

    /// Passes on that the co-located server's group exists, and who votes in it.
    ///
    /// # Errors
    /// The agent has ended, the report contradicts what is known, or the disk refuses it: then report it again.
    pub async fn establish(&self, report: EstablishedReport) -> Result<(), NotDone<ReportRefused>> {
        self.ask(|reply| Command::Establish { report, reply }).await?
    }

    /// Says that the co-located server is the only voter from now on, and is to come up alone.
    ///
    /// # Errors
    /// The agent has ended, the word of this node would not count, or the disk refuses it.
    pub async fn recover(&self, cluster_id: ClusterId) -> Result<(), NotDone<ReportRefused>> {
        self.ask(|reply| Command::Council(CouncilCommand::Recover { cluster_id, reply })).await?
    }

    /// Bootstraps with exactly these servers, against what is known. Returns the new cluster's id.
    ///
    /// # Errors
    /// The agent has ended, the choice is refused, or the disk refuses it.
    pub async fn override_founders(
        &self,
        founders: BTreeSet<NodeId>,
        data_loss: DataLoss,
    ) -> Result<ClusterId, NotDone<OverrideRefused>> {
        self.ask(|reply| Command::Override { founders, data_loss, reply }).await?
    }

    /// Makes this node forget its cluster; returns the id of the new node that it starts over as.
    ///
    /// # Errors
    /// The agent has ended, the cluster is established and its loss is not accepted, or the disk refuses it.
    pub async fn reset(&self, data_loss: DataLoss) -> Result<NodeId, NotDone<ResetRefused>> {
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

    /// Says goodbye at this address, to go on at another.
    pub(crate) async fn move_away(&self) {
        // An agent that has ended already does not move.
        self.commands.send(Command::Move).await.ok();
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
