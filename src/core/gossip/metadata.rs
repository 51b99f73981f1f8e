//! Metadata as bytes.

use std::{collections::BTreeMap, num::NonZeroU16};

use minicbor::{Decode, Encode};

use crate::{
    bootstrap::{Attestation, ClusterId},
    membership::{FoundingNews, Metadata},
    node::{Endpoints, MAX_ENDPOINTS, MAX_TAGS, Role, Tags, check_endpoint, check_tag_value},
};

/// Largest record in bytes that travels as a rumour. A larger one would crowd membership updates out of the datagram and,
/// past the engine's packet size, stay in its queue for ever (it accepts rumours that it can never send).
pub const MAX_RUMOUR: usize = 600;
/// Largest record at all. It is sent to every member, so it is no place for data.
pub const MAX_METADATA: usize = 16 << 10;

/// Metadata as bytes. Fields are numbered and unknown ones skipped, so that versions can be mixed in one cluster: add
/// fields freely, reuse no number.
#[derive(Encode, Decode)]
#[cbor(map)]
struct Encoded {
    #[n(0)]
    name: String,
    #[n(1)]
    observer: bool,
    #[n(2)]
    expect: Option<NonZeroU16>,
    #[n(3)]
    endpoints: BTreeMap<String, String>,
    #[n(4)]
    tags: BTreeMap<String, String>,
    #[n(5)]
    cluster_id: Option<ClusterId>,
    #[n(6)]
    config_index: Option<u64>,
    #[n(7)]
    established: Option<bool>,
    /// Set if the server holds data; `None` if it does not say.
    #[n(8)]
    holds_data: Option<bool>,
    #[n(9)]
    server_up: Option<bool>,
    #[n(10)]
    named: Option<u64>,
    #[n(11)]
    knowledge: Option<u64>,
    /// Set if the node has no vote and gives none.
    #[n(12)]
    has_no_vote: Option<bool>,
    /// Set if the node has given no vote yet.
    #[n(13)]
    has_not_voted: Option<bool>,
}

/// Bytes that are no metadata.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not metadata: {0}")]
pub struct MetadataError(pub(super) String);

/// A metadata record larger than `MAX_METADATA`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "name, endpoints and tags take {0} bytes together, more than the {MAX_METADATA} allowed: shorten the tags"
)]
pub struct MetadataTooLarge(usize);

/// Writes metadata.
///
/// # Errors
/// If the bytes are too many.
pub fn encode(metadata: &Metadata) -> Result<Vec<u8>, MetadataTooLarge> {
    let texts = |(key, value): (String, &String)| (key, value.clone());
    let encoded = Encoded {
        name: metadata.name.as_str().to_owned(),
        observer: metadata.role == Role::Observer,
        expect: metadata.expect,
        endpoints: metadata.endpoints.iter().map(|(key, value)| texts((key.to_string(), value))).collect(),
        tags: metadata.tags.iter().map(|(key, value)| texts((key.to_string(), value))).collect(),
        cluster_id: metadata.founding.cluster_id,
        config_index: Some(metadata.founding.config_index).filter(|index| *index > 0),
        established: Some(true).filter(|_| metadata.founding.established),
        holds_data: match metadata.founding.attestation {
            Attestation::Silent => None,
            Attestation::Blank => Some(false),
            Attestation::HoldsData => Some(true),
        },
        server_up: metadata.founding.server_up,
        named: metadata.founding.named,
        knowledge: metadata.founding.knowledge,
        has_no_vote: Some(true).filter(|_| !metadata.founding.may_vote),
        has_not_voted: Some(true).filter(|_| !metadata.founding.has_voted),
    };
    let bytes = super::frame::write(&encoded);
    if bytes.len() > MAX_METADATA { Err(MetadataTooLarge(bytes.len())) } else { Ok(bytes) }
}

