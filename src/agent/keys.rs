//! The keyring of the running agent: read at the start, and again on SIGHUP and when the file is another one. A file
//! that does not read changes nothing.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use rand::Rng as _;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::MissedTickBehavior,
};

use super::{AgentError, system_rng};
use crate::{
    config::Config,
    handle::Handle,
    key_file,
    wire::{Encryption, Keyring},
};

/// How often the file is looked at; a rotation takes longer.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What this start of the agent encrypts with; says once that it does not, where others could listen.
pub(super) fn at_start(config: &Config, bound: SocketAddr) -> Result<Option<Encryption>, AgentError> {
    let Some(path) = &config.encrypt_key_file else {
        if !bound.ip().is_loopback() {
            tracing::warn!(
                %bound,
                "gossip is not encrypted: whoever reaches this port can join and take members out; make a key with \
                 `chronik-agent keygen` and give every agent --encrypt-key-file"
            );
        }
        return Ok(None);
    };
    let keyring = key_file::read(path)?;
    let mut boot = [0; 16];
    // The thread's generator is seeded by the system and made for secrets.
    system_rng().fill_bytes(&mut boot);
    let (sends, keys) = (keyring.sending().id(), keyring.ids().count());
    tracing::info!(%sends, keys, "gossip is encrypted");
    Ok(Some(Encryption { keyring, boot }))
}

/// Follows the file for ever; `used` is the keyring that was read from it.
pub(super) async fn follow(path: PathBuf, mut used: Keyring, handle: Handle) {
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => Some(hangup),
        Err(error) => {
            tracing::warn!(%error, "SIGHUP cannot be caught; a new --encrypt-key-file is still noticed");
            None
        }
    };
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // What was read at the start may be older than the file is by now.
    let mut seen = None;
    loop {
        let asked = async {
            match &mut hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        let asked = tokio::select! {
            _ = looks.tick() => false,
            _ = asked => true,
        };
        let version = key_file::version(&path);
        if !asked && (version == seen || version.is_none()) {
            continue;
        }
        seen = version;
        match key_file::read(&path) {
            Ok(keyring) if keyring == used => {}
            Ok(keyring) => {
                let (sends, keys) = (keyring.sending().id(), keyring.ids().count());
                used = keyring.clone();
                if handle.set_keyring(keyring).await.is_err() {
                    return;
                }
                tracing::info!(%sends, keys, "the keys are read again");
            }
            Err(error) => tracing::error!(%error, "the keys stay as they are"),
        }
    }
}
