//! A driver: everything that the agent knows of one kind of server.

use std::{collections::BTreeSet, fmt, io, path::PathBuf, time::Duration};

use futures_util::future::BoxFuture;

use super::kind::Kind;
use crate::{
    admission,
    bootstrap::{Founding, ServerId},
    choice::Choice as _,
};

/// One kind of server, beside one agent.
pub trait Driver: fmt::Debug + Send + Sync {
    /// The kind.
    fn kind(&self) -> Kind;

    /// The place at which the server is asked: a URL or a directory.
    fn place(&self) -> String;

    /// Looks into a data directory: whose data it holds; `None` if it is blank, as the server itself would judge. Reads only.
    ///
    /// # Errors
    /// There is data, and it does not say whose it is.
    fn look(&self, place: &DataPlace) -> Result<Option<Identity>, DataError>;

    /// The names that this kind of server gives to the group of a founding, in each way in which the founders' addresses may be
    /// written; none if such a server has no name for it that follows from the founding.
    fn founded_as(&self, founding: &Founding) -> Vec<String>;

    /// Asks the server. Ends within four seconds, and holds a bounded answer.
    fn ask(&self) -> Ask<'_>;

    /// The abilities of such servers where members come and go; `None` where nothing here can change the list.
    fn ability(&self) -> Option<admission::Kind>;

    /// True if a member of such a server can come up as the only one, with the data that it has, where a majority is lost.
    fn can_recover(&self) -> bool;

    /// The members of an answer that run, by the names that they have in it, as they are seen from this host at this moment. Ends
    /// within two seconds.
    fn sight<'a>(&'a self, answer: &'a Answer) -> Sight<'a>;

    /// Makes one change of the members, at the server beside the agent, which leads. Ends within six seconds.
    fn change<'a>(&'a self, change: &'a MemberChange) -> Changing<'a>;
}

/// Time for one answer of a server, with all the questions that it takes. A server on the same host answers within
/// milliseconds; one that waits for its disk may take a second.
pub(super) const ASK_WITHIN: Duration = Duration::from_secs(4);

/// Time for the look at all members, side by side: one on a host that is gone gives no answer at all.
pub(super) const SIGHT_WITHIN: Duration = Duration::from_millis(1_500);
/// Time for one change: etcd gives up by itself after seven seconds, and the others are waited for no longer than it takes them to
/// elect a new leader.
pub(super) const CHANGE_WITHIN: Duration = Duration::from_secs(5);

/// An answer that is awaited.
pub type Ask<'a> = BoxFuture<'a, Result<Answer, AskError>>;

/// The members that run, by the server's names for them.
pub type Sight<'a> = BoxFuture<'a, BTreeSet<String>>;

/// A change under way.
pub type Changing<'a> = BoxFuture<'a, Result<(), AskError>>;

/// One change of a server's members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberChange {
    /// Takes a server in, which is started after that.
    Admit {
        /// Its name for people.
        name: String,
        /// Its address for other members, `HOST:PORT`.
        address: String,
        /// True if it votes at once; never where there are learners.
        votes: bool,
    },
    /// Gives a member its vote.
    Promote {
        /// The server's name for it.
        member: String,
    },
    /// Takes a member off the list.
    Remove {
        /// The server's name for it.
        member: String,
    },
    /// Gives a member another address.
    Move {
        /// The server's name for it.
        member: String,
        /// Its address for other members, `HOST:PORT`.
        address: String,
    },
}

/// The identity of a server as its data has it: it is lost with the data.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// The group, by the server's own name for it.
    pub group: String,
    /// The member of that group that this server is.
    pub member: String,
}

impl Identity {
    /// The id under which the agent knows a server of this identity.
    pub fn server_id(&self, kind: Kind) -> Option<ServerId> {
        member_id(kind, &self.group, &self.member)
    }
}

/// The id under which agents know a member of a group.
fn member_id(kind: Kind, group: &str, member: &str) -> Option<ServerId> {
    format!("{}:{group}/{member}", kind.word()).try_into().ok()
}

