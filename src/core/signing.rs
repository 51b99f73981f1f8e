//! The key of a node, and what is signed with it: nobody speaks for another. A node's id is derived from its key, so that whoever
//! sees a signature knows whose it is without asking anybody.

#[cfg(any(test, fuzzing))]
pub(crate) mod fixture;

use std::{cmp::Ordering, fmt, hash, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use minicbor::{
    Decode, Encode,
    bytes::{ByteArray, ByteVec},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::node::{ClusterName, InvalidName, NodeId};

/// Bytes of a secret key, and of a public one.
pub const KEY_LEN: usize = 32;
/// Bytes of a signature.
const SIGNATURE_LEN: usize = 64;

/// Kind of a statement: what is signed as one is worth nothing as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    /// A life of a node, and what the node says of itself in it.
    Life,
    /// The goodbye of a life.
    Goodbye,
    /// A message about the bootstrap, to one node.
    Message,
    /// A report about the server beside a node.
    Report,
    /// An operator's word, at the node at which it was said.
    Word,
    /// The end of an id, by its owner.
    Retirement,
    /// The acceptance of a founding in a ballot.
    Acceptance,
    /// The question whether a node's key is at an address.
    Challenge,
    /// The answer to it.
    Proof,
}

impl Domain {
    const fn text(self) -> &'static str {
        match self {
            Self::Life => "chronik-agent life 1",
            Self::Goodbye => "chronik-agent goodbye 1",
            Self::Message => "chronik-agent message 1",
            Self::Report => "chronik-agent report 1",
            Self::Word => "chronik-agent word 1",
            Self::Retirement => "chronik-agent retirement 1",
            Self::Acceptance => "chronik-agent acceptance 1",
            Self::Challenge => "chronik-agent challenge 1",
            Self::Proof => "chronik-agent proof 1",
        }
    }

    /// The bytes that are signed: kind and cluster name with their lengths, so that no two statements share theirs.
    fn bytes(self, cluster: &ClusterName, content: &[u8]) -> Vec<u8> {
        let (kind, name) = (self.text(), cluster.as_str());
        let length = |text: &str| u8::try_from(text.len()).unwrap_or(u8::MAX);
        [&[length(kind)], kind.as_bytes(), &[length(name)], name.as_bytes(), content].concat()
    }
}

/// The key pair of a node (Ed25519). It stands in the node's record; whoever has a copy of that is that node.
#[derive(Clone)]
pub struct NodeKey(Arc<Pair>);

struct Pair {
    secret: SigningKey,
    id: NodeId,
}

impl NodeKey {
    /// The key of these random bytes.
    pub fn new(secret: &Zeroizing<[u8; KEY_LEN]>) -> Self {
        let secret = SigningKey::from_bytes(secret);
        let id = id_of(secret.verifying_key().as_bytes());
        Self(Arc::new(Pair { secret, id }))
    }

    /// The node whose key this is.
    pub fn id(&self) -> NodeId {
        self.0.id
    }

    /// Signs a statement.
    pub(crate) fn seal(&self, domain: Domain, cluster: &ClusterName, content: &[u8]) -> Seal {
        let signature = self.0.secret.sign(&domain.bytes(cluster, content));
        Seal { key: self.0.secret.verifying_key().to_bytes(), signature: signature.to_bytes() }
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey of {}", self.0.id)
    }
}

impl PartialEq for NodeKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for NodeKey {}

impl PartialOrd for NodeKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for NodeKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.id.cmp(&other.0.id)
    }
}

impl hash::Hash for NodeKey {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.0.id.hash(state);
    }
}

/// The base64 of the secret's 32 bytes.
impl Serialize for NodeKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = Zeroizing::new(STANDARD.encode(self.0.secret.as_bytes()));
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for NodeKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = Zeroizing::new(STANDARD.decode(text.as_bytes()).map_err(serde::de::Error::custom)?);
        let secret = bytes.as_slice().try_into().map_err(serde::de::Error::custom)?;
        Ok(Self::new(&Zeroizing::new(secret)))
    }
}

