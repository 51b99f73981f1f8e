//! `bootstrap verify`: checks the proof of a bootstrap without an agent.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use clap::Args;
use serde::Deserialize;

use super::{
    error::{CliError, ProofFault},
    output::{Outcome, Output},
};
use crate::{
    bootstrap::{Certificate, Terms},
    node::NodeId,
};

/// The flags of `bootstrap verify`.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The answer of `GET /v1/bootstrap` or `bootstrap --format json`, or the `certificate` in it; `-` for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Ids of nodes that are yours, one a line: every founder and every signer must be among them
    #[arg(long, value_name = "FILE")]
    ids: Option<PathBuf>,
}

/// An answer that holds a certificate.
#[derive(Deserialize)]
struct Answer {
    certificate: serde_json::Value,
}

pub(super) fn run(args: &VerifyArgs, output: &mut Output<'_>) -> Result<Outcome, CliError> {
    let failed = |file: &Path| {
        let file = file.to_owned();
        |error| CliError::Proof { file, error }
    };
    let text = read(&args.file).map_err(failed(&args.file))?;
    let certificate = certificate(&text).map_err(failed(&args.file))?;
    let ids = args.ids.as_ref().map(|file| read(file).and_then(|text| ids(&text)).map_err(failed(file)));
    let ids = ids.transpose()?;
    let strangers = tell(&certificate, ids.as_ref(), output)?;
    Ok(if strangers == 0 { Outcome::Done } else { Outcome::Failed })
}

fn read(file: &Path) -> Result<String, ProofFault> {
    let text =
        if file == Path::new("-") { io::read_to_string(io::stdin()) } else { fs::read_to_string(file) };
    text.map_err(ProofFault::File)
}

fn certificate(text: &str) -> Result<Certificate, ProofFault> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(ProofFault::Json)?;
    let inner = if value.get("acceptances").is_some() {
        value
    } else {
        let answer: Answer = serde_json::from_value(value).map_err(|_| ProofFault::Missing)?;
        answer.certificate
    };
    serde_json::from_value(inner).map_err(ProofFault::NotProven)
}

fn ids(text: &str) -> Result<BTreeSet<NodeId>, ProofFault> {
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    let ids = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    ids.map(|(line, id)| id.parse().map_err(|error| ProofFault::Id { line, error })).collect()
}

/// Says what the certificate proves; returns the number of nodes in it that are not among `ids`.
fn tell(
    certificate: &Certificate,
    ids: Option<&BTreeSet<NodeId>>,
    output: &mut Output<'_>,
) -> Result<usize, CliError> {
    let signers: BTreeSet<NodeId> = certificate.acceptances().iter().map(|signed| signed.signer()).collect();
    let (ballot, terms) = certificate.terms();
    let terms = match terms {
        Terms::Count(count) => format!("any {count} servers"),
        Terms::Named(named) => format!("exactly the {} servers that were named", named.ids().len()),
    };
    let (id, name) = (certificate.id(), certificate.cluster());
    writeln!(
        output.out,
        "Proven: in ballot {}, {} nodes accepted the bootstrap of",
        ballot.round,
        signers.len()
    )?;
    writeln!(output.out, "cluster {id} called {name}, on terms of {terms}.")?;
    let yours = |id: &NodeId| match ids {
        Some(ids) if ids.contains(id) => ", yours",
        Some(_) => ", NOT AMONG YOURS",
        None => "",
    };
    for founder in certificate.founders() {
        let signed = if signers.contains(&founder.id) { "signed" } else { "did not sign" };
        let (name, addr) = (&founder.name, founder.addr);
        writeln!(output.out, "  founder {} {name} at {addr}: {signed}{}", founder.id, yours(&founder.id))?;
    }
    let others: Vec<&NodeId> = signers.iter().filter(|id| certificate.founder(**id).is_none()).collect();
    for other in others {
        writeln!(output.out, "  {other}: signed, no founder{}", yours(other))?;
    }
    writeln!(
        output.out,
        "That is all it proves: not that no other cluster of this name exists, nor that no operator overrode it,\nnor that its \
         voters are those of today."
    )?;
    let all = signers.iter().copied().chain(certificate.ids()).collect::<BTreeSet<_>>();
    let strangers = ids.map_or(0, |ids| all.difference(ids).count());
    if strangers > 0 {
        writeln!(output.err, "{strangers} of these nodes are not among the ids that you gave")?;
    }
    Ok(strangers)
}
