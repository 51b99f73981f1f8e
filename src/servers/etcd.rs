//! etcd, 3.4 or later: asked through the gateway of its v3 API, and on its peer port before it has a leader.

mod identity;
mod wal;

use std::time::Duration;

use chronik_providers::Address;
use serde::Deserialize;

use super::{
    driver::{
        ASK_WITHIN, Answer, Ask, AskError, DataError, DataPlace, Driver, Fault, Identity, ServerMember,
    },
    kind::{DataWords, DefaultEndpoint, Facts, Kind},
    request::{Client, Reply},
};
use crate::{bootstrap::Founding, node::Endpoints};

/// The port of other members, and that of clients, where etcd listens unless it is told otherwise.
pub(super) const FACTS: Facts = Facts {
    endpoints: &[PEER, DefaultEndpoint { names: &["client", "etcd-client"], port: 2379 }],
    default_url: Some("http://127.0.0.1:2379"),
    data: Some(DataWords { log_dir: "wal_dir", log_dir_variable: "ETCD_WAL_DIR" }),
};
/// The port of other members, under the names that templates take.
const PEER: DefaultEndpoint = DefaultEndpoint { names: &["peer", "etcd-peer"], port: 2380 };

/// Time for one question: before the first leader a question is never answered, and the peer port is asked next.
const QUESTION_WITHIN: Duration = Duration::from_millis(1_300);
const STATUS: &str = "/v3/maintenance/status";
const LIST: &str = "/v3/cluster/member/list";
const PEERS: &str = "/members";
const _: () = assert!(QUESTION_WITHIN.as_millis() * 3 < ASK_WITHIN.as_millis());

/// An etcd beside its agent.
#[derive(Debug)]
pub(super) struct Etcd {
    clients: Client,
    /// The port of other members, as the agent announces it.
    peers: Option<Client>,
}

impl Etcd {
    /// An etcd whose clients ask by `clients`, and whose agent announces `own`.
    pub(super) fn new(clients: Client, own: &Endpoints) -> Self {
        let peer = PEER.of(own).and_then(|(_, address)| address.parse::<Address>().ok());
        let peers = peer.and_then(|Address { host, port }| Some(clients.elsewhere(host, port?.get())));
        Self { clients, peers }
    }

    async fn question(&self, path: &str) -> Result<Reply, AskError> {
        self.clients.send(path, Some("{}"), QUESTION_WITHIN).await
    }

    async fn answer(&self) -> Result<Answer, AskError> {
        // The index first: a list may be newer than its index, never older.
        let status = match self.question(STATUS).await {
            Ok(reply) => Some(self.understand::<Status>(STATUS, &reply)?),
            // It takes the connection and gives no answer before its first leader.
            Err(AskError { fault: Fault::Silent(_), .. }) if self.peers.is_some() => None,
            Err(error) => return Err(error),
        };
        match status {
            Some(status) if status.leader != 0 => self.led(status).await,
            status => self.leaderless(status).await,
        }
    }

    async fn led(&self, status: Status) -> Result<Answer, AskError> {
        let reply = self.question(LIST).await?;
        let list: List = self.understand(LIST, &reply)?;
        let identity = status.header.identity();
        let other = list.header.identity();
        if identity != other {
            let name = |identity: &Identity| format!("{} of cluster {}", identity.member, identity.group);
            return Err(self.clients.fault(LIST, Fault::TwoServers(name(&identity), name(&other))));
        }
        if list.members.iter().all(|member| member.id != status.header.member_id) {
            let problem = format!("its own member {} is not in its list", identity.member);
            return Err(self.clients.fault(LIST, Fault::NotUnderstood(problem)));
        }
        Ok(Answer {
            identity,
            version: Some(status.version),
            leader: Some(hex(status.leader)),
            index: Some(status.applied),
            members: list.members.into_iter().map(ServerMember::from).collect(),
            troubles: status.errors,
        })
    }

