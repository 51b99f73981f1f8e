//! The messages of the founding between agents.
//!
//! Every struct is a map of numbered fields, so that versions can be mixed: an unknown field is skipped, an unknown
//! kind of message is an error and dropped by the caller.

use minicbor::{Decode, Encode};

use super::{
    ballot::Ballot,
    cbor,
    certificate::Acceptance,
    counted::Counted,
    founding::{ClusterId, Founder, Founding},
    knowledge::Knowledge,
    terms::Terms,
};
use crate::{
    node::{ClusterName, NodeId},
    signing::Signed,
};

/// One message; its sender is known from the authenticated envelope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(map)]
pub struct Message {
    /// The cluster that the sender wants to found or knows.
    #[cbor(n(0), with = "cbor::text")]
    pub cluster_name: ClusterName,
    /// Its content.
    #[n(1)]
    pub body: Body,
}

/// A message to send, and the node it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The receiver.
    pub to: NodeId,
    /// The message.
    pub message: Message,
}

/// The content of a message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum Body {
    /// Asks for a promise to keep to a ballot.
    #[n(0)]
    Prepare(#[n(0)] Prepare),
    /// Promises, and tells what was accepted before.
    #[n(1)]
    Promise(#[n(0)] Box<Promise>),
    /// Asks to accept a founding in a ballot.
    #[n(2)]
    Accept(#[n(0)] Box<Accept>),
    /// Has accepted, signed.
    #[n(13)]
    Accepted(#[n(0)] Box<Signed<Acceptance>>),
    /// Refuses a `Prepare` or an `Accept`.
    #[n(4)]
    Nack(#[n(0)] Nack),
    /// Tells what the sender knows of clusters. Anybody can say so in its name: the receiver asks it.
    #[n(7)]
    Known(#[n(0)] Box<Knowledge>),
    /// Asks whether the server of a founder of this cluster is blank at this moment, and waits.
    #[n(8)]
    Look(#[n(0)] Looked),
    /// The server is blank at this moment, and waits.
    #[n(9)]
    Blank(#[n(0)] Looked),
    /// The server is not blank, or nobody knows.
    #[n(10)]
    NotBlank(#[n(0)] Looked),
    /// Asks for what the receiver knows, with a number that only it learns.
    #[n(11)]
    Ask(#[n(0)] u64),
    /// Answers with what the sender knows.
    #[n(12)]
    Answer(#[n(0)] Box<Answer>),
}

impl Body {
    /// The message that tells all of this.
    pub(super) fn known(knowledge: &Knowledge) -> Self {
        Self::Known(Box::new(knowledge.clone()))
    }
}

/// The answer to a question for what a node knows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(map)]
pub struct Answer {
    /// Number of the question.
    #[n(0)]
    pub number: u64,
    /// Knowledge of the sender.
    #[n(1)]
    pub knowledge: Knowledge,
}

/// One question of a founder that looks at the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(map)]
pub struct Looked {
    /// The cluster.
    #[n(0)]
    pub cluster_id: ClusterId,
    /// Number of the question, for its sender.
    #[n(1)]
    pub number: u64,
    /// Set if the sender looks and is about to see all blank: meanwhile no other one is started.
    #[n(2)]
    pub holds: bool,
}

/// The first phase of a ballot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(map)]
pub struct Prepare {
    /// The ballot.
    #[n(0)]
    pub ballot: Ballot,
    /// The proposer's terms.
    #[n(1)]
    pub terms: Terms,
    /// The servers that the proposer counts.
    #[n(2)]
    pub counted: Counted,
}

/// The answer to a [`Prepare`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(map)]
pub struct Promise {
    /// The ballot that is promised.
    #[n(0)]
    pub ballot: Ballot,
    /// The founding that the sender accepted last, and its ballot.
    #[n(1)]
    pub accepted: Option<AcceptedBefore>,
    /// The sender's entry in a founding.
    #[n(2)]
    pub founder: Founder,
    /// Zone of the sender, such as a data centre; founders are spread over zones.
    #[n(3)]
    pub zone: Option<String>,
}

/// A founding that was accepted in an earlier ballot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(map)]
pub struct AcceptedBefore {
    /// The ballot it was accepted in.
    #[n(0)]
    pub ballot: Ballot,
    /// The founding.
    #[n(1)]
    pub founding: Founding,
}

/// The second phase of a ballot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(map)]
pub struct Accept {
    /// The ballot.
    #[n(0)]
    pub ballot: Ballot,
    /// The proposer's terms.
    #[n(1)]
    pub terms: Terms,
    /// The founding, the only one of this ballot.
    #[n(2)]
    pub founding: Founding,
    /// The servers that the proposer counts.
    #[n(3)]
    pub counted: Counted,
}

/// The refusal of a [`Prepare`] or an [`Accept`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(map)]
pub struct Nack {
    /// The ballot that is refused.
    #[n(0)]
    pub ballot: Ballot,
    /// The highest ballot that the sender promised.
    #[n(1)]
    pub promised: Option<Ballot>,
    /// The reason.
    #[n(2)]
    pub refusal: Refusal,
    /// The servers that the sender counts, if that is the reason.
    #[n(3)]
    pub counted: Option<Counted>,
}

/// The reason for which a ballot is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Refusal {
    /// A higher ballot was promised.
    #[n(0)]
    Promised,
    /// The sender has other terms, or accepted a founding on other terms.
    #[n(1)]
    OtherTerms,
    /// The sender does not take part: no expect, an observer, joining only, or not among the named founders.
    #[n(2)]
    NotTakingPart,
    /// The sender knows too many servers for the terms.
    #[n(3)]
    TooManyServers,
    /// The sender's server holds data.
    #[n(4)]
    ServerHoldsData,
    /// The founding lists the sender otherwise than it is.
    #[n(5)]
    NotMyEntry,
    /// The founding does not match its id, or does not fit the terms.
    #[n(6)]
    NotGenuine,
    /// The sender cannot write its record, or its id is used twice.
    #[n(7)]
    Fault,
    /// The proposer does not count the sender.
    #[n(8)]
    NotCounted,
    /// The round is far beyond all that the sender has promised.
    #[n(9)]
    TooFar,
}
