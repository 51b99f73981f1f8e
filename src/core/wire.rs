//! Bytes on the network: the envelope around every datagram and every frame, read before the engine or any codec sees
//! a byte. It carries a version, the cluster's name, so that clusters never merge, and a checksum: UDP's own has 16 bits
//! and may be off, and one wrong bit in an id is a member that does not exist.
//!
//! ```text
//! magic 0xC7 | version 1 | kind | length of the name | cluster name | CRC-32 of all the rest | payload
//! ```
//!
//! That is the envelope of agents without a key. Those with one use that of `sealed`.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod key;
mod report;
mod sealed;
mod senders;

use std::{borrow::Cow, collections::BTreeMap, net::SocketAddr};

use bytes::{BufMut, Bytes, BytesMut};

use self::sealed::{Sealed, Sealer};
pub(crate) use self::senders::Freshness;
pub use self::{
    key::{Key, KeyChange, KeyError, KeyId, Keyring},
    report::{KeyState, MemberKeys, Secrecy, Stranger},
    sealed::{Encryption, Stamp},
};
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
/// What is left in a datagram whatever the cluster's name, so that all agents agree on it. The envelope of agents with a
/// key is five bytes longer still; that fits, for twenty bytes are taken out of every message of the engine before it is
/// wrapped.
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
    /// Frame: the request may be an old one; ask again, and name this frame in it.
    Challenge = 6,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Swim, Self::Goodbye, Self::Request, Self::Reply, Self::Refusal, Self::Challenge]
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
    /// Encrypted, and this agent has no key.
    #[error("it is encrypted, and this agent has no key: give it the cluster's --encrypt-key-file")]
    Encrypted,
    /// Not encrypted, and this agent has a key.
    #[error("it is not encrypted: give the agent there the cluster's --encrypt-key-file")]
    Plain,
    /// Encrypted under a key that is not in the keyring.
    #[error("wrong key: it is encrypted under key {0}, which is not in this agent's --encrypt-key-file")]
    UnknownKey(KeyId),
    /// Encrypted under a known key, and not as it was sent: changed on its way, of another cluster, or no answer to
    /// what was asked.
    #[error("encrypted under key {0}, but changed on its way, or of another cluster")]
    Forged(KeyId),
}

/// A packet that was read.
#[derive(Debug)]
pub(crate) struct Opened<'a> {
    pub(crate) kind: Kind,
    pub(crate) payload: Cow<'a, [u8]>,
    /// Where it comes from; nothing without a key.
    pub(crate) origin: Option<Origin>,
}

/// Who sealed a packet, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Who, and as which of his packets.
    pub(crate) stamp: Stamp,
    /// Under which key.
    pub(crate) key: KeyId,
}

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Admitted<'a> {
    /// It is new, and asks this.
    New(&'a [u8]),
    /// It may be an old one that somebody sends again.
    Doubtful,
}

/// This agent's end of the network: how it wraps and unwraps, and what it has seen of whom. Without a key it is no more
/// than [`seal`] and [`open`].
#[derive(Debug)]
pub(crate) struct Wire {
    cluster: ClusterName,
    sealer: Option<Sealer>,
    /// The latest packet that came in answer from each address, to name in the next request there.
    proofs: BTreeMap<SocketAddr, Stamp>,
    /// Those who last spoke under another key than the one that sends here: they may not have that one yet, and are
    /// spoken to as they speak. So whoever was away while the keys changed is let in as long as his is known.
    spoken: BTreeMap<SocketAddr, KeyId>,
}

impl Wire {
    pub(crate) fn new(cluster: ClusterName, encryption: Option<Encryption>) -> Self {
        Self {
            cluster,
            sealer: encryption.map(Sealer::new),
            proofs: BTreeMap::new(),
            spoken: BTreeMap::new(),
        }
    }

    pub(crate) fn cluster(&self) -> &ClusterName {
        &self.cluster
    }

    /// Its keys, where it has any.
    pub(crate) fn keyring(&self) -> Option<&Keyring> {
        self.sealer.as_ref().map(Sealer::keyring)
    }

    /// Uses other keys from now on; nothing where it had none.
    pub(crate) fn set_keyring(&mut self, keyring: Keyring) {
        if let Some(sealer) = &mut self.sealer {
            self.spoken.retain(|_, key| keyring.get(*key).is_some() && *key != keyring.sending().id());
            sealer.set_keyring(keyring);
        }
    }

    /// The keys to try at an address, the likeliest last; none where there is no key at all.
    pub(crate) fn keys_for(&self, to: SocketAddr) -> Vec<KeyId> {
        let mut keys: Vec<_> = self.keyring().map(|keyring| keyring.ids().collect()).unwrap_or_default();
        keys.reverse();
        if let Some(spoken) = self.spoken.get(&to) {
            keys.retain(|key| key != spoken);
            keys.push(*spoken);
        }
        keys
    }

