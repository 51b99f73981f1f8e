//! The conditions that `wait` and `exec` wait for, and the wait itself: the API's long poll, repeated until one is met.

use std::{str::FromStr, time::Duration};

use super::client::{Answer, Client, ClientError, with_query};
use crate::{
    api::{self, founding::DecisionName},
    membership::MemberStatus,
};

/// Longest wait of a single request; short enough for a proxy between.
const SLICE: Duration = Duration::from_secs(30);
/// Pause while the agent cannot be reached: it may be about to start.
const RETRY: Duration = Duration::from_millis(200);

/// A state of the agent to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    /// The agent has been in contact with another one.
    Joined,
    /// At least this number of members is alive.
    Members(usize),
    /// A majority of the voters is alive.
    Quorum,
    /// The server may start: any decision but to wait.
    Bootstrap,
    /// The cluster's group exists.
    Established,
}

impl FromStr for Condition {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            None if text == "joined" => Ok(Self::Joined),
            None if text == "quorum" => Ok(Self::Quorum),
            None if text == "bootstrap" => Ok(Self::Bootstrap),
            None if text == "established" => Ok(Self::Established),
            Some(("members", count)) => count
                .parse()
                .map(Self::Members)
                .map_err(|_| format!("`{count}` is no number of members; write members=3")),
            None | Some(_) => Err("write joined, members=N, quorum, bootstrap or established".to_owned()),
        }
    }
}

/// The distance of an answer from the condition.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    /// The condition is met.
    Met,
    /// It is not met yet; the text says what is missing.
    Lacks(String),
    /// It will not be met by waiting; the text says why.
    Conflict(String),
}

/// Origin of a question for the decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asker {
    /// The server's own: that it is told to bootstrap is noted.
    Server,
    /// That of a command which says by itself when it starts the server, of this id where it knows that.
    Starter(Option<String>),
}

/// The end of a wait.
#[derive(Debug)]
pub(super) enum Waited {
    /// The condition is met, by this answer.
    Met(Answer),
    /// A conflict, in a sentence.
    Conflict(String),
    /// The time is over; the text says what was missing last.
    TimedOut(String),
}

impl Condition {
    /// The path whose answer shows it.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Joined => "/v1/self",
            Self::Members(_) => "/v1/members",
            Self::Quorum => "/v1/quorum",
            Self::Bootstrap | Self::Established => "/v1/bootstrap",
        }
    }

    /// The part of the query that says who asks.
    fn about(self, asker: &Asker) -> impl Iterator<Item = (&'static str, String)> {
        let starter = match asker {
            Asker::Starter(id) if self.path() == "/v1/bootstrap" => Some(id),
            Asker::Starter(_) | Asker::Server => None,
        };
        let look = starter.map(|_| ("look", "true".to_owned()));
        let server_id = starter.and_then(Clone::clone).map(|id| ("server_id", id));
        look.into_iter().chain(server_id)
    }

    fn standing(self, client: &Client, answer: &Answer) -> Result<Standing, ClientError> {
        let lack = match self {
            Self::Joined => {
                let myself: api::Myself = client.read(self.path(), answer)?;
                (!myself.joined).then(|| "the agent has not been in contact with another one".to_owned())
            }
            Self::Members(wanted) => {
                let members: api::Members = client.read(self.path(), answer)?;
                let alive = members.members.iter().filter(|member| member.status == MemberStatus::Alive);
                let alive = alive.count();
                (alive < wanted).then(|| format!("{alive} of {wanted} members are alive"))
            }
            Self::Quorum => {
                let quorum: api::Quorum = client.read(self.path(), answer)?;
                (!quorum.has_quorum).then(|| quorum.reasons.join("; "))
            }
            Self::Bootstrap | Self::Established => {
                let bootstrap: api::founding::Bootstrap = client.read(self.path(), answer)?;
                if bootstrap.decision == DecisionName::Conflict {
                    return Ok(Standing::Conflict(bootstrap.why()));
                }
                let waits = bootstrap.decision == DecisionName::Wait;
                let met = if self == Self::Established { bootstrap.established } else { !waits };
                let unreported = "no server has reported yet that the cluster's group exists";
                (!met).then(|| if waits { bootstrap.why() } else { unreported.to_owned() })
            }
        };
        Ok(lack.map_or(Standing::Met, Standing::Lacks))
    }

    /// Asks until it is met. `tell` is called with each new reason why it is not.
    pub(super) async fn wait(
        self,
        client: &Client,
        asker: &Asker,
        timeout: Option<Duration>,
        mut tell: impl FnMut(&str),
    ) -> Result<Waited, ClientError> {
        let mut lack = "the agent was not asked".to_owned();
        let mut note = |missing: String| {
            if lack != missing {
                tell(&missing);
                lack = missing;
            }
        };
        let asked = self.until(client, asker, &mut note);
        let waited = match timeout {
            None => Ok(asked.await),
            Some(timeout) => tokio::time::timeout(timeout, asked).await,
        };
        waited.unwrap_or(Ok(Waited::TimedOut(lack)))
    }

    async fn until(
        self,
        client: &Client,
        asker: &Asker,
        note: &mut impl FnMut(String),
    ) -> Result<Waited, ClientError> {
        let mut index: Option<u64> = None;
        loop {
            let poll =
                index.map(|index| [("index", index.to_string()), ("wait", format!("{}s", SLICE.as_secs()))]);
            let path = with_query(self.path(), self.about(asker).chain(poll.into_iter().flatten()));
            match client.get(&path, SLICE).await {
                Ok(answer) => match self.standing(client, &answer)? {
                    Standing::Met => return Ok(Waited::Met(answer)),
                    Standing::Conflict(why) => return Ok(Waited::Conflict(why)),
                    Standing::Lacks(missing) => {
                        note(missing);
                        index = answer.index;
                    }
                },
                Err(
                    error @ (ClientError::Unreachable { .. }
                    | ClientError::Broken { .. }
                    | ClientError::Silent { .. }),
                ) => {
                    note(error.to_string());
                    index = None;
                    tokio::time::sleep(RETRY).await;
                }
                Err(error @ (ClientError::Refused { .. } | ClientError::NotUnderstood { .. })) => {
                    return Err(error);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_strict() {
        assert_eq!("members=3".parse(), Ok(Condition::Members(3)));
        assert_eq!("joined".parse(), Ok(Condition::Joined));
        assert_eq!("quorum".parse(), Ok(Condition::Quorum));
        assert_eq!("bootstrap".parse(), Ok(Condition::Bootstrap));
        assert_eq!("established".parse(), Ok(Condition::Established));
        for wrong in ["members", "members=x", "quorum=1", ""] {
            assert!(wrong.parse::<Condition>().is_err(), "{wrong}");
        }
    }
}
