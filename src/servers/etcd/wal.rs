//! The ids in etcd's write-ahead log. Each of its files begins with a record of its checksum and one of its metadata: the member
//! and the cluster (`server/storage/wal`: a record's length in eight bytes, little-endian, the highest with the padding,
//! then a protobuf message of a type, a checksum and data).

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
};

use super::super::driver::DataError;

/// The types of the first two records.
const CHECKSUM: u64 = 4;
const METADATA: u64 = 1;
/// Bytes of the beginning of a file: both records take a hundred.
const BEGINNING: u64 = 4_096;

/// The ids of a server's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ids {
    pub(super) member: u64,
    pub(super) cluster: u64,
}

/// The ids in the log in `dir`; `None` if there is none, which etcd takes for a blank data directory.
pub(super) fn identity(dir: &Path) -> Result<Option<Ids>, DataError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(DataError::at(dir)(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(DataError::at(dir))?.path();
        if path.extension().is_some_and(|extension| extension == "wal") {
            files.push(path);
        }
    }
    let Some(first) = files.into_iter().min() else { return Ok(None) };
    let mut bytes = Vec::new();
    let file = File::open(&first).map_err(DataError::at(&first))?;
    file.take(BEGINNING).read_to_end(&mut bytes).map_err(DataError::at(&first))?;
    let problem = || "it does not begin as a log of etcd's does".to_owned();
    ids(&bytes).map(Some).ok_or_else(|| DataError { path: first.clone(), problem: problem() })
}

/// The ids at the beginning of a file of the log.
fn ids(mut bytes: &[u8]) -> Option<Ids> {
    let (kind, _) = record(&mut bytes)?;
    let (next, metadata) = record(&mut bytes)?;
    if (kind, next) != (CHECKSUM, METADATA) {
        return None;
    }
    let (member, cluster) = (number(metadata, 1)?, number(metadata, 2)?);
    (member != 0 && cluster != 0).then_some(Ids { member, cluster })
}

/// Takes the next record off `bytes`: its type, and its data, which may be empty.
fn record<'a>(bytes: &mut &'a [u8]) -> Option<(u64, &'a [u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let [.., last] = *length;
    let length = usize::try_from(u64::from_le_bytes(*length) & ((1 << 56) - 1)).ok()?;
    let padding = if last & 0x80 == 0 { 0 } else { usize::from(last & 7) };
    let message = rest.get(..length)?;
    *bytes = rest.get(length.checked_add(padding)?..)?;
    Some((number(message, 1)?, data(message).unwrap_or_default()))
}

/// The number in a field of a protobuf message.
fn number(message: &[u8], wanted: u64) -> Option<u64> {
    fields(message).find_map(|field| match field {
        Field::Number(number, value) if number == wanted => Some(value),
        Field::Number(..) | Field::Bytes(..) => None,
    })
}

/// The data of a record.
fn data(message: &[u8]) -> Option<&[u8]> {
    fields(message).find_map(|field| match field {
        Field::Bytes(3, bytes) => Some(bytes),
        Field::Number(..) | Field::Bytes(..) => None,
    })
}

/// A field of a protobuf message, with its number.
enum Field<'a> {
    Number(u64, u64),
    Bytes(u64, &'a [u8]),
}

/// The fields of a message, up to the first that does not read.
fn fields(mut message: &[u8]) -> impl Iterator<Item = Field<'_>> {
    std::iter::from_fn(move || {
        let tag = varint(&mut message)?;
        let number = tag >> 3;
        match tag & 7 {
            0 => Some(Field::Number(number, varint(&mut message)?)),
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                let (bytes, rest) = message.split_at_checked(length)?;
                message = rest;
                Some(Field::Bytes(number, bytes))
            }
            _ => None,
        }
    })
}

/// Takes a number of seven bits a byte off `bytes`.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The beginning of a log that etcd 3.4.23 wrote.
    const REAL: [u8; 56] = [
        0x04, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x84, 0x08, 0x04, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x20,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x08, 0x01, 0x10, 0x9f, 0xb4, 0xe5, 0xfc, 0x05, 0x1a, 0x16,
        0x08, 0xa8, 0x91, 0xaa, 0x8a, 0xa7, 0xe0, 0xd1, 0xd2, 0xda, 0x01, 0x10, 0x96, 0xfa, 0xcb, 0x90, 0xf5,
        0xf2, 0xb4, 0xf8, 0xff, 0x01,
    ];

    #[test]
    fn the_ids_are_those_that_etcd_wrote() {
        let expected = Ids { member: 15_755_076_947_241_765_032, cluster: 18_442_473_120_952_679_702 };
        assert_eq!(ids(&REAL), Some(expected));
        for length in 0..REAL.len() {
            assert_eq!(ids(&REAL[..length]), None, "cut after {length} bytes");
        }
    }

    #[test]
    fn bytes_that_are_no_log_have_no_ids() {
        for byte in [0, 0x7f, 0x80, 0xff] {
            assert_eq!(ids(&[byte; 64]), None);
        }
        for at in 0..REAL.len() {
            let mut bytes = REAL;
            bytes[at] ^= 0xff;
            // Whatever it finds, it ends.
            ids(&bytes);
        }
    }
}
