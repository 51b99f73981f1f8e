//! `bootstrap`: the server's decision and its reasons, and the changes to it that only a person may make.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    adopt::{self, AdoptArgs},
    at::At,
    client::{Client, LOOK},
    consent::is_agreed,
    error::CliError,
    output::{Format, Outcome, Output},
    overriding::{self, OverrideArgs},
    reach::reach,
    table,
    verify::{self, VerifyArgs},
};
use crate::{
    api::founding::{
        Bootstrap, DecisionName, EstablishedRequest, ResetAnswer, ResetRequest, ResolveRequest, VoterRequest,
        VouchRequest,
    },
    bootstrap::ClusterId,
    node::NodeId,
};

/// The flags of `bootstrap`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BootstrapArgs {
    /// What to do instead of showing the decision
    #[command(subcommand)]
    act: Option<Act>,
    #[command(flatten)]
    at: At,
    /// How to show the answer; on a terminal the table begins with a sentence that says what to do
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Changes to the founding.
#[derive(Debug, Subcommand)]
enum Act {
    /// Reports that the cluster's group exists, for a server that does not report it itself
    Complete(CompleteArgs),
    /// Brings a cluster under its agents that none of them founded: its servers hold data already
    Adopt(AdoptArgs),
    /// Bootstraps with exactly these servers, against what is known, where no group is established
    Override(OverrideArgs),
    /// Takes back what this agent's server has reported about its group
    Retract(RetractArgs),
    /// Says which of the clusters of one name is meant; the others are given up
    Resolve(ResolveArgs),
    /// Has this agent start over as a new node, or says that a cluster is over
    Reset(ResetArgs),
    /// Says that an agent is gone for good, so that it counts no more
    Vouch(VouchArgs),
    /// Checks the proof of a bootstrap in a file, without an agent
    Verify(VerifyArgs),
}

/// The flags of `bootstrap retract`.
#[derive(Debug, Args)]
struct RetractArgs {
    #[command(flatten)]
    at: At,
}

