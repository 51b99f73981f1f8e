//! The instances that moto.py makes, as boto3 describes them, and those among them that a spec should find.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use serde_json::Value;

use crate::{
    command::{Output, discover},
    moto::Moto,
};

/// A moto with instances.
pub(crate) struct Fleet {
    moto: Moto,
    instances: Vec<Value>,
    /// Number of servers in the answer to one call, without the pages behind it.
    pub(crate) single_call: u64,
}

/// The outcome of a poll that found the instances wanted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Number of addresses.
    pub(crate) addrs: usize,
    /// Warnings.
    pub(crate) complaints: Vec<String>,
}

impl Fleet {
    /// Starts a moto and fills it.
    pub(crate) fn start() -> Self {
        let moto = Moto::start();
        let made = moto.fill("fleet", &[]);
        let instances = made["instances"].as_array().unwrap().clone();
        Self { moto, instances, single_call: made["single_call"].as_u64().unwrap() }
    }

    /// Polls with these keys of a spec.
    pub(crate) fn ask(&self, keys: &str) -> Output {
        let account = "region=us-east-1 access_key_id=any secret_access_key=any";
        discover(&format!("provider=aws endpoint={} {account} {keys}", self.moto.url), 1, &[])
    }

    /// Polls with these keys, and asserts that the addresses are those in the field `field` of all instances for which
    /// `is_wanted` is true.
    pub(crate) fn find(&self, keys: &str, field: &str, is_wanted: &dyn Fn(&Value) -> bool) -> Finding {
        let instances = self.instances.iter().filter(|instance| is_wanted(instance));
        let texts = instances.flat_map(|instance| match instance[field].as_array() {
            Some(list) => list.iter().collect(),
            None => vec![&instance[field]],
        });
        let ips: BTreeSet<IpAddr> = texts.filter_map(Value::as_str).map(|ip| ip.parse().unwrap()).collect();
        let addrs: Vec<_> = ips.into_iter().map(|ip| SocketAddr::new(ip, 7946).to_string()).collect();
        let output = self.ask(keys);
        assert_eq!(output.addrs, addrs, "{keys}: {:?}", output.complaints);
        Finding { addrs: addrs.len(), complaints: output.complaints }
    }
}