/// The id of the node that has this public key: its digest, as a UUID of version 8.
fn id_of(key: &[u8; KEY_LEN]) -> NodeId {
    let digest = Sha256::new_with_prefix("chronik-agent node 1").chain_update(key).finalize();
    let first = digest.first_chunk().copied().unwrap_or_default();
    NodeId::try_from(*uuid::Builder::from_custom_bytes(first).as_uuid()).expect("a version is no zero")
}

/// A public key and a signature under it: 96 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seal {
    key: [u8; KEY_LEN],
    signature: [u8; SIGNATURE_LEN],
}

/// A signature that is not of what it stands under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature is not of this statement")]
pub struct Forged;

impl Seal {
    /// Length on the wire, in bytes.
    pub(crate) const LEN: usize = KEY_LEN + SIGNATURE_LEN;

    /// The node that signed this statement.
    ///
    /// # Errors
    /// Nobody did.
    pub(crate) fn signer(
        &self,
        domain: Domain,
        cluster: &ClusterName,
        content: &[u8],
    ) -> Result<NodeId, Forged> {
        let key = VerifyingKey::from_bytes(&self.key).map_err(|_| Forged)?;
        let signature = Signature::from_bytes(&self.signature);
        key.verify_strict(&domain.bytes(cluster, content), &signature).map_err(|_| Forged)?;
        Ok(id_of(&self.key))
    }

    /// Its bytes, the key first.
    pub(crate) fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..KEY_LEN].copy_from_slice(&self.key);
        bytes[KEY_LEN..].copy_from_slice(&self.signature);
        bytes
    }

    /// The seal of these bytes.
    pub(crate) fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let (mut key, mut signature) = ([0; KEY_LEN], [0; SIGNATURE_LEN]);
        key.copy_from_slice(&bytes[..KEY_LEN]);
        signature.copy_from_slice(&bytes[KEY_LEN..]);
        Self { key, signature }
    }
}

/// A byte string of 96.
impl<C> Encode<C> for Seal {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.to_bytes())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Seal {
    fn decode(d: &mut minicbor::Decoder<'b>, context: &mut C) -> Result<Self, minicbor::decode::Error> {
        let bytes: ByteArray<{ Self::LEN }> = d.decode_with(context)?;
        Ok(Self::from_bytes(&bytes))
    }
}

/// Content that a node can sign.
pub trait Statement: Encode<()> + for<'b> Decode<'b, ()> {
    /// Kind of it.
    const DOMAIN: Domain;
}

/// A statement with the name of the node whose word it is. There is none that its node has not signed: it is made with the key, or
/// read and verified.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signed<T> {
    content: T,
    signer: NodeId,
    cluster: ClusterName,
    /// The content as it was signed: with fields that only a later version knows.
    bytes: Vec<u8>,
    seal: Seal,
}

impl<T> Signed<T> {
    /// The node whose word it is.
    pub fn signer(&self) -> NodeId {
        self.signer
    }

    /// The name of the cluster that it is about.
    pub fn cluster(&self) -> &ClusterName {
        &self.cluster
    }
}

impl<T: Statement> Signed<T> {
    /// Signs a statement.
    pub(crate) fn new(key: &NodeKey, cluster: &ClusterName, content: T) -> Self {
        let bytes = minicbor::to_vec(&content).expect("writing to a vector cannot fail");
        let seal = key.seal(T::DOMAIN, cluster, &bytes);
        Self { content, signer: key.id(), cluster: cluster.clone(), bytes, seal }
    }

    fn verify(sealed: Sealed) -> Result<Self, Unreadable> {
        let (cluster, bytes, seal) = (sealed.cluster.parse()?, Vec::from(sealed.bytes), sealed.seal);
        let signer = seal.signer(T::DOMAIN, &cluster, &bytes)?;
        let content = minicbor::decode(&bytes)?;
        Ok(Self { content, signer, cluster, bytes, seal })
    }

