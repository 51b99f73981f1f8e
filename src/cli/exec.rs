//! `exec`: waits for the decision, fills a command from it, and becomes that command.

use std::{
    ffi::{OsStr, OsString},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
    str::FromStr,
    time::Duration,
};

use bytes::Bytes;
use clap::Args;

use super::{
    at::At,
    client::Client,
    condition::{Condition, Waited},
    data_dir,
    error::{CliError, ExecError},
    output::{Outcome, Output},
    template::{Filler, TemplateError},
};
use crate::api::founding::ServerRequest;

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
    /// --output; any other is a file of yours, filled and written to --output
    #[arg(long, value_name = "etcd|chronik|FILE")]
    template: Option<Template>,
    /// Where the filled template is written
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// A further value for `{{ }}`, such as `scheme=https` or `node_id=4`; repeatable
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// The server's data directory: tells the agent first whether it holds data, and who the server is by an id that
    /// is kept there in `.chronik-server-id`
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

pub(super) async fn run(args: ExecArgs, output: &mut Output<'_>) -> Result<Outcome, CliError> {
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
    let client = args.at.client()?;
    if let Some(dir) = &args.attest
        && let Some(unmet) = attest(&client, dir, args.timeout, output).await?
    {
        return Ok(unmet);
    }
    let tell = |missing: &str| {
        writeln!(output.err, "waiting: {missing}").ok();
    };
    let waited = args.what.wait(&client, args.timeout, tell).await?;
    if let Some(unmet) = unmet(waited, args.timeout, output)? {
        return Ok(unmet);
    }
    let filler = filler(&client, &args.set).await?;
    let mut command = command(&filler, &args.command)?;
    write_template(&args, &filler, &mut command, output)?;
    output.out.flush()?;
    let error = command.exec();
    Err(ExecError::Start { command: command.get_program().to_owned(), error }.into())
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

/// Reports the server to the agent as soon as that answers; says why not, if it does not in time.
async fn attest(
    client: &Client,
    dir: &Path,
    timeout: Option<Duration>,
    output: &mut Output<'_>,
) -> Result<Option<Outcome>, CliError> {
    let found = data_dir::look(dir).map_err(|error| ExecError::File {
        what: "cannot use",
        path: dir.to_owned(),
        error,
    })?;
    let request = ServerRequest {
        server_id: found.server_id,
        has_state: found.has_state,
        cluster_id: None,
        once: true,
    };
    let body = serde_json::to_vec(&request).expect("requests have text keys only and serialise infallibly");
    let tell = |missing: &str| {
        writeln!(output.err, "waiting: {missing}").ok();
    };
    // One member is the agent itself: this waits for it to be there.
    let waited = Condition::Members(1).wait(client, timeout, tell).await?;
    if let Some(unmet) = unmet(waited, timeout, output)? {
        return Ok(Some(unmet));
    }
    client.put("/v1/server", Bytes::from(body)).await?;
    Ok(None)
}

async fn filler(client: &Client, set: &[(String, String)]) -> Result<Filler, CliError> {
    let answer = client.get("/v1/bootstrap", Duration::ZERO).await?;
    let bootstrap = client.read("/v1/bootstrap", &answer)?;
    let answer = client.get("/v1/self", Duration::ZERO).await?;
    Ok(Filler::new(bootstrap, client.read("/v1/self", &answer)?, set))
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
    let joins = filler.decision() == "join";
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
