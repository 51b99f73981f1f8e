//! Reasons for which a packet is not read.

use super::{key::KeyId, packet::PLAIN_VERSION};

/// The reason for which a packet was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Not one of ours, cut short, or longer than allowed.
    #[error("not a chronik-agent packet")]
    Foreign,
    /// Changed or cut short on its way.
    #[error("damaged on its way: its checksum does not fit")]
    Damaged,
    /// A version this agent does not speak.
    #[error(
        "it speaks version {0} of the protocol, this agent version {PLAIN_VERSION}: upgrade the older one"
    )]
    Version(u8),
    /// Meant for another cluster.
    #[error("it belongs to cluster \"{0}\": give both agents the same --cluster, or remove the address")]
    OtherCluster(String),
    /// Encrypted, and this agent has no key.
    #[error("it is encrypted, and this agent has no key: give it the cluster's --encrypt-key-file")]
    Encrypted,
    /// Not encrypted, and this agent has a key.
    #[error("it is not encrypted: give the agent there the cluster's --encrypt-key-file")]
    Plain,
    /// Encrypted under a key that is not in the keyring.
    #[error("wrong key: it is encrypted under key {0}, which is not in this agent's --encrypt-key-file")]
    UnknownKey(KeyId),
    /// Encrypted under a known key, and not as it was sent: changed on its way, of another cluster, or no answer to
    /// the request.
    #[error("encrypted under key {0}, but changed on its way, or of another cluster")]
    Forged(KeyId),
}
