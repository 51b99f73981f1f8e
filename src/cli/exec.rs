//! `exec`: waits for the decision, fills a command from it, and becomes that command.

use std::{
    ffi::{OsStr, OsString},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
    str::FromStr,
    time::{Duration, Instant},
};

use clap::Args;
use serde_json::Value;

use super::{
    at::At,
    client::{Client, LOOK},
    condition::{Asker, Condition, Waited},
    data_dir::{self, DataDir},
    error::{CliError, ExecError},
    output::{Outcome, Output},
    template::{Filler, TemplateError},
};
use crate::{
    api::{self, founding::ServerRequest},
    node::Endpoints,
    servers::{DataPlace, ServerFlag, TlsFiles},
};

/// Interval at which the agent is told that the server is blank and waits: it counts as seen for three seconds.
const ATTEST_EVERY: Duration = Duration::from_secs(1);
const ETCD: &str = include_str!("templates/etcd.args");
const ETCD_JOIN: &str = include_str!("templates/etcd.join");
const CHRONIK: &str = include_str!("templates/chronik.toml");
const CHRONIK_JOIN: &str = include_str!("templates/chronik.join");

/// The flags of `exec`.
#[derive(Debug, Args)]
pub struct ExecArgs {
    #[command(flatten)]
    at: At,
    /// What to wait for, as for `wait`
    #[arg(
        long = "for",
        default_value = "bootstrap",
        value_name = "joined|members=N|quorum|bootstrap|established"
    )]
    what: Condition,
    /// How long to wait [default: for ever]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
    /// `etcd` appends --name, --initial-cluster and so on; `chronik` writes the file that chronik-server reads, to
    /// --output; any other is a file of yours, filled and written to --output [default: that of the agent's --server]
    #[arg(long, value_name = "etcd|chronik|FILE")]
    template: Option<Template>,
    /// Where the filled template is written
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// A further value for `{{ }}`, such as `scheme=https` or `node_id=4`; repeatable
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// The server's data directory: tells the agent first whether it holds data, and who the server is, by its own data
    /// where the agent has --server, else by an id that is kept there in `.chronik-server-id` [default: what the command
    /// itself says with --data-dir or data_dir]
    #[arg(long, value_name = "DIR")]
    attest: Option<PathBuf>,
    /// The command to become; `{{ }}` in its arguments and in the environment is filled from the decision
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// A template that is filled from the decision, beside the command itself.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Template {
    Etcd,
    Chronik,
    File(PathBuf),
}

impl FromStr for Template {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "etcd" => Self::Etcd,
            "chronik" => Self::Chronik,
            path => Self::File(path.into()),
        })
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) =
        text.split_once('=').ok_or_else(|| "is not KEY=VALUE, such as scheme=https".to_owned())?;
    Ok((key.to_owned(), value.to_owned()))
}

pub(super) async fn run(mut args: ExecArgs, output: &mut Output<'_>) -> Result<Outcome, CliError> {
    match (&args.template, &args.output) {
        (Some(Template::Chronik | Template::File(_)), None) => {
            return Err(
                ExecError::Usage("--template makes a file: say with --output where to write it").into()
            );
        }
        (None | Some(Template::Etcd), Some(_)) => {
            return Err(ExecError::Usage("--output needs --template chronik or a file of yours").into());
        }
        _ => {}
    }
    let decides = matches!(args.what, Condition::Bootstrap | Condition::Established);
    let dir = args.attest.clone().or_else(|| data_dir::named(&args.command, &args.set, "data_dir"));
    if decides && dir.is_none() {
        return Err(ExecError::Usage(
            "exec starts no server whose data directory it does not know: name it with --attest DIR",
        )
        .into());
    }
    let client = args.at.client()?;
    let started = match &dir {
        Some(dir) => start_beside(&client, dir, &mut args, output).await?,
        None => start_at_once(&client, &args, output).await?,
    };
    let mut command = match started {
        Ok(command) => command,
        Err(unmet) => return Ok(unmet),
    };
    output.out.flush()?;
    let error = command.exec();
    Err(ExecError::Start { command: command.get_program().to_owned(), error }.into())
}

/// The command to become; or how this one ends instead.
type Started = Result<Command, Outcome>;

