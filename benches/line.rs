//! A raw result as one line of JSON, with the circumstances that a reader has to know: the machine, its load, the date and
//! the version.

use std::fs;

use serde_json::{Map, Value, json};

/// A measurement that has begun; [`Self::print`] ends it.
pub(crate) struct Line {
    load_before: Option<f64>,
}

impl Line {
    pub(crate) fn begin() -> Self {
        Self { load_before: load() }
    }

    /// Prints the figures of one measurement, an object, together with its circumstances.
    pub(crate) fn print(&self, suite: &str, figures: Value) {
        let mut line = Map::from_iter([
            ("suite".to_owned(), json!(suite)),
            ("agent".to_owned(), json!("chronik")),
            ("version".to_owned(), json!(format!("chronik-agent {}", env!("CARGO_PKG_VERSION")))),
        ]);
        let Value::Object(figures) = figures else {
            panic!("figures are an object, not {figures}");
        };
        line.extend(figures);
        line.insert("machine".to_owned(), machine());
        line.insert("noise".to_owned(), json!({"load1_start": self.load_before, "load1_end": load()}));
        let now = jiff::Timestamp::now().round(jiff::Unit::Second).expect("no rounding reaches year 9999");
        line.insert("at".to_owned(), json!(now.to_string()));
        println!("{}", Value::Object(line));
    }
}

/// Load average of the last minute.
fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// Processor, cores, memory and kernel, as far as the system tells.
fn machine() -> Value {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next());
    let gib = memory.and_then(|kib| kib.parse::<f64>().ok()).map(|kib| (kib / f64::from(1 << 20)).round());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    json!({
        "cpu": model,
        "cores": std::thread::available_parallelism().map(usize::from).ok(),
        "memory_gib": gib,
        "kernel": kernel.trim(),
    })
}

/// The value below which this share of the sorted values lies, by nearest rank.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank among values in memory"
    )]
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// The value with `digits` digits behind the point, as raw results keep it.
pub(crate) fn rounded(value: f64, digits: i32) -> f64 {
    let factor = 10_f64.powi(digits);
    (value * factor).round() / factor
}
