//! Errors of an agent as a whole.

use std::io;

use chronik_providers::SpecError;
use tokio::task::JoinError;

use crate::{
    advertise, gossip::MetadataTooLarge, http, key_file::KeyFileError, state_dir::StateError,
    token::TokenError, transport,
};

/// The reason why the agent could not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The gossip address cannot be bound.
    #[error(transparent)]
    Bind(#[from] transport::BindError),
    /// The API's address cannot be bound.
    #[error(transparent)]
    Http(#[from] http::BindError),
    /// The API's token does not serve.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// No address for the others can be chosen.
    #[error(transparent)]
    Advertise(#[from] advertise::AdvertiseError),
    /// The state directory does not serve.
    #[error(transparent)]
    State(#[from] StateError),
    /// The keys do not read.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// The metadata of this node is too large.
    #[error(transparent)]
    Metadata(#[from] MetadataTooLarge),
    /// A provider's spec is wrong.
    #[error("--retry-join: {0}")]
    Spec(#[from] SpecError),
    /// The operating system refuses something.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A second signal came before the goodbye was said.
    #[error("stopped by a second signal before the goodbye was said; the others will call this node failed")]
    Aborted,
    /// A task ended that should not have.
    #[error("the {0} task ended by itself; this is a defect of the agent, please report it")]
    TaskEnded(&'static str),
    /// A task panicked.
    #[error("a task failed: {0}; this is a defect of the agent, please report it")]
    TaskFailed(#[from] JoinError),
}

impl AgentError {
    /// True if only another configuration would help; all else may go away by itself, and is worth another start.
    pub fn is_of_configuration(&self) -> bool {
        let is_of_keys = matches!(self, Self::Keys(error) if !matches!(error, KeyFileError::Io { .. }));
        is_of_keys || matches!(self, Self::Metadata(_) | Self::Spec(_))
    }
}