/// Waits for a condition that does not depend on the server.
async fn start_at_once(
    client: &Client,
    args: &ExecArgs,
    output: &mut Output<'_>,
) -> Result<Started, CliError> {
    let tell = |missing: &str| {
        writeln!(output.err, "waiting: {missing}").ok();
    };
    let waited = args.what.wait(client, &Asker::Starter(None), args.timeout, tell).await?;
    if let Some(unmet) = unmet(waited, args.timeout, output)? {
        return Ok(Err(unmet));
    }
    Ok(Ok(prepare(client, &client.read_now(LOOK).await?, args, output).await?))
}

/// Waits for the decision beside a data directory, by what is in it at each moment, and tells the agent that the server begins
/// immediately before it does. If anything has changed by then, it waits on.
async fn start_beside(
    client: &Client,
    dir: &Path,
    args: &mut ExecArgs,
    output: &mut Output<'_>,
) -> Result<Started, CliError> {
    let until = args.timeout.map(|timeout| now() + timeout);
    let mut said = String::new();
    // One member is the agent itself: this waits for it to be there.
    let (mut next, mut asker) = (Condition::Members(1), Asker::Starter(None));
    let mut beside = None;
    loop {
        let tell = |missing: &str| {
            if said != missing {
                missing.clone_into(&mut said);
                writeln!(output.err, "waiting: {missing}").ok();
            }
        };
        let left = until.map(|until| until.saturating_duration_since(now()));
        // The agent is told again and again that the server is blank and waits, so that others may see it.
        let attests = next == args.what;
        let limit = if attests { Some(left.unwrap_or(ATTEST_EVERY).min(ATTEST_EVERY)) } else { left };
        let waited = next.wait(client, &asker, limit, tell).await?;
        let is_over = limit == left;
        let is_met = matches!(waited, Waited::Met(_));
        if (!matches!(waited, Waited::TimedOut(_)) || is_over)
            && let Some(unmet) = unmet(waited, args.timeout, output)?
        {
            return Ok(Err(unmet));
        }
        let beside = match &mut beside {
            Some(beside) => beside,
            None => beside.insert(follow_server(client, dir, args).await?),
        };
        let found = beside.look()?;
        let decision = report(client, &found, false).await?;
        if is_met && attests && is_told(&decision) {
            let command = prepare(client, &decision, args, output).await?;
            let found = beside.begin()?;
            if is_same(&decision, &report(client, &found, true).await?) {
                return Ok(Ok(command));
            }
        }
        (next, asker) = (args.what, Asker::Starter(Some(found.server_id)));
    }
}

#[expect(clippy::disallowed_methods, reason = "a command at the edge: the user's own limit of time")]
fn now() -> Instant {
    Instant::now()
}

/// True if a server may be started by this decision.
fn is_told(decision: &Value) -> bool {
    matches!(decision["decision"].as_str(), Some("bootstrap" | "resume" | "join"))
}

/// True if both answers tell a server the same.
fn is_same(one: &Value, other: &Value) -> bool {
    ["decision", "cluster_id", "me", "founders", "voters", "members"]
        .iter()
        .all(|field| one.get(field) == other.get(field))
}

/// Reports the server to the agent; returns the decision for it.
async fn report(client: &Client, found: &data_dir::Found, begun: bool) -> Result<Value, CliError> {
    let request = ServerRequest {
        server_id: found.server_id.clone(),
        has_state: found.has_state,
        cluster_id: None,
        group: found.group.clone(),
        once: true,
        begun,
        starts: found.starts,
    };
    Ok(client.put("/v1/server", &request).await?)
}

/// Fills the command and its template from a decision.
async fn prepare(
    client: &Client,
    decision: &Value,
    args: &ExecArgs,
    output: &mut Output<'_>,
) -> Result<Command, CliError> {
    let filler = Filler::new(decision.clone(), client.read_now("/v1/self").await?, &args.set);
    let mut command = command(&filler, &args.command)?;
    write_template(args, &filler, &mut command, output)?;
    Ok(command)
}

