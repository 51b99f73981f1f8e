//! `discover`: asks one provider once, without an agent.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use chronik_providers::{Instance, Seeds, Spec};
use clap::Args;
use serde::Serialize;

use super::{
    error::CliError,
    output::{Format, Outcome, Output},
    table,
};
use crate::{api::seconds, config::DEFAULT_GOSSIP_PORT};

/// The keys of a spec, in short; `providers/README.md` explains them.
const KEYS: &str = "\
Specs:
  HOST[:PORT],…                       a list of addresses, short for provider=static addrs=…
  provider=dns name=NAME              SRV records of _SERVICE._PROTOCOL.DOMAIN, A and AAAA records of any other name;
                                      port=, resolver=HOST[:PORT], search=yes (tries the search list of /etc/resolv.conf)
  provider=aws tag_key=K tag_value=V  EC2 instances by tag; tag.KEY=, states=, addr_type=, port=, region=, profile=, endpoint=
                                      and the credentials of every AWS tool (an empty variable counts as not set)
An error begins with whose fault it is: a name server, a file, a variable, STS, a proxy, the clock.";

/// The flags of `discover`.
#[derive(Debug, Args)]
#[command(after_help = KEYS)]
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
    /// Left out by providers that know no instances.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    instances: BTreeMap<SocketAddr, Machine>,
}

/// A machine of a cloud, as JSON.
#[derive(Serialize)]
struct Machine {
    id: String,
    state: String,
    zone: Option<String>,
}

impl From<Instance> for Machine {
    fn from(Instance { id, state, zone }: Instance) -> Self {
        Self { id, state, zone }
    }
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
                instances: seeds.instances.into_iter().map(|(addr, is)| (addr, is.into())).collect(),
            };
            writeln!(output.out, "{}", answer.json())?;
            return Ok(outcome);
        }
        Some(Format::Table) => true,
        None => output.terminal,
    };
    let knows_instances = !seeds.instances.is_empty();
    let row = |addr: &SocketAddr| {
        let mut row = vec![addr.to_string(), spec.provider().to_owned()];
        if knows_instances {
            let known = seeds.instances.get(addr);
            let zone = known.and_then(|instance| instance.zone.clone()).unwrap_or_default();
            row.extend([
                known.map_or_else(String::new, |is| is.id.clone()),
                known.map_or_else(String::new, |is| is.state.clone()),
                zone,
            ]);
        }
        row
    };
    if as_table {
        let mut heading = vec!["ADDR".to_owned(), "SOURCE".to_owned()];
        if knows_instances {
            heading.extend(["INSTANCE", "STATE", "ZONE"].map(str::to_owned));
        }
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
