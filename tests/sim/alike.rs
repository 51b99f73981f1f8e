//! Metadata that all nodes of a simulated cluster hold is kept once.

use std::{cell::RefCell, collections::BTreeMap, sync::Arc};

use chronik_agent::{
    gossip::{MetadataError, Record, Stamp},
    node::NodeId,
};

type Records = BTreeMap<(NodeId, Stamp), BTreeMap<Box<[u8]>, Arc<Record>>>;

thread_local! {
    static RECORDS: RefCell<Records> = RefCell::default();
}

/// Reads what a node says of itself, or gives what another node of this thread has read of the same.
pub(super) fn read(owner: NodeId, stamp: Stamp, bytes: &[u8]) -> Result<Arc<Record>, MetadataError> {
    RECORDS.with_borrow_mut(|records| {
        let alike = records.entry((owner, stamp)).or_default();
        if let Some(record) = alike.get(bytes) {
            return Ok(record.clone());
        }
        let record = Record::read(owner, stamp, bytes)?;
        alike.insert(bytes.into(), record.clone());
        Ok(record)
    })
}
