//! `keygen`: a new key for the file of `--encrypt-key-file`.

use rand::Rng as _;
use zeroize::Zeroizing;

use super::{
    error::CliError,
    output::{Outcome, Output},
};
use crate::wire::Key;

pub(super) fn run(output: &mut Output<'_>) -> Result<Outcome, CliError> {
    let mut bytes = Zeroizing::new([0; Key::LEN]);
    #[expect(clippy::disallowed_methods, reason = "a key has to come from the system's generator")]
    rand::rng().fill_bytes(bytes.as_mut_slice());
    let key = Key::new(bytes);
    if output.terminal {
        writeln!(output.err, "key {}; keep it in a file that only the agent's user can read:", key.id())?;
    }
    writeln!(output.out, "{}", *key.to_text())?;
    Ok(Outcome::Done)
}
