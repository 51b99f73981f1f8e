//! `provider=aws`: EC2 instances by tag.

mod failure;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod instances;
mod region;
pub(crate) mod spec;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_config::{
    AppName, BehaviorVersion, Region, profile::ProfileFileCredentialsProvider,
    provider_config::ProviderConfig, retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_sdk_ec2::Client;
use tokio::{sync::watch, time::timeout};

use self::{
    failure::{Failure, Session},
    spec::{AccessKeys, Credentials, Instances, NAME, SCHEMA},
};
use crate::{
    discovery::{Cadence, Discover, DiscoverError, FailureKind, Seeds},
    registration::{Registration, Source},
    spec::error::SpecError,
};

/// The provider, as the registry lists it.
pub(crate) const REGISTRATION: Registration =
    Registration { schema: &SCHEMA, read: |keys| Ok(Arc::new(Instances::read(keys)?)) };

/// Time for a connection. A handshake within a region takes milliseconds; three tries of this length and their pauses fit
/// into [`OPERATION_TIMEOUT`].
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);

/// Time for one attempt. 270 instances take 1.4 s, most of it the rendering of moto, a server in Python; a page has 1000.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// Time for a page: two attempts that hang and the start of a third. The SDK has no limit of its own here.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(12);

/// Time for all pages, and for region and credentials before them: no longer than the shortest interval between polls.
const POLL_TIMEOUT: Duration = Duration::from_secs(15);

/// Floor: EC2 allows an account 100 calls at once and 20 more a second in a region, shared with everything else in it. 1000
/// agents that each ask every 15 s take three times as much, so the floor is for an agent that is alone, and the interval
/// is the whole cluster's once its agents have met. Settled: a call every 5 min then finds the other half of a cluster that
/// was cut in two.
const CADENCE: Cadence =
    Cadence { floor: Duration::from_secs(15), settled: Duration::from_secs(300), rationed: true };

impl Source for Instances {
    /// Reads the secrets once, so that a missing one shows at the start.
    fn connect(&self, default_port: u16) -> Result<Box<dyn Discover>, SpecError> {
        if let Credentials::Keys(keys) = &self.credentials {
            read(keys)?;
        }
        Ok(Box::new(Provider { spec: self.clone(), default_port, client: watch::Sender::new(None) }))
    }
}

/// The provider, ready to be asked.
struct Provider {
    spec: Instances,
    default_port: u16,
    /// The client, made at the first poll and kept: it holds connections and refreshes credentials by itself, and a new one
    /// costs five requests to instance metadata. Two polls at a time may both make one; either will do.
    client: watch::Sender<Option<Client>>,
}

impl Provider {
    async fn poll(&self) -> Result<Seeds, Failure> {
        let kept = self.client.borrow().clone();
        let client = match kept {
            Some(client) => client,
            None => {
                let client = make_client(&self.spec).await?;
                self.client.send_replace(Some(client.clone()));
                client
            }
        };
        let port = self.spec.port.map_or(self.default_port, u16::from);
        let seeds = instances::list(&client, &self.spec, port).await;
        if matches!(&seeds, Err(Failure { session: Session::Renew, .. })) {
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

/// Turns the outcome of a poll into the provider's answer.
fn answer(seeds: Result<Seeds, Failure>) -> Result<Seeds, DiscoverError> {
    seeds.map_err(|e| DiscoverError { provider: NAME, kind: e.kind, message: e.message })
}

/// Finds region and credentials and makes a client of them.
async fn make_client(spec: &Instances) -> Result<Client, Failure> {
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
            // The default chain with a profile's name would prefer keys in the environment.
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

/// Allows three attempts a page; beyond those, the interval between polls spares EC2.
fn retries() -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(3)
        .with_initial_backoff(Duration::from_millis(300))
        .with_max_backoff(Duration::from_secs(3))
}

/// Reads the secrets of an access key from their places.
fn read(keys: &AccessKeys) -> Result<aws_sdk_ec2::config::Credentials, SpecError> {
    let id = keys.id.read("access_key_id")?;
    let secret = keys.secret.read("secret_access_key")?;
    let token = keys.token.as_ref().map(|token| token.read("session_token")).transpose()?;
    let token = token.map(|token| token.expose().to_owned());
    Ok(aws_sdk_ec2::config::Credentials::new(id.expose(), secret.expose(), token, None, "retry-join spec"))
}
