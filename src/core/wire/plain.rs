//! The envelope of agents without a key. Its checksum stands beside that of UDP, which has 16 bits and may be off: one
//! wrong bit in an id is a member that does not exist.
//!
//! ```text
//! magic 0xC7 | version 1 | kind | length of the name | cluster name | CRC-32 of all the rest | payload
//! ```

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    error::WireError,
    packet::{CHECKSUM, Kind, MAGIC, MAX_PLAIN_ENVELOPE, PLAIN_VERSION},
};
use crate::node::ClusterName;

/// Bytes that the envelope adds.
pub(super) fn overhead(cluster: &ClusterName) -> usize {
    4 + cluster.as_str().len() + CHECKSUM
}

/// Wraps `payload` for `cluster`.
pub fn seal(cluster: &ClusterName, kind: Kind, payload: &[u8]) -> Bytes {
    let name = cluster.as_str().as_bytes();
    let mut packet = BytesMut::with_capacity(MAX_PLAIN_ENVELOPE + payload.len());
    packet.put_u8(MAGIC);
    packet.put_u8(PLAIN_VERSION);
    packet.put_u8(kind as u8);
    packet.put_u8(u8::try_from(name.len()).expect("a cluster name has at most 32 bytes"));
    packet.put_slice(name);
    packet.put_u32(checksum(&packet, payload));
    packet.put_slice(payload);
    packet.freeze()
}

/// Unwraps a packet that claims to be for `cluster`.
///
/// # Errors
/// The packet is none of ours, of another version, or of another cluster.
pub fn open<'a>(cluster: &ClusterName, packet: &'a [u8]) -> Result<(Kind, &'a [u8]), WireError> {
    let [MAGIC, version, kind, name_length, rest @ ..] = packet else {
        return Err(WireError::Foreign);
    };
    if *version != PLAIN_VERSION {
        return Err(WireError::Version(*version));
    }
    let (name, rest) = rest.split_at_checked(usize::from(*name_length)).ok_or(WireError::Foreign)?;
    let (sum, payload) = rest.split_first_chunk::<CHECKSUM>().ok_or(WireError::Foreign)?;
    if u32::from_be_bytes(*sum) != checksum(&packet[..4 + name.len()], payload) {
        return Err(WireError::Damaged);
    }
    let name: ClusterName =
        std::str::from_utf8(name).ok().and_then(|name| name.parse().ok()).ok_or(WireError::Foreign)?;
    let kind = Kind::from_byte(*kind).ok_or(WireError::Foreign)?;
    if name != *cluster {
        return Err(WireError::OtherCluster(name.into()));
    }
    Ok((kind, payload))
}

/// The checksum over the envelope before it, and the payload.
fn checksum(head: &[u8], payload: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(head);
    sum.update(payload);
    sum.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(name: &str) -> ClusterName {
        name.parse().unwrap()
    }

    #[test]
    fn a_packet_opens_only_in_its_own_cluster() {
        let packet = seal(&cluster("a"), Kind::Swim, b"payload");
        assert_eq!(open(&cluster("a"), &packet), Ok((Kind::Swim, &b"payload"[..])));
        assert_eq!(open(&cluster("b"), &packet), Err(WireError::OtherCluster("a".into())));
    }

    #[test]
    fn a_packet_of_no_known_kind_is_foreign_to_every_cluster() {
        let mut packet = seal(&cluster("a"), Kind::Swim, b"payload").to_vec();
        packet[2] = 0xff;
        let sum = checksum(&packet[..5], b"payload").to_be_bytes();
        packet[5..5 + CHECKSUM].copy_from_slice(&sum);
        assert_eq!(open(&cluster("a"), &packet), Err(WireError::Foreign));
        assert_eq!(open(&cluster("b"), &packet), Err(WireError::Foreign));
    }

    #[test]
    fn a_packet_that_is_cut_short_or_has_wrong_bits_is_refused() {
        let packet = seal(&cluster("chronik"), Kind::Request, b"xyz");
        for length in 0..packet.len() {
            let error = open(&cluster("chronik"), &packet[..length]).unwrap_err();
            let wanted = if length < packet.len() - 3 { WireError::Foreign } else { WireError::Damaged };
            assert_eq!(error, wanted, "cut to {length} bytes");
        }
        for bit in 0..packet.len() * 8 {
            let mut damaged = packet.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&cluster("chronik"), &damaged).is_err(), "bit {bit} is flipped");
        }
    }

    #[test]
    fn what_strays_here_is_foreign() {
        assert_eq!(open(&cluster("chronik"), b"GET / HTTP/1.1\r\n\r\n"), Err(WireError::Foreign));
        assert_eq!(open(&cluster("chronik"), &[MAGIC, 9, 1, 0]), Err(WireError::Version(9)));
    }
}
