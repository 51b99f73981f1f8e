//! Records: what a node says of itself, signed by it alone and replaced as a whole, of which the newest wins; and its goodbye.

use std::{net::SocketAddr, sync::Arc};

use sha2::{Digest as _, Sha256};

use super::{
    metadata::{MetadataError, MetadataTooLarge, decode, encode},
    peer::{Peer, put_life, socket_bytes},
};
use crate::{
    membership::Metadata,
    node::{ClusterName, Epoch, NodeId},
    signing::{Domain, NodeKey, Seal},
};

/// Age of a node's metadata: a later start beats an earlier one, and a later version within a start the earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// Start in which it was written.
    pub(super) epoch: Epoch,
    /// Number of the writing within that start, from 1.
    pub(super) version: u32,
}

/// A node's account of one of its lives, as it is kept and passed on: the owner's bytes, what they mean, and the owner's signature
/// under all of it. There is none that its owner has not signed, so that nobody invents a life of another.
#[derive(Debug, Clone)]
pub struct Record {
    life: LifeProof,
    bytes: Vec<u8>,
    metadata: Arc<Metadata>,
}

/// The proof of a life, by its node: it says where the node gossips, and names the bytes of its metadata by their digest.
#[derive(Debug, Clone, Copy)]
pub struct LifeProof(Claimed);

/// A proof of a life that nobody has verified.
#[derive(Debug, Clone, Copy)]
pub struct Claimed {
    /// The node that has signed it, by what it says.
    pub owner: NodeId,
    /// Address at which the node gossips in this life.
    pub addr: SocketAddr,
    /// Age of the account.
    pub stamp: Stamp,
    /// Number of the process that wrote it.
    pub instance: u64,
    /// SHA-256 of the metadata.
    pub digest: [u8; DIGEST_LEN],
    /// Signature of the owner.
    pub seal: Seal,
}

/// Bytes of a digest.
pub(super) const DIGEST_LEN: usize = 32;

impl Claimed {
    /// The bytes that are signed: port and IP of the address, epoch, version, instance, digest.
    fn content(&self) -> Vec<u8> {
        let Stamp { epoch, version } = self.stamp;
        let numbers = [&epoch.0.to_be_bytes()[..], &version.to_be_bytes(), &self.instance.to_be_bytes()];
        [&socket_bytes(self.addr)[..], &numbers.concat(), &self.digest].concat()
    }
}

impl LifeProof {
    /// Verifies a proof.
    ///
    /// # Errors
    /// If its owner has not signed it.
    pub fn verify(cluster: &ClusterName, claimed: Claimed) -> Result<Self, MetadataError> {
        let signer = claimed.seal.signer(Domain::Life, cluster, &claimed.content());
        if signer == Ok(claimed.owner) {
            Ok(Self(claimed))
        } else {
            Err(MetadataError("it is not signed by its owner".to_owned()))
        }
    }

    /// The node that leads it.
    pub fn owner(&self) -> NodeId {
        self.0.owner
    }

    /// Age of the account.
    pub fn stamp(&self) -> Stamp {
        self.0.stamp
    }

    /// The proof as it travels.
    pub fn claimed(&self) -> Claimed {
        self.0
    }

    /// The life itself, in its first bump.
    pub(super) fn peer(&self) -> Peer {
        Peer::new(self.0.owner, self.0.addr, self.0.stamp.epoch, 0)
    }

    /// True if it proves that its owner leads this life.
    pub(super) fn proves(&self, life: &Peer) -> bool {
        self.0.owner == life.id && self.0.stamp.epoch == life.epoch() && self.0.addr == life.addr()
    }
}

impl Record {
    /// A record read from the wire.
    ///
    /// # Errors
    /// If its owner has not signed it, or its bytes are no metadata.
    pub fn read(cluster: &ClusterName, claimed: Claimed, bytes: &[u8]) -> Result<Arc<Self>, MetadataError> {
        let life = LifeProof::verify(cluster, Claimed { digest: Sha256::digest(bytes).into(), ..claimed })?;
        let metadata = decode(bytes)?.into();
        Ok(Self { life, bytes: bytes.to_vec(), metadata }.into())
    }

    /// The record of a node's own life.
    ///
    /// # Errors
    /// If the metadata is too large to travel.
    pub fn write(
        key: &NodeKey,
        cluster: &ClusterName,
        (addr, stamp, instance): (SocketAddr, Stamp, u64),
        metadata: Metadata,
    ) -> Result<Arc<Self>, MetadataTooLarge> {
        let bytes = encode(&metadata)?;
        let (digest, seal) = (Sha256::digest(&bytes).into(), Seal::from_bytes(&[0; Seal::LEN]));
        let unsigned = Claimed { owner: key.id(), addr, stamp, instance, digest, seal };
        let seal = key.seal(Domain::Life, cluster, &unsigned.content());
        Ok(Self { life: LifeProof(Claimed { seal, ..unsigned }), bytes, metadata: metadata.into() }.into())
    }

    /// The life that it proves.
    pub fn life(&self) -> &LifeProof {
        &self.life
    }

    /// The node whose account it is.
    pub fn owner(&self) -> NodeId {
        self.life.owner()
    }

    /// Its age.
    pub fn stamp(&self) -> Stamp {
        self.life.stamp()
    }

    /// The owner's account of itself.
    pub fn metadata(&self) -> &Arc<Metadata> {
        &self.metadata
    }

    /// The metadata as its owner wrote it.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reader of records: [`Record::read`], or in a simulation of thousands of nodes in one process one that keeps equal records
/// once.
pub type ReadRecord = fn(&ClusterName, Claimed, &[u8]) -> Result<Arc<Record>, MetadataError>;

/// A reader of the records of one cluster.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    cluster: ClusterName,
    read: ReadRecord,
}

impl Reader {
    pub(super) fn new(cluster: ClusterName, read: ReadRecord) -> Self {
        Self { cluster, read }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// As of [`Record::read`].
    pub(super) fn read(&self, claimed: Claimed, bytes: &[u8]) -> Result<Arc<Record>, MetadataError> {
        (self.read)(&self.cluster, claimed, bytes)
    }

    /// Reads the proof of a life without the metadata in it.
    ///
    /// # Errors
    /// As of [`LifeProof::verify`].
    pub(super) fn life(&self, claimed: Claimed) -> Result<LifeProof, MetadataError> {
        LifeProof::verify(&self.cluster, claimed)
    }

    /// The life whose goodbye this is, if it has said so.
    pub(super) fn goodbye(&self, life: Peer, seal: Seal) -> Option<Goodbye> {
        let signer = seal.signer(Domain::Goodbye, &self.cluster, &goodbye_content(&life));
        (signer == Ok(life.id)).then_some(Goodbye { life, seal })
    }
}

/// The goodbye of a life, by itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Goodbye {
    life: Peer,
    seal: Seal,
}

impl Goodbye {
    /// The goodbye of one's own life.
    pub(super) fn say(key: &NodeKey, cluster: &ClusterName, life: Peer) -> Self {
        Self { life, seal: key.seal(Domain::Goodbye, cluster, &goodbye_content(&life)) }
    }

    /// The life that has ended.
    pub(super) fn life(&self) -> &Peer {
        &self.life
    }

    /// The signature under it.
    pub(super) fn seal(&self) -> Seal {
        self.seal
    }
}

fn goodbye_content(life: &Peer) -> Vec<u8> {
    let mut content = Vec::new();
    put_life(life, &mut content);
    content
}
