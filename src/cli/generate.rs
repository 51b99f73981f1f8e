//! `completions` and `man`: made from the definitions of the flags.

use clap::{Args, CommandFactory};

use super::{Cli, CliError, Outcome, Output};

/// The flags of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    shell: clap_complete::Shell,
}

pub(super) fn completions(args: &CompletionsArgs, output: &mut Output<'_>) -> Result<Outcome, CliError> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "chronik-agent", &mut text);
    output.out.write_all(&text)?;
    Ok(Outcome::Done)
}

/// The flags of `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// The page of this subcommand
    #[arg(value_parser = subcommand)]
    command: Option<String>,
}

/// Checked by name only: the whole command cannot be asked for while it is being built.
fn subcommand(name: &str) -> Result<String, String> {
    let command =
        <super::Command as clap::Subcommand>::augment_subcommands(clap::Command::new("chronik-agent"));
    match command.find_subcommand(name) {
        Some(_) => Ok(name.to_owned()),
        None => Err("there is no such subcommand".to_owned()),
    }
}

pub(super) fn man(args: &ManArgs, output: &mut Output<'_>) -> Result<Outcome, CliError> {
    let mut command = Cli::command();
    command.build();
    let named = args.command.as_deref().and_then(|name| command.find_subcommand(name));
    clap_mangen::Man::new(named.unwrap_or(&command).clone()).render(output.out)?;
    Ok(Outcome::Done)
}
