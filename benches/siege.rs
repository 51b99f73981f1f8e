//! A minute of the worst of every kind at a cluster of five, without keys and with: the figures beside their bounds, and a line of
//! JSON for each. Fails if a bound is exceeded.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measurement that cannot go on should stop where it stands, and say why"
)]

#[path = "../tests/awaiting.rs"]
mod awaiting;
#[path = "../tests/cluster.rs"]
#[expect(dead_code, reason = "the tests ask more of it")]
mod cluster;
#[expect(dead_code, reason = "other measurements have more to say")]
mod line;
#[path = "../tests/memory.rs"]
#[expect(dead_code, reason = "the tests ask more of it")]
mod memory;
#[path = "../tests/running.rs"]
#[expect(dead_code, reason = "the tests ask more of it")]
mod running;
#[path = "../tests/siege.rs"]
mod siege;

use std::process::ExitCode;

use clap::Parser;
use serde_json::json;

use self::{
    line::{Line, rounded},
    siege::{AGENTS, Keys, Row, besiege},
};

/// A cluster of five under siege.
#[derive(Parser)]
struct Args {
    /// Length of each siege, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut all_hold = true;
    for (keys, name) in [(Keys::None, "none"), (Keys::Set, "set")] {
        let line = Line::begin();
        let rows = besiege(args.seconds, keys);
        eprintln!("{} seconds, keys: {name}\n{:<46} {:>10} {:>10}", args.seconds, "", "measured", "bound");
        rows.iter().for_each(|row| eprintln!("{row}"));
        all_hold &= rows.iter().all(Row::holds);
        for Row { name: what, measured, bound, unit } in &rows {
            let figures = json!({"scenario": "siege", "n": AGENTS, "keys": name, "seconds": args.seconds, "what": what,
                "measured": rounded(*measured, 3), "bound": bound, "unit": unit});
            line.print("siege", figures);
        }
    }
    if all_hold { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
