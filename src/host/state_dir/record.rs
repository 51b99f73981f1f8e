//! A record as bytes: a line with its format and checksum, then JSON.

use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

/// The first words of every record.
pub(super) const FORMAT: &str = "chronik-agent record 1 sha256 ";
pub(super) fn checksum(json: &[u8]) -> String {
    Sha256::digest(json).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn seal<T: Serialize>(record: &T) -> Vec<u8> {
    let json = serde_json::to_vec_pretty(record).expect("a record has string keys only");
    let mut file = format!("{FORMAT}{}\n", checksum(&json)).into_bytes();
    file.extend(json);
    file.push(b'\n');
    file
}

pub(super) fn unseal<T: DeserializeOwned>(file: &[u8]) -> Result<T, String> {
    let text = file.strip_prefix(FORMAT.as_bytes()).ok_or("it is no record of this agent")?;
    let end = text.iter().position(|byte| *byte == b'\n').ok_or("it is cut short")?;
    let (sum, json) = (&text[..end], &text[end + 1..]);
    let json = json.strip_suffix(b"\n").ok_or("it is cut short")?;
    if sum != checksum(json).as_bytes() {
        return Err("its checksum does not fit".to_owned());
    }
    serde_json::from_slice(json).map_err(|error| error.to_string())
}
