//! The engine's messages as bytes: fixed layouts, every read length-checked, nothing allocated.

use bytes::{Buf, BufMut};
use foca::{Header, Member, Message, State};

use super::peer::{MAX_PEER_LEN, Peer, PeerError, get_life, get_peer, put_life, put_peer};

/// Reads and writes the engine's headers and members.
#[derive(Debug, Clone, Copy)]
pub(super) struct SwimCodec;

/// Reason for which a message of the engine could not be written or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum CodecError {
    /// The buffer is full.
    #[error("no room left")]
    Full,
    /// The bytes are no peer.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// A tag that no agent writes.
    #[error("unknown {0}")]
    Unknown(&'static str),
}

impl From<bytes::TryGetError> for CodecError {
    fn from(error: bytes::TryGetError) -> Self {
        Self::Peer(error.into())
    }
}

/// Source with address, its incarnation, destination without address, then tag, probe number and one more peer.
const MAX_HEADER_LEN: usize = MAX_PEER_LEN + 2 + 24 + 1 + 1 + MAX_PEER_LEN;

impl foca::Codec<Peer> for SwimCodec {
    type Error = CodecError;

    fn encode_header(&mut self, header: &Header<Peer>, mut out: impl BufMut) -> Result<(), CodecError> {
        if out.remaining_mut() < MAX_HEADER_LEN {
            return Err(CodecError::Full);
        }
        put_peer(&header.src, &mut out);
        out.put_u16(header.src_incarnation);
        put_life(&header.dst, &mut out);
        let (tag, probe, peer) = match &header.message {
            Message::Ping(probe) => (1, Some(probe), None),
            Message::Ack(probe) => (2, Some(probe), None),
            Message::PingReq { target, probe_number } => (3, Some(probe_number), Some(target)),
            Message::IndirectPing { origin, probe_number } => (4, Some(probe_number), Some(origin)),
            Message::IndirectAck { target, probe_number } => (5, Some(probe_number), Some(target)),
            Message::ForwardedAck { origin, probe_number } => (6, Some(probe_number), Some(origin)),
            Message::Announce => (7, None, None),
            Message::Feed => (8, None, None),
            Message::Gossip => (9, None, None),
            Message::Broadcast => (10, None, None),
            Message::TurnUndead => (11, None, None),
        };
        out.put_u8(tag);
        if let Some(probe) = probe {
            out.put_u8(*probe);
        }
        if let Some(peer) = peer {
            put_peer(peer, &mut out);
        }
        Ok(())
    }

    fn decode_header(&mut self, mut bytes: impl Buf) -> Result<Header<Peer>, CodecError> {
        let src = get_peer(&mut bytes)?;
        let src_incarnation = bytes.try_get_u16()?;
        let dst = get_life(&mut bytes)?;
        let message = match bytes.try_get_u8()? {
            1 => Message::Ping(bytes.try_get_u8()?),
            2 => Message::Ack(bytes.try_get_u8()?),
            3 => Message::PingReq { probe_number: bytes.try_get_u8()?, target: get_peer(&mut bytes)? },
            4 => Message::IndirectPing { probe_number: bytes.try_get_u8()?, origin: get_peer(&mut bytes)? },
            5 => Message::IndirectAck { probe_number: bytes.try_get_u8()?, target: get_peer(&mut bytes)? },
            6 => Message::ForwardedAck { probe_number: bytes.try_get_u8()?, origin: get_peer(&mut bytes)? },
            7 => Message::Announce,
            8 => Message::Feed,
            9 => Message::Gossip,
            10 => Message::Broadcast,
            11 => Message::TurnUndead,
            _ => return Err(CodecError::Unknown("message")),
        };
        Ok(Header { src, src_incarnation, dst, message })
    }

    fn encode_member(&mut self, member: &Member<Peer>, mut out: impl BufMut) -> Result<(), CodecError> {
        if out.remaining_mut() < MAX_PEER_LEN + 3 {
            return Err(CodecError::Full);
        }
        put_peer(member.id(), &mut out);
        out.put_u16(member.incarnation());
        out.put_u8(match member.state() {
            State::Alive => 0,
            State::Suspect => 1,
            State::Down => 2,
        });
        Ok(())
    }

    fn decode_member(&mut self, mut bytes: impl Buf) -> Result<Member<Peer>, CodecError> {
        let peer = get_peer(&mut bytes)?;
        let incarnation = bytes.try_get_u16()?;
        let state = match bytes.try_get_u8()? {
            0 => State::Alive,
            1 => State::Suspect,
            2 => State::Down,
            _ => return Err(CodecError::Unknown("state")),
        };
        Ok(Member::new(peer, incarnation, state))
    }
}

/// Appends an item to a message.
pub(super) fn put_item(item: &[u8], message: &mut Vec<u8>) {
    message.put_u16(u16::try_from(item.len()).unwrap_or(0));
    message.put_slice(item);
}

