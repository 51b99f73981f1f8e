//! Records of the first format, which held one cluster without saying whose word it was.

use serde::{Deserialize, de::IgnoredAny};

use crate::{
    bootstrap::{Accepted, Ballot, ClusterId, Founding, FoundingRecord, NodeRecord, Notes, ServerId, Told},
    node::{Epoch, NodeId},
};

/// A record of the first format.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Former {
    epoch: Epoch,
    founding: FormerFounding,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FormerFounding {
    node_id: NodeId,
    promised: Option<Ballot>,
    accepted: Option<Accepted>,
    cluster: Option<FormerCluster>,
    #[serde(rename = "rival")]
    _rival: IgnoredAny,
    claim: Option<FormerClaim>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FormerCluster {
    id: ClusterId,
    founding: Option<Founding>,
    #[serde(rename = "voters")]
    _voters: IgnoredAny,
    #[serde(rename = "config_index")]
    _config_index: IgnoredAny,
    #[serde(rename = "established")]
    _established: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FormerClaim {
    cluster_id: ClusterId,
    server_id: ServerId,
}

impl Former {
    /// The record in the present format. Kept are the id, the votes, a founding with its proof of itself, and who was told to
    /// initialise; what servers reported is not, because nobody knows which, and they report it again.
    ///
    /// # Errors
    /// It knows a cluster only by a report whose reporter it does not name.
    pub(super) fn upgrade(self) -> Result<NodeRecord, String> {
        let FormerFounding { node_id, promised, accepted, cluster, claim, .. } = self.founding;
        let mut founding = FoundingRecord { promised, accepted, ..FoundingRecord::blank(node_id) };
        if let Some(FormerCluster { id, founding: founded, .. }) = cluster {
            let founded = founded.ok_or_else(|| {
                format!(
                    "it is of an earlier version, and knows cluster {id} by a report of nobody knows whom: start over with \
                     `chronik-agent bootstrap reset`, and have its servers report it again"
                )
            })?;
            founding.knowledge.foundings.insert(id, founded);
        }
        founding.notes = claim.map(|FormerClaim { cluster_id, server_id }| Notes {
            cluster_id,
            told: Told::Server(server_id),
            begun: false,
            named: false,
            last_start: None,
        });
        Ok(NodeRecord { epoch: self.epoch, founding })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0191b3a0-0000-7000-8000-000000000001";
    const CLUSTER: &str = "11111111-2222-3333-4444-555555555555";

    fn former(cluster: &str, claim: &str) -> Former {
        let json = format!(
            r#"{{"epoch":7,"founding":{{"node_id":"{ID}","promised":{{"round":3,"node":"{ID}"}},"accepted":null,
                "cluster":{cluster},"rival":"{CLUSTER}","claim":{claim}}}}}"#
        );
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn votes_and_notes_are_kept_and_a_second_cluster_of_unknown_origin_is_not() {
        let claim = format!(r#"{{"cluster_id":"{CLUSTER}","server_id":"s1"}}"#);
        let record = former("null", &claim).upgrade().unwrap();
        assert_eq!((record.epoch, record.founding.node_id.to_string()), (Epoch(7), ID.to_owned()));
        assert_eq!(record.founding.promised.unwrap().round, 3);
        assert_eq!(record.founding.notes.unwrap().told, Told::Server("s1".to_owned().try_into().unwrap()));
        assert!(record.founding.knowledge.foundings.is_empty());
    }

    #[test]
    fn a_cluster_by_a_report_of_nobody_knows_whom_is_refused_with_the_remedy() {
        let cluster = format!(
            r#"{{"id":"{CLUSTER}","founding":null,"voters":[],"config_index":4,"established":true}}"#
        );
        let error = former(&cluster, "null").upgrade().unwrap_err();
        assert!(error.contains(CLUSTER) && error.contains("chronik-agent bootstrap reset"), "{error}");
    }
}
