//! Records as a damaged disk or another version may leave them.

use std::net::SocketAddr;

use serde::{Serialize, de::DeserializeOwned};

use super::{FORMAT, NodeRecord, checksum, seal, unseal};

/// What is read is written to bytes that mean the same.
pub(crate) fn record(data: &[u8]) {
    // Few inputs have the right checksum of themselves.
    let head = format!("{FORMAT}{}\n", checksum(data));
    let sealed = [head.as_bytes(), data, b"\n"].concat();
    for file in [data, &sealed] {
        read::<NodeRecord>(file);
        read::<Vec<SocketAddr>>(file);
    }
}

fn read<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(file: &[u8]) {
    if let Ok(record) = unseal::<T>(file) {
        assert_eq!(unseal(&seal(&record)), Ok(record));
    }
}