/// Takes template and driver from the server that the agent stands beside, where the command does not say otherwise.
async fn follow_server(client: &Client, dir: &Path, args: &mut ExecArgs) -> Result<DataDir, CliError> {
    let info: api::Info = client.read_now("/v1/info").await?;
    // A kind that only a later version knows is none here.
    let Some(server) = info.config.server.and_then(|server| server.parse::<ServerFlag>().ok()) else {
        return Ok(DataDir::Plain(dir.to_owned()));
    };
    // A file of ours has to keep what the programs of a user know of a data directory.
    let (own, Some(words)) = (Template::Etcd, server.kind().facts().data) else {
        return Ok(DataDir::Plain(dir.to_owned()));
    };
    let is_other = args.template.as_ref().is_some_and(|given| *given != own);
    if !is_other && matches!(args.what, Condition::Bootstrap | Condition::Established) {
        args.template = Some(own);
    }
    let log_dir = data_dir::named(&args.command, &args.set, words.log_dir).or_else(|| {
        std::env::var_os(words.log_dir_variable).filter(|dir| !dir.is_empty()).map(PathBuf::from)
    });
    Ok(DataDir::driven(
        server.driver(&Endpoints::new(), &TlsFiles::default()),
        DataPlace { dir: dir.to_owned(), log_dir },
    ))
}

/// Says why nothing is started, if the condition was not met.
fn unmet(
    waited: Waited,
    timeout: Option<Duration>,
    output: &mut Output<'_>,
) -> Result<Option<Outcome>, CliError> {
    match waited {
        Waited::Met(_) => Ok(None),
        Waited::Conflict(why) => {
            writeln!(output.err, "conflict: {why}")?;
            Ok(Some(Outcome::Failed))
        }
        Waited::TimedOut(lack) => {
            let timeout = humantime::format_duration(timeout.unwrap_or_default());
            writeln!(output.err, "timed out after {timeout}: {lack}")?;
            Ok(Some(Outcome::TimedOut))
        }
    }
}

/// The command, with all its words and variables filled.
fn command(filler: &Filler, words: &[OsString]) -> Result<Command, ExecError> {
    let filled = words.iter().enumerate().map(|(at, word)| {
        let place = if at == 0 { "the command".to_owned() } else { format!("argument {at}") };
        fill(filler, &place, word)
    });
    let mut filled = filled.collect::<Result<Vec<_>, _>>()?.into_iter();
    let mut command = Command::new(filled.next().unwrap_or_default());
    command.args(filled);
    for (name, value) in std::env::vars_os() {
        let filled = fill(filler, &format!("variable {}", name.to_string_lossy()), &value)?;
        if filled != value {
            command.env(name, filled);
        }
    }
    Ok(command)
}

fn fill(filler: &Filler, place: &str, text: &OsStr) -> Result<OsString, TemplateError> {
    match text.to_str() {
        Some(text) if text.contains("{{") || text.contains("{%") => {
            filler.fill(place, text).map(OsString::from)
        }
        Some(_) | None => Ok(text.to_owned()),
    }
}

fn write_template(
    args: &ExecArgs,
    filler: &Filler,
    command: &mut Command,
    output: &mut Output<'_>,
) -> Result<(), CliError> {
    let joins = filler.is_to_be_admitted();
    let file = match &args.template {
        None => return Ok(()),
        Some(Template::Etcd) => {
            command.args(filler.fill("the etcd template", ETCD).map_err(ExecError::from)?.lines());
            if joins {
                let remark = filler.fill("the etcd template", ETCD_JOIN).map_err(ExecError::from)?;
                writeln!(output.err, "{remark}")?;
            }
            return Ok(());
        }
        Some(Template::Chronik) => {
            let file = filler.fill("the chronik template", CHRONIK).map_err(ExecError::from)?;
            if joins {
                let remark = filler.fill("the chronik template", CHRONIK_JOIN).map_err(ExecError::from)?;
                writeln!(output.err, "{remark}")?;
            }
            file
        }
        Some(Template::File(path)) => {
            let text = std::fs::read_to_string(path).map_err(|error| ExecError::File {
                what: "cannot read",
                path: path.clone(),
                error,
            })?;
            filler.fill(&path.display().to_string(), &text).map_err(ExecError::from)?
        }
    };
    if let Some(path) = &args.output {
        std::fs::write(path, file).map_err(|error| ExecError::File {
            what: "cannot write",
            path: path.clone(),
            error,
        })?;
    }
    Ok(())
}
