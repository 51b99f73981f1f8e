//! An EC2 without sockets, which gives the answers of a fuzzer.

#![expect(clippy::unwrap_in_result, reason = "a broken invariant should stop the fuzzer")]

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use aws_config::{BehaviorVersion, Region, retry::RetryConfig};
use aws_sdk_ec2::{Client, config::Credentials};
use aws_smithy_runtime_api::client::{
    http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
    runtime_components::RuntimeComponents,
};

use super::{
    failure::Way,
    instances, region,
    spec::{Instances, SCHEMA},
};
use crate::{
    discovery::{DiscoverError, Seeds},
    spec::{keys::Keys, pairs},
};

/// A server that sends its pages one after the other, and then from the first again.
#[derive(Debug, Clone)]
struct Ec2 {
    pages: Arc<Vec<Vec<u8>>>,
    /// Number of requests so far.
    requests: Arc<AtomicUsize>,
}

impl HttpConnector for Ec2 {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let page = &self.pages[number % self.pages.len()];
        let (status, body) = page.split_first().unwrap_or((&0, &[]));
        let status = [200, 200, 200, 400, 401, 403, 500, 503][usize::from(*status) % 8];
        let status = u16::try_into(status).expect("a status");
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, body.to_vec().into())))
    }
}

impl HttpClient for Ec2 {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// Polls for instances with these pages, each a byte for the status and a body, with zeros between them; and parses the
/// whole as the metadata of an ECS task.
pub(crate) fn ask(data: &[u8]) -> Result<Seeds, DiscoverError> {
    drop(region::region_of_task(&String::from_utf8_lossy(data)));
    let pages = data.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    let ec2 = Ec2 { pages: Arc::new(pages), requests: Arc::default() };
    let config = aws_sdk_ec2::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("any", "any", None, None, "fuzzing"))
        .retry_config(RetryConfig::disabled())
        .http_client(ec2)
        .build();
    let client = Client::from_conf(config);
    let pairs = pairs::parse("tag.a=b addr_type=public_v6").expect("these are pairs");
    let keys = Keys::new(&SCHEMA, pairs).expect("the provider takes these keys");
    let spec = Instances::read(keys).expect("their values are good");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime without sockets");
    let seeds = runtime.block_on(instances::list(&client, &spec, 7946, &Way::default()));
    super::answer(seeds)
}
