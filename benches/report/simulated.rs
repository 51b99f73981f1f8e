//! The tables of simulated results.

use std::collections::BTreeMap;

use super::{
    named,
    raw::Row,
    tables::{Table, figure, one, picked, tail},
};

pub(super) fn large_clusters(rows: &[Row]) -> String {
    let mut table = Table::of(&["scenario", "members", "median", "p99", "worst"]);
    let mut groups: BTreeMap<(&str, u64), Vec<&Row>> = BTreeMap::new();
    for row in rows {
        for scenario in ["join", "quiet after a join", "crash", "quiet after a crash"]
            .into_iter()
            .filter(|scenario| row.is("sim", scenario))
        {
            groups.entry((scenario, row.members())).or_default().push(row);
        }
    }
    for ((scenario, size), rows) in groups {
        let tail = tail(rows.iter().filter_map(|row| row.number("/seconds")).collect());
        table.add_line(&[&[scenario.to_owned(), size.to_string()], &tail[..]].concat(), rows.len(), &rows);
    }
    table.text()
}

pub(super) fn tradeoffs(rows: &[Row]) -> String {
    let mut table = Table::of(&[
        "members",
        "suspicion, ms",
        "probe period, ms",
        "a crash is known: median",
        "worst",
        "a silent host is known: median",
        "worst",
        "longest pause that is no failure",
        "false failures in half an hour, 25 % lost",
        "40 % lost",
        "50 % lost",
    ]);
    for row in picked(rows, "tradeoff", "tradeoff") {
        let paths = ["/crash_s", "/crash_worst_s", "/silent_s", "/silent_worst_s"];
        let known = paths.into_iter().map(|path| one(row, path));
        let pause = row.number("/pause_ms").map_or("-".to_owned(), |ms| figure(ms / 1e3));
        let false_ones = ["/false_25", "/false_40", "/false_50"].into_iter().map(|path| one(row, path));
        let knobs = [row.members().to_string(), one(row, "/suspicion_ms"), one(row, "/probe_ms")];
        let cells: Vec<_> = knobs.into_iter().chain(known).chain([pause]).chain(false_ones).collect();
        table.add_line(&cells, 10, &[row]);
    }
    table.text()
}

/// Lifeguard's campaigns: a line for each kind and each agent, its false failures as a share of those of SWIM with the
/// same constants.
pub(super) fn anomalies(rows: &[Row]) -> String {
    let mut table = Table::of(&[
        "campaign",
        "agent",
        "members",
        "healthy called failed",
        "% of SWIM",
        "by healthy ones",
        "% of SWIM",
        "those that stand still called failed",
        "a crash is known to the first: median",
        "to all: median",
        "datagrams, % of SWIM",
        "bytes, % of SWIM",
    ]);
    for campaign in ["threshold", "interval"] {
        let picked = picked(rows, "campaign", campaign);
        let mut agents: BTreeMap<(&str, u64), Vec<&Row>> = BTreeMap::new();
        for row in picked {
            agents.entry((row.agent(), row.members())).or_default().push(row);
        }
        let sum = |rows: &[&Row], path: &str| rows.iter().filter_map(|row| row.number(path)).sum::<f64>();
        for ((agent, size), rows) in &agents {
            let swim = agents.get(&("SWIM", *size));
            let share = |path: &str| {
                let whole = swim.map(|rows| sum(rows, path)).filter(|whole| *whole > 0.0);
                whole.map_or("-".to_owned(), |whole| figure(sum(rows, path) * 100.0 / whole))
            };
            let middle = |path: &str| {
                let [median, ..] = tail(rows.iter().filter_map(|row| row.number(path)).collect());
                median
            };
            let name = if *agent == "chronik" { named(agent) } else { agent };
            let (wrong, by_healthy) = ("/false_failed", "/false_failed_by_healthy");
            let cells = [
                campaign.to_owned(),
                name.to_owned(),
                size.to_string(),
                figure(sum(rows, wrong)),
                share(wrong),
                figure(sum(rows, by_healthy)),
                share(by_healthy),
                figure(sum(rows, "/anomalous_failed")),
                middle("/first_s"),
                middle("/all_s"),
                share("/datagrams"),
                share("/bytes"),
            ];
            table.add_line(&cells, rows.len(), rows);
        }
    }
    table.text()
}

pub(super) fn asymmetric(rows: &[Row]) -> String {
    let mut table = Table::of(&[
        "they",
        "members",
        "faulty",
        "faulty called failed",
        "healthy called failed",
        "verdicts taken back, at most",
    ]);
    for (scenario, they) in
        [("deaf", "hear nothing for 20 s of every 40"), ("mute", "lose 80 % of what they send")]
    {
        for row in picked(rows, "campaign", scenario) {
            let paths = ["/faulty", "/faulty_called_failed", "/healthy_called_failed", "/flips"];
            let cells = [they.to_owned(), row.members().to_string()].into_iter();
            let cells: Vec<_> = cells.chain(paths.into_iter().map(|path| one(row, path))).collect();
            table.add_line(&cells, 1, &[row]);
        }
    }
    table.text()
}

pub(super) fn node_years(rows: &[Row]) -> String {
    let mut table = Table::of(&[
        "things that go wrong",
        "node-hours",
        "clusters",
        "members",
        "faults",
        "suspicions",
        "called failed",
    ]);
    for (scenario, many) in [("node-year", "one at a time"), ("storms", "two to six at once")] {
        for row in picked(rows, "campaign", scenario) {
            let [hours, clusters] = ["/node_hours", "/clusters"].map(|path| one(row, path));
            let [faults, suspicions, failed] =
                ["/faults_in_all", "/suspicions", "/called_failed"].map(|path| one(row, path));
            let members = format!("3 to {}", row.members());
            table.add_line(
                &[many.to_owned(), hours, clusters, members, faults, suspicions, failed],
                1,
                &[row],
            );
        }
    }
    table.text()
}
