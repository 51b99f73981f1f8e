//! `completions` and `man`: made from the definitions of the flags.

use clap::Args;

use super::{
    error::CliError,
    output::{Outcome, Output},
};

/// The flags of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    shell: clap_complete::Shell,
}

/// Prints the completions of the program.
pub(super) fn completions(
    args: &CompletionsArgs,
    mut program: clap::Command,
    output: &mut Output<'_>,
) -> Result<Outcome, CliError> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut program, "chronik-agent", &mut text);
    output.out.write_all(&text)?;
    Ok(Outcome::Done)
}

/// The flags of `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// The page of this subcommand
    command: Option<String>,
}

/// Prints the manual page of the program or of one of its commands.
pub(super) fn man(
    args: ManArgs,
    mut program: clap::Command,
    output: &mut Output<'_>,
) -> Result<Outcome, CliError> {
    program.build();
    let page = match args.command {
        None => program,
        Some(name) => program.find_subcommand(&name).cloned().ok_or(CliError::NoCommand(name))?,
    };
    clap_mangen::Man::new(page).render(output.out)?;
    Ok(Outcome::Done)
}