    fn sealed(&self) -> Sealed {
        Sealed { cluster: self.cluster.to_string(), bytes: self.bytes.clone().into(), seal: self.seal }
    }
}

impl<T> std::ops::Deref for Signed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.content
    }
}

/// A statement that is not believed.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error(transparent)]
    Forged(#[from] Forged),
    #[error(transparent)]
    Name(#[from] InvalidName),
    #[error(transparent)]
    Content(#[from] minicbor::decode::Error),
}

/// A statement as it travels and lies on disk.
#[derive(Encode, Decode)]
struct Sealed {
    #[n(0)]
    cluster: String,
    #[n(1)]
    bytes: ByteVec,
    #[n(2)]
    seal: Seal,
}

impl<C, T: Statement> Encode<C> for Signed<T> {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        context: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        self.sealed().encode(e, context)
    }
}

impl<'b, C, T: Statement> Decode<'b, C> for Signed<T> {
    fn decode(d: &mut minicbor::Decoder<'b>, context: &mut C) -> Result<Self, minicbor::decode::Error> {
        Self::verify(d.decode_with(context)?).map_err(minicbor::decode::Error::custom)
    }
}

/// The base64 of what travels.
impl<T: Statement> Serialize for Signed<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::Error as _;
        let bytes = minicbor::to_vec(self.sealed()).map_err(S::Error::custom)?;
        serializer.serialize_str(&STANDARD.encode(bytes))
    }
}

impl<'de, T: Statement> Deserialize<'de> for Signed<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text).map_err(serde::de::Error::custom)?;
        let sealed = minicbor::decode(&bytes).map_err(serde::de::Error::custom)?;
        Self::verify(sealed).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
    struct Text(#[n(0)] String);

    impl Statement for Text {
        const DOMAIN: Domain = Domain::Word;
    }

    fn key(number: u8) -> NodeKey {
        NodeKey::new(&Zeroizing::new([number; KEY_LEN]))
    }

    fn name() -> ClusterName {
        "test".parse().unwrap()
    }

    #[test]
    fn a_key_is_read_as_written_and_its_node_keeps_its_id() {
        let text = serde_json::to_string(&key(1)).unwrap();
        let again: NodeKey = serde_json::from_str(&text).unwrap();
        assert_eq!((again.id(), again.id() == key(2).id()), (key(1).id(), false));
        assert!(!format!("{again:?}").contains(text.trim_matches('"')), "the log shows no secret");
    }

    /// One changed bit anywhere, and it is nobody's word: not in another cluster's name, not as another kind.
    #[test]
    fn a_statement_is_read_as_signed_and_by_no_other_name_kind_or_key() {
        let signed = Signed::new(&key(1), &name(), Text("word".to_owned()));
        let bytes = minicbor::to_vec(&signed).unwrap();
        assert_eq!(minicbor::decode::<Signed<Text>>(&bytes).unwrap(), signed);
        assert_eq!((signed.signer(), signed.0.as_str()), (key(1).id(), "word"));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let read = minicbor::decode::<Signed<Text>>(&changed);
            assert!(read.is_err(), "byte {at} of {}", bytes.len());
        }
        let seal = key(1).seal(Domain::Report, &name(), b"x");
        assert_eq!(seal.signer(Domain::Report, &name(), b"x"), Ok(key(1).id()));
        assert_eq!(seal.signer(Domain::Word, &name(), b"x"), Err(Forged));
        assert_eq!(seal.signer(Domain::Report, &"other".parse().unwrap(), b"x"), Err(Forged));
        let json = serde_json::to_string(&signed).unwrap();
        assert_eq!(serde_json::from_str::<Signed<Text>>(&json).unwrap(), signed);
    }
}
