//! `GET /metrics`: the Prometheus text format, version 0.0.4.

use std::fmt::{self, Write as _};

use axum::{
    extract::State,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};

use super::{answer::time, founding, state::Api};
use crate::{
    api::founding::DecisionName,
    budget::Use,
    counters::{Counter, Counters},
    membership::MemberStatus,
    quorum::QuorumStatus,
    servers::Seen,
    snapshot::{ProviderReport, Snapshot},
};

pub(super) async fn get(State(api): State<Api>) -> Response {
    let mut text = String::new();
    write(&mut text, &api.handle.snapshot(), &[api.shared.untaken.use_now()])
        .expect("writing to a String does not fail");
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// Writes all metrics; `own` are the bounds of this API.
fn write(out: &mut String, snapshot: &Snapshot, own: &[Use]) -> fmt::Result {
    let about = &snapshot.about;
    let version = env!("CARGO_PKG_VERSION");
    metric(out, "info", "gauge", "Always 1; the labels say which agent this is.")?;
    let labels = [
        ("cluster", about.cluster.as_str()),
        ("node_id", &about.id.to_string()),
        ("profile", about.profile),
        ("version", version),
    ];
    sample(out, "info", &labels, 1)?;
    metric(out, "start_time_seconds", "gauge", "When the agent started, in seconds since the Unix epoch.")?;
    let started = time(about, about.started.instant).0.as_millisecond();
    sample(out, "start_time_seconds", &[], format_args!("{}.{:03}", started / 1000, started % 1000))?;
    metric(out, "joined", "gauge", "Whether the agent has ever been in contact with another one.")?;
    sample(out, "joined", &[], u8::from(snapshot.joined))?;
    members(out, snapshot)?;
    quorum(out, snapshot)?;
    bootstrap(out, snapshot)?;
    discovery(out, snapshot)?;
    budgets(out, snapshot.budgets.iter().chain(own))?;
    counters(out, snapshot)
}

fn members(out: &mut String, snapshot: &Snapshot) -> fmt::Result {
    use MemberStatus::{Alive, Failed, Left, Suspect};
    metric(out, "members", "gauge", "Members in the view, by status.")?;
    for status in [Alive, Suspect, Failed, Left] {
        let members = snapshot.membership.members.values();
        let count = members.filter(|member| member.status == status).count();
        sample(out, "members", &[("status", &status.to_string())], count)?;
    }
    metric(out, "membership_index", "counter", "Changes of the membership that a reader can see.")?;
    sample(out, "membership_index", &[], snapshot.membership.index)?;
    let help =
        "How far off estimated round trips are, by this agent's own account; absent before the first probe.";
    metric(out, "coordinate_error", "gauge", help)?;
    let own = snapshot.myself().and_then(|member| member.coordinate);
    own.map_or(Ok(()), |own| sample(out, "coordinate_error", &[], format_args!("{:.3}", own.error())))
}

fn quorum(out: &mut String, snapshot: &Snapshot) -> fmt::Result {
    use QuorumStatus::{Conflict, Forming, Lost, Quorate};
    let quorum = &snapshot.quorum;
    metric(out, "quorum_status", "gauge", "1 for the status that the quorum has, 0 for the others.")?;
    for (status, name) in [(Forming, "forming"), (Quorate, "quorate"), (Lost, "lost"), (Conflict, "conflict")]
    {
        sample(out, "quorum_status", &[("status", name)], u8::from(quorum.status == status))?;
    }
    for (name, help, value) in [
        ("voters", "Voters of the cluster, or those expected before its founding.", quorum.voters),
        ("voters_alive", "Voters that are alive.", quorum.voters_alive),
        ("voters_required", "Voters that must be alive for a majority.", quorum.required),
        ("quorum_stale", "Whether the view is old.", usize::from(quorum.stale)),
    ] {
        metric(out, name, "gauge", help)?;
        sample(out, name, &[], value)?;
    }
    Ok(())
}

fn bootstrap(out: &mut String, snapshot: &Snapshot) -> fmt::Result {
    let facts = founding::summary(&snapshot.founding);
    metric(
        out,
        "bootstrap_decision",
        "gauge",
        "1 for the decision that the server is given, 0 for the others.",
    )?;
    for decision in DecisionName::ALL {
        let labels = [("decision", decision.as_str())];
        sample(out, "bootstrap_decision", &labels, u8::from(facts.decision == decision))?;
    }
    metric(out, "bootstrap_reason", "gauge", "1 for each reason to wait, for a conflict, or a fault.")?;
    for code in founding::codes(&snapshot.founding) {
        sample(out, "bootstrap_reason", &[("code", code)], 1)?;
    }
    metric(out, "cluster_info", "gauge", "1 where a cluster is known; the label says which.")?;
    if let Some(id) = facts.cluster_id {
        sample(out, "cluster_info", &[("cluster_id", &id.to_string())], 1)?;
    }
    for (name, help, value) in [
        ("conflict", "Whether two clusters, or two agents with one id, claim to be this one.", {
            u64::from(facts.decision == DecisionName::Conflict)
        }),
        (
            "established",
            "Whether a server reported that the cluster's group exists.",
            facts.established.into(),
        ),
        ("config_index", "How new the list of voters is.", facts.config_index),
    ] {
        metric(out, name, "gauge", help)?;
        sample(out, name, &[], value)?;
    }
    server(out, snapshot)
}

/// The server beside the agent. Samples are absent where nothing is known.
fn server(out: &mut String, snapshot: &Snapshot) -> fmt::Result {
    let up = snapshot.myself().and_then(|member| member.founding.server_up).map(u64::from);
    let seen = snapshot.server.as_deref();
    let answering = seen.filter(|seen| seen.answers);
    let leads = |seen: &Seen| seen.leader.as_ref().is_some_and(|leader| leader.id == Some(snapshot.about.id));
    let troubles = seen.map(|seen| seen.troubles.len() as u64);
    for (name, help, value) in [
        ("server_up", "Whether the server reports itself, or answers; absent where nothing is known.", up),
        (
            "server_has_leader",
            "Whether the server sees a leader, by its driver.",
            answering.map(|seen| seen.leader.is_some().into()),
        ),
        (
            "server_leads",
            "Whether the server leads, by its driver.",
            answering.map(|seen| leads(seen).into()),
        ),
        (
            "server_applied_index",
            "Index that the server has applied, by its driver.",
            seen.and_then(|seen| seen.applied),
        ),
        ("server_troubles", "Troubles with the server that its driver knows of.", troubles),
    ] {
        metric(out, name, "gauge", help)?;
        value.map_or(Ok(()), |value| sample(out, name, &[], value))?;
    }
    Ok(())
}

fn discovery(out: &mut String, snapshot: &Snapshot) -> fmt::Result {
    let providers = &snapshot.discovery.providers;
    type Figure = fn(&ProviderReport) -> u64;
    let tables: [(&str, &str, &str, Figure); 3] = [
        ("provider_polls_total", "counter", "How often the provider was asked.", |report| report.polls),
        ("provider_failures", "gauge", "Polls that have failed in a row.", |report| report.failures.into()),
        ("provider_addrs", "gauge", "Addresses in the last good answer.", |report| report.addrs.len() as u64),
    ];
    for (name, kind, help, value) in tables {
        metric(out, name, kind, help)?;
        for (number, report) in providers.iter().enumerate() {
            // The spec itself may be long; its number is its place among the --retry-join flags.
            let labels = [("provider", report.provider), ("number", &(number + 1).to_string())];
            sample(out, name, &labels, value(report))?;
        }
    }
    Ok(())
}

fn budgets<'a>(out: &mut String, budgets: impl Iterator<Item = &'a Use> + Clone) -> fmt::Result {
    type Figure = fn(&Use) -> u64;
    let figures: [(&str, &str, &str, Figure); 3] = [
        (
            "budget_used",
            "gauge",
            "Part of a bound on what others may have of this agent that is taken.",
            |budget| budget.used as u64,
        ),
        ("budget_limit", "gauge", "The bound.", |budget| budget.limit as u64),
        ("budget_refused_total", "counter", "Times that there was not enough.", |budget| budget.refused),
    ];
    for (name, kind, help, value) in figures {
        metric(out, name, kind, help)?;
        for budget in budgets.clone() {
            sample(out, name, &[("budget", budget.name)], value(budget))?;
        }
    }
    Ok(())
}

