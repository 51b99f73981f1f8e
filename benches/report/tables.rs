//! The tables of the page.

use std::collections::{BTreeMap, BTreeSet};

use super::{named, raw::Row, simulated};

/// Each table with its heading and the plots that belong below it; a table without measurements is empty.
pub(super) fn all(rows: &[Row]) -> Vec<(&'static str, String, &'static [&'static str])> {
    vec![
        ("A founding", foundings(rows), &["founding"]),
        ("Joining", joins(rows), &["join"]),
        ("A crash", crashes(rows, "crash"), &["crash"]),
        ("A host that falls silent", crashes(rows, "crash_host"), &[]),
        ("A pause", pauses(rows), &[]),
        ("A goodbye", leaves(rows), &[]),
        ("A partition that heals", heals(rows), &[]),
        ("Lost packets", losses(rows), &[]),
        ("Large clusters, simulated", simulated::large_clusters(rows), &[]),
        ("What a longer suspicion costs, simulated", simulated::tradeoffs(rows), &["tradeoff"]),
        ("Members that stand still, simulated", simulated::anomalies(rows), &[]),
        ("Members that cannot hear or speak, simulated", simulated::asymmetric(rows), &[]),
        ("A node-year, simulated", simulated::node_years(rows), &[]),
        ("Cost at rest", costs(rows), &["traffic", "cpu", "memory"]),
        ("The start of one agent", starts(rows), &[]),
        ("The local API", api(rows), &[]),
        ("The same, asked by one program for both", apis(rows), &[]),
        ("Under siege", sieges(rows), &[]),
        ("The core", core(rows), &[]),
    ]
}

/// A table: its own columns, and the ones that all tables end with.
pub(super) struct Table {
    head: Vec<&'static str>,
    lines: Vec<String>,
}

impl Table {
    pub(super) fn of(columns: &[&'static str]) -> Self {
        Self {
            head: [columns, &["times", "load", "machine", "version", "when (UTC)"]].concat(),
            lines: vec![],
        }
    }

    /// Adds a line of figures that are made of `rows`, measured `times` times.
    pub(super) fn add_line(&mut self, cells: &[String], times: usize, rows: &[&Row]) {
        let loads: Vec<f64> = rows.iter().flat_map(|row| row.loads()).collect();
        let load = extremes(&loads).map_or("-".to_owned(), |(low, high)| format!("{low} to {high}"));
        let of = |text: fn(&Row) -> String| {
            let texts: BTreeSet<_> =
                rows.iter().map(|row| text(row)).filter(|text| !text.is_empty()).collect();
            if texts.is_empty() { "-".to_owned() } else { texts.into_iter().collect::<Vec<_>>().join("; ") }
        };
        let version = of(|row| row.text("version").to_owned());
        let when = of(|row| row.text("at").chars().take("2026-11-22T22:46".len()).collect());
        // A measurement of many lines began with the first and ended with the last.
        let when = match (when.split("; ").next(), when.split("; ").last()) {
            (Some(first), Some(last)) if first != last => format!("{first} to {last}"),
            _ => when,
        };
        let cells = cells.iter().cloned().chain([times.to_string(), load, of(Row::machine), version, when]);
        self.lines.push(format!("| {} |\n", cells.collect::<Vec<_>>().join(" | ")));
    }

    pub(super) fn text(self) -> String {
        if self.lines.is_empty() {
            return String::new();
        }
        let rule = "|---".repeat(self.head.len());
        format!("| {} |\n{rule}|\n{}", self.head.join(" | "), self.lines.concat())
    }
}

/// The value with three significant digits, and no more behind the point than needed.
pub(super) fn figure(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        size if size >= 0.1 => 3,
        _ => 4,
    };
    let text = format!("{value:.digits$}");
    // A count has nothing behind the point.
    if value.fract() == 0.0 { format!("{value:.0}") } else { text }
}

fn extremes(values: &[f64]) -> Option<(f64, f64)> {
    let low = values.iter().copied().min_by(f64::total_cmp)?;
    Some((low, values.iter().copied().max_by(f64::total_cmp)?))
}

/// The middle one of sorted values, or the mean of the two in the middle.
pub(super) fn median(sorted: &[f64]) -> Option<f64> {
    let high = sorted.get(sorted.len() / 2)?;
    let low = sorted[(sorted.len() - 1) / 2];
    Some(f64::midpoint(low, *high))
}

fn spread(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    match (extremes(&values), median(&values)) {
        (Some((low, high)), Some(middle)) => {
            format!("{} / **{}** / {}", figure(low), figure(middle), figure(high))
        }
        _ => "-".to_owned(),
    }
}

pub(super) fn one(row: &Row, path: &str) -> String {
    row.number(path).map_or("-".to_owned(), figure)
}

pub(super) fn picked<'a>(rows: &'a [Row], suite: &str, scenario: &str) -> Vec<&'a Row> {
    rows.iter().filter(|row| row.is(suite, scenario)).collect()
}

