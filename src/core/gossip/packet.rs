//! One SWIM message, decoded once: header, updates about members, and the items beside them.

use bytes::Buf as _;
use foca::{Codec as _, Header, Member};

use super::{
    codec::{CodecError, SwimCodec},
    peer::Peer,
};
use crate::node::NodeId;

/// A SWIM message as the engine would read it.
#[derive(Debug)]
pub(super) struct Packet<'a> {
    pub(super) header: Header<Peer>,
    /// Bytes of the header.
    head: &'a [u8],
    /// Bytes behind the header.
    body: &'a [u8],
    /// The updates up to the first that does not read.
    updates: Vec<Update<'a>>,
    /// Bytes of the items behind the updates; `None` if an update does not read, for which the engine refuses all.
    items: Option<&'a [u8]>,
}

/// A member's state and its bytes.
#[derive(Debug)]
struct Update<'a> {
    member: Member<Peer>,
    bytes: &'a [u8],
}

/// The part of a message that the engine is given.
#[derive(Debug)]
pub(super) struct Sifted {
    /// The message without what was taken out.
    pub(super) bytes: Vec<u8>,
    /// Members that the bytes may change.
    pub(super) about: Vec<NodeId>,
    /// States in the bytes.
    pub(super) updates: Vec<Member<Peer>>,
    /// True if an update was left out because its life is not proven.
    pub(super) has_unproven: bool,
}

/// Fate of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The engine is given it.
    Keep,
    /// It says no more than is known.
    Drop,
    /// It calls an active member failed, and is weighed by the detector first.
    Verdict,
    /// It is about a life of which its node has not said that it leads it.
    Unproven,
}

impl<'a> Packet<'a> {
    /// Decodes a restored message; `None` for an empty one, which is for another life of this node.
    ///
    /// # Errors
    /// If the header does not read.
    pub(super) fn open(message: &'a [u8]) -> Result<Option<Self>, CodecError> {
        if message.is_empty() { Ok(None) } else { Self::decode(message).map(Some) }
    }

    /// Decodes a whole message.
    ///
    /// # Errors
    /// If the header does not read.
    pub(super) fn decode(message: &'a [u8]) -> Result<Self, CodecError> {
        let mut body = message;
        let header = SwimCodec.decode_header(&mut body)?;
        let head = &message[..message.len() - body.len()];
        let mut rest = body;
        let count = rest.try_get_u16().unwrap_or(0);
        let mut updates = Vec::with_capacity(usize::from(count.min(64)));
        let mut items = None;
        for _ in 0..count {
            let before = rest;
            let Ok(member) = SwimCodec.decode_member(&mut rest) else {
                return Ok(Self { header, head, body, updates, items });
            };
            updates.push(Update { member, bytes: &before[..before.len() - rest.len()] });
        }
        items.replace(rest);
        Ok(Self { header, head, body, updates, items })
    }

    /// Separates the updates by `fate`; the verdicts come beside the rest. If an update does not read, the engine is
    /// given all, and refuses it.
    pub(super) fn sift(&self, fate: impl Fn(&Member<Peer>) -> Fate) -> (Sifted, Vec<Member<Peer>>) {
        let fates: Vec<_> = self.updates.iter().map(|update| (update, fate(&update.member))).collect();
        let with = |wanted| fates.iter().filter(move |(_, fate)| *fate == wanted).map(|(update, _)| *update);
        let updates: Vec<_> = with(Fate::Keep).map(|update| update.member.clone()).collect();
        let about = updates.iter().map(|member| member.id().id).collect();
        let kept = updates.len();
        let (Some(items), false) = (self.items, kept == fates.len()) else {
            let bytes = [self.head, self.body].concat();
            return (Sifted { bytes, about, updates, has_unproven: false }, vec![]);
        };
        let verdicts = with(Fate::Verdict).map(|update| update.member.clone()).collect();
        let mut bytes = self.head.to_vec();
        bytes.extend(u16::try_from(kept).unwrap_or(0).to_be_bytes());
        with(Fate::Keep).for_each(|update| bytes.extend_from_slice(update.bytes));
        bytes.extend_from_slice(items);
        let has_unproven = with(Fate::Unproven).next().is_some();
        (Sifted { bytes, about, updates, has_unproven }, verdicts)
    }

    /// The header alone, for a node that takes in no more members.
    pub(super) fn header_only(&self) -> Sifted {
        Sifted { bytes: self.head.to_vec(), about: vec![], updates: vec![], has_unproven: false }
    }

    /// The items behind the updates.
    pub(super) fn items(&self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self.items.unwrap_or_default();
        std::iter::from_fn(move || {
            let length = usize::from(rest.try_get_u16().ok()?);
            let (item, after) = rest.split_at_checked(length)?;
            rest = after;
            Some(item)
        })
    }
}

#[cfg(test)]
mod tests {
    use foca::{Message, State};

    use super::*;
    use crate::node::Epoch;

    fn peer(last: u8) -> Peer {
        let id = NodeId::try_from([last; 16]).unwrap();
        Peer::new(id, ([10, 0, 0, last], 7946).into(), Epoch(1), 0)
    }

    fn message(updates: &[Member<Peer>], items: &[u8]) -> Vec<u8> {
        let header = Header { src: peer(1), src_incarnation: 0, dst: peer(2), message: Message::Gossip };
        let mut out = Vec::new();
        SwimCodec.encode_header(&header, &mut out).unwrap();
        out.extend(u16::try_from(updates.len()).unwrap().to_be_bytes());
        updates.iter().for_each(|update| SwimCodec.encode_member(update, &mut out).unwrap());
        out.extend(items);
        out
    }

    fn fate(update: &Member<Peer>) -> Fate {
        match update.state() {
            State::Alive => Fate::Drop,
            State::Suspect => Fate::Keep,
            State::Down => Fate::Verdict,
        }
    }

    #[test]
    fn repetitions_are_dropped_and_verdicts_come_beside_the_rest() {
        let [known, news, verdict] =
            [Member::alive(peer(3)), Member::new(peer(4), 0, State::Suspect), Member::down(peer(5))];
        let whole = message(&[known, news.clone(), verdict.clone()], b"items");
        let (sifted, verdicts) = Packet::decode(&whole).unwrap().sift(fate);
        assert_eq!(sifted.bytes, message(std::slice::from_ref(&news), b"items"));
        assert_eq!((sifted.about, sifted.updates, verdicts), (vec![news.id().id], vec![news], vec![verdict]));
    }

    #[test]
    fn a_message_that_does_not_read_reaches_the_engine_as_it_came() {
        let mut whole = message(&[Member::alive(peer(3)), Member::down(peer(4))], b"");
        whole.pop();
        let (sifted, verdicts) = Packet::decode(&whole).unwrap().sift(fate);
        assert_eq!((sifted.bytes, verdicts), (whole.clone(), vec![]));
        let unproven = Packet::decode(&whole).unwrap().sift(|_| Fate::Unproven).0;
        assert!(
            unproven.updates.is_empty(),
            "a node that takes in strangers itself would believe a life without proof"
        );
        let bare = message(&[], b"");
        for length in [bare.len(), bare.len() - 1, bare.len() - 2] {
            assert_eq!(Packet::decode(&bare[..length]).unwrap().sift(fate).0.bytes, bare[..length]);
        }
    }
}
