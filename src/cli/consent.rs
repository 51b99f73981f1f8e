//! The consent of a person to a change.

use std::io::{self, BufRead as _, IsTerminal as _};

use super::output::Output;

/// Asks the person at the terminal, unless `--yes` has answered already. Without a terminal nothing else is an answer.
pub(super) fn is_agreed(yes: bool, output: &mut Output<'_>) -> io::Result<bool> {
    if yes {
        return Ok(true);
    }
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        writeln!(output.err, "nothing is done: this is no terminal, so that --yes is needed")?;
        return Ok(false);
    }
    write!(output.err, "Go on? [y/N] ")?;
    output.err.flush()?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    let agreed = matches!(answer.trim().to_lowercase().as_str(), "y" | "yes");
    if !agreed {
        writeln!(output.err, "nothing is done")?;
    }
    Ok(agreed)
}