    /// The agent at that address, which was heard a moment ago, understands the key that it spoke under.
    pub(crate) fn speaks(&mut self, addr: SocketAddr, origin: Option<Origin>) {
        let (Some(sealer), Some(Origin { key, .. })) = (&self.sealer, origin) else { return };
        if key == sealer.keyring().sending().id() {
            self.spoken.remove(&addr);
        } else if self.spoken.len() < senders::MAX_SENDERS {
            self.spoken.insert(addr, key);
        }
    }

    /// Wraps a datagram for the agent at `to`.
    pub(crate) fn seal(&mut self, to: SocketAddr, kind: Kind, payload: &[u8]) -> Bytes {
        self.wrap(self.spoken.get(&to).copied(), kind, payload, None)
    }

    /// Wraps the answer to a request, under the key that it came under.
    pub(crate) fn seal_reply(&mut self, kind: Kind, payload: &[u8], request: Option<Origin>) -> Bytes {
        let (key, stamp) = (request.map(|origin| origin.key), request.map(|origin| origin.stamp));
        self.wrap(key, kind, payload, stamp)
    }

    fn wrap(&mut self, key: Option<KeyId>, kind: Kind, payload: &[u8], request: Option<Stamp>) -> Bytes {
        match &mut self.sealer {
            None => seal(&self.cluster, kind, payload),
            Some(sealer) => sealer.seal(&self.cluster, key, kind, &[payload], request).packet,
        }
    }

    /// Wraps a request to the agent at `to`; with its stamp, which the answer is bound to.
    pub(crate) fn seal_request(
        &mut self,
        to: SocketAddr,
        key: Option<KeyId>,
        payload: &[u8],
    ) -> (Bytes, Option<Stamp>) {
        let Some(sealer) = &mut self.sealer else {
            return (seal(&self.cluster, Kind::Request, payload), None);
        };
        let proof = self.proofs.get(&to).copied().unwrap_or_default().to_bytes();
        let Sealed { packet, stamp } =
            sealer.seal(&self.cluster, key, Kind::Request, &[&proof, payload], None);
        (packet, Some(stamp))
    }

    /// Unwraps a datagram or a request.
    pub(crate) fn open<'a>(&self, packet: &'a [u8]) -> Result<Opened<'a>, WireError> {
        self.open_reply(packet, None)
    }

    /// Unwraps the answer to the request of that stamp; no other.
    pub(crate) fn open_reply<'a>(
        &self,
        packet: &'a [u8],
        request: Option<Stamp>,
    ) -> Result<Opened<'a>, WireError> {
        match &self.sealer {
            Some(sealer) => sealer.open(&self.cluster, packet, request),
            None if sealed::is_sealed(packet) => Err(WireError::Encrypted),
            None => {
                let (kind, payload) = open(&self.cluster, packet)?;
                Ok(Opened { kind, payload: payload.into(), origin: None })
            }
        }
    }

    /// Whether the datagram of that origin is new. It counts as seen from now on, unless its sender is a stranger.
    pub(crate) fn judge(&mut self, origin: Option<Origin>) -> Freshness {
        match (&mut self.sealer, origin) {
            (Some(sealer), Some(origin)) => sealer.judge(origin.stamp),
            _ => Freshness::New,
        }
    }

    /// An answer of that origin came from there: its sender runs now.
    pub(crate) fn answered(&mut self, from: SocketAddr, origin: Option<Origin>) {
        let Some(Origin { stamp, .. }) = origin else { return };
        self.admit(origin);
        self.speaks(from, origin);
        if self.proofs.len() >= senders::MAX_SENDERS && !self.proofs.contains_key(&from) {
            self.proofs.pop_first();
        }
        self.proofs.insert(from, stamp);
    }

    /// The sender of that origin runs now, and what he sent before is old.
    pub(crate) fn admit(&mut self, origin: Option<Origin>) {
        if let (Some(sealer), Some(origin)) = (&mut self.sealer, origin) {
            sealer.admit(origin.stamp);
        }
    }

    /// Whether a request is new: it names a packet that this process has sent, and of a sender that is not known, one
    /// that it sent since it last forgot anybody.
    pub(crate) fn admit_request<'a>(&mut self, opened: &'a Opened<'_>) -> Admitted<'a> {
        match (&mut self.sealer, opened.origin) {
            (Some(sealer), Some(origin)) => sealer.admit_request(origin.stamp, &opened.payload),
            _ => Admitted::New(&opened.payload),
        }
    }
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
