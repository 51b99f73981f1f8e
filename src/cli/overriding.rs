//! `bootstrap override`: an operator's founding, which each of its founders accepts.

use std::collections::BTreeSet;

use clap::Args;

use super::{
    at::At,
    client::Client,
    consent::is_agreed,
    error::CliError,
    output::{Outcome, Output},
};
use crate::{
    api::{
        self,
        founding::{Bootstrap, OverrideAnswer, OverrideRequest},
    },
    bootstrap::ClusterId,
    node::NodeId,
};

/// The flags of `bootstrap override`.
#[derive(Debug, Args)]
pub(super) struct OverrideArgs {
    #[command(flatten)]
    at: At,
    /// The ids of the founders, as `members` lists them
    #[arg(long, required = true, value_delimiter = ',', value_name = "ID,…")]
    founders: Vec<NodeId>,
    /// Bootstrap beside an established cluster, or where a server has begun
    #[arg(long)]
    i_will_lose_data: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(args: OverrideArgs, output: &mut Output<'_>) -> Result<Outcome, CliError> {
    let client = args.at.client()?;
    let members: api::Members = client.read_now("/v1/members").await?;
    let name = |id: &NodeId| {
        let member = members.members.iter().find(|member| member.id == *id);
        member.map_or_else(|| format!("{id} (unknown)"), |member| format!("{} ({id})", member.name))
    };
    let founders: Vec<String> = args.founders.iter().map(name).collect();
    let ends = ended(&client.known().await?, &[]);
    writeln!(
        output.err,
        "This bootstraps a new cluster{ends}: its founders are {}. It takes effect once each of them has accepted it; a server that \
         has begun in another cluster goes on there until it is emptied.",
        founders.join(", ")
    )?;
    if !is_agreed(args.yes, output)? {
        return Ok(Outcome::Failed);
    }
    let answer = say_override(&client, &args).await?;
    let news: Vec<ClusterId> = answer.missing.iter().flat_map(|missing| missing.knows.clone()).collect();
    if news.is_empty() {
        return end_override(&answer, output);
    }
    tell_missing(&answer, output)?;
    writeln!(
        output.err,
        "Said once more, it ends what they know, too: a new cluster{}.",
        ended(&client.known().await?, &news)
    )?;
    if args.yes {
        writeln!(output.err, "type the same command again, if that is meant")?;
        return Ok(Outcome::Failed);
    }
    if !is_agreed(false, output)? {
        return Ok(Outcome::Failed);
    }
    end_override(&say_override(&client, &args).await?, output)
}

/// Words on the clusters that an override ends: all that are known here, and those that others have named.
fn ended(known: &Bootstrap, news: &[ClusterId]) -> String {
    let overrides = known.overrides.iter().map(|offer| offer.cluster_id);
    let clusters = known.cluster_id.into_iter().chain(known.clusters.iter().flatten().copied());
    let all: BTreeSet<ClusterId> = clusters.chain(overrides).chain(news.iter().copied()).collect();
    if all.is_empty() {
        return String::new();
    }
    let all: Vec<String> = all.iter().map(ToString::to_string).collect();
    format!(" in the place of cluster {}", all.join(" and of "))
}

async fn say_override(client: &Client, args: &OverrideArgs) -> Result<OverrideAnswer, CliError> {
    let founders = args.founders.iter().map(ToString::to_string).collect();
    let request = OverrideRequest { founders, i_will_lose_data: args.i_will_lose_data };
    Ok(client.post("/v1/bootstrap/override", &request).await?)
}

fn tell_missing(answer: &OverrideAnswer, output: &mut Output<'_>) -> Result<(), CliError> {
    for missing in &answer.missing {
        let why = missing.why.as_deref().unwrap_or("has not answered");
        writeln!(output.err, "{} {why}", missing.name)?;
    }
    Ok(())
}

fn end_override(answer: &OverrideAnswer, output: &mut Output<'_>) -> Result<Outcome, CliError> {
    if answer.complete {
        writeln!(output.out, "cluster {} is to be bootstrapped", answer.cluster_id)?;
        return Ok(Outcome::Done);
    }
    tell_missing(answer, output)?;
    let id = answer.cluster_id;
    writeln!(
        output.err,
        "cluster {id} is bootstrapped once these have accepted it, too, and those that have accepted it wait: see to them, or take it \
         back with `chronik-agent bootstrap reset --cluster {id}`"
    )?;
    let is_refused = answer.missing.iter().any(|missing| missing.why.is_some());
    Ok(if is_refused { Outcome::Failed } else { Outcome::TimedOut })
}