/// Median, 99th percentile by nearest rank, and worst.
pub(super) fn tail(mut values: Vec<f64>) -> [String; 3] {
    values.sort_by(f64::total_cmp);
    let p99 = values.get((values.len() * 99).div_ceil(100).saturating_sub(1));
    [median(&values), p99.copied(), values.last().copied()].map(|value| value.map_or("-".to_owned(), figure))
}

fn foundings(rows: &[Row]) -> String {
    let mut table = Table::of(&["servers", "median", "p99", "worst"]);
    let mut sizes: BTreeMap<u64, Vec<&Row>> = BTreeMap::new();
    for row in picked(rows, "founding", "founding") {
        sizes.entry(row.members()).or_default().push(row);
    }
    for (size, rows) in sizes {
        let tail = tail(rows.iter().filter_map(|row| row.number("/seconds")).collect());
        table.add_line(&[&[size.to_string()], &tail[..]].concat(), rows.len(), &rows);
    }
    table.text()
}

/// A line for each raw one: agent, members, then these columns, each the spread of a figure of the repetitions.
fn repeated(rows: &[Row], scenario: &str, columns: &[(&'static str, &str)]) -> String {
    let head: Vec<_> =
        ["agent", "members"].into_iter().chain(columns.iter().map(|(head, _)| *head)).collect();
    let mut table = Table::of(&head);
    for row in picked(rows, "peers", scenario) {
        let own = columns.iter().map(|(_, key)| spread(row.repetitions(key)));
        let cells = [named(row.agent()).to_owned(), row.members().to_string()].into_iter().chain(own);
        table.add_line(&cells.collect::<Vec<_>>(), row.repetition_count(), &[row]);
    }
    table.text()
}

fn sieges(rows: &[Row]) -> String {
    let mut table = Table::of(&["keys", "figure", "measured", "bound", "seconds"]);
    for row in picked(rows, "siege", "siege") {
        let what = match row.text("unit") {
            "" => row.text("what").to_owned(),
            unit => format!("{}, {unit}", row.text("what")),
        };
        let figures = ["/measured", "/bound", "/seconds"].map(|path| one(row, path));
        table.add_line(&[&[row.text("keys").to_owned(), what], &figures[..]].concat(), 1, &[row]);
    }
    table.text()
}

fn joins(rows: &[Row]) -> String {
    repeated(rows, "join", &[("all list all", "all_s"), ("half of them do", "median_node_s")])
}

fn crashes(rows: &[Row], scenario: &str) -> String {
    repeated(
        rows,
        scenario,
        &[
            ("first says failed", "first_s"),
            ("all say so", "all_s"),
            ("healthy called failed", "false_failed"),
        ],
    )
}

fn leaves(rows: &[Row]) -> String {
    repeated(
        rows,
        "leave",
        &[("first says left", "first_s"), ("all say so", "all_s"), ("process gone", "exit_s_at_most")],
    )
}

/// A line for each raw one: agent, members, then these columns, each a figure of the line.
fn single(rows: &[Row], suite: &str, scenario: &str, columns: &[(&'static str, &str)]) -> Table {
    let head: Vec<_> =
        ["agent", "members"].into_iter().chain(columns.iter().map(|(head, _)| *head)).collect();
    let mut table = Table::of(&head);
    for row in picked(rows, suite, scenario) {
        let own = columns.iter().map(|(_, path)| one(row, path));
        let cells = [named(row.agent()).to_owned(), row.members().to_string()].into_iter().chain(own);
        table.add_line(&cells.collect::<Vec<_>>(), row.repetition_count(), &[row]);
    }
    table
}

/// A line for the raw ones that agree in agent, members and the figures that `of` names, then these columns, each the
/// spread of a figure of the lines.
fn grouped(
    rows: &[Row],
    scenario: &str,
    of: &[(&'static str, &str)],
    columns: &[(&'static str, &str)],
) -> String {
    let heads = of.iter().chain(columns).map(|(head, _)| *head);
    let mut table = Table::of(&["agent", "members"].into_iter().chain(heads).collect::<Vec<_>>());
    let mut groups: BTreeMap<_, Vec<&Row>> = BTreeMap::new();
    for row in picked(rows, "peers", scenario) {
        let key: Vec<_> = of.iter().map(|(_, path)| one(row, path)).collect();
        groups.entry((row.agent(), row.members(), key)).or_default().push(row);
    }
    for ((agent, members, key), rows) in groups {
        let own =
            columns.iter().map(|(_, path)| spread(rows.iter().filter_map(|row| row.number(path)).collect()));
        let cells = [named(agent).to_owned(), members.to_string()].into_iter().chain(key).chain(own);
        table.add_line(&cells.collect::<Vec<_>>(), rows.len(), &rows);
    }
    table.text()
}

fn heals(rows: &[Row]) -> String {
    let columns = [
        ("first calls one failed", "/first_failed_s"),
        ("all see all again", "/heal_all_alive_s"),
        ("called failed on its own side", "/false_failed_own_side"),
    ];
    grouped(rows, "partition", &[("cut for", "/seconds")], &columns)
}

fn losses(rows: &[Row]) -> String {
    let columns = [
        ("healthy called failed", "/false_failed_polled"),
        ("all see all again", "/all_alive_after_s"),
        ("sent, bytes/s", "/out_Bps_per_node"),
    ];
    grouped(rows, "loss", &[("% lost", "/loss_pct"), ("seconds", "/seconds")], &columns)
}

fn pauses(rows: &[Row]) -> String {
    let columns = [
        ("stopped for", "/seconds"),
        ("members who call the paused one failed: median", "/victim_failed_seen_by/median"),
        ("healthy ones called failed by healthy ones", "/fp_by_healthy"),
        ("by the paused one", "/fp_by_paused"),
        ("all see all again: median", "/recover_s/median"),
        ("worst", "/recover_s/max"),
    ];
    single(rows, "peers", "pause", &columns).text()
}

fn costs(rows: &[Row]) -> String {
    let columns = [
        ("sent, bytes/s", "/mean_out_Bps"),
        ("packets/s", "/mean_out_pps"),
        ("CPU s/min", "/cpu_s_per_min_sched/median"),
        ("of it in the kernel, %", "/cpu_kernel_pct"),
        ("RSS, KiB", "/rss_kB/median"),
        ("of it its own, KiB", "/private_dirty_kB/median"),
        ("threads", "/threads/median"),
        ("measured for, s", "/seconds"),
    ];
    single(rows, "peers", "steady", &columns).text()
}

fn starts(rows: &[Row]) -> String {
    let columns =
        [("min, ms", "/ms/min"), ("median, ms", "/ms/median"), ("max, ms", "/ms/max"), ("starts", "/ms/n")];
    single(rows, "peers", "start", &columns).text()
}

fn api(rows: &[Row]) -> String {
    let mut table = Table::of(&["what", "members", "requests/s", "p50, µs", "p99, µs", "worst, µs"]);
    let kinds = [
        ("members", "`GET /v1/members` over one connection", "requests"),
        ("wake", "from a `PUT /v1/server` until a waiting `GET /v1/bootstrap` has its answer", "changes"),
    ];
    for (scenario, what, times) in kinds {
        for row in picked(rows, "api", scenario) {
            let figures = ["/requests_per_s", "/p50_us", "/p99_us", "/worst_us"].map(|path| one(row, path));
            let cells = [&[what.to_owned(), row.members().to_string()], &figures[..]].concat();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
            let times = row.number(&format!("/{times}")).unwrap_or_default() as usize;
            table.add_line(&cells, times, &[row]);
        }
    }
    table.text()
}

fn apis(rows: &[Row]) -> String {
    let columns = [
        ("requests/s, one connection", "/c1/rps"),
        ("p50, µs", "/c1/p50_us"),
        ("p99, µs", "/c1/p99_us"),
        ("requests/s, eight", "/c8/rps"),
        ("p50, µs", "/c8/p50_us"),
        ("p99, µs", "/c8/p99_us"),
        ("answer, bytes", "/c1/reply_bytes"),
    ];
    single(rows, "peers", "api", &columns).text()
}

fn core(rows: &[Row]) -> String {
    let mut table = Table::of(&["what", "members", "min, µs", "median, µs", "max, µs"]);
    let kinds = [
        ("ping", "a probe is answered"),
        ("ping_news", "a probe that brings news of a member, which is known, is answered"),
        ("busy_second", "a second of gossip with a full backlog"),
        ("compare", "the state is compared, and is the same"),
        ("exchange", "whole states are exchanged, both ends"),
        ("publish", "the members are copied for readers"),
        ("members_known", "`GET /v1/members`, asked before since the last change"),
        ("members_fresh", "`GET /v1/members` after a change"),
        ("decision_turn", "a turn of the founding"),
    ];
    for (scenario, what) in kinds {
        for row in picked(rows, "core", scenario) {
            let figures = ["/min_us", "/median_us", "/max_us"].map(|path| one(row, path));
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
            let samples = row.number("/samples").unwrap_or_default() as usize;
            table.add_line(
                &[&[what.to_owned(), row.members().to_string()], &figures[..]].concat(),
                samples,
                &[row],
            );
        }
    }
    table.text()
}