    /// An etcd without a leader says on its peer port who it is, and which members it was started with.
    async fn leaderless(&self, status: Option<Status>) -> Result<Answer, AskError> {
        let none =
            || vec!["it has no leader: start a majority of the members, and look at its log".to_owned()];
        let Some(peers) = &self.peers else {
            let status = status.ok_or_else(|| self.clients.fault(STATUS, Fault::Silent(QUESTION_WITHIN)))?;
            let (identity, version) = (status.header.identity(), Some(status.version));
            return Ok(Answer {
                identity,
                version,
                leader: None,
                index: None,
                members: vec![],
                troubles: none(),
            });
        };
        let reply = peers.send(PEERS, None, QUESTION_WITHIN).await?;
        let not_understood = |problem: &str| peers.fault(PEERS, Fault::NotUnderstood(problem.to_owned()));
        let group = reply.headers.get("x-etcd-cluster-id").and_then(|id| id.to_str().ok());
        let group = group.and_then(|id| u64::from_str_radix(id, 16).ok());
        let group = group.ok_or_else(|| not_understood("it names no cluster"))?;
        let members: Vec<Member> =
            serde_json::from_slice(&reply.body).map_err(|error| not_understood(&error.to_string()))?;
        let members: Vec<ServerMember> = members.into_iter().map(ServerMember::from).collect();
        let mine = peers.url().authority();
        let me = members.iter().find(|member| member.addresses.contains(&mine));
        let me = me.ok_or_else(|| not_understood("no member has the address that its agent announces"))?;
        let identity = Identity { group: hex(group), member: me.member.clone() };
        let version = status.map(|status| status.version);
        Ok(Answer { identity, version, leader: None, index: None, members, troubles: none() })
    }

    fn understand<T: for<'a> Deserialize<'a>>(&self, path: &str, reply: &Reply) -> Result<T, AskError> {
        serde_json::from_slice(&reply.body)
            .map_err(|error| self.clients.fault(path, Fault::NotUnderstood(error.to_string())))
    }
}

impl Driver for Etcd {
    fn kind(&self) -> Kind {
        Kind::Etcd
    }

    fn place(&self) -> String {
        self.clients.url().to_string()
    }

    fn look(&self, place: &DataPlace) -> Result<Option<Identity>, DataError> {
        let log = place.log_dir.clone().unwrap_or_else(|| place.dir.join("member/wal"));
        Ok(wal::identity(&log)?.map(|ids| Identity { group: hex(ids.cluster), member: hex(ids.member) }))
    }

    fn founded_as(&self, founding: &Founding) -> Vec<String> {
        let founders = founding.founders().iter();
        let peers: Option<Vec<&str>> = founders.map(|founder| Some(PEER.of(&founder.endpoints)?.1)).collect();
        let token = founding.id().to_string();
        let name = |scheme| {
            let urls = peers.iter().flatten().map(|peer| format!("{scheme}://{peer}"));
            hex(identity::cluster(urls, &token))
        };
        if peers.is_some() { ["http", "https"].map(name).to_vec() } else { Vec::new() }
    }

    fn ask(&self) -> Ask<'_> {
        Box::pin(self.answer())
    }
}

/// An id in the form in which etcd logs and prints it.
fn hex(id: u64) -> String {
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
struct Header {
    #[serde(deserialize_with = "number")]
    cluster_id: u64,
    #[serde(deserialize_with = "number")]
    member_id: u64,
}

impl Header {
    fn identity(&self) -> Identity {
        Identity { group: hex(self.cluster_id), member: hex(self.member_id) }
    }
}

/// The answer about the server itself. Zeros are left out.
#[derive(Debug, Deserialize)]
struct Status {
    header: Header,
    #[serde(default)]
    version: String,
    #[serde(default, deserialize_with = "number")]
    leader: u64,
    #[serde(default, rename = "raftAppliedIndex", deserialize_with = "number")]
    applied: u64,
    #[serde(default)]
    errors: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct List {
    header: Header,
    members: Vec<Member>,
}

#[derive(Debug, Deserialize)]
struct Member {
    #[serde(alias = "ID", deserialize_with = "number")]
    id: u64,
    #[serde(default)]
    name: String,
    #[serde(default, rename = "peerURLs")]
    peers: Vec<String>,
    #[serde(default, rename = "isLearner")]
    learns: bool,
}

impl From<Member> for ServerMember {
    fn from(member: Member) -> Self {
        let address = |url: String| url.split_once("://").map_or(url.clone(), |(_, rest)| rest.to_owned());
        Self {
            member: hex(member.id),
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