/// Position of the destination: behind the source and its incarnation.
fn destination_at(message: &[u8]) -> Option<usize> {
    let source = match message.get(24)? {
        4 => 24 + 1 + 4 + 2,
        6 => 24 + 1 + 16 + 2,
        _ => return None,
    };
    (message.len() >= source + 2 + 24).then_some(source + 2)
}

fn fingerprint(life: &[u8]) -> [u8; 4] {
    crc32fast::hash(life).to_be_bytes()
}

/// Bytes that a message is shorter on the network.
pub(super) const SHORTENED: usize = 20;

/// Shortens a message for the network: four bytes of checksum go in place of the twenty-four of the destination, which only
/// has to tell whether the message is for the life of the node that gets it.
pub(super) fn shorten(message: &[u8]) -> Vec<u8> {
    let at = destination_at(message).expect("the codec wrote it");
    let (before, rest) = message.split_at(at);
    let (destination, after) = rest.split_at(24);
    [before, &fingerprint(destination), after].concat()
}

/// The whole message; empty if it is not for `me`, `None` if it is cut short.
pub(super) fn restore(short: &[u8], me: &Peer) -> Option<Vec<u8>> {
    let mut destination = Vec::with_capacity(24);
    put_life(me, &mut destination);
    let source = if *short.get(24)? == 4 { 24 + 1 + 4 + 2 } else { 24 + 1 + 16 + 2 };
    let (before, rest) = short.split_at_checked(source + 2)?;
    let (mark, after) = rest.split_first_chunk::<4>()?;
    let for_me = *mark == fingerprint(&destination);
    Some(if for_me { [before, &destination, after].concat() } else { Vec::new() })
}

#[cfg(test)]
mod tests {
    use foca::Codec as _;

    use super::*;
    use crate::node::{Epoch, NodeId};

    fn peer(last: u8) -> Peer {
        let mut id = [7; 16];
        id[15] = last;
        let addr = format!("[fd00::{last}]:7946").parse().unwrap();
        Peer::new(NodeId::try_from(id).unwrap(), addr, Epoch(1_700_000_000_000), 3)
    }

    #[test]
    fn every_message_is_read_as_written_and_refused_when_cut_short() {
        let (probe_number, target, origin) = (250, peer(3), peer(4));
        let messages = [
            Message::Ping(0),
            Message::Ack(255),
            Message::PingReq { target, probe_number },
            Message::IndirectPing { origin, probe_number },
            Message::IndirectAck { target, probe_number },
            Message::ForwardedAck { origin, probe_number },
            Message::Announce,
            Message::Feed,
            Message::Gossip,
            Message::Broadcast,
            Message::TurnUndead,
        ];
        for message in messages {
            let header = Header { src: peer(1), src_incarnation: 9, dst: peer(2), message };
            let mut bytes = Vec::new();
            SwimCodec.encode_header(&header, &mut bytes).unwrap();
            assert!(bytes.len() <= MAX_HEADER_LEN);
            assert_eq!(SwimCodec.decode_header(&bytes[..]).unwrap(), header);
            for length in 0..bytes.len() {
                assert!(SwimCodec.decode_header(&bytes[..length]).is_err());
            }
        }
    }

    #[test]
    fn a_message_is_shortened_and_restored_for_its_destination_alone() {
        let v4 = Peer::new(peer(1).id, ([10, 0, 0, 1], 7946).into(), peer(1).epoch(), 3);
        for src in [peer(1), v4] {
            let header = Header { src, src_incarnation: 9, dst: peer(2), message: Message::Ping(7) };
            let mut whole = Vec::new();
            SwimCodec.encode_header(&header, &mut whole).unwrap();
            let short = shorten(&whole);
            assert_eq!(short.len(), whole.len() - 20);
            assert_eq!(restore(&short, &peer(2)), Some(whole));
            assert_eq!(
                restore(&short, &peer(2).reborn(peer(2).epoch(), 4)),
                Some(vec![]),
                "another life of it"
            );
            for length in 0..short.len() - 2 {
                assert_eq!(restore(&short[..length], &peer(2)), None);
            }
        }
    }

    #[test]
    fn a_member_is_read_as_written_and_not_written_if_it_does_not_fit() {
        for state in [State::Alive, State::Suspect, State::Down] {
            let member = Member::new(peer(1), 12, state);
            let mut bytes = Vec::new();
            SwimCodec.encode_member(&member, &mut bytes).unwrap();
            assert_eq!(SwimCodec.decode_member(&bytes[..]).unwrap(), member);
            let mut full = [0; 10];
            assert_eq!(SwimCodec.encode_member(&member, &mut full[..]), Err(CodecError::Full));
        }
    }
}
