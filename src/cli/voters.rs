//! `voters`: the members of the servers' own group, and the changes to them that a person may ask for.

use std::time::{Duration, Instant};

use clap::{Args, Subcommand};

use super::{
    at::At,
    client::{Client, ClientError},
    consent::is_agreed,
    error::CliError,
    output::{Format, Outcome, Output},
    table,
};
use crate::{
    api::voters::{Member, RecoverRequest, VerdictName, Voters, WishAnswer, WishRequest},
    node::NodeId,
};

/// Pause between two looks at a change under way.
const EVERY: Duration = Duration::from_millis(500);
/// Time in which the servers elect a leader: before that, nobody can answer.
const LED_WITHIN: Duration = Duration::from_secs(10);

/// The flags of `voters`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct VotersArgs {
    /// What to do instead of listing the members
    #[command(subcommand)]
    act: Option<Act>,
    #[command(flatten)]
    at: At,
    /// How to show the answer
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Changes to the members.
#[derive(Debug, Subcommand)]
enum Act {
    /// Has this agent's blank server admitted, and given a vote once it has caught up
    Add(WishArgs),
    /// Takes a member off the list; refused where that would cost the quorum
    Remove(WishArgs),
    /// Gives a voter's place to a server that waits, or to itself with an empty data directory
    Replace(WishArgs),
    /// Has one server go on alone where a majority is lost for good; said at its own agent
    Recover(RecoverArgs),
}

/// The end of a majority.
#[derive(Debug, Args)]
struct RecoverArgs {
    #[command(flatten)]
    at: At,
    /// The agent whose server is kept, by its id or its name
    #[arg(long, value_name = "NODE")]
    keep: String,
    /// Lose whatever that server has not heard of
    #[arg(long)]
    i_will_lose_data: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// How long to wait until the server leads alone
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "2m")]
    timeout: Duration,
}

/// A wish about one member.
#[derive(Debug, Args)]
struct WishArgs {
    #[command(flatten)]
    at: At,
    /// The agent or member, by its id or its name
    #[arg(value_name = "NODE")]
    node: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// How long to wait until it is done
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "2m")]
    timeout: Duration,
}

pub(super) async fn run(args: VotersArgs, output: &mut Output<'_>) -> Result<Outcome, CliError> {
    match args.act {
        None => list(&args.at.client()?, args.format, output).await,
        Some(Act::Add(args)) => carry_out("add", args, output).await,
        Some(Act::Remove(args)) => carry_out("remove", args, output).await,
        Some(Act::Replace(args)) => carry_out("replace", args, output).await,
        Some(Act::Recover(args)) => recover(args, output).await,
    }
}

async fn list(client: &Client, format: Format, output: &mut Output<'_>) -> Result<Outcome, CliError> {
    let answer = client.get("/v1/voters", Duration::ZERO).await?;
    match format {
        Format::Json => output.out.write_all(&answer.body)?,
        Format::Table => {
            let voters: Voters = client.read("/v1/voters", &answer)?;
            let heading = ["NAME", "VOTES", "SERVER", "ADDRESS", "MEMBER", "ID"].map(str::to_owned).to_vec();
            let leader = voters.leader.as_ref().map(|leader| leader.member.as_str());
            let row = |member: &Member| {
                let state = match (leader == Some(member.member.as_str()), member.up) {
                    (true, _) => "leads",
                    (false, true) => "up",
                    (false, false) => "down",
                };
                vec![
                    member.name.clone(),
                    if member.votes { "yes" } else { "no" }.to_owned(),
                    state.to_owned(),
                    member.address.clone().unwrap_or_else(|| "-".to_owned()),
                    member.member.clone(),
                    member.id.map_or_else(|| "-".to_owned(), |id| id.to_string()),
                ]
            };
            let rows: Vec<Vec<String>> =
                std::iter::once(heading).chain(voters.members.iter().map(row)).collect();
            table::write(output.out, &rows)?;
            for wait in &voters.waits {
                writeln!(output.out, "{} waits: {}", wait.name, wait.message)?;
            }
        }
    }
    Ok(Outcome::Done)
}