fn counters(out: &mut String, snapshot: &Snapshot) -> fmt::Result {
    metric(out, "encrypted", "gauge", "Whether gossip is encrypted.")?;
    sample(out, "encrypted", &[], u8::from(!snapshot.encryption.keys.is_empty()))?;
    for Counter { name, help, value } in Counters::TABLE {
        let name = format!("{name}_total");
        metric(out, &name, "counter", help)?;
        sample(out, &name, &[], value(&snapshot.counters))?;
    }
    Ok(())
}

fn metric(out: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(out, "# HELP chronik_agent_{name} {help}")?;
    writeln!(out, "# TYPE chronik_agent_{name} {kind}")
}

fn sample(out: &mut String, name: &str, labels: &[(&str, &str)], value: impl fmt::Display) -> fmt::Result {
    write!(out, "chronik_agent_{name}")?;
    for (at, (key, label)) in labels.iter().enumerate() {
        let label = label.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
        write!(out, "{}{key}=\"{label}\"", if at == 0 { '{' } else { ',' })?;
    }
    writeln!(out, "{} {value}", if labels.is_empty() { "" } else { "}" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::sample;

    #[test]
    fn the_text_is_the_one_that_dashboards_read() {
        let mut text = String::new();
        write(&mut text, &sample::snapshot(7), &[]).unwrap();
        let expected = include_str!("metrics.txt").replace("VERSION", env!("CARGO_PKG_VERSION"));
        assert_eq!(text, expected);
    }
}
