//! Records that all nodes of a simulated cluster hold are verified and kept once.

use std::{cell::RefCell, collections::BTreeMap, sync::Arc};

use chronik_agent::{
    gossip::{Claimed, MetadataError, Record, Stamp},
    node::{ClusterName, NodeId},
    signing::Seal,
};

type Records = BTreeMap<(NodeId, Stamp), BTreeMap<(Seal, Box<[u8]>), Arc<Record>>>;

thread_local! {
    static RECORDS: RefCell<Records> = RefCell::default();
}

/// Reads what a node says of itself, or gives what another node of this thread has read of the same.
pub(super) fn read(
    cluster: &ClusterName,
    claimed: Claimed,
    bytes: &[u8],
) -> Result<Arc<Record>, MetadataError> {
    RECORDS.with_borrow_mut(|records| {
        let alike = records.entry((claimed.owner, claimed.stamp)).or_default();
        let name = (claimed.seal, Box::from(bytes));
        if let Some(record) = alike.get(&name) {
            return Ok(record.clone());
        }
        let record = Record::read(cluster, claimed, bytes)?;
        alike.insert(name, record.clone());
        Ok(record)
    })
}
