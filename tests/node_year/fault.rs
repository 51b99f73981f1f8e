//! Faults in the life of a cluster, and the verdicts that they explain.

use crate::sim::Node;

/// A fault that lasts for a while.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// This share of all datagrams is lost.
    Loss(f64),
    /// A process is stopped.
    Pause(Node),
    /// A process is killed, and started again when the fault is over.
    Crash(Node),
    /// A process is killed and started again at once.
    Restart(Node),
    /// These members are cut off from the others.
    Partition(Vec<Node>),
    /// No other member hears it.
    Mute(Node),
    /// It hears no other member.
    Deaf(Node),
    /// It says goodbye, and comes back when the fault is over.
    Leave(Node),
    /// All are killed at once, and start again.
    Blackout,
}

impl Fault {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Loss(_) => "loss",
            Self::Pause(_) => "pause",
            Self::Crash(_) => "crash",
            Self::Restart(_) => "restart",
            Self::Partition(_) => "partition",
            Self::Mute(_) => "mute",
            Self::Deaf(_) => "deaf",
            Self::Leave(_) => "leave",
            Self::Blackout => "blackout",
        }
    }

    /// Members that the fault is at.
    pub(super) fn faulty(&self) -> Vec<Node> {
        match self {
            Self::Loss(_) | Self::Blackout => vec![],
            Self::Pause(node)
            | Self::Crash(node)
            | Self::Restart(node)
            | Self::Mute(node)
            | Self::Deaf(node)
            | Self::Leave(node) => vec![*node],
            Self::Partition(side) => side.clone(),
        }
    }

    /// True if the fault explains that `observer` calls `subject` failed. A paused member that judges others is not
    /// explained.
    pub(super) fn explains(&self, observer: Node, subject: Node) -> bool {
        match self {
            Self::Loss(_) | Self::Leave(_) => false,
            Self::Pause(node) | Self::Crash(node) | Self::Restart(node) => subject == *node,
            Self::Mute(node) | Self::Deaf(node) => subject == *node || observer == *node,
            Self::Partition(_) => true,
            Self::Blackout => true,
        }
    }
}
