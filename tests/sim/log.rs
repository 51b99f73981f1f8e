//! Everything that is sent, in its order, as one number: two runs that have the same are the same run. It depends on
//! nothing but what is sent, so that it can be written down, and compared by another build on another machine.

use std::net::{IpAddr, SocketAddr};

use super::{Node, World};

/// Of FNV-1, with words of 64 bits.
const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

/// What is sent.
#[derive(Clone, Copy)]
pub(super) enum Sent {
    Datagram = 1,
    /// A stream is opened, with this request.
    Dial,
    /// The answer to such a request.
    Reply,
    /// No answer to it: whoever was dialled has closed the stream.
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

    /// Lengths go before what has no fixed one: where one field ends and the next begins makes a difference, too.
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

    /// All of these runs as one.
    pub(crate) fn of_all(logs: impl IntoIterator<Item = Self>) -> u64 {
        let mut all = Self::default();
        logs.into_iter().for_each(|log| all.add(&log.0.to_le_bytes()));
        all.0
    }
}

impl World {
    pub(super) fn log_sent(&mut self, sent: Sent, from: Node, to: SocketAddr, bytes: &[u8]) {
        self.log.add_sent(sent, from, to, bytes);
    }
}
