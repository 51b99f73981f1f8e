//! Digests that are cut to the length of a name.

use sha2::{Digest as _, Sha256};

/// The first bytes of a hash.
pub(super) fn first<const N: usize>(hash: Sha256) -> [u8; N] {
    std::array::from_fn({
        let whole = hash.finalize();
        move |at| whole[at]
    })
}
