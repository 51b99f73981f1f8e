//! The keys of the machine's gossip.

use std::time::Instant;

use super::Machine;
use crate::{
    gossip::KeysId,
    wire::{KeyChange, KeyState, Keyring, Secrecy},
};

impl Machine {
    /// Uses other keys from now on, or says to whoever asks why it does not.
    pub fn set_keyring(&mut self, keyring: Result<Keyring, String>) {
        match keyring {
            Ok(keyring) => self.gossip.set_keyring(keyring),
            Err(trouble) => self.gossip.set_key_trouble(trouble),
        }
    }

    /// How gossip is encrypted now.
    pub fn secrecy(&self) -> Secrecy {
        let KeyState { keys, trouble } = self.gossip.key_state().unwrap_or_default();
        Secrecy { keys, trouble, stranger: self.gossip.stranger().cloned() }
    }

    /// Asks every member how its keyring stands, and to change it; nothing where there are no keys.
    pub fn ask_keys(&mut self, change: Option<KeyChange>, now: Instant) -> Option<KeysId> {
        self.gossip.ask_keys(change, now)
    }
}