/// Places at which the data of a server lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataPlace {
    /// The data directory.
    pub dir: PathBuf,
    /// The directory of its log, where that is another one.
    pub log_dir: Option<PathBuf>,
}

/// A good answer of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The server that answers.
    pub identity: Identity,
    /// Its version.
    pub version: Option<String>,
    /// The member that leads, as this server sees it. Without one, members and index are no committed ones.
    pub leader: Option<String>,
    /// Index that had been applied before the members were asked for, so that the list is at least that new.
    pub index: Option<u64>,
    /// The members.
    pub members: Vec<ServerMember>,
    /// Trouble that it tells of; empty if it is well.
    pub troubles: Vec<String>,
}

impl Answer {
    /// The id under which agents know a member.
    pub fn member_id(&self, kind: Kind, member: &ServerMember) -> Option<ServerId> {
        member_id(kind, &self.identity.group, &member.member)
    }
}

/// A member of the server's group, by the server's own word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerMember {
    /// The server's name for it, unique in the group.
    pub member: String,
    /// Its name for people; empty until it has started once.
    pub name: String,
    /// Its addresses for other members, `HOST:PORT`.
    pub addresses: Vec<String>,
    /// False for one that only follows.
    pub votes: bool,
    /// True if the list shows that it has run under this name, false if it shows the contrary; `None` where it does not tell.
    pub has_run: Option<bool>,
    /// True if the server's own word is that it runs, false if that it does not; `None` where it says nothing.
    pub is_up: Option<bool>,
}

/// A server that gave no good answer, and where it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}{path} {fault}")]
pub struct AskError {
    /// The server's port, or the directory of the programs.
    pub place: String,
    /// The path that was asked for, or the program.
    pub path: String,
    /// The fault.
    pub fault: Fault,
}

/// The reason why an answer is none. Each continues a sentence that begins with the place, and ends in a remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Nobody listens there, or the network is in the way.
    #[error("cannot be reached ({0}): start the server, or say with --server where it is asked")]
    Unreachable(String),
    /// Nothing came in time.
    #[error("gave no answer within {} s: look at the server's log", .0.as_secs())]
    Silent(Duration),
    /// The connection broke before the answer was whole.
    #[error("broke off its answer ({0}): look at the server's log")]
    Broken(String),
    /// It answers with a status that is no success.
    #[error("answered with status {0}: look at the server's log, or say with --server where it is asked")]
    Status(u16),
    /// It does not do what it is asked to.
    #[error("refuses ({0}): look at the server's log")]
    Refused(String),
    /// It sends elsewhere, where nobody follows: another server's answer is not this one's.
    #[error("redirects to {0:?}: say with --server where the server beside this agent itself is asked")]
    Redirect(String),
    /// The answer is longer than any that this kind gives.
    #[error("answered with more than {0} bytes: say with --server where the server is asked")]
    TooLong(usize),
    /// The answer is not of this kind of server.
    #[error(
        "gave no answer of this kind of server ({0}): say with --server where it is asked, and which kind it is"
    )]
    NotUnderstood(String),
    /// Two parts of the answer speak of different servers.
    #[error(
        "answered for two servers, {0} and {1}: say with --server where one of them is asked, not a balancer"
    )]
    TwoServers(String, String),
    /// A program of the user's own failed.
    #[error("failed ({0}): run it by hand, with the same on its standard input")]
    Program(String),
    /// The server does not prove who it is, or does not take the agent's certificate.
    #[error(
        "cannot be asked by TLS ({0}): look at --server-ca-file, --server-cert-file and --server-key-file"
    )]
    Tls(String),
}

/// Data that does not say whose it is.
#[derive(Debug, thiserror::Error)]
#[error("the data in {} does not read ({problem}): restore it, or have this server replaced", path.display())]
pub struct DataError {
    /// The file or directory.
    pub path: PathBuf,
    /// The problem.
    pub problem: String,
}

impl DataError {
    /// An error of the operating system at this place.
    pub(super) fn at(path: &std::path::Path) -> impl Fn(io::Error) -> Self {
        move |error| Self { path: path.to_owned(), problem: error.to_string() }
    }
}
