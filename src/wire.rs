//! Bytes on the network: the envelope around every datagram and every frame, read before the engine or any codec sees
//! a byte. It carries a version, the cluster's name, so that clusters never merge, and a checksum: UDP's own has 16 bits
//! and may be off, and one wrong bit in an id is a member that does not exist.
//!
//! ```text
//! magic 0xC7 | version 1 | kind | length of the name | cluster name | CRC-32 of all the rest | payload
//! ```

use bytes::{BufMut, Bytes, BytesMut};

use crate::node::ClusterName;

/// First byte of every packet; nothing that commonly strays onto a port starts with it.
const MAGIC: u8 = 0xC7;
/// Raised when old agents could no longer read what new ones write.
const VERSION: u8 = 1;

/// Largest datagram sent or accepted, in bytes. 1232 is what fits the smallest IPv6 path (1280 less 48 of headers), so
/// nothing is ever fragmented, in tunnels and overlay networks neither.
pub const MAX_DATAGRAM: usize = 1232;
/// Bytes of the checksum.
const CHECKSUM: usize = 4;
/// Largest envelope: four bytes, the longest cluster name and the checksum.
const MAX_ENVELOPE: usize = 4 + 32 + CHECKSUM;
/// What is left in a datagram whatever the cluster's name, so that all agents agree on it.
pub const MAX_PAYLOAD: usize = MAX_DATAGRAM - MAX_ENVELOPE;
/// Largest frame on a stream: the whole state of a cluster of 10,000 with full metadata stays below half of it.
pub const MAX_FRAME: usize = 16 << 20;

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Datagram: a message of the SWIM engine.
    Swim = 1,
    /// Datagram: the sender leaves.
    Goodbye = 2,
    /// Frame: asks for something.
    Request = 3,
    /// Frame: answers.
    Reply = 4,
    /// Frame: the request was for another cluster; the envelope says which one this is.
    Refusal = 5,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Swim, Self::Goodbye, Self::Request, Self::Reply, Self::Refusal]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// Why a packet was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Not one of ours, cut short, or longer than allowed.
    #[error("not a chronik-agent packet")]
    Foreign,
    /// Changed or cut short on its way.
    #[error("damaged on its way: its checksum does not fit")]
    Damaged,
    /// A version this agent does not speak.
    #[error("it speaks version {0} of the protocol, this agent version {VERSION}: upgrade the older one")]
    Version(u8),
    /// Another cluster's.
    #[error("it belongs to cluster \"{0}\": give both agents the same --cluster, or remove the address")]
    OtherCluster(String),
}

/// Wraps `payload` for `cluster`.
pub fn seal(cluster: &ClusterName, kind: Kind, payload: &[u8]) -> Bytes {
    let name = cluster.as_str().as_bytes();
    let mut packet = BytesMut::with_capacity(MAX_ENVELOPE + payload.len());
    packet.put_u8(MAGIC);
    packet.put_u8(VERSION);
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
/// Says whether it is no packet of ours, of another version, or of another cluster.
pub fn open<'a>(cluster: &ClusterName, packet: &'a [u8]) -> Result<(Kind, &'a [u8]), WireError> {
    let [MAGIC, version, kind, name_length, rest @ ..] = packet else {
        return Err(WireError::Foreign);
    };
    if *version != VERSION {
        return Err(WireError::Version(*version));
    }
    let (name, rest) = rest.split_at_checked(usize::from(*name_length)).ok_or(WireError::Foreign)?;
    let (sum, payload) = rest.split_first_chunk::<CHECKSUM>().ok_or(WireError::Foreign)?;
    if u32::from_be_bytes(*sum) != checksum(&packet[..4 + name.len()], payload) {
        return Err(WireError::Damaged);
    }
    let name: ClusterName =
        std::str::from_utf8(name).ok().and_then(|name| name.parse().ok()).ok_or(WireError::Foreign)?;
    if name != *cluster {
        return Err(WireError::OtherCluster(name.into()));
    }
    let kind = Kind::from_byte(*kind).ok_or(WireError::Foreign)?;
    Ok((kind, payload))
}

/// Over the envelope before the checksum, and the payload.
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
