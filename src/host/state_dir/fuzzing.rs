//! Fuzz target: records as a damaged disk or another version may leave them.

use std::net::SocketAddr;

use serde::{Serialize, de::DeserializeOwned};

use super::record::{FORMAT, Unsealed, checksum, seal, unseal};
use crate::bootstrap::NodeRecord;

/// Checks that a record which reads is written as bytes that read as the same record.
pub(crate) fn record(data: &[u8]) {
    // Hardly any input has the right checksum, so that each is tried with it too.
    let head = format!("{FORMAT}{}\n", checksum(data));
    let sealed = [head.as_bytes(), data, b"\n"].concat();
    for file in [data, &sealed] {
        read::<NodeRecord>(file);
        read::<Vec<SocketAddr>>(file);
    }
}

fn read<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(file: &[u8]) {
    if let Ok(Unsealed::Present(record)) = unseal::<T>(file) {
        assert_eq!(unseal(&seal(&record)), Ok(Unsealed::Present(record)));
    }
}
