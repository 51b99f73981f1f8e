//! `provider=aws`: EC2 instances by tag.

mod causes;
mod credentials;
mod failure;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod instances;
mod process;
mod proxy;
mod region;
mod settings;
pub(crate) mod spec;
mod trust;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use aws_config::{AppName, BehaviorVersion, Region, imds, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_ec2::Client;
use tokio::{sync::watch, time::timeout};

use self::{
    credentials::Places,
    failure::{Failure, Way},
    settings::{Settings, variable},
    spec::{Credentials, Instances, NAME, SCHEMA},
    trust::Trust,
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

/// Time before the end of credentials at which others are looked for: longer than a poll.
const RENEW_BEFORE: Duration = Duration::from_secs(60);

/// Instance metadata (IMDS), by IPv4.
const METADATA: &str = "http://169.254.169.254";

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
            credentials::read(keys)?;
        }
        Ok(Box::new(Provider { spec: self.clone(), default_port, session: watch::Sender::new(None) }))
    }
}

/// The provider, ready to be asked.
struct Provider {
    spec: Instances,
    default_port: u16,
    /// The session, opened at the first poll and kept: it holds connections, and a new one costs four requests to instance
    /// metadata. Two polls at a time may both open one; either will do.
    session: watch::Sender<Option<Session>>,
}

/// A client with region and credentials.
#[derive(Clone)]
struct Session {
    client: Client,
    way: Way,
    /// End of the credentials; `None` if they have none.
    expiry: Option<SystemTime>,
}

impl Session {
    /// Tests whether the credentials outlast a poll.
    fn is_good(&self) -> bool {
        self.expiry.is_none_or(|expiry| now() + RENEW_BEFORE < expiry)
    }

    /// Finds region and credentials and makes a client of them.
    async fn open(spec: &Instances) -> Result<Self, Failure> {
        let settings = Settings::read(spec.credentials.profile()).await;
        let trust = Trust::read(&settings)?;
        let metadata = metadata();
        let region = match &spec.region {
            Some(region) => Region::new(region.clone()),
            None => region::find(&settings, &metadata).await?,
        };
        let places = Places { settings: &settings, region: region.clone(), trust: &trust, metadata };
        let credentials = credentials::find(&spec.credentials, &places).await?;
        let expiry = credentials.expiry();
        let loader = aws_config::defaults(BehaviorVersion::latest())
            .region(region.clone())
            .credentials_provider(credentials)
            .profile_name(settings.profile.as_str())
            .timeout_config(timeouts())
            .retry_config(retries())
            .app_name(AppName::new("chronik-agent").expect("letters and a hyphen are allowed"));
        let sdk = trust.apply(loader).load().await;
        let mut config = aws_sdk_ec2::config::Builder::from(&sdk);
        if let Some(url) = endpoint(spec) {
            config = config.endpoint_url(url);
        }
        let url = endpoint(spec).or_else(|| sdk.endpoint_url().map(str::to_owned));
        let url = url.unwrap_or_else(|| format!("https://ec2.{region}.amazonaws.com"));
        let way = Way { url, bundle: trust.bundle.clone() };
        Ok(Self { client: Client::from_conf(config.build()), way, expiry })
    }
}

/// The endpoint that the spec gives, or else the environment. The SDK knows it too, but takes an empty variable for one.
fn endpoint(spec: &Instances) -> Option<String> {
    let variables = || variable("AWS_ENDPOINT_URL_EC2").or_else(|| variable("AWS_ENDPOINT_URL"));
    spec.endpoint.clone().or_else(variables)
}

/// Instance metadata, where the environment says, or else where it is.
fn metadata() -> imds::Client {
    let builder = imds::Client::builder();
    let builder = match variable("AWS_EC2_METADATA_SERVICE_ENDPOINT") {
        Some(_) => builder,
        None => builder.endpoint(METADATA).expect("it is a URL"),
    };
    builder.build()
}

#[expect(clippy::disallowed_methods, reason = "credentials end by the wall clock")]
fn now() -> SystemTime {
    SystemTime::now()
}

impl Provider {
    async fn poll(&self) -> Result<Seeds, Failure> {
        let kept = self.session.borrow().clone().filter(Session::is_good);
        let session = match kept {
            Some(session) => session,
            None => {
                let session = Session::open(&self.spec).await?;
                self.session.send_replace(Some(session.clone()));
                session
            }
        };
        let port = self.spec.port.map_or(self.default_port, u16::from);
        let seeds = instances::list(&session.client, &self.spec, port, &session.way).await;
        if matches!(&seeds, Err(Failure { session: failure::Session::Renew, .. })) {
            self.session.send_replace(None);
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
