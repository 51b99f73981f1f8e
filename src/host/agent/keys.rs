//! The keyring of the running agent: read at the start, and again on SIGHUP and when the file has changed. A file that does
//! not read changes nothing.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use rand::CryptoRng;
use tokio::{sync::mpsc, time::MissedTickBehavior};

use crate::{
    config::Config,
    handle::Handle,
    key_file::{self, KeyFileError},
    shutdown::Hangups,
    wire::{Encryption, KeyChange, Keyring},
};

/// Most changes that wait to be written; more are refused.
pub(super) const QUEUE: usize = 16;
/// Interval of looks at the file; a rotation takes longer.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The encryption of this start of the agent; `None` without a key file, which is logged as a warning if others could
/// listen. `rng` must be fit for secrets.
pub(super) fn at_start(
    config: &Config,
    bound: SocketAddr,
    rng: &mut impl CryptoRng,
) -> Result<Option<Encryption>, KeyFileError> {
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
    rng.fill_bytes(&mut boot);
    let (sends, keys) = (keyring.sending().id(), keyring.ids().count());
    tracing::info!(%sends, keys, "gossip is encrypted");
    Ok(Some(Encryption { keyring, boot }))
}

/// Follows the file for ever, and writes into it the changes that members with a key ask for; `used` is the keyring that
/// was read from it.
pub(super) async fn follow(
    path: PathBuf,
    mut used: Keyring,
    mut changes: mpsc::Receiver<KeyChange>,
    handle: Handle,
) {
    let mut hangups = Hangups::catch("a new --encrypt-key-file is still noticed");
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The file may have changed since it was read at the start.
    let mut seen = None;
    loop {
        let change = tokio::select! {
            () = hangups.next() => None,
            Some(change) = changes.recv() => Some(change),
            _ = looks.tick() => {
                let version = key_file::version(&path);
                if version == seen || version.is_none() {
                    continue;
                }
                None
            }
        };
        // A disk may be slow.
        let file = path.clone();
        let done = tokio::task::spawn_blocking(move || {
            let keyring = renew(&file, change.as_ref());
            (key_file::version(&file), keyring)
        });
        let Ok((version, keyring)) = done.await else { continue };
        seen = version;
        let unchanged = keyring.as_ref().ok() == Some(&used);
        // If something was wrong with the file before, snapshots have to show that it is right again.
        if unchanged && handle.snapshot().encryption.trouble.is_none() {
            continue;
        }
        match &keyring {
            Ok(keyring) => {
                let (sends, keys) = (keyring.sending().id(), keyring.ids().count());
                tracing::info!(%sends, keys, "the keys are read");
                used = keyring.clone();
            }
            Err(error) => tracing::error!(%error, "the keys stay as they are"),
        }
        if handle.set_keyring(keyring).await.is_err() {
            return;
        }
    }
}

/// Reads the file and, if a change is given, applies that and writes it.
fn renew(path: &Path, change: Option<&KeyChange>) -> Result<Keyring, String> {
    let mut keyring = key_file::read(path).map_err(|error| error.to_string())?;
    if let Some(change) = change {
        let before = keyring.clone();
        change.apply(&mut keyring).map_err(|error| error.to_string())?;
        if keyring != before {
            key_file::write(path, &keyring).map_err(|error| error.to_string())?;
        }
    }
    Ok(keyring)
}
