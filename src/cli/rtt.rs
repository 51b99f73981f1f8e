//! `rtt`: the round trip between two members.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{
    at::At,
    client::{ClientError, with_query},
    error::CliError,
    output::{Outcome, Output},
};
use crate::api::rtt::{Rtt, RttBasis};

/// The flags of `rtt`.
#[derive(Debug, Args)]
pub struct RttArgs {
    #[command(flatten)]
    at: At,
    /// A member, by name or id
    #[arg(value_name = "A")]
    one: String,
    /// Another one [default: the agent itself]
    #[arg(value_name = "B")]
    other: Option<String>,
    /// How to show the answer
    #[arg(long, value_enum, default_value = "text")]
    format: Shape,
}

/// The form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// As the API gives it.
    Json,
    /// A sentence.
    Text,
}

pub(super) async fn run(args: RttArgs, output: &mut Output<'_>) -> Result<Outcome, CliError> {
    let client = args.at.client()?;
    let pairs = match args.other {
        Some(other) => vec![("from", args.one), ("to", other)],
        None => vec![("to", args.one)],
    };
    let path = with_query("/v1/rtt", pairs);
    let answer = match client.get(&path, Duration::ZERO).await {
        Err(ClientError::Refused { status: 404, detail, .. }) => {
            writeln!(output.err, "{detail}")?;
            return Ok(Outcome::NothingMatched);
        }
        answer => answer?,
    };
    let rtt: Rtt = client.read(&path, &answer)?;
    if args.format == Shape::Json {
        output.out.write_all(&answer.body)?;
    }
    let (from, to) = (&rtt.from.name, &rtt.to.name);
    let (Some(seconds), Some(basis)) = (rtt.rtt_s, rtt.basis) else {
        writeln!(
            output.err,
            "the round trip between {from} and {to} is not known yet: they tell where they are once they were probed"
        )?;
        return Ok(Outcome::NothingMatched);
    };
    if args.format == Shape::Text {
        let ms = seconds * 1e3;
        match basis {
            RttBasis::Measured => writeln!(output.out, "{from} <-> {to}: {ms:.3} ms, measured")?,
            RttBasis::Estimated => {
                let error = rtt.relative_error.unwrap_or(1.0) * 100.0;
                writeln!(output.out, "{from} <-> {to}: {ms:.3} ms, estimated, within about {error:.0} %")?;
            }
        }
    }
    Ok(Outcome::Done)
}
