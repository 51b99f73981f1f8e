//! etcd, 3.4 or later: asked through the gateway of its v3 API, and on its peer port before it has a leader.

mod identity;
mod list;
mod wal;

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;

use chronik_providers::Address;
use futures_util::future::join_all;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};

use self::list::{List, Member, Status, hex};
use super::{
    driver::{
        ASK_WITHIN, Answer, Ask, AskError, CHANGE_WITHIN, Changing, DataError, DataPlace, Driver, Fault,
        Identity, MemberChange, SIGHT_WITHIN, ServerMember, Sight,
    },
    kind::{DataWords, DefaultEndpoint, Facts, Kind},
    request::{Client, Reply},
};
use crate::{admission, bootstrap::Founding, node::Endpoints};

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
const ADD: &str = "/v3/cluster/member/add";
const PROMOTE: &str = "/v3/cluster/member/promote";
const REMOVE: &str = "/v3/cluster/member/remove";
const UPDATE: &str = "/v3/cluster/member/update";
const TRANSFER: &str = "/v3/maintenance/transfer-leadership";
/// Room for one learner (`maxLearners`), a removal and a vote are two changes, and no learner is taken while a voter is not connected,
/// by the check of changes that stays on (`mayAddMember`; seen with 3.4.23: "unhealthy cluster").
const ABILITY: admission::Kind =
    admission::Kind { learner_room: 1, can_swap: false, admits_beside_the_dead: false };
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
        self.clients.send(path, Some(Bytes::from_static(b"{}")), QUESTION_WITHIN).await
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
            Some(status) if status.leader != 0 && status.learns => self.learning(status).await,
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

    /// A learner gives its list on its peer port alone: what it has applied of it.
    async fn learning(&self, status: Status) -> Result<Answer, AskError> {
        let peers = self.peers.as_ref().ok_or_else(|| {
            let problem = "it is a learner, and its agent announces no port of other members".to_owned();
            self.clients.fault(STATUS, Fault::NotUnderstood(problem))
        })?;
        let (group, members) = self.listed_by(peers).await?;
        let identity = status.header.identity();
        if group != identity.group {
            let other = format!("a member of cluster {group}");
            return Err(peers.fault(PEERS, Fault::TwoServers(identity.member, other)));
        }
        Ok(Answer {
            identity,
            version: Some(status.version),
            leader: Some(hex(status.leader)),
            index: Some(status.applied),
            members,
            troubles: status.errors,
        })
    }

    /// The cluster and the members that an etcd tells other members of.
    async fn listed_by(&self, peers: &Client) -> Result<(String, Vec<ServerMember>), AskError> {
        let reply = peers.send(PEERS, None, QUESTION_WITHIN).await?;
        let not_understood = |problem: &str| peers.fault(PEERS, Fault::NotUnderstood(problem.to_owned()));
        let group = group_of(&reply).ok_or_else(|| not_understood("it names no cluster"))?;
        let members: Vec<Member> =
            serde_json::from_slice(&reply.body).map_err(|error| not_understood(&error.to_string()))?;
        Ok((group, members.into_iter().map(ServerMember::from).collect()))
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
        let not_understood = |problem: &str| peers.fault(PEERS, Fault::NotUnderstood(problem.to_owned()));
        let (group, members) = self.listed_by(peers).await?;
        let mine = peers.url().authority();
        let me = members.iter().find(|member| member.addresses.contains(&mine));
        let me = me.ok_or_else(|| not_understood("no member has the address that its agent announces"))?;
        let identity = Identity { group, member: me.member.clone() };
        let version = status.map(|status| status.version);
        Ok(Answer { identity, version, leader: None, index: None, members, troubles: none() })
    }

    /// True if an etcd of this cluster answers at this address of other members.
    async fn runs_at(&self, address: &str, group: &str) -> bool {
        let Ok(Address { host, port: Some(port) }) = address.parse::<Address>() else { return false };
        let client = self.clients.elsewhere(host, port.get());
        let reply = client.send(PEERS, None, SIGHT_WITHIN).await;
        reply.is_ok_and(|reply| group_of(&reply).as_deref() == Some(group))
    }

    async fn change_members(&self, change: &MemberChange) -> Result<(), AskError> {
        let url = async |address: &str| Ok(format!("{}://{address}", self.scheme_of_peers().await?));
        let (path, body) = match change {
            MemberChange::Admit { address, votes, .. } => {
                (ADD, json!({"peerURLs": [url(address).await?], "isLearner": !votes}))
            }
            MemberChange::Promote { member } => (PROMOTE, json!({"ID": self.id_of(member)?})),
            MemberChange::Remove { member } => {
                self.hand_leadership_on(member).await?;
                (REMOVE, json!({"ID": self.id_of(member)?}))
            }
            MemberChange::Move { member, address } => {
                (UPDATE, json!({"ID": self.id_of(member)?, "peerURLs": [url(address).await?]}))
            }
        };
        self.made(path, &body).await
    }

    async fn made(&self, path: &str, body: &Value) -> Result<(), AskError> {
        let reply = self.clients.send(path, Some(body.to_string().into()), CHANGE_WITHIN).await?;
        self.understand::<IgnoredAny>(path, &reply).map(|_| ())
    }

    /// Has another voter lead, if the member is this one, which leads: of two, the other would never hear that it is alone, and nobody
    /// could lead again.
    ///
    /// # Errors
    /// Always, if so: the change is for the agent beside the next leader.
    async fn hand_leadership_on(&self, member: &str) -> Result<(), AskError> {
        let reply = self.question(LIST).await?;
        let list: List = self.understand(LIST, &reply)?;
        let Identity { group, member: me } = list.header.identity();
        if me != member {
            return Ok(());
        }
        let others = list.members.into_iter().filter(|other| hex(other.id) != me && !other.learns);
        for other in others {
            let id = other.id.to_string();
            let other = ServerMember::from(other);
            for address in &other.addresses {
                if self.runs_at(address, &group).await {
                    self.made(TRANSFER, &json!({"targetID": id})).await?;
                    let problem = format!("it led, and {} leads from now on", other.name);
                    return Err(self.clients.fault(REMOVE, Fault::Refused(problem)));
                }
            }
        }
        let problem = "it leads, and no other voter runs that could".to_owned();
        Err(self.clients.fault(REMOVE, Fault::Refused(problem)))
    }

    /// The id of a member as the gateway takes it: a decimal number in a text.
    fn id_of(&self, member: &str) -> Result<String, AskError> {
        let id = u64::from_str_radix(member, 16);
        let not_understood =
            |_| self.clients.fault(LIST, Fault::NotUnderstood(format!("{member:?} is no member's id")));
        id.map(|id| id.to_string()).map_err(not_understood)
    }

    /// The scheme by which the members of this cluster speak with each other.
    async fn scheme_of_peers(&self) -> Result<String, AskError> {
        let reply = self.question(LIST).await?;
        let list: List = self.understand(LIST, &reply)?;
        let none = || self.clients.fault(LIST, Fault::NotUnderstood("no member has a peer URL".to_owned()));
        list.scheme().ok_or_else(none)
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

    fn ability(&self) -> Option<admission::Kind> {
        Some(ABILITY)
    }

    fn can_recover(&self) -> bool {
        true
    }

    fn sight<'a>(&'a self, answer: &'a Answer) -> Sight<'a> {
        let looks = answer.members.iter().map(async |member| {
            let runs = member.addresses.iter().map(|address| self.runs_at(address, &answer.identity.group));
            join_all(runs).await.contains(&true).then(|| member.member.clone())
        });
        Box::pin(async { join_all(looks).await.into_iter().flatten().collect::<BTreeSet<_>>() })
    }

    fn change<'a>(&'a self, change: &'a MemberChange) -> Changing<'a> {
        Box::pin(self.change_members(change))
    }
}

/// The cluster of an etcd that answers on its peer port.
fn group_of(reply: &Reply) -> Option<String> {
    let group = reply.headers.get("x-etcd-cluster-id")?.to_str().ok()?;
    u64::from_str_radix(group, 16).ok().map(hex)
}
