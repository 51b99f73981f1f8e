//! The envelope of agents that share a key: XChaCha20-Poly1305 around every datagram and every frame.
//!
//! ```text
//! magic 0xC7 | version 2 | kind | key id 4 | boot id 16 | number 6 | ciphertext | tag 16
//! ```
//!
//! Authenticated beside the ciphertext: all that stands before it, so the kind, which is the direction, too; the name
//! of the cluster, which does not travel; and in an answer the boot id and the number of the request, so that it
//! answers that request and no other.
//!
//! **Nonces never repeat.** A nonce is the boot id, two zeros and the number. The boot id is 16 random bytes that a
//! process draws at its start and keeps; the number grows with every packet it seals, of either transport, and never
//! starts again under the same boot id. So two packets share a nonce only if two processes draw the same 128 bits:
//! after 2^40 starts, more than a million nodes see in a lifetime, with a probability of 2^80 / 2^129 = 2^-49. Neither
//! a restart, nor a lost disk, nor a wrong clock matters, for nothing is read from either. 10^12 packets take 40 of a
//! number's 48 bits, and should they ever run out, the next boot id is drawn from a digest of the last. (Two copies of
//! one running virtual machine do share a nonce: a snapshot with memory must not be resumed twice.)
//!
//! **Old packets count for nothing.** Anybody without a key may record packets and send them again. Each process
//! remembers the numbers it has seen of each boot id, so that within its life nothing is heard twice. A packet of a
//! sender that it does not remember counts only with a proof that it is new:
//!
//! * A request has to name a packet that this very process has sent; without, the answer is a challenge, which is one.
//!   So it is for this process and no other. A process that has just started, or has forgotten a sender, has sent none
//!   that old requests could name.
//! * An answer is bound to its request, and that was sent a moment ago.
//! * A datagram from an unknown boot id has to come from a life, of the node's id, epoch and bump, that is an active
//!   member here, of which this node can only have learnt from packets that were new; and each names, by four bytes of
//!   checksum, the life of the node that it was for. So packets recorded before either side's restart are void, and
//!   packets recorded of two running lives are in the memory of their receiver. Only an attacker that can hold back
//!   datagrams can have the first one of a sender heard later than it was sent, as the network itself may.
//! * A goodbye names no receiver. It says the same for ever: a life of a node, which never comes back, is over.
//!
//! No wall clock is read for any of this, so that a clock that is off by a year strands no node.

use bytes::{BufMut as _, Bytes, BytesMut};
use chacha20poly1305::{AeadInOut as _, KeyInit as _, Tag, XChaCha20Poly1305, aead::inout::InOutBuf};
use sha2::{Digest as _, Sha256};

use super::{
    error::WireError,
    key::{Key, KeyId, Keyring},
    packet::{
        Admitted, Kind, MAGIC, MAX_DATAGRAM, MAX_PAYLOAD, Opened, Origin, PLAIN_VERSION, SEALED_VERSION,
    },
    packet_id::{BOOT, BootId, MAX_NUMBER, NUMBER, PacketId},
    senders::{Freshness, Senders},
};
use crate::node::ClusterName;

/// Length of the head, which is everything before the ciphertext, in bytes.
const HEAD: usize = 3 + 4 + BOOT + NUMBER;
/// Length of the tag, in bytes.
const TAG: usize = 16;
/// Length of an envelope, in bytes.
const OVERHEAD: usize = HEAD + TAG;
// Messages of the engine are shortened by twenty bytes after it has filled them to MAX_PAYLOAD.
const _: () = assert!(MAX_PAYLOAD - 20 + OVERHEAD <= MAX_DATAGRAM);
const _: () = assert!(OVERHEAD <= 45);

/// The secrets of an agent that encrypts.
#[derive(Debug, Clone)]
pub struct Encryption {
    /// The keys.
    pub keyring: Keyring,
    /// Random, from a generator made for secrets, drawn anew at each start.
    pub boot: [u8; 16],
}

