//! `provider=aws`: EC2 instances by tag.

mod failure;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod instances;
mod region;
pub(crate) mod spec;

use std::time::Duration;

use async_trait::async_trait;
use aws_config::{
    AppName, BehaviorVersion, Region, profile::ProfileFileCredentialsProvider,
    provider_config::ProviderConfig, retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_sdk_ec2::Client;
use tokio::{sync::watch, time::timeout};

use self::{
    failure::Failure,
    spec::{AccessKeys, Credentials, Instances},
};
use crate::{Cadence, Discover, DiscoverError, FailureKind, Seeds, spec::SpecError};

/// As in `provider=NAME`.
pub(crate) const NAME: &str = "aws";

/// A handshake within a region takes milliseconds; three tries of this and their pauses fit into [`OPERATION_TIMEOUT`].
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);

/// 270 instances take 1.4 s, most of it the rendering of moto, a server in Python; a page has 1000.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// Two attempts that hang and the start of a third. The SDK has no limit of its own here.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(12);

/// All pages, and region and credentials before them: shorter than the shortest interval between polls.
const POLL_TIMEOUT: Duration = Duration::from_secs(15);

/// EC2 allows an account 100 calls at once and 20 more a second in a region, shared with everything else in it: 1000 agents
/// that each ask every 15 s take three times as much, so this is for a lone one, and the interval is the whole cluster's
/// once it has met. Every 5 min then finds the other half of a cluster that was cut in two.
const CADENCE: Cadence =
    Cadence { floor: Duration::from_secs(15), settled: Duration::from_secs(300), rationed: true };

/// The provider, ready to be asked.
pub(crate) struct Provider {
    spec: Instances,
    default_port: u16,
    /// Made at the first poll and kept: it holds connections and refreshes credentials by itself, and a new one costs five
    /// requests to instance metadata. Two polls at a time may both make one; either will do.
    client: watch::Sender<Option<Client>>,
}

impl Provider {
    /// Reads the secrets once, so that a missing one shows at the start.
    pub(crate) fn new(spec: &Instances, default_port: u16) -> Result<Self, SpecError> {
        if let Credentials::Keys(keys) = &spec.credentials {
            read(keys)?;
        }
        Ok(Self { spec: spec.clone(), default_port, client: watch::Sender::new(None) })
    }

    async fn poll(&self) -> Result<Seeds, Failure> {
        let kept = self.client.borrow().clone();
        let client = match kept {
            Some(client) => client,
            None => {
                let client = connect(&self.spec).await?;
                self.client.send_replace(Some(client.clone()));
                client
            }
        };
        let port = self.spec.port.map_or(self.default_port, u16::from);
        let seeds = instances::list(&client, &self.spec, port).await;
        if matches!(&seeds, Err(failure) if failure.renew) {
            self.client.send_replace(None);
        }
        seeds
    }
}

#[async_trait]
impl Discover for Provider {
    async fn discover(&self) -> Result<Seeds, DiscoverError> {
        let late =
            || Failure::new(FailureKind::Unavailable, &format!("not all pages within {POLL_TIMEOUT:?}"));
        let seeds = timeout(POLL_TIMEOUT, Box::pin(self.poll())).await.unwrap_or_else(|_| Err(late()));
        answer(seeds)
    }

    fn cadence(&self) -> Cadence {
        CADENCE
    }
}

/// What a poll came to, for whoever asked.
fn answer(seeds: Result<Seeds, Failure>) -> Result<Seeds, DiscoverError> {
    seeds.map_err(|e| DiscoverError { provider: NAME, kind: e.kind, message: e.message })
}

/// Finds region and credentials and makes the client.
async fn connect(spec: &Instances) -> Result<Client, Failure> {
    let region = match &spec.region {
        Some(region) => Some(Region::new(region.clone())),
        None => region::find(spec.credentials.profile()).await,
    };
    let region = region.ok_or_else(|| {
        let sentence =
            "no region in the spec, AWS_REGION, a profile, ECS or instance metadata: add region=REGION";
        Failure::new(FailureKind::Rejected, sentence)
    })?;
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(region.clone())
        .timeout_config(timeouts())
        .retry_config(retries())
        .app_name(AppName::new("chronik-agent").expect("letters and a hyphen are allowed"));
    match &spec.credentials {
        Credentials::Keys(keys) => {
            let keys = read(keys).map_err(|e| Failure::new(FailureKind::Rejected, &e.to_string()))?;
            loader = loader.credentials_provider(keys);
        }
        Credentials::Profile(name) => {
            // Not the default chain with a profile's name: that one prefers keys in the environment.
            let config = ProviderConfig::without_region().with_region(Some(region));
            let provider = ProfileFileCredentialsProvider::builder().configure(&config).profile_name(name);
            loader = loader.profile_name(name).credentials_provider(provider.build());
        }
        Credentials::Chain => {}
    }
    let sdk = loader.load().await;
    let mut config = aws_sdk_ec2::config::Builder::from(&sdk);
    if let Some(url) = &spec.endpoint {
        config = config.endpoint_url(url);
    }
    Ok(Client::from_conf(config.build()))
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build()
}

/// Three attempts within a poll; beyond that, the interval between polls is what spares EC2.
fn retries() -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(3)
        .with_initial_backoff(Duration::from_millis(300))
        .with_max_backoff(Duration::from_secs(3))
}

fn read(keys: &AccessKeys) -> Result<aws_sdk_ec2::config::Credentials, SpecError> {
    let id = keys.id.read("access_key_id")?;
    let secret = keys.secret.read("secret_access_key")?;
    let token = keys.token.as_ref().map(|token| token.read("session_token")).transpose()?;
    let token = token.map(|token| token.expose().to_owned());
    Ok(aws_sdk_ec2::config::Credentials::new(id.expose(), secret.expose(), token, None, "retry-join spec"))
}
