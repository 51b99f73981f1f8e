//! The page on performance: tables and plots of the raw results, and no figure that is not in them.

mod plot;
mod raw;
mod simulated;
mod tables;

use std::{collections::BTreeMap, path::Path};

use self::{
    plot::{Plot, Series, shares},
    raw::{Row, machines, rows},
};

const FOLDER: &str = "docs/performance";

/// A file of the page, by its path from the root.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

const BEGIN: &str = "# Performance

Made by `cargo bench --no-default-features --bench report` of the raw results in [performance](performance); a test checks
that it is. Every row says how often, on which machine, under which load and when. Times are in seconds unless a
column says otherwise; of three, the first is the smallest, the last the largest, and the bold one the median.

*Load* is the system's load average of the last minute, smallest and largest while measuring; the measurement itself is in
it. A machine is as busy as its load says: where that is above its number of cores, others had to wait.
";

const TRADEOFF: &str = "
The suspicion and the probe period are those of the LAN profile times a factor, one at a time. Why the LAN profile takes 800 ms and
300 ms: a shorter suspicion wins little, since a crash, which the host itself confirms, is known just as soon, and a process that is
stopped for a second, by a snapshot, a live migration or a collection of garbage, would be called failed; a longer one makes a silent host
known later by as much as it forgives. Half the probe period costs twice the packets and forgives less; twice the period makes the worst
case of a crash more than twice as late. Lost packets decide nothing here: they are told from failures by other means.
";

const ANOMALIES: &str = "
The campaigns of Lifeguard (Dadgar, Phillips and Currey, DSN 2018): some members stand still, once (threshold) or again and
again (interval), while one crashes. SWIM is the engine alone with the same constants as ours; beside it with memberlist's.
Lifeguard's own share of SWIM's false failures is 1.53 % in all and 1.89 % by healthy members, over members that stand still for
128 ms to 32.8 s. What is measured here is 1 to 32 members that stand still for 128 ms, 512 ms, 2.048 s and 8.192 s, once;
and 4 or 16 that do again and again, for 128 ms, 512 ms and 2.048 s with 1 ms to 16.384 s between, and of 8.192 s the first two of eight such
lengths.
";

const NODE_YEAR: &str = "
Clusters of three to ten whole agents live for an hour each; every minute or two one thing goes wrong: packets are lost, a
process is stopped, killed or started anew, members are cut off, deaf or mute, leave, or all are killed at once. Half of the clusters have
the timing of several data centres, three in eight that of one, one in eight that of one host. What the fault does not explain may not be said, the side of the
majority keeps its identities and the quorum, no vote is lost, and all agree again soon after: a run that breaks this fails. In storms two to six of these things come one upon the
other, again and again for five minutes, and end together: then all must agree again just as soon, have the quorum, and no vote may be lost.
";

