//! `discover`: asks one provider once, without an agent.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use chronik_providers::{Seeds, Spec};
use clap::Args;
use serde::Serialize;

use super::{
    error::CliError,
    output::{Format, Outcome, Output},
    table,
};
use crate::{api::seconds, config::DEFAULT_GOSSIP_PORT};

/// The flags of `discover`.
#[derive(Debug, Args)]
pub struct DiscoverArgs {
    /// As for --retry-join: `provider=NAME key=value…`, or a list of addresses
    spec: String,
    /// How to show the answer [default: a table on a terminal, else one line an address without a heading]
    #[arg(long, value_enum)]
    format: Option<Format>,
}

/// A provider's answer, as JSON.
#[derive(Serialize)]
struct Answer {
    provider: &'static str,
    spec: String,
    addrs: Vec<SocketAddr>,
    took_s: f64,
    valid_for_s: Option<f64>,
    warnings: Vec<String>,
}

impl Answer {
    fn json(&self) -> String {
        serde_json::to_string(self).expect("it has text keys only and serialises infallibly")
    }
}

pub(super) async fn run(args: &DiscoverArgs, output: &mut Output<'_>) -> Result<Outcome, CliError> {
    let spec = Spec::parse(&args.spec)?;
    let provider = spec.connect(DEFAULT_GOSSIP_PORT)?;
    #[expect(clippy::disallowed_methods, reason = "a command measures for its user, at the edge")]
    let asked = Instant::now();
    let seeds = provider.discover().await;
    let took = asked.elapsed();
    match seeds {
        Ok(seeds) => show(&spec, seeds, took, args.format, output),
        Err(error) => {
            writeln!(output.err, "{error}; after {:.3} s", seconds(took))?;
            Ok(Outcome::ProviderFailed)
        }
    }
}

fn show(
    spec: &Spec,
    seeds: Seeds,
    took: Duration,
    format: Option<Format>,
    output: &mut Output<'_>,
) -> Result<Outcome, CliError> {
    let outcome = if seeds.addrs.is_empty() { Outcome::NothingMatched } else { Outcome::Done };
    let as_table = match format {
        Some(Format::Json) => {
            let answer = Answer {
                provider: spec.provider(),
                spec: spec.to_string(),
                addrs: seeds.addrs,
                took_s: seconds(took),
                valid_for_s: seeds.valid_for.map(seconds),
                warnings: seeds.warnings,
            };
            writeln!(output.out, "{}", answer.json())?;
            return Ok(outcome);
        }
        Some(Format::Table) => true,
        None => output.terminal,
    };
    let row = |addr: &SocketAddr| vec![addr.to_string(), spec.provider().to_owned()];
    if as_table {
        let heading = vec!["ADDR".to_owned(), "SOURCE".to_owned()];
        let rows: Vec<Vec<String>> = std::iter::once(heading).chain(seeds.addrs.iter().map(row)).collect();
        table::write(output.out, &rows)?;
    } else {
        for addr in &seeds.addrs {
            writeln!(output.out, "{}", row(addr).join("\t"))?;
        }
    }
    for warning in &seeds.warnings {
        writeln!(output.err, "warning: {warning}")?;
    }
    let count = match seeds.addrs.len() {
        1 => "1 address".to_owned(),
        count => format!("{count} addresses"),
    };
    let holds = seeds.valid_for.map_or_else(String::new, |valid| format!(", good for {} s", seconds(valid)));
    writeln!(output.err, "{count} from {spec} in {:.3} s{holds}", seconds(took))?;
    Ok(outcome)
}
