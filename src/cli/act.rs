//! `join`, `leave` and `health`.

use std::time::Duration;

use bytes::Bytes;
use clap::{Args, ValueEnum};

use super::{
    at::At,
    client::Client,
    error::CliError,
    output::{Outcome, Output},
    voters,
};
use crate::api;

/// The flags of `join`.
#[derive(Debug, Args)]
pub struct JoinArgs {
    #[command(flatten)]
    at: At,
    /// Addresses of other agents, ADDR or ADDR:PORT
    #[arg(required = true, value_name = "ADDR")]
    addrs: Vec<String>,
}

pub(super) async fn join(args: JoinArgs, output: &mut Output<'_>) -> Result<Outcome, CliError> {
    let client = args.at.client()?;
    let request = api::JoinRequest { addrs: args.addrs };
    let answer: api::JoinAnswer = client.post("/v1/join", &request).await?;
    for result in &answer.results {
        match &result.error {
            None => writeln!(output.out, "{} joined", result.addr)?,
            Some(error) => writeln!(output.out, "{} failed: {error}", result.addr)?,
        }
    }
    Ok(if answer.joined > 0 { Outcome::Done } else { Outcome::Failed })
}

/// The flags of `leave`.
#[derive(Debug, Args)]
pub struct LeaveArgs {
    #[command(flatten)]
    at: At,
    /// Have the server taken off the members first, and stop only once it is: for a host that does not come back, and never for
    /// a roll-out
    #[arg(long)]
    for_good: bool,
    /// With --for-good, how long to wait for that
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "10m", requires = "for_good")]
    timeout: Duration,
}

pub(super) async fn leave(args: LeaveArgs, output: &mut Output<'_>) -> Result<Outcome, CliError> {
    let client = args.at.client()?;
    let myself: api::Myself = client.read_now("/v1/self").await?;
    if args.for_good && myself.driver.is_none() {
        writeln!(
            output.err,
            "this agent knows nothing of its server's members: start it with --server, or take the server off with its own tool \
             and then leave without --for-good"
        )?;
        return Ok(Outcome::Failed);
    }
    if args.for_good && !voters::remove_own(&client, myself.id, args.timeout, output).await? {
        let timeout = humantime::format_duration(args.timeout);
        writeln!(
            output.err,
            "timed out after {timeout}: the agent goes on, and its server is a member still"
        )?;
        return Ok(Outcome::TimedOut);
    }
    client.post_bytes("/v1/leave", Bytes::new()).await?;
    writeln!(output.out, "the agent has left and stops")?;
    Ok(Outcome::Done)
}

/// The flags of `health`.
#[derive(Debug, Args)]
pub struct HealthArgs {
    #[command(flatten)]
    at: At,
    /// Health only once the server votes, for an autoscaler that stops one host after the other
    #[arg(long = "for", value_enum)]
    what: Option<Healthy>,
}

/// A condition of health.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Healthy {
    /// The server beside the agent runs and votes.
    Vote,
}

pub(super) async fn health(args: HealthArgs, output: &mut Output<'_>) -> Result<Outcome, CliError> {
    let client = args.at.client()?;
    if args.what == Some(Healthy::Vote) {
        return votes(&client, output).await;
    }
    let answer = client.get("/livez", Duration::ZERO).await?;
    output.out.write_all(&answer.body)?;
    Ok(Outcome::Done)
}

/// Says whether the server votes: by the list that counts, and, where a driver asks it, only while it answers.
async fn votes(client: &Client, output: &mut Output<'_>) -> Result<Outcome, CliError> {
    let known = client.known().await?;
    let myself: api::Myself = client.read_now("/v1/self").await?;
    let is_voter = known.established && known.me.is_some_and(|me| me.voter);
    let answers = myself.driver.is_none_or(|driver| driver.answers);
    match (is_voter, answers) {
        (true, true) => {
            writeln!(output.out, "it votes")?;
            Ok(Outcome::Done)
        }
        (true, false) => {
            writeln!(output.err, "its server does not answer: see `chronik-agent self`")?;
            Ok(Outcome::Failed)
        }
        (false, _) => {
            writeln!(
                output.err,
                "it does not vote: see `chronik-agent bootstrap` and `chronik-agent voters`"
            )?;
            Ok(Outcome::Failed)
        }
    }
}
