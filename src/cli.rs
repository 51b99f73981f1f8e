//! The command line: without a subcommand it runs the agent, with one it is a client of a running agent's API.

pub mod act;
pub mod bootstrap;
mod client;
mod condition;
mod data_dir;
pub mod demo;
mod demo_screen;
pub mod discover;
pub mod exec;
pub mod generate;
mod keygen;
pub mod keys;
pub mod members;
pub mod plan;
pub mod rtt;
pub mod show;
mod table;
mod template;
pub mod wait;

use std::{
    future::Future,
    io::{self, Write},
    path::PathBuf,
};

use clap::{
    Args, Parser, Subcommand, ValueEnum,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};

use self::client::Client;
pub use self::{client::ClientError, template::TemplateError};
use crate::{
    choice::Choice,
    config::{HttpAddr, Options, value, variable},
    token::{Token, TokenError},
};

/// Finds the other members of a clustered server, gossips with them, and tells the server who is there.
#[derive(Debug, Parser)]
#[command(
    name = "chronik-agent",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Every flag has an environment variable (CHRONIK_AGENT_ and its name in capitals, with _ for -) and a \
                  key of its name in the file of --config. A flag wins over the environment, both over the file.\n\n\
                  Exit codes: 0 done, 1 failed, 2 nothing matched, 3 timed out, 4 a provider failed, 64 wrong usage or \
                  configuration."
)]
pub struct Cli {
    /// What to do instead of running the agent.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to run the agent.
    #[command(flatten)]
    pub options: Options,
}

/// What to do instead of running the agent.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Who is there; exit code 2 where nobody matches
    Members(members::MembersArgs),
    /// How long a round trip between two members takes, measured or estimated; exit code 2 where it is not known
    Rtt(rtt::RttArgs),
    /// Whether there is a majority, as far as the agent can see
    Quorum(show::ShowArgs),
    /// What the server is to do: wait, found the cluster, resume or join; and what an operator may change about it
    Bootstrap(bootstrap::BootstrapArgs),
    /// What each provider last said, and when it is asked next
    Discovery(show::ShowArgs),
    /// The agent itself
    #[command(name = "self")]
    Myself(show::ShowArgs),
    /// Version, configuration, limits and counters of the agent
    Info(show::ShowArgs),
    /// Waits until something is so, and prints the answer; exit code 3 where it does not come in time
    Wait(wait::WaitArgs),
    /// Waits for the decision, fills a command from it, and becomes that command
    Exec(exec::ExecArgs),
    /// Makes the agent contact these addresses now; exit code 1 where none works
    Join(act::JoinArgs),
    /// Makes the agent say goodbye and stop
    Leave(act::LeaveArgs),
    /// Asks one provider once, without an agent; exit code 2 for no address, 4 where the provider fails
    Discover(discover::DiscoverArgs),
    /// Whether the agent answers, for health checks of containers: exit code 0 or 1
    Health(act::HealthArgs),
    /// Runs a few agents on this host and shows how they find each other, until Ctrl-C
    Demo(demo::DemoArgs),
    /// Makes a new key for --encrypt-key-file and prints it
    Keygen,
    /// Shows and changes the keys of all members, over the cluster; exit code 1 where a member did not follow
    Keys(keys::KeysArgs),
    /// Prints the completions for a shell
    Completions(generate::CompletionsArgs),
    /// Prints the manual page
    Man(generate::ManArgs),
}

/// How a command ended that did what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
    /// Asked, and the answer is no.
    Failed,
    /// Nothing matched.
    NothingMatched,
    /// It did not come in time.
    TimedOut,
    /// A provider failed.
    ProviderFailed,
}

