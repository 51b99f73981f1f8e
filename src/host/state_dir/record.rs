//! A record as bytes: a line with its format and checksum, then JSON.

use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

/// The first words of every record.
pub(super) const FORMAT: &str = "chronik-agent keyed record 1 sha256 ";
/// The first words of records of former formats.
const FORMER: [&str; 2] = ["chronik-agent record 1 sha256 ", "chronik-agent record 2 sha256 "];

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

/// A record that may be of a former format.
#[derive(Debug, PartialEq)]
pub(super) enum Unsealed<T> {
    /// It is of the present one.
    Present(T),
    /// It is of a former one; its JSON.
    Former(Vec<u8>),
}

pub(super) fn unseal<T: DeserializeOwned>(file: &[u8]) -> Result<Unsealed<T>, String> {
    let former = FORMER.iter().find_map(|format| file.strip_prefix(format.as_bytes()));
    let text = former.or_else(|| file.strip_prefix(FORMAT.as_bytes()));
    let text = text.ok_or("it is no record of this agent")?;
    let end = text.iter().position(|byte| *byte == b'\n').ok_or("it is cut short")?;
    let (sum, json) = (&text[..end], &text[end + 1..]);
    let json = json.strip_suffix(b"\n").ok_or("it is cut short")?;
    if sum != checksum(json).as_bytes() {
        return Err("its checksum does not fit".to_owned());
    }
    if former.is_some() {
        return Ok(Unsealed::Former(json.to_owned()));
    }
    serde_json::from_slice(json).map(Unsealed::Present).map_err(|error| error.to_string())
}
