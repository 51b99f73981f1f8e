//! `bootstrap adopt`: a cluster that is older than its agents, or an operator's word on the voters of one that they know.

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
        founding::{Bootstrap, EstablishedRequest, VoterRequest},
    },
    bootstrap::ClusterId,
    membership::MemberStatus,
    node::{ClusterName, NodeId, Role},
};

/// The flags of `bootstrap adopt`.
#[derive(Debug, Args)]
pub(super) struct AdoptArgs {
    #[command(flatten)]
    at: At,
    /// The id of an agent beside a server of the cluster, as `members` lists it; repeatable [default: all that are alive]
    #[arg(long, value_name = "ID")]
    voter: Vec<NodeId>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(args: AdoptArgs, output: &mut Output<'_>) -> Result<Outcome, CliError> {
    let client = args.at.client()?;
    let members: api::Members = client.read_now("/v1/members").await?;
    let is_meant = |member: &&api::Member| {
        let all =
            args.voter.is_empty() && member.role == Role::Server && member.status == MemberStatus::Alive;
        all || args.voter.contains(&member.id)
    };
    let meant: Vec<&api::Member> = members.members.iter().filter(is_meant).collect();
    if let Some(unknown) = args.voter.iter().find(|id| meant.iter().all(|member| member.id != **id)) {
        writeln!(output.err, "no agent {unknown} is known: `chronik-agent members` lists those that are")?;
        return Ok(Outcome::Failed);
    }
    let names: Vec<String> = meant.iter().map(|member| member.name.to_string()).collect();
    let known = client.known().await?.cluster_id;
    match known {
        None => writeln!(
            output.err,
            "The servers beside {} are the voters of one cluster, which exists: all others join it, and none is created.",
            names.join(", ")
        )?,
        Some(id) => writeln!(
            output.err,
            "The servers beside {} are the voters of cluster {id} from now on: what was reported of its voters before counts no more.",
            names.join(", ")
        )?,
    }
    if !is_agreed(args.yes, output)? {
        return Ok(Outcome::Failed);
    }
    let ids: BTreeSet<NodeId> = meant.iter().map(|member| member.id).collect();
    let cluster_id = match known {
        Some(known) => known,
        None => cluster_id(&client, &members.cluster, &ids).await?,
    };
    let voter = |id: &NodeId| VoterRequest { id: Some(id.to_string()), ..VoterRequest::default() };
    let request = EstablishedRequest {
        cluster_id: cluster_id.to_string(),
        config_index: None,
        voters: ids.iter().map(voter).collect(),
        adopt: true,
    };
    let answer: Bootstrap = client.put("/v1/bootstrap/established", &request).await?;
    writeln!(output.out, "cluster {cluster_id} is adopted; the decision is {}", answer.decision)?;
    Ok(Outcome::Done)
}

/// The id of the cluster: by the servers' own name for their group where a driver knows it, so that whoever adopts it means the
/// same; else by the agents that are named.
async fn cluster_id(
    client: &Client,
    name: &ClusterName,
    voters: &BTreeSet<NodeId>,
) -> Result<ClusterId, CliError> {
    let myself: api::Myself = client.read_now("/v1/self").await?;
    let group = myself.driver.and_then(|driver| Some((driver.server, driver.group?)));
    Ok(match group {
        Some((server, group)) => {
            let kind = server.split_once('=').map_or(server.as_str(), |(kind, _)| kind);
            ClusterId::adopted_group(name, kind, &group)
        }
        None => ClusterId::adopted(name, voters),
    })
}
