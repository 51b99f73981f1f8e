//! The command line: without a subcommand it runs the agent, with one it is a client of a running agent's API.

pub mod act;
mod adopt;
mod at;
pub mod bootstrap;
mod client;
mod condition;
mod consent;
mod data_dir;
pub mod demo;
mod demo_screen;
pub mod discover;
mod error;
pub mod exec;
pub mod forget;
pub mod generate;
mod keygen;
pub mod keys;
pub mod members;
mod output;
mod overriding;
pub mod plan;
mod reach;
pub mod rtt;
pub mod show;
mod table;
mod template;
mod verify;
pub mod voters;
pub mod wait;

use clap::{CommandFactory as _, Parser, Subcommand};

pub use self::{
    client::ClientError,
    error::{CliError, DemoError, ExecError, KeyFault, ProofFault},
    output::{Outcome, Output},
    template::TemplateError,
};
use crate::config::Options;

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
    /// A task other than running the agent.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The settings of the agent.
    #[command(flatten)]
    pub options: Options,
}

/// A task other than running the agent.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Who is there; exit code 2 where nobody matches
    Members(members::MembersArgs),
    /// How long a round trip between two members takes, measured or estimated; exit code 2 where it is not known
    Rtt(rtt::RttArgs),
    /// Whether there is a majority, as far as the agent can see
    Quorum(show::ShowArgs),
    /// What the server is to do: wait, bootstrap the cluster, resume or join; and what an operator may change about it
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
    /// The members of the servers' own group; and to add, remove or replace one, where the agents know the server (--server)
    Voters(voters::VotersArgs),
    /// Makes the agent say goodbye and stop; --for-good takes its server off the members first
    Leave(act::LeaveArgs),
    /// Forgets a failed or left member: it is gone from every view until it shows that it lives
    Forget(forget::ForgetArgs),
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

impl Command {
    /// Runs the command. `interrupt` completes once the user wants one to end that would run on.
    ///
    /// # Errors
    /// If the agent cannot be asked or the answer cannot be written.
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
            Self::Voters(args) => voters::run(args, output).await,
            Self::Leave(args) => act::leave(args, output).await,
            Self::Forget(args) => forget::run(args, output).await,
            Self::Discover(args) => discover::run(&args, output).await,
            Self::Health(args) => act::health(args, output).await,
            Self::Demo(args) => demo::run(&args, output, interrupt).await,
            Self::Keygen => keygen::run(output),
            Self::Keys(args) => keys::run(args, output).await,
            Self::Completions(args) => generate::completions(&args, Cli::command(), output),
            Self::Man(args) => generate::man(args, Cli::command(), output),
        }
    }
}