/// Says what will be done, asks, and has one step made after the other, each by a plan of its own.
async fn carry_out(verb: &str, args: WishArgs, output: &mut Output<'_>) -> Result<Outcome, CliError> {
    let client = args.at.client()?;
    let (until, led_by) = (now() + args.timeout, now() + LED_WITHIN);
    let mut wish = Wish { client: &client, verb, node: args.node };
    let mut said = String::new();
    // Set once the plan was said, and agreed to.
    let mut has_begun = false;
    loop {
        let asked = wish.say(None).await;
        let answer = match asked {
            Ok(answer) => answer,
            // A change under way may stand against the next step: a new leader, or members that have just connected.
            Err(error) if has_begun && now() < until && is_passing(&error) => {
                tokio::time::sleep(EVERY).await;
                continue;
            }
            Err(ClientError::Refused { status: 503, .. }) if now() < led_by => {
                tokio::time::sleep(EVERY).await;
                continue;
            }
            Err(error) => return refused(error, output),
        };
        match (answer.verdict, answer.ticket) {
            (VerdictName::Done, _) => {
                writeln!(output.out, "done")?;
                return Ok(Outcome::Done);
            }
            (VerdictName::Plan, Some(ticket)) => {
                if !has_begun {
                    writeln!(output.err, "{}", answer.text)?;
                    if !is_agreed(args.yes, output)? {
                        return Ok(Outcome::Failed);
                    }
                    has_begun = true;
                }
                match wish.say(Some(ticket)).await {
                    Ok(made) => {
                        if said != made.text {
                            writeln!(output.err, "{}", made.text)?;
                            said.clone_from(&made.text);
                        }
                        wish.follow(made);
                    }
                    Err(error) if is_passing(&error) => {}
                    Err(error) => return refused(error, output),
                }
            }
            (VerdictName::Plan | VerdictName::Made | VerdictName::Waits, _) => {
                if said != answer.text {
                    writeln!(output.err, "waiting: {}", answer.text)?;
                    said = answer.text;
                }
            }
        }
        if now() >= until {
            let timeout = humantime::format_duration(args.timeout);
            writeln!(
                output.err,
                "timed out after {timeout}; what was begun goes on: `chronik-agent voters`"
            )?;
            return Ok(Outcome::TimedOut);
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Says what is lost, asks, and waits until the server that is kept leads alone.
async fn recover(args: RecoverArgs, output: &mut Output<'_>) -> Result<Outcome, CliError> {
    let client = args.at.client()?;
    if !args.i_will_lose_data {
        writeln!(
            output.err,
            "whatever the server of {} has not heard of is lost: keep the one that has applied most (`applied_index` of \
             `chronik-agent self`), and say so with --i-will-lose-data",
            args.keep
        )?;
        return Ok(Outcome::Failed);
    }
    writeln!(
        output.err,
        "The server of {} is the only member from now on, with the data that it has; whatever it has not heard of is lost. Each other \
         one is told that it was removed, and joins as a new one once its data directory is empty.",
        args.keep
    )?;
    if !is_agreed(args.yes, output)? {
        return Ok(Outcome::Failed);
    }
    let request = RecoverRequest { keep: args.keep.clone(), i_will_lose_data: true };
    match client.post::<Voters>("/v1/voters/recover", &request).await {
        Ok(_) => writeln!(
            output.err,
            "start the server of {} through `chronik-agent exec` now, and stop it first if it runs",
            args.keep
        )?,
        Err(error) => return refused(error, output),
    }
    let until = now() + args.timeout;
    while now() < until {
        let voters: Voters = client.read_now("/v1/voters").await?;
        if voters.leader.is_some() && voters.members.len() == 1 {
            writeln!(output.out, "done")?;
            return Ok(Outcome::Done);
        }
        tokio::time::sleep(EVERY).await;
    }
    let timeout = humantime::format_duration(args.timeout);
    writeln!(output.err, "timed out after {timeout}: it comes up alone whenever it is started through exec")?;
    Ok(Outcome::TimedOut)
}

/// A wish under way.
struct Wish<'a> {
    client: &'a Client,
    verb: &'a str,
    node: String,
}

impl Wish<'_> {
    async fn say(&self, ticket: Option<u64>) -> Result<WishAnswer, ClientError> {
        let request = WishRequest { node: self.node.clone(), ticket };
        self.client.post(&format!("/v1/voters/{}", self.verb), &request).await
    }

    /// Goes on with the newcomer, where a voter was removed for it.
    fn follow(&mut self, made: WishAnswer) {
        if let Some(newcomer) = made.newcomer.filter(|_| self.verb == "replace") {
            (self.verb, self.node) = ("add", newcomer);
        }
    }
}

/// True for what may be over in a moment: the agents look anew each time.
fn is_passing(error: &ClientError) -> bool {
    match error {
        ClientError::Refused { status, .. } => matches!(status, 409 | 503 | 504),
        ClientError::Silent { .. } => true,
        ClientError::Unreachable { .. } | ClientError::Broken { .. } | ClientError::NotUnderstood { .. } => {
            false
        }
    }
}

/// A refusal of the wish itself is an answer, in the words of the agent beside the leader.
fn refused(error: ClientError, output: &mut Output<'_>) -> Result<Outcome, CliError> {
    match error {
        ClientError::Refused { status: 409, detail, .. } => {
            writeln!(output.err, "{detail}")?;
            Ok(Outcome::Failed)
        }
        error @ (ClientError::Refused { .. }
        | ClientError::Silent { .. }
        | ClientError::Unreachable { .. }
        | ClientError::Broken { .. }
        | ClientError::NotUnderstood { .. }) => Err(error.into()),
    }
}

/// Takes the server of this agent off the list, where it is on it; returns whether it is off.
pub(super) async fn remove_own(
    client: &Client,
    myself: NodeId,
    timeout: Duration,
    output: &mut Output<'_>,
) -> Result<bool, CliError> {
    let until = now() + timeout;
    let wish = Wish { client, verb: "remove", node: myself.to_string() };
    let mut said = String::new();
    loop {
        let why = match wish.say(None).await {
            Ok(WishAnswer { verdict: VerdictName::Done, .. }) => return Ok(true),
            Ok(WishAnswer { verdict: VerdictName::Plan, ticket: Some(ticket), text, .. }) => {
                if said != text {
                    writeln!(output.err, "{text}")?;
                    said = text;
                }
                match wish.say(Some(ticket)).await {
                    // The next look says what has come of it.
                    Ok(_) => String::new(),
                    Err(error) if is_passing(&error) => String::new(),
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(answer) => answer.text,
            Err(ClientError::Refused { status: 409, detail, .. }) => detail,
            Err(error) if is_passing(&error) => error.to_string(),
            Err(error) => return Err(error.into()),
        };
        if !why.is_empty() && why != said {
            writeln!(output.err, "waiting: {why}")?;
            said = why;
        }
        if now() >= until {
            return Ok(false);
        }
        tokio::time::sleep(EVERY).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "a command at the edge: the user's own limit of time")]
fn now() -> Instant {
    Instant::now()
}
