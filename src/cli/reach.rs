//! The reach of an operator's word: every node, or the one at which it was said.

use super::{client::Client, error::CliError};
use crate::{api, membership::MemberStatus};

/// Words on how far an operator's word reaches. Without a group key a stranger could send it, too, so that it is to be said on every
/// other node, which are named.
pub(super) async fn reach(client: &Client) -> Result<String, CliError> {
    let info: api::Info = client.read_now("/v1/info").await?;
    if info.encryption.enabled {
        return Ok(" on every node".to_owned());
    }
    let members: api::Members = client.read_now("/v1/members").await?;
    let others = members.members.iter().filter(|member| {
        !member.myself && matches!(member.status, MemberStatus::Alive | MemberStatus::Suspect)
    });
    let others: Vec<String> =
        others.map(|member| format!("{} at {}", member.name, member.addr.ip())).collect();
    Ok(if others.is_empty() {
        " on this node, and no other one is alive".to_owned()
    } else {
        format!(
            " on this node; without --encrypt-key-file say it on every other one, too: {}",
            others.join(", ")
        )
    })
}
