//! Operators: what they report and say at agents, and how they mend what a program has left.

use serde_json::json;

use crate::{history::look, http::ask_agent, node::Node};

/// An id that no cluster has, from a number of the program.
pub(crate) fn wrong_id(number: u64) -> String {
    uuid::Uuid::from_u64_pair(number, number.rotate_left(7)).to_string()
}

/// Reports that this server is of a cluster that nobody has created.
pub(crate) fn report_wrongly(node: &Node, number: u64) -> String {
    let body = json!({ "cluster_id": wrong_id(number), "adopt": true });
    tell(node, "PUT", "/v1/bootstrap/established", &body.to_string())
}

/// Reports what is the case: the group of the cluster that this agent knows exists.
pub(crate) fn report(node: &Node) -> String {
    match look(&node.socket()) {
        Ok(said) if matches!(said.decision.as_str(), "bootstrap" | "resume") && node.disks.holds_data() => {
            let body = json!({ "cluster_id": said.cluster });
            tell(node, "PUT", "/v1/bootstrap/established", &body.to_string())
        }
        Ok(said) => format!(
            "not reported: it says {} and its server holds data: {}",
            said.decision,
            node.disks.holds_data()
        ),
        Err(error) => format!("not reported: {error}"),
    }
}

/// Takes a report back.
pub(crate) fn retract(node: &Node) -> String {
    tell(node, "DELETE", "/v1/bootstrap/established", "")
}

/// Says which cluster is meant.
pub(crate) fn resolve(node: &Node, keep: &str) -> String {
    tell(node, "POST", "/v1/bootstrap/resolve", &json!({ "keep": keep }).to_string())
}

/// Asks an agent; returns the status and what was wrong, or the reason why there is none.
fn tell(node: &Node, method: &str, path: &str, body: &str) -> String {
    match ask_agent(&node.socket(), method, path, body) {
        Ok((200, _)) => "200".to_owned(),
        Ok((status, answer)) => format!("{status} {}", answer["detail"].as_str().unwrap_or_default()),
        Err(error) => error,
    }
}

/// True if the agent has taken it in.
pub(crate) fn is_taken(answer: &str) -> bool {
    answer == "200"
}
