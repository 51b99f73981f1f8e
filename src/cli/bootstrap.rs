//! `bootstrap`: the server's decision and its reasons, and the changes to it that only a person may make.

use std::{
    io::{self, BufRead, IsTerminal},
    time::Duration,
};

use bytes::Bytes;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    at::At,
    client::Client,
    error::CliError,
    output::{Format, Outcome, Output},
    table,
};
use crate::{
    api::{
        self,
        founding::{
            Bootstrap, DecisionName, EstablishedRequest, Forgotten, OverrideAnswer, OverrideRequest,
            ResetAnswer, ResetRequest, VoterRequest,
        },
    },
    node::NodeId,
};

const PATH: &str = "/v1/bootstrap";

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
    /// Bootstraps with exactly these servers, against what is known, where no group is established
    Override(OverrideArgs),
    /// Makes this agent forget its cluster
    Reset(ResetArgs),
}

/// The flags of `bootstrap complete`.
#[derive(Debug, Args)]
struct CompleteArgs {
    #[command(flatten)]
    at: At,
    /// How new the list of voters is, such as the log index of the server's configuration; the highest wins
    #[arg(long, default_value = "0", value_name = "N")]
    config_index: u64,
    /// A voter, by node id, by ordinal, or by an endpoint as `raft=10.0.0.9:5001`; repeatable [default: those known]
    #[arg(long, value_name = "ID|ORDINAL|NAME=ADDR", value_parser = voter)]
    voter: Vec<VoterRequest>,
}

/// The flags of `bootstrap override`.
#[derive(Debug, Args)]
struct OverrideArgs {
    #[command(flatten)]
    at: At,
    /// The ids of the founders, as `members` lists them
    #[arg(long, required = true, value_delimiter = ',', value_name = "ID,…")]
    founders: Vec<NodeId>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// The flags of `bootstrap reset`.
#[derive(Debug, Args)]
struct ResetArgs {
    #[command(flatten)]
    at: At,
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
        Some(Act::Override(args)) => override_founders(args, output).await,
        Some(Act::Reset(args)) => reset(args, output).await,
    }
}

async fn show(at: At, format: Format, output: &mut Output<'_>) -> Result<Outcome, CliError> {
    let client = at.client()?;
    let answer = client.get(PATH, Duration::ZERO).await?;
    match format {
        Format::Json => output.out.write_all(&answer.body)?,
        Format::Table => {
            if output.terminal {
                writeln!(output.out, "{}\n", sentence(&client.read(PATH, &answer)?))?;
            }
            table::outline(output.out, &client.read(PATH, &answer)?)?;
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

async fn known(client: &Client) -> Result<Bootstrap, CliError> {
    let answer = client.get(PATH, Duration::ZERO).await?;
    Ok(client.read(PATH, &answer)?)
}

async fn complete(args: CompleteArgs, output: &mut Output<'_>) -> Result<Outcome, CliError> {
    let client = args.at.client()?;
    let Some(cluster_id) = known(&client).await?.cluster_id else {
        writeln!(output.err, "no cluster is known here: bootstrap one first, see `chronik-agent bootstrap`")?;
        return Ok(Outcome::Failed);
    };
    let request = EstablishedRequest {
        cluster_id: cluster_id.to_string(),
        config_index: args.config_index,
        voters: args.voter,
    };
    let path = "/v1/bootstrap/established";
    let answer = client.put(path, body(&request)).await?;
    let answer: Bootstrap = client.read(path, &answer)?;
    writeln!(output.out, "cluster {cluster_id} is established; the decision is {}", answer.decision)?;
    Ok(Outcome::Done)
}

async fn override_founders(args: OverrideArgs, output: &mut Output<'_>) -> Result<Outcome, CliError> {
    let client = args.at.client()?;
    let answer = client.get("/v1/members", Duration::ZERO).await?;
    let members: api::Members = client.read("/v1/members", &answer)?;
    let name = |id: &NodeId| {
        let member = members.members.iter().find(|member| member.id == *id);
        member.map_or_else(|| format!("{id} (unknown)"), |member| format!("{} ({id})", member.name))
    };
    let founders: Vec<String> = args.founders.iter().map(name).collect();
    let before = known(&client).await?.cluster_id;
    let before = before.map_or_else(String::new, |id| format!(" in the place of cluster {id}"));
    writeln!(
        output.err,
        "This bootstraps a new cluster{before}: its founders are {}. Every agent takes it over where no group is \
         established; a server that has initialised for another cluster must be emptied first.",
        founders.join(", ")
    )?;
    if !args.yes && !is_agreed(output)? {
        return Ok(Outcome::Failed);
    }
    let founders = args.founders.iter().map(ToString::to_string).collect();
    let path = "/v1/bootstrap/override";
    let answer = client.post(path, body(&OverrideRequest { founders })).await?;
    let answer: OverrideAnswer = client.read(path, &answer)?;
    writeln!(output.out, "cluster {} is to be bootstrapped", answer.cluster_id)?;
    Ok(Outcome::Done)
}

async fn reset(args: ResetArgs, output: &mut Output<'_>) -> Result<Outcome, CliError> {
    let client = args.at.client()?;
    let known = known(&client).await?;
    let keeps = known.established && known.decision == DecisionName::Conflict && !args.i_will_lose_data;
    let cluster = known.cluster_id.map_or_else(|| "no cluster yet".to_owned(), |id| format!("cluster {id}"));
    if keeps {
        writeln!(output.err, "This agent keeps {cluster} and forgets the other one of the same name.")?;
    } else {
        writeln!(
            output.err,
            "This agent knows {cluster}. It forgets that and every vote it gave, and starts over as a new node with \
             another id; its server must be emptied, or it brings its cluster back."
        )?;
    }
    if !args.yes && !is_agreed(output)? {
        return Ok(Outcome::Failed);
    }
    let path = "/v1/bootstrap/reset";
    let answer = client.post(path, body(&ResetRequest { i_will_lose_data: args.i_will_lose_data })).await?;
    let answer: ResetAnswer = client.read(path, &answer)?;
    match (answer.forgotten, answer.new_id) {
        (Forgotten::Everything, Some(id)) => writeln!(output.out, "the agent starts over as node {id}")?,
        (Forgotten::Everything, None) => writeln!(output.out, "the agent starts over as a new node")?,
        (Forgotten::Rival, _) => writeln!(output.out, "the other cluster is forgotten")?,
    }
    Ok(Outcome::Done)
}

/// Asks the person at the terminal. Without one the answer is yes, because the author of the script has decided.
fn is_agreed(output: &mut Output<'_>) -> io::Result<bool> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Ok(true);
    }
    write!(output.err, "Go on? [y/N] ")?;
    output.err.flush()?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    let agreed = matches!(answer.trim().to_lowercase().as_str(), "y" | "yes");
    if !agreed {
        writeln!(output.err, "nothing is done")?;
    }
    Ok(agreed)
}

fn body(request: &impl Serialize) -> Bytes {
    serde_json::to_vec(request).expect("requests have text keys only and serialise infallibly").into()
}