/// Reads metadata that `encode` wrote, here or in another version.
///
/// # Errors
/// If the bytes are too many, or break a rule of `node`.
pub fn decode(bytes: &[u8]) -> Result<Metadata, MetadataError> {
    if bytes.len() > MAX_METADATA {
        return Err(MetadataError(format!("{} bytes", bytes.len())));
    }
    let encoded: Encoded = super::frame::read(bytes).map_err(|error| MetadataError(error.to_string()))?;
    let invalid = |error: crate::node::InvalidName| MetadataError(error.to_string());
    let mut metadata = Metadata {
        name: encoded.name.try_into().map_err(invalid)?,
        role: if encoded.observer { Role::Observer } else { Role::Server },
        expect: encoded.expect,
        endpoints: Endpoints::new(),
        tags: Tags::new(),
        founding: FoundingNews {
            cluster_id: encoded.cluster_id,
            config_index: encoded.config_index.unwrap_or(0),
            established: encoded.established.unwrap_or(false),
            attestation: match encoded.holds_data {
                None => Attestation::Silent,
                Some(false) => Attestation::Blank,
                Some(true) => Attestation::HoldsData,
            },
            server_up: encoded.server_up,
            named: encoded.named,
            knowledge: encoded.knowledge,
            may_vote: encoded.has_no_vote != Some(true),
            has_voted: encoded.has_not_voted != Some(true),
        },
    };
    let too_many = |what| Err(MetadataError(format!("more {what} than a node may have")));
    if encoded.endpoints.len() > MAX_ENDPOINTS {
        return too_many("endpoints");
    }
    if encoded.tags.len() > MAX_TAGS {
        return too_many("tags");
    }
    for (name, addr) in encoded.endpoints {
        check_endpoint(&addr).map_err(invalid)?;
        metadata.endpoints.insert(name.try_into().map_err(invalid)?, addr);
    }
    for (key, value) in encoded.tags {
        check_tag_value(&value).map_err(invalid)?;
        metadata.tags.insert(key.try_into().map_err(invalid)?, value);
    }
    Ok(metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata() -> Metadata {
        Metadata {
            name: "node-1".parse().unwrap(),
            role: Role::Observer,
            expect: NonZeroU16::new(3),
            endpoints: [("raft".parse().unwrap(), "10.0.0.1:5001".to_owned())].into(),
            tags: [("zone".parse().unwrap(), "a".to_owned())].into(),
            founding: FoundingNews {
                cluster_id: Some([7; 16].into()),
                config_index: 3,
                established: true,
                attestation: Attestation::HoldsData,
                server_up: Some(true),
                named: Some(5),
                knowledge: Some(9),
                may_vote: false,
                has_voted: false,
            },
        }
    }

    #[test]
    fn metadata_is_read_as_written_and_refused_when_cut_short() {
        let bytes = encode(&metadata()).unwrap();
        assert_eq!(decode(&bytes), Ok(metadata()));
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_err());
        }
    }

    #[test]
    fn the_rules_for_ones_own_are_those_for_others() {
        let with = |endpoint: &str, tag: &str| Metadata {
            endpoints: [("raft".parse().unwrap(), endpoint.to_owned())].into(),
            tags: [("zone".parse().unwrap(), tag.to_owned())].into(),
            ..metadata()
        };
        let read = |metadata: Metadata| decode(&encode(&metadata).unwrap());
        assert!(read(with("10.0.0.1:1", "a b")).is_ok());
        assert!(read(with("10.0.0.1:1\n--data-dir=/stolen", "a")).is_err());
        assert!(read(with("10.0.0.1:1", "\u{1b}]0;owned\u{7}")).is_err());
        let many =
            |count: usize| (0..count).map(|number| (format!("k{number}").parse().unwrap(), String::new()));
        assert!(read(Metadata { tags: many(MAX_TAGS).collect(), ..metadata() }).is_ok());
        assert!(read(Metadata { tags: many(MAX_TAGS + 1).collect(), ..metadata() }).is_err());
    }

    #[test]
    fn a_field_of_a_later_version_is_skipped() {
        let mut bytes = encode(&metadata()).unwrap();
        assert_eq!(bytes[0], 0xae, "a map of fourteen");
        bytes[0] = 0xaf;
        bytes.extend([0x18, 99, 0x63, b'n', b'e', b'w']);
        assert_eq!(decode(&bytes), Ok(metadata()));
    }

    #[test]
    fn too_much_of_it_says_how_much() {
        let tags = [("k".parse().unwrap(), "v".repeat(MAX_METADATA))].into();
        let error = encode(&Metadata { tags, ..metadata() }).unwrap_err();
        assert!(error.to_string().contains("more than the 16384 allowed"), "{error}");
    }
}
