//! A node as it travels on the wire, and how the engine tells two of them apart.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{Buf, BufMut};

use crate::node::{Epoch, NodeId};

/// One life of a node as the engine identifies it. Two are equal if id, epoch and bump are; the address needs no
/// comparison, since a node that moves has been restarted. It takes 43 bytes without a gap, because each of 10,000 nodes
/// holds 10,000 of them.
#[derive(Clone, Copy)]
pub struct Peer {
    /// Id of the node.
    pub id: NodeId,
    /// Its life and its address.
    pub(super) place: Place,
}

/// A peer without its id, for tables that have the id as their key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Epoch and bump as they travel, so that a later life is the greater.
    order: [u8; EPOCH_BYTES + 2],
    ip: IpAddr,
    port: [u8; 2],
}

impl Place {
    /// The peer of this id that lives here.
    pub(super) fn of(self, id: NodeId) -> Peer {
        Peer { id, place: self }
    }
}

/// Number of a life among all lives of one node; a later life has a greater one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LifeNumber {
    pub(super) epoch: Epoch,
    pub(super) bump: u16,
}

impl Peer {
    /// A node that gossips at `addr`, in its start `epoch`, in which it has renewed itself `bump` times after it was taken
    /// for failed. IP and port of the address travel, and 48 bits of the epoch; a later one is taken for [`Epoch::LAST`].
    pub fn new(id: NodeId, addr: SocketAddr, epoch: Epoch, bump: u16) -> Self {
        let order = epoch.min(Epoch::LAST).0 << 16 | u64::from(bump);
        Place { order: order.to_be_bytes(), ip: addr.ip(), port: addr.port().to_be_bytes() }.of(id)
    }

    /// Address at which it gossips; unspecified for the destination of a message, where none is sent.
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::new(self.place.ip, u16::from_be_bytes(self.place.port))
    }

    /// Number of its start.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.order() >> 16)
    }

    /// Number of times that it has renewed itself in this start.
    pub fn bump(&self) -> u16 {
        let [.., high, low] = self.place.order;
        u16::from_be_bytes([high, low])
    }

    /// Number of this life among the node's.
    pub(super) fn life(&self) -> LifeNumber {
        LifeNumber { epoch: self.epoch(), bump: self.bump() }
    }

    /// Number by which the lives of one node are ordered.
    fn order(&self) -> u64 {
        u64::from_be_bytes(self.place.order)
    }

    /// This node in another life.
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

/// Bytes that are no peer.
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

/// Bytes of an address where it is signed.
pub(super) const SOCKET_LEN: usize = 18;

/// Port and IP of an address; one of IPv4 in its mapped form.
pub(super) fn socket_bytes(addr: SocketAddr) -> [u8; SOCKET_LEN] {
    let ip = match addr.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    };
    let mut bytes = [0; SOCKET_LEN];
    bytes[..2].copy_from_slice(&addr.port().to_be_bytes());
    bytes[2..].copy_from_slice(&ip);
    bytes
}

/// Writes id, epoch and bump: 24 bytes.
pub(super) fn put_life(peer: &Peer, out: &mut impl BufMut) {
    out.put_slice(peer.id.as_bytes());
    out.put_slice(&peer.place.order);
}

/// Reads what `put_life` wrote; the address stays unspecified.
pub(super) fn get_life(bytes: &mut impl Buf) -> Result<Peer, PeerError> {
    let mut id = [0; NodeId::LEN];
    bytes.try_copy_to_slice(&mut id)?;
    let id = NodeId::try_from(id).map_err(|_| PeerError::Invalid("nil id"))?;
    let mut order = [0; EPOCH_BYTES + 2];
    bytes.try_copy_to_slice(&mut order)?;
    Ok(Place { order, ip: Ipv4Addr::UNSPECIFIED.into(), port: [0; 2] }.of(id))
}

/// Writes a whole peer: 31 bytes with an IPv4 address, 43 with an IPv6 one.
pub(super) fn put_peer(peer: &Peer, out: &mut impl BufMut) {
    put_life(peer, out);
    match peer.place.ip {
        IpAddr::V4(ip) => {
            out.put_u8(4);
            out.put_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.put_u8(6);
            out.put_slice(&ip.octets());
        }
    }
    out.put_slice(&peer.place.port);
}

/// Longest form of `put_peer`.
pub(super) const MAX_PEER_LEN: usize = 24 + 1 + 16 + 2;

/// Reads what `put_peer` wrote.
pub(super) fn get_peer(bytes: &mut impl Buf) -> Result<Peer, PeerError> {
    let Peer { id, place } = get_life(bytes)?;
    let ip: IpAddr = match bytes.try_get_u8()? {
        4 => Ipv4Addr::from_bits(bytes.try_get_u32()?).into(),
        6 => Ipv6Addr::from_bits(bytes.try_get_u128()?).into(),
        _ => return Err(PeerError::Invalid("address family")),
    };
    let port = bytes.try_get_u16()?;
    if ip.is_unspecified() || ip.is_multicast() || port == 0 {
        return Err(PeerError::Invalid("address that cannot be sent to"));
    }
    Ok(Place { ip, port: port.to_be_bytes(), ..place }.of(id))
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
