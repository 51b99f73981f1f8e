//! Errors of the commands.

use std::{ffi::OsString, io, path::PathBuf};

use super::{client::ClientError, template::TemplateError};
use crate::{servers::DataError, token::TokenError, wire::KeyError};

/// Reason for which a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// An agent that did not answer as it should.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The token for the agent's API.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The spec of `discover`.
    #[error("{0}")]
    Spec(#[from] chronik_providers::SpecError),
    /// The demo's agents.
    #[error(transparent)]
    Demo(#[from] DemoError),
    /// The command of `exec`.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// The file with the key to install.
    #[error("{}: {error}", file.display())]
    Key {
        /// The file.
        file: PathBuf,
        /// The mistake in it.
        error: KeyFault,
    },
    /// The file with a proof, or with ids.
    #[error("{}: {error}", file.display())]
    Proof {
        /// The file.
        file: PathBuf,
        /// The mistake in it.
        error: ProofFault,
    },
    /// The command whose manual page is wanted.
    #[error("there is no command `{0}`: `chronik-agent --help` lists those that there are")]
    NoCommand(String),
    /// The template of `members`.
    #[error("{0}")]
    Template(String),
    /// Standard output is closed or full.
    #[error("cannot write the answer: {0}")]
    Output(#[from] io::Error),
}

/// Reason for which a file proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum ProofFault {
    /// The system's words.
    #[error("cannot read it: {0}")]
    File(io::Error),
    /// It is no JSON.
    #[error("it is no JSON ({0}): give the answer of `chronik-agent bootstrap --format json`")]
    Json(serde_json::Error),
    /// It holds no certificate.
    #[error(
        "there is no `certificate` in it: nothing is bootstrapped there, or its cluster was adopted; give the answer of `chronik-agent bootstrap --format json` of an agent that knows the cluster"
    )]
    Missing,
    /// The certificate is not what it says.
    #[error("NOT PROVEN: {0}; do not trust where it comes from")]
    NotProven(serde_json::Error),
    /// A line is no id.
    #[error("line {line}: {error}")]
    Id {
        /// Its number.
        line: usize,
        /// The rule that it breaks.
        error: crate::node::InvalidName,
    },
}

/// Reason for which the demo cannot run.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// Its directory cannot be written to.
    #[error("cannot write to {path}: {error}: TMPDIR names another place")]
    Directory {
        /// The path.
        path: String,
        /// The system's words.
        error: io::Error,
    },
    /// It finds no free ports.
    #[error("no free ports on 127.0.0.1: {0}")]
    Ports(io::Error),
    /// Its agents cannot be started.
    #[error("cannot start an agent: {0}")]
    Start(io::Error),
    /// All of them ended by themselves.
    #[error("all agents have ended; the last words of the first: {0}")]
    AllEnded(String),
}

/// Reason for which `exec` cannot start its command.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// A text cannot be filled.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A template has no place for its file, or a place has no template.
    #[error("{0}")]
    Usage(&'static str),
    /// The data of the server does not read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A file cannot be read or written.
    #[error("{what} {}: {error}", path.display())]
    File {
        /// The act that failed.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's words.
        error: io::Error,
    },
    /// The system does not start it.
    #[error("cannot start {command:?}: {error}")]
    Start {
        /// Its name.
        command: OsString,
        /// The system's words.
        error: io::Error,
    },
}

/// Reason for which a file holds no key to install. Never shows its content.
#[derive(Debug, thiserror::Error)]
pub enum KeyFault {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is no key.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// There are several.
    #[error("there are {0} keys in it: give a file with the one to install")]
    Several(usize),
}
