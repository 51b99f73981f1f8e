//! A node as it travels on the wire, and how the engine tells two of them apart.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{Buf, BufMut};

use crate::node::{Epoch, NodeId};

/// The engine's identity of a node. Two are equal when id, epoch and bump are; the address is part of the epoch, for a
/// node that moves has been restarted. Bytes without a gap, 43 of them: of 10,000 members each node holds 10,000.
#[derive(Clone, Copy)]
pub struct Peer {
    /// Which node.
    pub id: NodeId,
    /// In which of its lives.
    pub(super) life: Life,
}

/// One life of a node, and where it is led. For where the node is known from elsewhere.
#[derive(Debug, Clone, Copy)]
pub(super) struct Life {
    /// Epoch and bump as they travel, so that a later life is the greater.
    order: [u8; EPOCH_BYTES + 2],
    ip: IpAddr,
    port: [u8; 2],
}

impl Life {
    pub(super) fn of(self, id: NodeId) -> Peer {
        Peer { id, life: self }
    }
}

impl Peer {
    /// A node that gossips at `addr`, in its life `epoch`, which it has renewed `bump` times after having been taken for
    /// failed. Of the address, IP and port travel, and of the epoch 48 bits; a later one is taken for [`Epoch::LAST`].
    pub fn new(id: NodeId, addr: SocketAddr, epoch: Epoch, bump: u16) -> Self {
        let order = epoch.min(Epoch::LAST).0 << 16 | u64::from(bump);
        Life { order: order.to_be_bytes(), ip: addr.ip(), port: addr.port().to_be_bytes() }.of(id)
    }

    /// Where it gossips; unspecified in the one place where it is not sent, the destination of a message.
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::new(self.life.ip, u16::from_be_bytes(self.life.port))
    }

    /// Which of its starts.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.order() >> 16)
    }

    /// How often it has renewed itself in this start.
    pub fn bump(&self) -> u16 {
        let [.., high, low] = self.life.order;
        u16::from_be_bytes([high, low])
    }

    /// What orders the lives of one node.
    fn order(&self) -> u64 {
        u64::from_be_bytes(self.life.order)
    }

    /// The same node in another life.
    pub(super) fn reborn(&self, epoch: Epoch, bump: u16) -> Self {
        Self::new(self.id, self.addr(), epoch, bump)
    }
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {}, life {}.{}", self.id, self.addr(), self.epoch(), self.bump())
    }
}

impl PartialEq for Peer {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.order() == other.order()
    }
}

impl Eq for Peer {}

impl foca::Identity for Peer {
    /// Not the socket address: a new node on a dead node's address is another member, and the dead one dies normally.
    type Addr = NodeId;

    fn renew(&self) -> Option<Self> {
        self.bump().checked_add(1).map(|bump| self.reborn(self.epoch(), bump))
    }

    fn addr(&self) -> NodeId {
        self.id
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.order() > adversary.order()
    }
}

/// What a peer cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// The bytes end too early.
    #[error("cut short")]
    Short,
    /// A value that no agent writes.
    #[error("not a peer: {0}")]
    Invalid(&'static str),
}

impl From<bytes::TryGetError> for PeerError {
    fn from(_: bytes::TryGetError) -> Self {
        Self::Short
    }
}

/// Epochs are milliseconds since 1970 in 48 bits, good until the year 10889.
const EPOCH_BYTES: usize = 6;

/// Writes id, epoch and bump: 24 bytes.
pub(super) fn put_life(peer: &Peer, out: &mut impl BufMut) {
    out.put_slice(peer.id.as_bytes());
    out.put_slice(&peer.life.order);
}

/// Reads what `put_life` wrote; the address stays unspecified.
pub(super) fn get_life(bytes: &mut impl Buf) -> Result<Peer, PeerError> {
    let mut id = [0; NodeId::LEN];
    bytes.try_copy_to_slice(&mut id)?;
    let id = NodeId::try_from(id).map_err(|_| PeerError::Invalid("nil id"))?;
    let mut order = [0; EPOCH_BYTES + 2];
    bytes.try_copy_to_slice(&mut order)?;
    Ok(Life { order, ip: Ipv4Addr::UNSPECIFIED.into(), port: [0; 2] }.of(id))
}

/// Writes a whole peer: 31 bytes with an IPv4 address, 43 with an IPv6 one.
pub(super) fn put_peer(peer: &Peer, out: &mut impl BufMut) {
    put_life(peer, out);
    match peer.life.ip {
        IpAddr::V4(ip) => {
            out.put_u8(4);
            out.put_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.put_u8(6);
            out.put_slice(&ip.octets());
        }
    }
    out.put_slice(&peer.life.port);
}

/// Longest form of `put_peer`.
pub(super) const MAX_PEER_LEN: usize = 24 + 1 + 16 + 2;

/// Reads what `put_peer` wrote.
pub(super) fn get_peer(bytes: &mut impl Buf) -> Result<Peer, PeerError> {
    let Peer { id, life } = get_life(bytes)?;
    let ip: IpAddr = match bytes.try_get_u8()? {
        4 => Ipv4Addr::from_bits(bytes.try_get_u32()?).into(),
        6 => Ipv6Addr::from_bits(bytes.try_get_u128()?).into(),
        _ => return Err(PeerError::Invalid("address family")),
    };
    let port = bytes.try_get_u16()?;
    if ip.is_unspecified() || ip.is_multicast() || port == 0 {
        return Err(PeerError::Invalid("address that cannot be sent to"));
    }
    Ok(Life { ip, port: port.to_be_bytes(), ..life }.of(id))
}

#[cfg(test)]
mod tests {
    use foca::Identity;
    use proptest::prelude::*;

    use super::*;

    fn any_peer() -> impl Strategy<Value = Peer> {
        (1..u128::MAX, any::<IpAddr>(), 1..u16::MAX, 0..1_u64 << 48, any::<u16>()).prop_filter_map(
            "address that can be sent to",
            |(id, ip, port, epoch, bump)| {
                let sendable = !ip.is_unspecified() && !ip.is_multicast();
                let id = NodeId::try_from(id.to_be_bytes()).unwrap();
                sendable.then(|| Peer::new(id, SocketAddr::new(ip, port), Epoch(epoch), bump))
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(peer in any_peer()) {
            let mut bytes = Vec::new();
            put_peer(&peer, &mut bytes);
            prop_assert!(bytes.len() <= MAX_PEER_LEN);
            let read = get_peer(&mut &bytes[..]).unwrap();
            prop_assert_eq!((read, read.addr()), (peer, peer.addr()));
            for length in 0..bytes.len() {
                prop_assert_eq!(get_peer(&mut &bytes[..length]).unwrap_err(), PeerError::Short);
            }
        }

        #[test]
        fn of_two_lives_of_one_node_exactly_one_wins(a in any_peer(), epoch in 0..1_u64 << 48, bump: u16) {
            let b = a.reborn(Epoch(epoch), bump);
            prop_assert_eq!(a != b, a.win_addr_conflict(&b) ^ b.win_addr_conflict(&a));
        }
    }
}
