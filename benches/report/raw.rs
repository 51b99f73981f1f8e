//! The raw results: lines of JSON, and the values in them.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

/// One line of a raw file.
#[derive(Debug)]
pub(super) struct Row {
    line: Value,
    /// The letter that stands for the machine.
    machine: String,
}

/// Reads every line of every raw file, in the order of names and lines.
///
/// # Errors
/// If a line does not read; the error names the file, the line and what is wrong with it.
pub(super) fn rows(folder: &Path) -> Result<Vec<Row>, String> {
    let listed = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let files: BTreeSet<_> = listed.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let mut rows = Vec::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|ending| ending == "jsonl")) {
        let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
        for (number, line) in (1..).zip(text.lines()) {
            let row = row(line).map_err(|problem| {
                format!("{}, line {number}: {problem}: correct or remove it", file.display())
            })?;
            rows.push(row);
        }
    }
    let machines = machines(&rows);
    for row in &mut rows {
        let words = row.machine_in_words();
        row.machine = machines
            .iter()
            .find(|(_, known)| *known == words)
            .map_or_else(String::new, |(letter, _)| letter.clone());
    }
    Ok(rows)
}

/// The machines that measured, each with the letter that stands for it.
pub(super) fn machines(rows: &[Row]) -> Vec<(String, String)> {
    let machines: BTreeSet<_> = rows.iter().map(Row::machine_in_words).collect();
    ('A'..).map(String::from).zip(machines).collect()
}

fn row(line: &str) -> Result<Row, String> {
    let value: Value =
        serde_json::from_str(line).map_err(|error| format!("`{line}` is no JSON ({error})"))?;
    for key in ["suite", "scenario"] {
        if !value[key].is_string() {
            return Err(format!("it has no `{key}`"));
        }
    }
    if !value["n"].is_u64() {
        return Err("it has no number of members `n`".to_owned());
    }
    Ok(Row { line: value, machine: String::new() })
}

impl Row {
    /// True if this suite and this scenario wrote the line.
    pub(super) fn is(&self, suite: &str, scenario: &str) -> bool {
        self.line["suite"] == suite && self.line["scenario"] == scenario
    }

    /// A text; empty if the line has none.
    pub(super) fn text(&self, key: &str) -> &str {
        self.line[key].as_str().unwrap_or_default()
    }

    /// Number of members.
    pub(super) fn members(&self) -> u64 {
        self.line["n"].as_u64().unwrap_or_default()
    }

    /// The agent that was measured; ours if the line does not say.
    pub(super) fn agent(&self) -> &str {
        self.line["agent"].as_str().unwrap_or("chronik")
    }

    /// The number at this path, such as `/rss_kB/median`.
    pub(super) fn number(&self, path: &str) -> Option<f64> {
        self.line.pointer(path)?.as_f64()
    }

    /// This number in each repetition that has one.
    pub(super) fn repetitions(&self, key: &str) -> Vec<f64> {
        let repetitions = self.line["reps"].as_array().into_iter().flatten();
        repetitions.filter_map(|repetition| repetition[key].as_f64()).collect()
    }

    /// Number of repetitions that the line holds.
    pub(super) fn repetition_count(&self) -> usize {
        self.line["reps"].as_array().map_or(1, Vec::len)
    }

    /// The letter that stands for the machine.
    pub(super) fn machine(&self) -> String {
        self.machine.clone()
    }

    fn machine_in_words(&self) -> String {
        let machine = &self.line["machine"];
        let (Some(cpu), Some(kernel)) = (machine["cpu"].as_str(), machine["kernel"].as_str()) else {
            return "any: simulated time".to_owned();
        };
        let memory = machine["memory_gib"].as_f64().unwrap_or_default();
        format!("{cpu}, {} cores, {memory:.0} GiB, Linux {kernel}", machine["cores"])
    }

    /// The load averages before and after.
    pub(super) fn loads(&self) -> impl Iterator<Item = f64> {
        ["/noise/load1_start", "/noise/load1_end"].into_iter().filter_map(|path| self.number(path))
    }
}
