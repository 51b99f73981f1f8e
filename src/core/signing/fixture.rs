//! Keys for tests and fuzzing: the ids of higher numbers are greater.

use std::sync::OnceLock;

use zeroize::Zeroizing;

use super::{KEY_LEN, NodeKey};

/// The key of this number.
pub(crate) fn key(number: u8) -> NodeKey {
    static KEYS: OnceLock<Vec<NodeKey>> = OnceLock::new();
    let keys = KEYS.get_or_init(|| {
        let secrets = (0..=u8::MAX).map(|byte| Zeroizing::new([byte; KEY_LEN]));
        let mut keys: Vec<_> = secrets.map(|secret| NodeKey::new(&secret)).collect();
        keys.sort();
        keys
    });
    keys[usize::from(number)].clone()
}
