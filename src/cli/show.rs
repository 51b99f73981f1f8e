//! `quorum`, `discovery`, `self` and `info`: the like-named endpoint.

use std::time::Duration;

use clap::Args;

use super::{
    at::At,
    error::CliError,
    output::{Format, Outcome, Output},
    table,
};

/// The flags of the commands that show an endpoint.
#[derive(Debug, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    at: At,
    /// How to show the answer
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

pub(super) async fn run(args: &ShowArgs, path: &str, output: &mut Output<'_>) -> Result<Outcome, CliError> {
    let client = args.at.client()?;
    let answer = client.get(path, Duration::ZERO).await?;
    match args.format {
        Format::Json => output.out.write_all(&answer.body)?,
        Format::Table => table::outline(output.out, &client.read(path, &answer)?)?,
    }
    Ok(Outcome::Done)
}
