//! The identity of a packet, which no other packet of any process has.

use chacha20poly1305::XNonce;

/// Length of a boot id, in bytes.
pub(super) const BOOT: usize = 16;
/// Length of a packet number, in bytes.
pub(super) const NUMBER: usize = 6;
/// The highest packet number.
pub(super) const MAX_NUMBER: u64 = (1 << (8 * NUMBER)) - 1;

/// Identifies one run of a process: random.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct BootId(pub(super) [u8; BOOT]);

/// Identifies one packet: the sender's boot id and that sender's packet number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PacketId {
    pub(super) boot: BootId,
    pub(super) number: u64,
}

impl PacketId {
    /// Length on the wire, in bytes.
    pub(super) const LEN: usize = BOOT + NUMBER;

    pub(super) fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..BOOT].copy_from_slice(&self.boot.0);
        bytes[BOOT..].copy_from_slice(&self.number.to_be_bytes()[8 - NUMBER..]);
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let (mut boot, mut number) = ([0; BOOT], [0; 8]);
        boot.copy_from_slice(&bytes[..BOOT]);
        number[8 - NUMBER..].copy_from_slice(&bytes[BOOT..]);
        Self { boot: BootId(boot), number: u64::from_be_bytes(number) }
    }

    /// The nonce of the packet: as unique as its identity.
    pub(super) fn nonce(self) -> XNonce {
        let mut nonce = XNonce::default();
        nonce[..BOOT].copy_from_slice(&self.boot.0);
        nonce[BOOT..].copy_from_slice(&self.number.to_be_bytes());
        nonce
    }
}
