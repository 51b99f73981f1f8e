//! `wait`: blocks until a condition is met.

use std::time::Duration;

use clap::Args;

use super::{
    at::At,
    condition::{Asker, Condition, Waited},
    error::CliError,
    output::{Format, Outcome, Output},
    table,
};

/// The flags of `wait`.
#[derive(Debug, Args)]
pub struct WaitArgs {
    #[command(flatten)]
    at: At,
    /// `joined`: the agent has been in contact with another; `members=N`: at least N members are alive; `quorum`: a
    /// majority of the voters is alive; `bootstrap`: the server may start, by any decision but `wait`; `established`:
    /// the cluster's group exists. A conflict ends the last two with exit code 1
    #[arg(long = "for", value_name = "joined|members=N|quorum|bootstrap|established")]
    what: Condition,
    /// How long to wait; also for the agent to be started
    #[arg(long, default_value = "60s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// How to print the answer
    #[arg(long, value_enum, default_value = "json")]
    format: Format,
}

pub(super) async fn run(args: &WaitArgs, output: &mut Output<'_>) -> Result<Outcome, CliError> {
    let client = args.at.client()?;
    let answer = match args.what.wait(&client, &Asker::Server, Some(args.timeout), |_| {}).await? {
        Waited::Met(answer) => answer,
        Waited::Conflict(why) => {
            writeln!(output.err, "conflict: {why}")?;
            return Ok(Outcome::Failed);
        }
        Waited::TimedOut(lack) => {
            let timeout = humantime::format_duration(args.timeout);
            writeln!(output.err, "timed out after {timeout}: {lack}")?;
            return Ok(Outcome::TimedOut);
        }
    };
    match args.format {
        Format::Json => output.out.write_all(&answer.body)?,
        Format::Table => table::outline(output.out, &client.read(args.what.path(), &answer)?)?,
    }
    Ok(Outcome::Done)
}
