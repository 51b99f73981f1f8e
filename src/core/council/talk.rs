//! Messages between agents about the members of their servers. Every struct is a map of numbered fields, of which unknown
//! ones are skipped. The first byte tells such a message from one of the founding, which is a map.

use minicbor::{Decode, Encode};

use crate::{
    admission::Beside,
    bootstrap::{Admittance, cbor},
    node::NodeId,
};

/// One message; its sender has signed it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) enum Talk {
    /// Asks for an account.
    #[n(0)]
    Question(#[n(0)] Question),
    /// Gives it.
    #[n(1)]
    Answer(#[n(0)] Answer),
    /// Tells an agent the place of its server among the members.
    #[n(2)]
    Word(#[n(0)] Box<Admittance>),
    /// Passes on an operator's wish.
    #[n(3)]
    Wish(#[n(0)] Wish),
    /// Answers it.
    #[n(4)]
    Outcome(#[n(0)] Outcome),
}

/// A question for an account.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct Question {
    /// Its number, drawn by who asks.
    #[n(0)]
    pub(super) number: u64,
    /// Nodes of which the answer says whether they are away.
    #[n(1)]
    pub(super) about: Vec<About>,
}

/// A node in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub(super) struct About(#[cbor(n(0), with = "cbor::node_id")] pub(super) NodeId);

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct Answer {
    /// Number of the question.
    #[n(0)]
    pub(super) number: u64,
    /// The account.
    #[n(1)]
    pub(super) account: Account,
}

/// The account of an agent of itself and its server, as of this moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Account {
    /// State of the server beside it.
    #[n(0)]
    pub server: State,
    /// Index that its server has applied, while that answers.
    #[n(1)]
    pub applied: Option<u64>,
    /// Those nodes that were asked about and are not active in its view.
    #[n(3)]
    pub(super) away: Vec<About>,
}

impl Account {
    /// True if this node is away in the view of who gives the account.
    pub fn has_away(&self, node: NodeId) -> bool {
        self.away.contains(&About(node))
    }
}

/// State of a server, as its agent can tell it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum State {
    /// Nobody can tell, or it is blank and nobody waits to start it.
    #[n(0)]
    #[default]
    Unknown,
    /// It is blank, and somebody waits to start it.
    #[n(1)]
    Waiting,
    /// It has begun, or holds data.
    #[n(2)]
    Begun,
}

impl From<State> for Beside {
    fn from(state: State) -> Self {
        match state {
            State::Unknown => Self::Unknown,
            State::Waiting => Self::Waiting,
            State::Begun => Self::Begun,
        }
    }
}

/// A wish of an operator, said at another agent than the one beside the leader.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Wish {
    /// Its number, drawn by who passes it on.
    #[n(0)]
    pub(super) number: u64,
    /// The verb.
    #[n(1)]
    pub verb: Verb,
    /// The agent or member, by id or name.
    #[n(2)]
    pub node: String,
    /// The ticket of the plan that is to be carried out; `None` asks for a plan.
    #[n(3)]
    pub ticket: Option<u64>,
}

/// A verb of an operator's wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Verb {
    /// It is to vote.
    #[n(0)]
    Add,
    /// It is to be no member any more.
    #[n(1)]
    Remove,
    /// Another is to have its place, or itself with an empty directory.
    #[n(2)]
    Replace,
}

/// The outcome of a wish in one look.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Outcome {
    /// Number of the wish.
    #[n(0)]
    pub(super) number: u64,
    /// The kind of it.
    #[n(1)]
    pub verdict: Verdict,
    /// A sentence: the plan, the step that was made, the reason to wait or to refuse.
    #[n(2)]
    pub text: String,
    /// The ticket with which the plan is carried out.
    #[n(3)]
    pub ticket: Option<u64>,
    /// The agent whose server is to be added next, by its id, where the step has removed another for it.
    #[n(4)]
    pub newcomer: Option<String>,
}

impl Outcome {
    /// The outcome of a wish that was said at the agent beside the leader itself, where any ticket serves.
    pub fn here(Granted { verdict, text, newcomer }: Granted) -> Self {
        Self { number: 0, verdict, text, ticket: (verdict == Verdict::Plan).then_some(0), newcomer }
    }
}

/// The answer to a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// The kind of it.
    pub verdict: Verdict,
    /// A sentence about that.
    pub text: String,
    /// The agent whose server is to be added next, by its id.
    pub newcomer: Option<String>,
}

impl Granted {
    /// An answer of this kind.
    pub fn of(verdict: Verdict) -> impl Fn(String) -> Self {
        move |text| Self { verdict, text, newcomer: None }
    }
}

/// The kind of an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Verdict {
    /// It is as it was asked for.
    #[n(0)]
    Done,
    /// This is the plan.
    #[n(1)]
    Plan,
    /// The first step of the plan was made.
    #[n(2)]
    Made,
    /// A step that was made before has yet to take effect.
    #[n(3)]
    Waits,
    /// It is refused.
    #[n(4)]
    Refused,
}

impl Talk {
    /// The message in these bytes; `None` if they are none.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        minicbor::decode(bytes).ok()
    }

    /// The message as bytes.
    pub(super) fn write(&self) -> Vec<u8> {
        minicbor::to_vec(self).expect("writing to a vector cannot fail")
    }
}
