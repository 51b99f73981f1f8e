//! The instances that moto.py makes, and which of them a spec should find, by what boto3 says of them.

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
    /// How many servers one call without pages gets.
    pub(crate) single_call: u64,
}

impl Fleet {
    /// Starts moto and fills it.
    pub(crate) fn start() -> Self {
        let moto = Moto::start();
        let made = moto.fill("fleet", &[]);
        let instances = made["instances"].as_array().unwrap().clone();
        Self { moto, instances, single_call: made["single_call"].as_u64().unwrap() }
    }

    /// Asks for the instances with these keys.
    pub(crate) fn ask(&self, keys: &str) -> Output {
        let account = "region=us-east-1 access_key_id=any secret_access_key=any";
        discover(&format!("provider=aws endpoint={} {account} {keys}", self.moto.url), 1, &[])
    }

    /// Asks, and compares with the field `field` of all instances that are `wanted`. Returns how many addresses there
    /// were, and the warnings.
    pub(crate) fn finds(
        &self,
        keys: &str,
        field: &str,
        wanted: &dyn Fn(&Value) -> bool,
    ) -> (usize, Vec<String>) {
        let instances = self.instances.iter().filter(|instance| wanted(instance));
        let texts = instances.flat_map(|instance| match instance[field].as_array() {
            Some(list) => list.iter().collect(),
            None => vec![&instance[field]],
        });
        let ips: BTreeSet<IpAddr> = texts.filter_map(Value::as_str).map(|ip| ip.parse().unwrap()).collect();
        let addrs: Vec<_> = ips.into_iter().map(|ip| SocketAddr::new(ip, 7946).to_string()).collect();
        let output = self.ask(keys);
        assert_eq!(output.addrs, addrs, "{keys}: {:?}", output.complaints);
        (addrs.len(), output.complaints)
    }
}
