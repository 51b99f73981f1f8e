//! Everything that is sent, in its order, as one number: two runs with one number are the same run. It depends on nothing
//! but what is sent.

use std::net::{IpAddr, SocketAddr};

use super::{Node, World};

/// Constants of FNV-1 with words of 64 bits.
const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

/// Kinds of packets.
#[derive(Clone, Copy)]
pub(super) enum Sent {
    Datagram = 1,
    /// A stream that is opened with this request.
    Dial,
    /// The answer to the request of a stream.
    Reply,
    /// A stream that the dialled host closes without an answer.
    Close,
}

/// A running hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Log(u64);

impl Default for Log {
    fn default() -> Self {
        Self(OFFSET)
    }
}

impl Log {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(PRIME) ^ u64::from(*byte);
        }
    }

    /// Adds a packet. Its length is hashed before its bytes, so that the border between two packets makes a difference, too.
    fn add_sent(&mut self, sent: Sent, from: Node, to: SocketAddr, bytes: &[u8]) {
        self.add(&[sent as u8]);
        self.add(&(from as u64).to_le_bytes());
        match to.ip() {
            IpAddr::V4(ip) => self.add(&ip.octets()),
            IpAddr::V6(ip) => self.add(&ip.octets()),
        }
        self.add(&to.port().to_le_bytes());
        self.add(&(bytes.len() as u64).to_le_bytes());
        self.add(bytes);
    }
}

impl World {
    pub(super) fn log_sent(&mut self, sent: Sent, from: Node, to: SocketAddr, bytes: &[u8]) {
        self.log.add_sent(sent, from, to, bytes);
    }
}
