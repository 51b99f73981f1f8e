//! `forget`: takes a failed or left member out of every view.

use clap::Args;

use super::{
    at::At,
    client::Client,
    consent::is_agreed,
    error::CliError,
    output::{Outcome, Output},
    reach::reach,
};
use crate::{api, node::NodeId};

/// The flags of `forget`.
#[derive(Debug, Args)]
pub struct ForgetArgs {
    #[command(flatten)]
    at: At,
    /// The member, by its id or its name
    #[arg(value_name = "NODE")]
    node: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(args: ForgetArgs, output: &mut Output<'_>) -> Result<Outcome, CliError> {
    let client = args.at.client()?;
    let (id, name) = match find(&client, &args.node).await? {
        Ok(found) => found,
        Err(why) => {
            writeln!(output.err, "{why}")?;
            return Ok(Outcome::Failed);
        }
    };
    writeln!(
        output.err,
        "{name} is gone from every view then, until it shows that it lives, and what its server has reported counts no more. A \
         cluster of which every voter is forgotten is over: a new one can be created in its place."
    )?;
    if !is_agreed(args.yes, output)? {
        return Ok(Outcome::Failed);
    }
    let path = format!("/v1/members/{id}");
    let answer: api::ForgetAnswer = client.delete(&path).await?;
    writeln!(output.out, "{name} is forgotten{}", reach(&client).await?)?;
    if answer.counts {
        writeln!(
            output.err,
            "It may have given a vote, so that it counts on until you say that it is gone for good: `chronik-agent bootstrap vouch \
             --gone {id}`"
        )?;
    }
    Ok(Outcome::Done)
}

/// The member that is meant, with words for it, or the reason for which nobody knows which that is.
async fn find(client: &Client, node: &str) -> Result<Result<(NodeId, String), String>, CliError> {
    let members: api::Members = client.read_now("/v1/members").await?;
    let is_meant = |member: &&api::Member| member.name.as_str() == node || member.id.to_string() == node;
    let meant: Vec<&api::Member> = members.members.iter().filter(is_meant).collect();
    let names = |member: &api::Member| format!("{} ({})", member.name, member.id);
    Ok(match (meant.as_slice(), node.parse::<NodeId>()) {
        ([one], _) => Ok((one.id, names(one))),
        // One that is no member may still be known by what its server has reported.
        ([], Ok(id)) => Ok((id, id.to_string())),
        ([], Err(_)) => {
            Err(format!("no member is called {node:?}: `chronik-agent members` lists their names and ids"))
        }
        (several, _) => {
            let several: Vec<String> = several.iter().map(|member| names(member)).collect();
            Err(format!("several members are called {node:?}: name one by its id, of {}", several.join(", ")))
        }
    })
}
