//! Bytes on the network: the envelope around every datagram and every frame, read before the engine or any codec sees
//! a byte. It carries a version, and the cluster's name, so that clusters never merge. Agents without a key use that
//! of `plain`, agents with one that of `sealed`.

mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod key;
mod packet;
mod packet_id;
mod plain;
mod report;
mod sealed;
mod senders;

use std::{collections::BTreeMap, net::SocketAddr};

use bytes::Bytes;

use self::sealed::{Sealed, Sealer};
pub use self::{
    error::WireError,
    key::{Key, KeyChange, KeyError, KeyId, Keyring},
    packet::{Kind, MAX_DATAGRAM, MAX_FRAME, MAX_PAYLOAD},
    packet_id::PacketId,
    plain::{open, seal},
    report::{KeyState, MemberKeys, Secrecy, Stranger},
    sealed::Encryption,
};
pub(crate) use self::{
    packet::{Admitted, Opened, Origin},
    senders::Freshness,
};
use crate::node::ClusterName;

/// This agent's end of the network: it wraps and unwraps packets, and remembers which ones it has seen. Without a key
/// it is no more than [`seal`] and [`open`].
#[derive(Debug)]
pub(crate) struct Wire {
    cluster: ClusterName,
    sealer: Option<Sealer>,
    /// Latest packet that came in answer from each address, to be named in the next request there.
    proofs: BTreeMap<SocketAddr, PacketId>,
    /// Peers whose last packet used a key other than our primary. Replies to them use that key, so that a peer that
    /// missed a rotation can still take part while we hold its key.
    other_keys: BTreeMap<SocketAddr, KeyId>,
}

impl Wire {
    pub(crate) fn new(cluster: ClusterName, encryption: Option<Encryption>) -> Self {
        Self {
            cluster,
            sealer: encryption.map(Sealer::new),
            proofs: BTreeMap::new(),
            other_keys: BTreeMap::new(),
        }
    }

    /// Bytes of the envelope of agents without a key.
    pub(crate) fn plain_envelope(&self) -> usize {
        plain::overhead(&self.cluster)
    }

    pub(crate) fn cluster(&self) -> &ClusterName {
        &self.cluster
    }

    /// Its keys, if it has any.
    pub(crate) fn keyring(&self) -> Option<&Keyring> {
        self.sealer.as_ref().map(Sealer::keyring)
    }

    /// Uses other keys from now on; without effect if it had none.
    pub(crate) fn set_keyring(&mut self, keyring: Keyring) {
        if let Some(sealer) = &mut self.sealer {
            self.other_keys.retain(|_, key| keyring.get(*key).is_some() && *key != keyring.sending().id());
            sealer.set_keyring(keyring);
        }
    }

    /// The keys to try at an address, the likeliest last; none if this agent has no key.
    pub(crate) fn keys_for(&self, to: SocketAddr) -> Vec<KeyId> {
        let mut keys: Vec<_> = self.keyring().map(|keyring| keyring.ids().collect()).unwrap_or_default();
        keys.reverse();
        if let Some(other) = self.other_keys.get(&to) {
            keys.retain(|key| key != other);
            keys.push(*other);
        }
        keys
    }

    /// Notes the key that the agent at `addr`, which was heard a moment ago, uses and so understands.
    pub(crate) fn note_key(&mut self, addr: SocketAddr, origin: Option<Origin>) {
        let (Some(sealer), Some(Origin { key, .. })) = (&self.sealer, origin) else { return };
        if key == sealer.keyring().sending().id() {
            self.other_keys.remove(&addr);
        } else if self.other_keys.len() < senders::MAX_SENDERS {
            self.other_keys.insert(addr, key);
        }
    }

    /// Wraps a datagram for the agent at `to`.
    pub(crate) fn seal(&mut self, to: SocketAddr, kind: Kind, payload: &[u8]) -> Bytes {
        self.wrap(self.other_keys.get(&to).copied(), kind, payload, None)
    }

    /// Wraps the answer to a request, under the key of the request.
    pub(crate) fn seal_reply(&mut self, kind: Kind, payload: &[u8], request: Option<Origin>) -> Bytes {
        let (key, packet) = (request.map(|origin| origin.key), request.map(|origin| origin.packet));
        self.wrap(key, kind, payload, packet)
    }

    fn wrap(&mut self, key: Option<KeyId>, kind: Kind, payload: &[u8], request: Option<PacketId>) -> Bytes {
        match &mut self.sealer {
            None => seal(&self.cluster, kind, payload),
            Some(sealer) => sealer.seal(&self.cluster, key, kind, &[payload], request).packet,
        }
    }

    /// Wraps a request to the agent at `to`; returns its identity, too, to which the answer is bound.
    pub(crate) fn seal_request(
        &mut self,
        to: SocketAddr,
        key: Option<KeyId>,
        payload: &[u8],
    ) -> (Bytes, Option<PacketId>) {
        let Some(sealer) = &mut self.sealer else {
            return (seal(&self.cluster, Kind::Request, payload), None);
        };
        let proof = self.proofs.get(&to).copied().unwrap_or_default().to_bytes();
        let Sealed { packet, id } = sealer.seal(&self.cluster, key, Kind::Request, &[&proof, payload], None);
        (packet, Some(id))
    }

    /// Unwraps a datagram or a request.
    pub(crate) fn open<'a>(&self, packet: &'a [u8]) -> Result<Opened<'a>, WireError> {
        self.open_reply(packet, None)
    }

    /// Unwraps the answer to that request, and no other.
    pub(crate) fn open_reply<'a>(
        &self,
        packet: &'a [u8],
        request: Option<PacketId>,
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

    /// Checks whether the datagram of that origin is new, and marks it as seen, unless its sender is a stranger.
    pub(crate) fn check_and_mark(&mut self, origin: Option<Origin>) -> Freshness {
        match (&mut self.sealer, origin) {
            (Some(sealer), Some(origin)) => sealer.check_and_mark(origin.packet),
            _ => Freshness::New,
        }
    }

    /// Notes that an answer of that origin came from `from`: its sender runs now.
    pub(crate) fn note_answer(&mut self, from: SocketAddr, origin: Option<Origin>) {
        let Some(Origin { packet, .. }) = origin else { return };
        self.admit(origin);
        self.note_key(from, origin);
        if self.proofs.len() >= senders::MAX_SENDERS && !self.proofs.contains_key(&from) {
            self.proofs.pop_first();
        }
        self.proofs.insert(from, packet);
    }

    /// Notes that the sender of that origin runs now; everything it sent before is old.
    pub(crate) fn admit(&mut self, origin: Option<Origin>) {
        if let (Some(sealer), Some(origin)) = (&mut self.sealer, origin) {
            sealer.admit(origin.packet);
        }
    }

    /// Admits a request if it is new: it names a packet that this process has sent, and one sent since this process
    /// last forgot a sender if its own sender is unknown.
    pub(crate) fn admit_request<'a>(&mut self, opened: &'a Opened<'_>) -> Admitted<'a> {
        match (&mut self.sealer, opened.origin) {
            (Some(sealer), Some(origin)) => sealer.admit_request(origin.packet, &opened.payload),
            _ => Admitted::New(&opened.payload),
        }
    }
}
