//! The flags by which a command finds the agent's API.

use std::path::PathBuf;

use clap::Args;

use super::client::Client;
use crate::{
    config::{HttpAddr, value, variable},
    token::{Token, TokenError},
};

/// The place of the API where nothing else is said, as in `--http` of the agent.
const DEFAULT_HTTP: &str = "127.0.0.1:7947";

/// The place of an agent's API, and the token for it.
#[derive(Debug, Clone, Args)]
pub(crate) struct At {
    /// Where the agent's API is: ADDR:PORT or unix:PATH
    #[arg(long, value_name = "ADDR:PORT|unix:PATH", env = variable("http"), hide_env_values = true, default_value = DEFAULT_HTTP,
          value_parser = first_http)]
    http: HttpAddr,
    /// The file with the token of the agent's API, where it has one
    #[arg(long, value_name = "FILE", env = variable("http-token-file"), hide_env_values = true)]
    http_token_file: Option<PathBuf>,
}

impl At {
    /// A client of that agent.
    pub(super) fn client(&self) -> Result<Client, TokenError> {
        // `${NAME:-}` in a compose file leaves an empty variable behind.
        let file = self.http_token_file.as_deref().filter(|file| !file.as_os_str().is_empty());
        Ok(Client::new(self.http.clone(), file.map(Token::read_shared).transpose()?))
    }
}

/// Reads the first of several addresses: an agent may listen at several, and its variable then names them all. An empty one
/// counts as not given, like every variable.
fn first_http(text: &str) -> Result<HttpAddr, String> {
    let first = text.split(',').map(str::trim).find(|addr| !addr.is_empty());
    value::http(first.unwrap_or(DEFAULT_HTTP))
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
