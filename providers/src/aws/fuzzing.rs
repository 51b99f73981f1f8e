//! An EC2 that answers as it is told, without a socket.

#![expect(clippy::unwrap_in_result, reason = "what cannot happen should stop the fuzzer")]

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

use super::{instances, region, spec::Instances};
use crate::{DiscoverError, Seeds, Spec};

/// What it says, page by page, over and over.
#[derive(Debug, Clone)]
struct Told {
    pages: Arc<Vec<Vec<u8>>>,
    asked: Arc<AtomicUsize>,
}

impl HttpConnector for Told {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        let page = &self.pages[number % self.pages.len()];
        let (status, body) = page.split_first().unwrap_or((&0, &[]));
        let status = [200, 200, 200, 400, 401, 403, 500, 503][usize::from(*status) % 8];
        let status = u16::try_into(status).expect("a status");
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, body.to_vec().into())))
    }
}

impl HttpClient for Told {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// Asks for instances; each page is a byte for the status and a body.
pub(crate) fn ask(data: &[u8]) -> Result<Seeds, DiscoverError> {
    drop(region::region_of_task(&String::from_utf8_lossy(data)));
    let pages = data.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    let told = Told { pages: Arc::new(pages), asked: Arc::default() };
    let config = aws_sdk_ec2::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("any", "any", None, None, "fuzzing"))
        .retry_config(RetryConfig::disabled())
        .http_client(told)
        .build();
    let client = Client::from_conf(config);
    let spec = Spec::parse("provider=aws tag.a=b addr_type=public_v6").map(Spec::into_instances);
    let spec: Instances = spec.ok().flatten().expect("it asks for instances");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let seeds = runtime.expect("a runtime without sockets").block_on(instances::list(&client, &spec, 7946));
    super::answer(seeds)
}
