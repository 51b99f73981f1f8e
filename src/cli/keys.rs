//! `keys`: the keyrings of all members.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use clap::{Args, Subcommand};
use zeroize::Zeroizing;

use super::{
    at::At,
    error::{CliError, KeyFault},
    output::{Outcome, Output},
    table,
};
use crate::{
    api::keys::{InstallRequest, KeyIdRequest, KeysAnswer},
    wire::Keyring,
};

/// The flags of `keys`.
#[derive(Debug, Args)]
pub struct KeysArgs {
    #[command(subcommand)]
    what: What,
}

/// A task for the keyrings.
#[derive(Debug, Subcommand)]
enum What {
    /// Shows the keys of every member, by their ids
    List {
        #[command(flatten)]
        at: At,
    },
    /// Has every member understand one more key; it is not sent with yet
    Install {
        #[command(flatten)]
        at: At,
        /// The file with the key, as `keygen` prints it; - for standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Has every member send with this key, which all must have
    Use {
        #[command(flatten)]
        at: At,
        /// The key's id, as `keys list` shows it
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Has every member forget this key; members that have no other are shut out
    Remove {
        #[command(flatten)]
        at: At,
        /// The key's id, as `keys list` shows it
        #[arg(value_name = "ID")]
        id: String,
    },
}

pub(super) async fn run(args: KeysArgs, output: &mut Output<'_>) -> Result<Outcome, CliError> {
    let (at, path, body) = match args.what {
        What::List { at } => (at, "/v1/keys", None),
        What::Install { at, file } => {
            let key = key_in(&file).map_err(|error| CliError::Key { file, error })?;
            (at, "/v1/keys/install", Some(Zeroizing::new(json(&InstallRequest { key: key.to_string() }))))
        }
        What::Use { at, id } => (at, "/v1/keys/use", Some(Zeroizing::new(json(&KeyIdRequest { id })))),
        What::Remove { at, id } => (at, "/v1/keys/remove", Some(Zeroizing::new(json(&KeyIdRequest { id })))),
    };
    let client = at.client()?;
    let answer = match body {
        None => client.get(path, Duration::ZERO).await?,
        Some(body) => client.post_bytes(path, Bytes::copy_from_slice(&body)).await?,
    };
    let answer: KeysAnswer = client.read(path, &answer)?;
    show(&answer, output)?;
    Ok(if answer.done { Outcome::Done } else { Outcome::Failed })
}

fn show(answer: &KeysAnswer, output: &mut Output<'_>) -> io::Result<()> {
    let head = ["NAME", "ADDRESS", "SENDS", "UNDERSTANDS", "PROBLEM"].map(str::to_owned).to_vec();
    let rows = answer.members.iter().map(|member| {
        let name = member.name.as_ref().map_or_else(|| member.id.to_string(), ToString::to_string);
        let sends = member.sends.clone().unwrap_or_default();
        let problem = member.error.clone().unwrap_or_default();
        vec![name, member.addr.to_string(), sends, member.keys.join(" "), problem]
    });
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    table::write(output.out, &rows)
}

fn json<T: serde::Serialize>(request: &T) -> Vec<u8> {
    serde_json::to_vec(request).expect("a text serialises")
}

/// Reads the only key in `file`.
fn key_in(file: &Path) -> Result<Zeroizing<String>, KeyFault> {
    let mut text = Zeroizing::new(String::new());
    if file == Path::new("-") {
        io::stdin().lock().read_to_string(&mut text)?;
    } else {
        fs::File::open(file)?.read_to_string(&mut text)?;
    }
    let keyring = Keyring::parse(&text)?;
    let count = keyring.ids().count();
    if count > 1 {
        return Err(KeyFault::Several(count));
    }
    Ok(keyring.sending().to_text())
}
