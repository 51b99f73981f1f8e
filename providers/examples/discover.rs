//! Polls the provider of a spec and prints the addresses, one a line: `discover SPEC [TIMES]`.
//!
//! Warnings and errors go to standard error. Exit code 0: addresses, 2: none, 4: the provider failed, 64: wrong usage.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a command, and they are its output")]

use std::{env, process::ExitCode};

use chronik_providers::{Discover, Spec};

/// The port of seeds that come without one.
const GOSSIP_PORT: u16 = 7946;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let spec = args.next();
    let times = args.next().map_or(Ok(1), |times| times.parse::<u32>());
    let (Some(spec), Ok(times)) = (spec, times) else {
        eprintln!("usage: discover SPEC [TIMES]");
        return ExitCode::from(64);
    };
    let provider = match Spec::parse(&spec).and_then(|spec| spec.connect(GOSSIP_PORT)) {
        Ok(provider) => provider,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(64);
        }
    };
    let mut code = ExitCode::SUCCESS;
    for _ in 0..times {
        code = poll(provider.as_ref()).await;
    }
    code
}

async fn poll(provider: &dyn Discover) -> ExitCode {
    match provider.discover().await {
        Ok(seeds) => {
            for warning in &seeds.warnings {
                eprintln!("warning: {warning}");
            }
            for addr in &seeds.addrs {
                println!("{addr}");
            }
            if seeds.addrs.is_empty() { ExitCode::from(2) } else { ExitCode::SUCCESS }
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(4)
        }
    }
}