/// A packet, and its identity.
pub(super) struct Sealed {
    pub(super) packet: Bytes,
    pub(super) id: PacketId,
}

/// True if a packet has this envelope, as far as its first bytes tell.
pub(super) fn is_sealed(packet: &[u8]) -> bool {
    matches!(packet, [MAGIC, SEALED_VERSION, ..])
}

/// Seals and opens packets.
#[derive(Debug)]
pub(super) struct Sealer {
    keyring: Keyring,
    boot: BootId,
    /// The number of the last packet.
    sent: u64,
    /// Lowest packet number that proves anything; a sender was forgotten after the packets before.
    proves_from: u64,
    senders: Senders,
}

impl Sealer {
    pub(super) fn new(encryption: Encryption) -> Self {
        let Encryption { keyring, boot } = encryption;
        Self { keyring, boot: BootId(boot), sent: 0, proves_from: 1, senders: Senders::default() }
    }

    pub(super) fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    pub(super) fn set_keyring(&mut self, keyring: Keyring) {
        self.keyring = keyring;
    }

    fn next(&mut self) -> PacketId {
        if self.sent == MAX_NUMBER {
            let digest = Sha256::digest(self.boot.0);
            self.boot = BootId(digest.first_chunk().copied().unwrap_or_default());
            (self.sent, self.proves_from) = (0, 1);
        }
        self.sent += 1;
        PacketId { boot: self.boot, number: self.sent }
    }

    /// Wraps the parts of a payload, under that key if it is still there; `request` is the request that it answers.
    pub(super) fn seal(
        &mut self,
        cluster: &ClusterName,
        key: Option<KeyId>,
        kind: Kind,
        payload: &[&[u8]],
        request: Option<PacketId>,
    ) -> Sealed {
        let packet_id = self.next();
        let key = key.and_then(|id| self.keyring.get(id)).unwrap_or_else(|| self.keyring.sending());
        let length: usize = payload.iter().map(|part| part.len()).sum();
        let mut packet = BytesMut::with_capacity(OVERHEAD + length);
        packet.put_slice(&[MAGIC, SEALED_VERSION, kind as u8]);
        packet.put_slice(&key.id().0);
        packet.put_slice(&packet_id.to_bytes());
        let aad = associated(&packet, cluster, request);
        payload.iter().for_each(|part| packet.put_slice(part));
        let tag = cipher(key)
            .encrypt_inout_detached(&packet_id.nonce(), &aad, InOutBuf::from(&mut packet[HEAD..]))
            .expect("a packet is shorter than 256 GiB");
        packet.put_slice(&tag);
        Sealed { packet: packet.freeze(), id: packet_id }
    }

