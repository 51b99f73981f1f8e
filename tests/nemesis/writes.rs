//! Clients that write all the time, one at each server, and the look for what was acknowledged.

use std::{
    collections::BTreeSet,
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{history::since, http::ask_etcd, node::Node};

/// Pause between two writes of one client.
const EVERY: Duration = Duration::from_millis(100);
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A write that etcd has acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Write {
    /// Millisecond of the acknowledgement.
    pub(crate) at: u64,
    pub(crate) host: usize,
    pub(crate) key: String,
    /// The cluster that acknowledged it, by etcd's own id.
    pub(crate) cluster: String,
}

/// Writes through one server until told to stop; returns what was acknowledged.
pub(crate) fn write(host: usize, begin: Instant, stop: &Receiver<()>) -> Vec<Write> {
    let mut written = Vec::new();
    let mut number = 0;
    while stop.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
        number += 1;
        let key = format!("w/{host}/{number}");
        let body = json!({ "key": base64(&key), "value": base64(&key) });
        if let Ok((200, answer)) = ask_etcd(Node::clients(host), "/v3/kv/put", &body.to_string()) {
            let cluster = answer["header"]["cluster_id"].as_str().unwrap_or_default().to_owned();
            written.push(Write { at: since(begin), host, key, cluster });
        }
    }
    written
}

/// The keys that are there, by a read that needs a leader, and etcd's id of the cluster.
pub(crate) fn read(host: usize) -> Result<(String, BTreeSet<String>), String> {
    let body = json!({ "key": base64("w/"), "range_end": base64("w0"), "keys_only": true });
    let (status, answer) = ask_etcd(Node::clients(host), "/v3/kv/range", &body.to_string())?;
    if status != 200 {
        return Err(format!("{status}: {answer}"));
    }
    let pairs = answer["kvs"].as_array().cloned().unwrap_or_default();
    let keys = pairs.iter().map(|pair| plain(&pair["key"])).collect();
    Ok((answer["header"]["cluster_id"].as_str().unwrap_or_default().to_owned(), keys))
}

fn base64(text: &str) -> String {
    let mut out = String::new();
    for three in text.as_bytes().chunks(3) {
        let bits =
            three.iter().fold(0_u32, |bits, byte| (bits << 8) | u32::from(*byte)) << (8 * (3 - three.len()));
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit)) & 63;
            out.push(if digit > three.len() { '=' } else { char::from(DIGITS[index as usize]) });
        }
    }
    out
}

fn plain(value: &Value) -> String {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for digit in value.as_str().unwrap_or_default().bytes() {
        let Some(index) = DIGITS.iter().position(|known| *known == digit) else { break };
        (bits, count) = ((bits << 6) | u32::try_from(index).unwrap(), count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 255).unwrap());
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_as_etcd_reads_it() {
        for (text, coded) in
            [("", ""), ("w", "dw=="), ("w/", "dy8="), ("w/1", "dy8x"), ("w/1/22", "dy8xLzIy")]
        {
            assert_eq!(base64(text), coded);
            assert_eq!(plain(&Value::from(coded)), text);
        }
    }
}
