//! The program: parses, logs, dispatches, and alone picks exit codes.

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use chronik_agent::{
    advertise, agent,
    cli::{Cli, CliError, Command, ExecError, Outcome, Output, plan::plan},
    config::{Config, DEFAULT_GOSSIP_PORT, Host, LogFormat, Options},
    key_file,
    log::Log,
    shown::shown,
    token::Token,
};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tracing::Level;
use tracing_subscriber::{
    filter::{LevelFilter, filter_fn},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

/// Wrong usage or configuration: EX_USAGE of sysexits.h. Clap's own 2 means something else here.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // If standard output or error is closed, there is nothing left to do.
            error.print().ok();
            return if error.use_stderr() { USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    match cli.command {
        Some(command) => run_command(command),
        None => run_agent(cli.options),
    }
}

fn run_agent(options: Options) -> ExitCode {
    let check = options.check;
    let config = match Config::load(options, &Host::here()) {
        Ok(config) => config,
        Err(error) => return fail(&error, USAGE),
    };
    // The agent reads it again; this is to find a mistake before anything starts.
    if let Some(Err(error)) = config.http_token_file.as_deref().map(Token::read) {
        return fail(&error, USAGE);
    }
    if check {
        return print_plan(&config);
    }
    // Files and sockets get their modes one by one; this is for those that a library may make.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let log = match Log::on_standard_error(io::stderr().is_terminal()) {
        Ok(log) => log,
        Err(error) => return fail(&format_args!("cannot start the thread of the log: {error}"), 1),
    };
    begin_log(&config, log.clone());
    for variable in &config.ignored_variables {
        tracing::warn!(variable, "ignored: no flag has that name; see --help");
    }
    // One thread for gossip and one for everything else: a host with 64 processors is no reason for 64 threads.
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = match builder.worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format_args!("cannot start the runtime: {error}"), 1),
    };
    let ended = runtime.block_on(agent::run(config, &log));
    // A look at a name server that does not answer, or at a disk, cannot be called back, and nobody waits for it any more.
    runtime.shutdown_background();
    let code = match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            if error.is_of_configuration() { USAGE.into() } else { ExitCode::FAILURE }
        }
    };
    log.flush();
    code
}

fn print_plan(config: &Config) -> ExitCode {
    let interfaces = match advertise::interfaces() {
        Ok(interfaces) => interfaces,
        Err(error) => {
            return fail(&format_args!("cannot list the addresses of this host: {error}"), 1);
        }
    };
    let advertised = advertise::choose(config.advertise.as_ref(), config.bind, &interfaces);
    if let Err(error) = &advertised {
        return fail(error, USAGE);
    }
    for spec in &config.retry_join {
        if let Err(error) = spec.connect(DEFAULT_GOSSIP_PORT) {
            return fail(&format_args!("--retry-join {spec}: {error}"), USAGE);
        }
    }
    if let Some(Err(error)) = config.encrypt_key_file.as_deref().map(key_file::read) {
        return fail(&error, USAGE);
    }
    match write!(io::stdout(), "{}", plan(config, &advertised)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn begin_log(config: &Config, log: Log) {
    // At its finer levels the SDK shows requests with session tokens and key ids: those are never written, whatever
    // level is asked for.
    let discreet = filter_fn(|what| !what.target().starts_with("aws_") || *what.level() <= Level::INFO);
    let asked = config.log_level.clone();
    let logs = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_writer(log)
        // They would go to standard error by a macro that panics if that is gone.
        .log_internal_errors(false)
        .with_ansi(io::stderr().is_terminal());
    match config.log_format {
        LogFormat::Text => logs.finish().with(discreet).with(asked).init(),
        LogFormat::Json => logs.json().flatten_event(true).finish().with(discreet).with(asked).init(),
    }
}

fn run_command(command: Command) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format_args!("cannot start the runtime: {error}"), 1),
    };
    let terminal = io::stdout().is_terminal();
    let (mut out, mut err) = (io::stdout(), io::stderr());
    let mut output = Output { out: &mut out, err: &mut err, terminal };
    let done = runtime.block_on(command.run(&mut output, interrupted()));
    // Likewise.
    runtime.shutdown_background();
    match done {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::FAILURE,
        Ok(Outcome::NothingMatched) => 2.into(),
        Ok(Outcome::TimedOut) => 3.into(),
        Ok(Outcome::ProviderFailed) => 4.into(),
        Err(
            error @ (CliError::Spec(_)
            | CliError::Token(_)
            | CliError::NoCommand(_)
            | CliError::Exec(ExecError::Usage(_))),
        ) => fail(&error, USAGE),
        // `chronik-agent members | head -1` has read enough.
        Err(CliError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => fail(&error, 1),
    }
}

/// Completes at SIGINT or SIGTERM. They are caught from the first poll on; they end a command that never polls this.
async fn interrupted() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

fn fail(error: &dyn std::fmt::Display, code: u8) -> ExitCode {
    // If standard error is closed, there is nothing left to do.
    // It may name something that another host has said.
    let error = error.to_string();
    let lines: Vec<_> = error.lines().map(shown).collect();
    writeln!(io::stderr(), "chronik-agent: {}", lines.join("\n")).ok();
    code.into()
}
