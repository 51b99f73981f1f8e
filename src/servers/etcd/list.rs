//! Answers of etcd as its gateway and its peer port write them.

use serde::Deserialize;

use crate::servers::driver::{Identity, ServerMember};

/// An id in the form in which etcd logs and prints it.
pub(super) fn hex(id: u64) -> String {
    format!("{id:x}")
}

/// A 64-bit number, which the gateway writes as a text, and the peer port as a number.
fn number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(String),
        Number(u64),
    }
    match Written::deserialize(deserializer)? {
        Written::Text(text) => text.parse().map_err(serde::de::Error::custom),
        Written::Number(number) => Ok(number),
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Header {
    #[serde(deserialize_with = "number")]
    pub(super) cluster_id: u64,
    #[serde(deserialize_with = "number")]
    pub(super) member_id: u64,
}

impl Header {
    pub(super) fn identity(&self) -> Identity {
        Identity { group: hex(self.cluster_id), member: hex(self.member_id) }
    }
}

/// The answer about the server itself. Zeros are left out.
#[derive(Debug, Deserialize)]
pub(super) struct Status {
    pub(super) header: Header,
    #[serde(default)]
    pub(super) version: String,
    #[serde(default, deserialize_with = "number")]
    pub(super) leader: u64,
    #[serde(default, rename = "raftAppliedIndex", deserialize_with = "number")]
    pub(super) applied: u64,
    #[serde(default)]
    pub(super) errors: Vec<String>,
    #[serde(default, rename = "isLearner")]
    pub(super) learns: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct List {
    pub(super) header: Header,
    pub(super) members: Vec<Member>,
}

impl List {
    /// The scheme of the members' peer URLs.
    pub(super) fn scheme(&self) -> Option<String> {
        let urls = self.members.iter().flat_map(|member| &member.peers);
        urls.filter_map(|url| Some(url.split_once("://")?.0.to_owned())).next()
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Member {
    #[serde(alias = "ID", deserialize_with = "number")]
    pub(super) id: u64,
    #[serde(default)]
    name: String,
    #[serde(default, rename = "peerURLs")]
    peers: Vec<String>,
    #[serde(default, rename = "isLearner")]
    pub(super) learns: bool,
}

impl From<Member> for ServerMember {
    fn from(member: Member) -> Self {
        let address = |url: String| url.split_once("://").map_or(url.clone(), |(_, rest)| rest.to_owned());
        Self {
            member: hex(member.id),
            // A member tells the others its name once it runs.
            has_run: Some(!member.name.is_empty()),
            is_up: None,
            name: member.name,
            addresses: member.peers.into_iter().map(address).collect(),
            votes: !member.learns,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As etcd 3.4.23 answers.
    const STATUS_ANSWER: &str = r#"{"header":{"cluster_id":"18442473120952679702","member_id":"15755076947241765032",
        "revision":"1","raft_term":"2"},"version":"3.4.23","dbSize":"20480","leader":"15755076947241765032","raftIndex":"4",
        "raftTerm":"2","raftAppliedIndex":"4","dbSizeInUse":"16384"}"#;
    const PEERS_ANSWER: &str = r#"[{"id":15755076947241765032,"peerURLs":["http://127.0.0.1:33380"],"name":"default",
        "clientURLs":["http://127.0.0.1:33379"]},{"id":7,"isLearner":true,"peerURLs":["https://[::1]:2380"]}]"#;

    #[test]
    fn answers_are_understood() {
        let status: Status = serde_json::from_str(STATUS_ANSWER).unwrap();
        let identity =
            Identity { group: "fff0d3975212fd16".to_owned(), member: "daa54702714a88a8".to_owned() };
        assert_eq!(status.header.identity(), identity);
        assert_eq!((hex(status.leader), status.applied), (identity.member.clone(), 4));
        let members: Vec<Member> = serde_json::from_str(PEERS_ANSWER).unwrap();
        let members: Vec<ServerMember> = members.into_iter().map(ServerMember::from).collect();
        let member = |member: &str, name: &str, address: &str, votes| ServerMember {
            member: member.to_owned(),
            name: name.to_owned(),
            addresses: vec![address.to_owned()],
            votes,
            has_run: Some(!name.is_empty()),
            is_up: None,
        };
        let expected = [
            member(&identity.member, "default", "127.0.0.1:33380", true),
            member("7", "", "[::1]:2380", false),
        ];
        assert_eq!(members, expected);
    }

    #[test]
    fn an_etcd_without_a_leader_leaves_zeros_out() {
        let text = r#"{"header":{"cluster_id":"1","member_id":"2"},"version":"3.4.23","errors":["etcdserver: no leader"]}"#;
        let status: Status = serde_json::from_str(text).unwrap();
        assert_eq!((status.leader, status.applied, status.errors.len()), (0, 0, 1));
    }
}
