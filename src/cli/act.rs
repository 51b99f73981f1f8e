//! `join`, `leave` and `health`.

use std::time::Duration;

use bytes::Bytes;
use clap::Args;

use super::{
    at::At,
    error::CliError,
    output::{Outcome, Output},
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
}

pub(super) async fn leave(args: LeaveArgs, output: &mut Output<'_>) -> Result<Outcome, CliError> {
    args.at.client()?.post_bytes("/v1/leave", Bytes::new()).await?;
    writeln!(output.out, "the agent has left and stops")?;
    Ok(Outcome::Done)
}

/// The flags of `health`.
#[derive(Debug, Args)]
pub struct HealthArgs {
    #[command(flatten)]
    at: At,
}

pub(super) async fn health(args: HealthArgs, output: &mut Output<'_>) -> Result<Outcome, CliError> {
    let answer = args.at.client()?.get("/livez", Duration::ZERO).await?;
    output.out.write_all(&answer.body)?;
    Ok(Outcome::Done)
}