    /// Unwraps a packet; `request` is the request that it has to answer.
    pub(super) fn open<'a>(
        &self,
        cluster: &ClusterName,
        packet: &'a [u8],
        request: Option<PacketId>,
    ) -> Result<Opened<'a>, WireError> {
        let [MAGIC, version, kind, rest @ ..] = packet else {
            return Err(WireError::Foreign);
        };
        match *version {
            SEALED_VERSION => {}
            PLAIN_VERSION => return Err(WireError::Plain),
            other => return Err(WireError::Version(other)),
        }
        let (id, rest) = rest.split_first_chunk::<4>().ok_or(WireError::Foreign)?;
        let (packet_id, rest) = rest.split_first_chunk::<{ PacketId::LEN }>().ok_or(WireError::Foreign)?;
        let (ciphertext, tag) = rest.split_last_chunk::<TAG>().ok_or(WireError::Foreign)?;
        let id = KeyId(*id);
        let key = self.keyring.get(id).ok_or(WireError::UnknownKey(id))?;
        let packet_id = PacketId::from_bytes(packet_id);
        let mut payload = ciphertext.to_vec();
        cipher(key)
            .decrypt_inout_detached(
                &packet_id.nonce(),
                &associated(&packet[..HEAD], cluster, request),
                InOutBuf::from(payload.as_mut_slice()),
                &Tag::from(*tag),
            )
            .map_err(|_| WireError::Forged(id))?;
        let kind = Kind::from_byte(*kind).ok_or(WireError::Foreign)?;
        Ok(Opened { kind, payload: payload.into(), origin: Some(Origin { packet: packet_id, key: id }) })
    }

    /// See [`Senders::check_and_mark`].
    pub(super) fn check_and_mark(&mut self, packet: PacketId) -> Freshness {
        self.senders.check_and_mark(packet)
    }

    /// See [`Senders::admit`]. After a sender was forgotten, older packets of ours prove nothing.
    pub(super) fn admit(&mut self, packet: PacketId) {
        if self.senders.admit(packet).is_some() {
            self.proves_from = self.sent + 1;
        }
    }

    /// See [`super::Wire::admit_request`].
    pub(super) fn admit_request<'a>(&mut self, packet: PacketId, payload: &'a [u8]) -> Admitted<'a> {
        let Some((proof, asked)) = payload.split_first_chunk::<{ PacketId::LEN }>() else {
            return Admitted::Doubtful;
        };
        let proof = PacketId::from_bytes(proof);
        // Without this check, a recorded request to one member could be sent to another.
        if proof.boot != self.boot {
            return Admitted::Doubtful;
        }
        match self.check_and_mark(packet) {
            Freshness::New => Admitted::New(asked),
            Freshness::Stranger if (self.proves_from..=self.sent).contains(&proof.number) => {
                self.admit(packet);
                Admitted::New(asked)
            }
            Freshness::Stranger | Freshness::Replayed => Admitted::Doubtful,
        }
    }
}

fn cipher(key: &Key) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(key.to_bytes().into())
}

