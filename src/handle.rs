//! What a client of the running agent holds, inside this process: the latest snapshot, and a way to ask for something
//! to be done.

use std::{net::SocketAddr, sync::Arc};

use tokio::sync::{mpsc, oneshot, watch};

use crate::snapshot::Snapshot;

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
    /// Say goodbye and stop.
    Leave {
        /// Answered when the goodbye is said.
        reply: oneshot::Sender<()>,
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

    /// Contacts `addrs` now and says how each ended.
    ///
    /// # Errors
    /// `Stopped` where the agent has ended.
    pub async fn join(&self, addrs: Vec<SocketAddr>) -> Result<Vec<JoinOutcome>, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Join { addrs, reply }).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }

    /// Says goodbye to the cluster and stops the agent.
    ///
    /// # Errors
    /// `Stopped` where the agent has ended already.
    pub async fn leave(&self) -> Result<(), Stopped> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Leave { reply }).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }
}