const COSTS: &str = "
Nearly all of our memory is pages of the program's file, which all processes share and which the kernel takes back where it needs room;
*its own* is what nobody else can use meanwhile. It is measured without the AWS provider, which adds 3 MB. Built for size
(`CARGO_PROFILE_RELEASE_OPT_LEVEL=s`) the program holds 0.6 MB less, but takes a fifth more CPU at rest, and the API answers a fifth
less often; so release is built for speed. What is left is hard to spare, for the kernel maps 64 KiB around each page that is used, and
those are all over the program. A machine that is otherwise idle needs more CPU for the same, since it sleeps and wakes in between. What
CPU there is goes into packets: a probe every 300 ms, its answer, and the other's. `CHRONIK_AGENT_PROFILE=wan python3 benches/peers
--agent chronik --scenarios steady` measures one every 2 s; what fewer probes cost in time to detect is above.
";

const SIEGE: &str = "
Five agents on loopback, of which two are attacked by all of this at once: 20,000 datagrams a second of rubbish, torn ones, and each
message of the engine by nodes that are made up and say that they are at a third party's address; frames by the grammar with lives that
nobody has proven, with forged goodbyes and right ones, with accounts and wishes without end; streams that announce the longest frame and
stay; answers of 7 MiB that are slow or a list of nothings; requests to join 64 addresses at which nobody is, one after the other; and
clients of the API that do not read, or never finish asking. The attackers have no key. Attackers and agents share the machine, and
these figures are of a development build beside other work (`--profile dev -- --seconds 20`): the memory and the answers of the API exceed
their bounds.
";

const END: &str = "
## How to repeat

```sh
benches/measure          # everything, as root; nothing else should run on the machine
```

It installs nothing: it wants `ip` (iproute2), `nft` (nftables) and `serf`, and says so. Its arguments go to
`benches/peers`, such as `--reps 20 --reps-join 20` for more repetitions. Each part alone:

```sh
cargo bench --no-default-features --bench founding >docs/performance/founding.jsonl
cargo bench --no-default-features --bench api >docs/performance/api.jsonl
cargo bench --no-default-features --bench core >docs/performance/core.jsonl
cargo bench --no-default-features --bench siege >docs/performance/siege.jsonl
cargo build --release --no-default-features
python3 benches/peers --agent chronik --bin target/release/chronik-agent >docs/performance/peers-chronik.jsonl
python3 benches/peers --agent serf >docs/performance/peers-serf.jsonl
cargo bench --no-default-features --bench report
```

`python3 benches/peers --help` tells how the hosts are made and what can be chosen. Serf runs with its `lan` profile and
`-retry-interval=1s`, ours with its defaults. In a join all start at once once the first answers, and each knows the
first alone; measured is from the last start until each lists all. In a crash the process is killed, and measured is until
the first and until all others say so. Packets were lost for all four rates and both agents at the same time. Quiet is
whoever has no rumour left to pass on: measured is until all are, from the moment at which all know. Lines
of the suites `sim`, `campaign` and `tradeoff` come from the simulator:
simulated time, any machine; CONTRIBUTING.md has the commands.
";

/// The text below a table, for what the table does not say itself.
fn note(heading: &str) -> &'static str {
    match heading {
        "What a longer suspicion costs, simulated" => TRADEOFF,
        "Members that stand still, simulated" => ANOMALIES,
        "A node-year, simulated" => NODE_YEAR,
        "Cost at rest" => COSTS,
        "Under siege" => SIEGE,
        _ => "",
    }
}

/// All files of the page, in memory.
///
/// # Errors
/// If a raw result does not read; the error names it.
pub(crate) fn make(root: &Path) -> Result<Vec<File>, String> {
    let rows = rows(&root.join(FOLDER))?;
    let mut plots = Plots { files: vec![], links: BTreeMap::new() };
    plots.draw("founding", &foundings(&rows))?;
    plots.draw("join", &by_size("Until all see all", "median, s", join_s(&rows)))?;
    plots.draw("crash", &detections(&rows))?;
    plots.draw("traffic", &by_size("Traffic at rest", "bytes/s sent", steady(&rows, "/mean_out_Bps")))?;
    plots.draw("cpu", &by_size("CPU at rest", "CPU s/min", steady(&rows, "/cpu_s_per_min_sched/median")))?;
    plots.draw("memory", &by_size("Memory at rest", "RSS, KiB", steady(&rows, "/rss_kB/median")))?;
    plots.draw("tradeoff", &tradeoff(&rows))?;
    let mut page = BEGIN.to_owned();
    page += "\n| machine | |\n|---|---|\n";
    for (letter, words) in machines(&rows) {
        page += &format!("| {letter} | {words} |\n");
    }
    for (heading, table, names) in tables::all(&rows) {
        if table.is_empty() {
            continue;
        }
        page += &format!("\n## {heading}\n\n{table}");
        for name in names {
            page += plots.links.get(name).map_or("", String::as_str);
        }
        page += note(heading);
    }
    page += END;
    plots.files.push(File { path: "docs/performance.md".to_owned(), text: page });
    Ok(plots.files)
}

struct Plots {
    files: Vec<File>,
    links: BTreeMap<&'static str, String>,
}

impl Plots {
    fn draw(&mut self, name: &'static str, drawing: &Drawing) -> Result<(), String> {
        if drawing.series.is_empty() {
            return Ok(());
        }
        let Drawing { title, x, y, logarithmic, series } = drawing;
        let text = Plot { title, x, y, logarithmic: *logarithmic, series }.svg()?;
        self.files.push(File { path: format!("{FOLDER}/{name}.svg"), text });
        self.links.insert(name, format!("\n![{title}](performance/{name}.svg)\n"));
        Ok(())
    }
}

struct Drawing {
    title: &'static str,
    x: &'static str,
    y: &'static str,
    logarithmic: bool,
    series: Vec<Series>,
}

fn named(agent: &str) -> &str {
    if agent == "serf" { "Serf" } else { "chronik-agent" }
}

/// Measured values by kind and size; a plot shows the median if there is more than one.
type Values = BTreeMap<String, BTreeMap<u64, Vec<f64>>>;

fn by_size(title: &'static str, y: &'static str, values: Values) -> Drawing {
    let series = values.into_iter().map(|(name, sizes)| {
        let points = sizes.into_iter().filter_map(|(size, mut values)| {
            values.sort_by(f64::total_cmp);
            #[expect(clippy::cast_precision_loss, reason = "a cluster has less than 2^52 members")]
            Some((size as f64, tables::median(&values)?))
        });
        Series { name, points: points.collect() }
    });
    Drawing { title, x: "members", y, logarithmic: true, series: series.collect() }
}

fn join_s(rows: &[Row]) -> Values {
    let mut values = Values::new();
    for row in rows {
        let (name, new) = if row.is("peers", "join") {
            (named(row.agent()).to_owned(), row.repetitions("all_s"))
        } else if row.is("sim", "join") {
            ("chronik-agent, simulated".to_owned(), row.number("/seconds").into_iter().collect())
        } else {
            continue;
        };
        values.entry(name).or_default().entry(row.members()).or_default().extend(new);
    }
    values
}

fn steady(rows: &[Row], path: &str) -> Values {
    let mut values = Values::new();
    for row in rows.iter().filter(|row| row.is("peers", "steady")) {
        let name = named(row.agent()).to_owned();
        values.entry(name).or_default().entry(row.members()).or_default().extend(row.number(path));
    }
    values
}

/// The time until a silent host is known, against the longest pause that is not taken for a failure.
fn tradeoff(rows: &[Row]) -> Drawing {
    let mut lines = BTreeMap::<&str, Vec<(f64, f64)>>::new();
    let rows: Vec<_> = rows.iter().filter(|row| row.is("tradeoff", "tradeoff")).collect();
    let shipped = |path: &str| {
        // Most points share the shipped value of one constant; the other constant was varied.
        let values: Vec<_> = rows.iter().filter_map(|row| row.number(path)).collect();
        let often = |value: &f64| values.iter().filter(|other| *other == value).count();
        values.iter().copied().max_by_key(often)
    };
    let (suspicion, probe) = (shipped("/suspicion_ms"), shipped("/probe_ms"));
    for row in &rows {
        let Some(point) = row.number("/silent_s").zip(row.number("/pause_ms").map(|ms| ms / 1e3)) else {
            continue;
        };
        if row.number("/probe_ms") == probe {
            lines.entry("by the suspicion").or_default().push(point);
        }
        if row.number("/suspicion_ms") == suspicion {
            lines.entry("by the probe period").or_default().push(point);
        }
    }
    let series = lines.into_iter().map(|(name, mut points)| {
        points.sort_by(|one, other| one.0.total_cmp(&other.0));
        Series { name: name.to_owned(), points }
    });
    Drawing {
        title: "A silent host is known, against pauses that are no failure",
        x: "seconds until all know of a silent host, median",
        y: "seconds of the longest pause",
        logarithmic: false,
        series: series.collect(),
    }
}

fn foundings(rows: &[Row]) -> Drawing {
    let seconds: Vec<_> = rows
        .iter()
        .filter(|row| row.is("founding", "founding"))
        .filter_map(|row| row.number("/seconds"))
        .collect();
    let series = if seconds.is_empty() {
        vec![]
    } else {
        vec![Series { name: "three real agents".to_owned(), points: shares(seconds) }]
    };
    Drawing {
        title: "From the last start to the decision on all",
        x: "seconds",
        y: "share of foundings",
        logarithmic: false,
        series,
    }
}

fn detections(rows: &[Row]) -> Drawing {
    let mut values = Values::new();
    for row in rows {
        let (name, new) = if row.is("peers", "crash") {
            (named(row.agent()).to_owned(), row.repetitions("all_s"))
        } else if row.is("sim", "crash") {
            ("chronik-agent, simulated".to_owned(), row.number("/seconds").into_iter().collect())
        } else {
            continue;
        };
        values.entry(name).or_default().entry(row.members()).or_default().extend(new);
    }
    let series = values.into_iter().flat_map(|(name, sizes)| {
        let of = move |(size, values)| Series { name: format!("{name}, N={size}"), points: shares(values) };
        sizes.into_iter().filter(|(_, values)| !values.is_empty()).map(of)
    });
    Drawing {
        title: "From a crash until all others know",
        x: "seconds",
        y: "share of crashes",
        logarithmic: false,
        series: series.collect(),
    }
}
