//! The ids that etcd computes of a new cluster: they follow from its token and its members' peer URLs, so that a founding has one
//! (`server/etcdserver/api/membership`: a member's id is a SHA-1 over its URLs and the token, the cluster's one over its
//! members' ids; the first eight bytes each).

use sha1::{Digest as _, Sha1};

/// The id of the cluster whose members have one of these peer URLs each.
pub(super) fn cluster(urls: impl Iterator<Item = String>, token: &str) -> u64 {
    let mut members: Vec<u64> =
        urls.map(|url| first(Sha1::new().chain_update(url).chain_update(token))).collect();
    members.sort_unstable();
    first(members.iter().fold(Sha1::new(), |hash, member| hash.chain_update(member.to_be_bytes())))
}

fn first(hash: Sha1) -> u64 {
    let digest = hash.finalize();
    digest.iter().take(8).fold(0, |id, byte| id << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_a_real_cluster() {
        // Seen with etcd 3.4.23, --initial-cluster default=http://127.0.0.1:33380 --initial-cluster-token tok.
        let url = "http://127.0.0.1:33380".to_owned();
        assert_eq!(cluster([url].into_iter(), "tok"), 18_442_473_120_952_679_702);
    }
}
