//! `wait`: blocks on the API's long poll until something is so.

use std::{str::FromStr, time::Duration};

use clap::Args;

use super::{
    At, CliError, Format, Outcome, Output,
    client::{Answer, Client, ClientError, with_query},
    table,
};
use crate::{api, membership::MemberStatus};

/// One request's share of the wait; short enough for a proxy between.
const SLICE: Duration = Duration::from_secs(30);
/// Pause while the agent cannot be reached: it may be about to start.
const RETRY: Duration = Duration::from_millis(200);

/// The flags of `wait`.
#[derive(Debug, Args)]
pub struct WaitArgs {
    #[command(flatten)]
    at: At,
    /// `joined`: the agent has been in contact with another; `members=N`: at least N members are alive; `quorum`: a
    /// majority of the voters is alive
    #[arg(long = "for", value_name = "joined|members=N|quorum")]
    what: Condition,
    /// How long to wait; also for the agent to be started
    #[arg(long, default_value = "60s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// How to print the answer
    #[arg(long, value_enum, default_value = "json")]
    format: Format,
}

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Joined,
    Members(usize),
    Quorum,
}

impl FromStr for Condition {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            None if text == "joined" => Ok(Self::Joined),
            None if text == "quorum" => Ok(Self::Quorum),
            Some(("members", count)) => count
                .parse()
                .map(Self::Members)
                .map_err(|_| format!("`{count}` is no number of members; write members=3")),
            None | Some(_) => Err("write joined, members=N or quorum".to_owned()),
        }
    }
}

impl Condition {
    fn path(self) -> &'static str {
        match self {
            Self::Joined => "/v1/self",
            Self::Members(_) => "/v1/members",
            Self::Quorum => "/v1/quorum",
        }
    }

    /// Nothing where the answer says that it is so, else what is missing.
    fn lacks(self, client: &Client, answer: &Answer) -> Result<Option<String>, ClientError> {
        match self {
            Self::Joined => {
                let myself: api::Myself = client.read(self.path(), answer)?;
                Ok((!myself.joined).then(|| "the agent has not been in contact with another one".to_owned()))
            }
            Self::Members(wanted) => {
                let members: api::Members = client.read(self.path(), answer)?;
                let alive = members.members.iter().filter(|member| member.status == MemberStatus::Alive);
                let alive = alive.count();
                Ok((alive < wanted).then(|| format!("{alive} of {wanted} members are alive")))
            }
            Self::Quorum => {
                let quorum: api::Quorum = client.read(self.path(), answer)?;
                Ok((!quorum.has_quorum).then(|| quorum.reasons.join("; ")))
            }
        }
    }
}

pub(super) async fn run(args: &WaitArgs, output: &mut Output<'_>) -> Result<Outcome, CliError> {
    let client = Client::new(args.at.http.clone());
    let mut lack = "the agent was not asked".to_owned();
    let met = tokio::time::timeout(args.timeout, until(&client, args.what, &mut lack)).await;
    let Ok(met) = met else {
        let timeout = humantime::format_duration(args.timeout);
        writeln!(output.err, "timed out after {timeout}: {lack}")?;
        return Ok(Outcome::TimedOut);
    };
    let answer = met?;
    match args.format {
        Format::Json => output.out.write_all(&answer.body)?,
        Format::Table => table::outline(output.out, &client.read(args.what.path(), &answer)?)?,
    }
    Ok(Outcome::Done)
}

/// Asks until the condition is met; `lack` says what was missing last.
async fn until(client: &Client, what: Condition, lack: &mut String) -> Result<Answer, ClientError> {
    let mut index: Option<u64> = None;
    loop {
        let poll =
            index.map(|index| [("index", index.to_string()), ("wait", format!("{}s", SLICE.as_secs()))]);
        let path = with_query(what.path(), poll.into_iter().flatten());
        match client.get(&path, SLICE).await {
            Ok(answer) => match what.lacks(client, &answer)? {
                None => return Ok(answer),
                Some(missing) => {
                    *lack = missing;
                    index = answer.index;
                }
            },
            Err(
                error @ (ClientError::Unreachable { .. }
                | ClientError::Broken { .. }
                | ClientError::Silent { .. }),
            ) => {
                *lack = error.to_string();
                index = None;
                tokio::time::sleep(RETRY).await;
            }
            Err(error @ (ClientError::Refused { .. } | ClientError::NotUnderstood { .. })) => {
                return Err(error);
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
        for wrong in ["members", "members=x", "quorum=1", ""] {
            assert!(wrong.parse::<Condition>().is_err(), "{wrong}");
        }
    }
}