/// The flags of `bootstrap resolve`.
#[derive(Debug, Args)]
struct ResolveArgs {
    #[command(flatten)]
    at: At,
    /// The cluster that is meant
    #[arg(long, value_name = "ID")]
    keep: ClusterId,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// The flags of `bootstrap vouch`.
#[derive(Debug, Args)]
struct VouchArgs {
    #[command(flatten)]
    at: At,
    /// The id of an agent, or the address at which none answers any more
    #[arg(long, value_name = "ADDR|ID")]
    gone: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// The flags of `bootstrap complete`.
#[derive(Debug, Args)]
struct CompleteArgs {
    #[command(flatten)]
    at: At,
    /// Version of the list of voters, such as the log index of the server's configuration; the highest wins [default: newer than
    /// all that were reported without one]
    #[arg(long, value_name = "N")]
    config_index: Option<u64>,
    /// A voter, by node id, by ordinal, or by an endpoint as `raft=10.0.0.9:5001`; repeatable [default: those known]
    #[arg(long, value_name = "ID|ORDINAL|NAME=ADDR", value_parser = voter)]
    voter: Vec<VoterRequest>,
    /// Brings a cluster under this agent that it did not found, of the id in --cluster-id
    #[arg(long, requires = "cluster_id")]
    adopt: bool,
    /// The cluster, if it is not the one that is known here
    #[arg(long, value_name = "ID")]
    cluster_id: Option<ClusterId>,
}

/// The flags of `bootstrap reset`.
#[derive(Debug, Args)]
struct ResetArgs {
    #[command(flatten)]
    at: At,
    /// Say that this cluster is over, instead of starting over
    #[arg(long, value_name = "ID", conflicts_with = "i_will_lose_data")]
    cluster: Option<ClusterId>,
    /// Forget the cluster even where its group exists
    #[arg(long)]
    i_will_lose_data: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

fn voter(text: &str) -> Result<VoterRequest, String> {
    if let Some((name, address)) = text.split_once('=') {
        let endpoint = [(name.to_owned(), address.to_owned())].into();
        return Ok(VoterRequest { endpoint: Some(endpoint), ..VoterRequest::default() });
    }
    if let Ok(ordinal) = text.parse() {
        return Ok(VoterRequest { ordinal: Some(ordinal), ..VoterRequest::default() });
    }
    let id: NodeId = text.parse().map_err(|_| {
        "write a node id, an ordinal such as 2, or an endpoint such as raft=10.0.0.9:5001".to_owned()
    })?;
    Ok(VoterRequest { id: Some(id.to_string()), ..VoterRequest::default() })
}

pub(super) async fn run(args: BootstrapArgs, output: &mut Output<'_>) -> Result<Outcome, CliError> {
    match args.act {
        None => show(args.at, args.format, output).await,
        Some(Act::Complete(args)) => complete(args, output).await,
        Some(Act::Adopt(args)) => adopt::run(args, output).await,
        Some(Act::Override(args)) => overriding::run(args, output).await,
        Some(Act::Retract(args)) => retract(args, output).await,
        Some(Act::Resolve(args)) => resolve(args, output).await,
        Some(Act::Reset(args)) => reset(args, output).await,
        Some(Act::Vouch(args)) => vouch(args, output).await,
        Some(Act::Verify(args)) => verify::run(&args, output),
    }
}

async fn show(at: At, format: Format, output: &mut Output<'_>) -> Result<Outcome, CliError> {
    let client = at.client()?;
    let answer = client.get(LOOK, Duration::ZERO).await?;
    match format {
        Format::Json => output.out.write_all(&answer.body)?,
        Format::Table => {
            if output.terminal {
                writeln!(output.out, "{}\n", sentence(&client.read(LOOK, &answer)?))?;
            }
            table::outline(output.out, &client.read(LOOK, &answer)?)?;
        }
    }
    Ok(Outcome::Done)
}

/// The decision in one sentence for a person.
fn sentence(answer: &Bootstrap) -> String {
    let cluster = answer.cluster_id.map_or_else(String::new, |id| format!(" {id}"));
    let voters = answer.voters.as_ref().map_or(0, Vec::len);
    let sentence = match answer.decision {
        DecisionName::Wait => format!("The server is to wait: {}.", answer.why()),
        DecisionName::Conflict => format!("Nothing is decided: {}.", answer.why()),
        DecisionName::Bootstrap => {
            let founders = answer.founders.as_ref().map_or(0, Vec::len);
            let ordinal = answer.me.and_then(|me| me.ordinal).unwrap_or_default();
            format!(
                "Bootstrap cluster{cluster}: initialise this server as number {ordinal} of exactly these {founders} \
                 founders, then report it with `chronik-agent bootstrap complete`."
            )
        }
        DecisionName::Resume => {
            format!(
                "This server is one of {voters} voters of cluster{cluster}: start it with its data, never \
                 initialise it."
            )
        }
        DecisionName::Join => {
            format!("Cluster{cluster} exists: ask one of its {voters} voters to add this server.")
        }
    };
    if answer.reasons.is_empty() || matches!(answer.decision, DecisionName::Wait | DecisionName::Conflict) {
        return sentence;
    }
    // Beside a decision that can be carried out, all reasons are faults.
    format!("{sentence} But see to this: {}.", answer.why())
}

async fn complete(args: CompleteArgs, output: &mut Output<'_>) -> Result<Outcome, CliError> {
    let client = args.at.client()?;
    let known = client.known().await?.cluster_id;
    let Some(cluster_id) = args.cluster_id.or(known) else {
        writeln!(output.err, "no cluster is known here: bootstrap one first, see `chronik-agent bootstrap`")?;
        return Ok(Outcome::Failed);
    };
    let request = EstablishedRequest {
        cluster_id: cluster_id.to_string(),
        config_index: args.config_index,
        voters: args.voter,
        adopt: args.adopt,
    };
    let answer: Bootstrap = client.put("/v1/bootstrap/established", &request).await?;
    writeln!(output.out, "cluster {cluster_id} is established; the decision is {}", answer.decision)?;
    Ok(Outcome::Done)
}

async fn reset(args: ResetArgs, output: &mut Output<'_>) -> Result<Outcome, CliError> {
    let client = args.at.client()?;
    let known = client.known().await?;
    let request = ResetRequest {
        i_will_lose_data: args.i_will_lose_data,
        cluster_id: args.cluster.map(|id| id.to_string()),
    };
    if let Some(id) = args.cluster {
        writeln!(
            output.err,
            "Cluster {id} is over then: nobody is told of it any more, and its servers wait until they are emptied."
        )?;
    } else {
        let cluster =
            known.cluster_id.map_or_else(|| "no cluster yet".to_owned(), |id| format!("cluster {id}"));
        writeln!(
            output.err,
            "This agent knows {cluster}. It forgets that and every vote it gave, and starts over as a new node with \
             another id; its server must be emptied, or it brings its cluster back."
        )?;
    }
    if !is_agreed(args.yes, output)? {
        return Ok(Outcome::Failed);
    }
    let answer: ResetAnswer = client.post("/v1/bootstrap/reset", &request).await?;
    match (answer.new_id, args.cluster) {
        (Some(id), _) => writeln!(output.out, "the agent starts over as node {id}")?,
        (None, Some(id)) => writeln!(output.out, "cluster {id} is over{}", reach(&client).await?)?,
        (None, None) => writeln!(output.out, "the agent starts over as a new node")?,
    }
    Ok(Outcome::Done)
}

async fn retract(args: RetractArgs, output: &mut Output<'_>) -> Result<Outcome, CliError> {
    let client = args.at.client()?;
    let answer: Bootstrap = client.delete("/v1/bootstrap/established").await?;
    writeln!(output.out, "the report is taken back; the decision is {}", answer.decision)?;
    Ok(Outcome::Done)
}

async fn resolve(args: ResolveArgs, output: &mut Output<'_>) -> Result<Outcome, CliError> {
    let client = args.at.client()?;
    writeln!(
        output.err,
        "Cluster {} is kept, and every other one of this name is given up: their servers wait until they are emptied, and then \
         join.",
        args.keep
    )?;
    if !is_agreed(args.yes, output)? {
        return Ok(Outcome::Failed);
    }
    let request = ResolveRequest { keep: args.keep.to_string() };
    let done = format!("cluster {} is kept", args.keep);
    speak(&client, "/v1/bootstrap/resolve", &request, &done, output).await
}

async fn vouch(args: VouchArgs, output: &mut Output<'_>) -> Result<Outcome, CliError> {
    let client = args.at.client()?;
    writeln!(
        output.err,
        "{} counts no more until it is heard from. If it is only out of reach and has given a vote, two clusters may be founded: \
         say this only of an agent that is gone for good.",
        args.gone
    )?;
    if !is_agreed(args.yes, output)? {
        return Ok(Outcome::Failed);
    }
    let done = format!("{} counts no more", args.gone);
    speak(&client, "/v1/bootstrap/vouch", &VouchRequest { gone: args.gone }, &done, output).await
}

/// Says an operator's word; tells what it has `done`, how far it reaches, and the decision that follows.
async fn speak(
    client: &Client,
    path: &str,
    request: &impl Serialize,
    done: &str,
    output: &mut Output<'_>,
) -> Result<Outcome, CliError> {
    let answer: Bootstrap = client.post(path, request).await?;
    writeln!(output.out, "{done}{}; the decision is {}", reach(client).await?, answer.decision)?;
    Ok(Outcome::Done)
}