/// Why a command could not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The agent did not answer as it should.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The token that the agent wants.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The spec of `discover`.
    #[error("{0}")]
    Spec(#[from] chronik_providers::SpecError),
    /// The demo's agents.
    #[error(transparent)]
    Demo(#[from] demo::DemoError),
    /// The command of `exec`.
    #[error(transparent)]
    Exec(#[from] exec::ExecError),
    /// The file with the key to install.
    #[error("{}: {error}", file.display())]
    Key {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        error: keys::KeyFault,
    },
    /// The template of `members`.
    #[error("{0}")]
    Template(String),
    /// Standard output is closed or full.
    #[error("cannot write the answer: {0}")]
    Output(#[from] io::Error),
}

/// Where a command writes.
pub struct Output<'a> {
    /// Answers.
    pub out: &'a mut dyn Write,
    /// Remarks.
    pub err: &'a mut dyn Write,
    /// Whether a person reads the answers.
    pub terminal: bool,
}

/// Where the agent is.
#[derive(Debug, Clone, Args)]
pub(crate) struct At {
    /// Where the agent's API is: ADDR:PORT or unix:PATH
    #[arg(long, value_name = "ADDR:PORT|unix:PATH", env = variable("http"), hide_env_values = true, default_value = "127.0.0.1:7947",
          value_parser = first_http)]
    http: HttpAddr,
    /// The file with the token of the agent's API, where it has one
    #[arg(long, value_name = "FILE", env = variable("http-token-file"), hide_env_values = true)]
    http_token_file: Option<PathBuf>,
}

impl At {
    fn client(&self) -> Result<Client, TokenError> {
        // An empty variable is what `${NAME:-}` in a compose file leaves behind.
        let file = self.http_token_file.as_deref().filter(|file| !file.as_os_str().is_empty());
        Ok(Client::new(self.http.clone(), file.map(Token::read_shared).transpose()?))
    }
}

/// An agent may listen at several addresses, and its variable then names them all; the first will do.
fn first_http(text: &str) -> Result<HttpAddr, String> {
    value::http(text.split(',').next().unwrap_or(text))
}

/// How an answer is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// As the API gives it.
    Json,
    /// For people.
    Table,
}

impl Command {
    /// Does it. `interrupt` completes when the user wants a command to end that would run on.
    ///
    /// # Errors
    /// Where the agent cannot be asked or the answer cannot be written.
    pub async fn run(
        self,
        output: &mut Output<'_>,
        interrupt: impl Future<Output = ()>,
    ) -> Result<Outcome, CliError> {
        match self {
            Self::Members(args) => members::run(args, output).await,
            Self::Rtt(args) => rtt::run(args, output).await,
            Self::Quorum(args) => show::run(&args, "/v1/quorum", output).await,
            Self::Bootstrap(args) => bootstrap::run(args, output).await,
            Self::Discovery(args) => show::run(&args, "/v1/discovery", output).await,
            Self::Myself(args) => show::run(&args, "/v1/self", output).await,
            Self::Info(args) => show::run(&args, "/v1/info", output).await,
            Self::Wait(args) => wait::run(&args, output).await,
            Self::Exec(args) => exec::run(args, output).await,
            Self::Join(args) => act::join(args, output).await,
            Self::Leave(args) => act::leave(args, output).await,
            Self::Discover(args) => discover::run(&args, output).await,
            Self::Health(args) => act::health(args, output).await,
            Self::Demo(args) => demo::run(&args, output, interrupt).await,
            Self::Keygen => keygen::run(output),
            Self::Keys(args) => keys::run(args, output).await,
            Self::Completions(args) => generate::completions(&args, output),
            Self::Man(args) => generate::man(&args, output),
        }
    }
}

/// Reads one of a closed set of values; the help text lists them with their meanings.
fn choice<T: Choice + Send + Sync>() -> impl TypedValueParser<Value = T> {
    let words = T::ALL.iter().map(|value| PossibleValue::new(value.word()).help(value.meaning()));
    PossibleValuesParser::new(words).map(|word| T::named(&word).expect("it is one of the possible values"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::FLAGS;

    #[test]
    fn a_client_takes_the_place_of_the_api_from_the_flags_of_the_agent() {
        let command = At::augment_args(clap::Command::new("client"));
        for arg in command.get_arguments() {
            let name = arg.get_long().unwrap();
            let flag = FLAGS.iter().find(|flag| flag.name == name).unwrap();
            assert_eq!(arg.get_env().unwrap(), flag.variable().as_str());
        }
    }
}