/// The bytes that are authenticated beside the ciphertext: the head, the cluster's name with its length, and the
/// identity of the request that is answered.
fn associated(head: &[u8], cluster: &ClusterName, request: Option<PacketId>) -> Vec<u8> {
    let name = cluster.as_str().as_bytes();
    let length = u8::try_from(name.len()).expect("a cluster name has at most 32 bytes");
    let mut all = Vec::with_capacity(HEAD + 1 + name.len() + PacketId::LEN);
    all.extend_from_slice(head);
    all.push(length);
    all.extend_from_slice(name);
    if let Some(request) = request {
        all.extend_from_slice(&request.to_bytes());
    }
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zeroize::Zeroizing;

    use super::*;

    fn cluster(name: &str) -> ClusterName {
        name.parse().unwrap()
    }

    fn key(number: u8) -> Key {
        Key::new(Zeroizing::new([number; 32]))
    }

    fn sealer(boot: u8, key_number: u8) -> Sealer {
        Sealer::new(Encryption { keyring: Keyring::single(key(key_number)), boot: [boot; BOOT] })
    }

    #[test]
    fn a_packet_opens_in_its_own_cluster_and_direction_only() {
        let (mut a, b) = (sealer(1, 1), sealer(2, 1));
        let Sealed { packet, id } = a.seal(&cluster("chronik"), None, Kind::Swim, &[b"pay", b"load"], None);
        assert_eq!(packet.len(), 7 + OVERHEAD);
        let opened = b.open(&cluster("chronik"), &packet, None).unwrap();
        assert_eq!((opened.kind, &*opened.payload), (Kind::Swim, &b"payload"[..]));
        assert_eq!(opened.origin, Some(Origin { packet: id, key: key(1).id() }));
        // Length by length: names of which one begins the other are two clusters.
        for other in ["chronic", "chroni", "chronika"] {
            let error = b.open(&cluster(other), &packet, None).unwrap_err();
            assert_eq!(error, WireError::Forged(key(1).id()), "{other}");
        }
        let mut turned = packet.to_vec();
        turned[2] = Kind::Reply as u8;
        assert!(b.open(&cluster("chronik"), &turned, None).is_err());
        assert_eq!(
            sealer(2, 2).open(&cluster("chronik"), &packet, None).unwrap_err(),
            WireError::UnknownKey(key(1).id())
        );
        let plain = super::super::plain::seal(&cluster("chronik"), Kind::Swim, b"payload");
        assert_eq!(b.open(&cluster("chronik"), &plain, None).unwrap_err(), WireError::Plain);
    }

    #[test]
    fn an_answer_opens_for_its_own_request_only() {
        let (mut a, mut b) = (sealer(1, 1), sealer(2, 1));
        let name = cluster("chronik");
        let request = a.seal(&name, None, Kind::Request, &[b"?"], None).id;
        let other = a.seal(&name, None, Kind::Request, &[b"?"], None).id;
        let reply = b.seal(&name, None, Kind::Reply, &[b"!"], Some(request)).packet;
        assert!(a.open(&name, &reply, Some(request)).is_ok());
        assert!(a.open(&name, &reply, Some(other)).is_err());
        assert!(a.open(&name, &reply, None).is_err());
        let unasked = b.seal(&name, None, Kind::Reply, &[b"!"], None).packet;
        assert!(a.open(&name, &unasked, Some(request)).is_err());
    }

    #[test]
    fn what_a_request_proves_is_for_one_process_and_one_time() {
        let (mut a, mut b, mut c) = (sealer(1, 1), sealer(2, 1), sealer(3, 1));
        let name = cluster("chronik");
        let challenge = b.seal(&name, None, Kind::Challenge, &[], None).id.to_bytes();
        let request = a.seal(&name, None, Kind::Request, &[&challenge, b"ask"], None).packet;
        let admitted = |sealer: &mut Sealer| {
            let opened = sealer.open(&cluster("chronik"), &request, None).unwrap();
            let packet = opened.origin.unwrap().packet;
            matches!(sealer.admit_request(packet, &opened.payload), Admitted::New(b"ask"))
        };
        // Though the other one knows its sender well.
        c.admit(PacketId { number: 0, ..PacketId::from_bytes(&challenge) });
        c.admit(PacketId { boot: BootId([1; BOOT]), number: 0 });
        assert!(!admitted(&mut c), "asked of another");
        assert!(admitted(&mut b));
        assert!(!admitted(&mut b), "asked again");
        assert!(!admitted(&mut sealer(2, 1)), "asked of a process that has sent nothing yet");
    }

    #[test]
    fn no_number_comes_twice_under_one_boot_id() {
        let mut sealer = sealer(1, 1);
        let first = sealer.next();
        sealer.sent = MAX_NUMBER - 1;
        let (last, next) = (sealer.next(), sealer.next());
        assert_eq!((first.number, last.number, next.number), (1, MAX_NUMBER, 1));
        assert_eq!(first.boot, last.boot);
        assert_ne!(next.boot, last.boot);
        assert_ne!(first.nonce(), next.nonce());
    }

    proptest! {
        #[test]
        fn whatever_is_changed_or_cut_off_is_noticed(
            payload in proptest::collection::vec(any::<u8>(), 0..64),
            bit in 0_usize..(64 + OVERHEAD) * 8,
            length in 0_usize..64 + OVERHEAD,
        ) {
            let (mut a, b) = (sealer(1, 1), sealer(2, 1));
            let name = cluster("chronik");
            let packet = a.seal(&name, None, Kind::Swim, &[&payload], None).packet;
            let opened = b.open(&name, &packet, None).unwrap();
            prop_assert_eq!(&*opened.payload, payload.as_slice());
            let bit = bit % (packet.len() * 8);
            let mut changed = packet.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(b.open(&name, &changed, None).is_err());
            prop_assert!(b.open(&name, &packet[..length % packet.len()], None).is_err());
        }
    }
}
