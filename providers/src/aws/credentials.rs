//! Credentials, place by place, in the order of every AWS tool. Each place has its own time, and a failure names it: EC2 is
//! not at fault when STS is silent.

use std::time::Duration;

use aws_config::{
    BehaviorVersion, Region, ecs::EcsCredentialsProvider, imds, imds::credentials::ImdsCredentialsProvider,
    profile::ProfileFileCredentialsProvider, provider_config::ProviderConfig, sts::AssumeRoleProvider,
    web_identity_token::WebIdentityTokenCredentialsProvider,
};
use aws_credential_types::provider::{ProvideCredentials, error::CredentialsError};
use aws_sdk_ec2::config::Credentials;
use tokio::time::timeout;

use super::{
    causes::chain,
    failure::Failure,
    process, proxy,
    settings::{Origin, ProfileName, Role, Settings, variable},
    spec::{self, AccessKeys},
    trust::Trust,
};
use crate::{discovery::FailureKind, spec::error::SpecError};

/// Time for one place. It leaves a poll of 15 s enough for EC2.
const PLACE_TIME: Duration = Duration::from_secs(8);

/// Words of the SDK before a reason for having no credentials. They add nothing.
const NOT_ENABLED: &str = "the credential provider was not enabled: ";

/// Codes of STS and of the container services that a setting is to blame for.
const REFUSALS: [&str; 6] = [
    "AccessDenied",
    "InvalidIdentityToken",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "ValidationError",
];

/// The word of a place: credentials, or why it has none.
type Said = Result<Credentials, String>;

/// The places, and what it takes to ask them.
pub(crate) struct Places<'a> {
    /// Environment and profile.
    pub(crate) settings: &'a Settings,
    /// The region, for STS.
    pub(crate) region: Region,
    /// Certificates that are trusted.
    pub(crate) trust: &'a Trust,
    /// Instance metadata.
    pub(crate) metadata: imds::Client,
}

/// Finds credentials where the spec says.
pub(crate) async fn find(given: &spec::Credentials, places: &Places<'_>) -> Result<Credentials, Failure> {
    match given {
        spec::Credentials::Keys(keys) => {
            read(keys).map_err(|e| Failure::new(FailureKind::Rejected, &e.to_string()))
        }
        // A default chain with a profile's name would prefer keys in the environment.
        spec::Credentials::Profile(name) => match places.profile().await? {
            Ok(credentials) => Ok(credentials),
            Err(reason) => Err(no_profile(name, &reason)),
        },
        spec::Credentials::Chain => places.first().await,
    }
}

/// Reads the secrets of an access key from their places.
pub(crate) fn read(keys: &AccessKeys) -> Result<Credentials, SpecError> {
    let id = keys.id.read("access_key_id")?;
    let secret = keys.secret.read("secret_access_key")?;
    let token = keys.token.as_ref().map(|token| token.read("session_token")).transpose()?;
    let token = token.map(|token| token.expose().to_owned());
    Ok(Credentials::new(id.expose(), secret.expose(), token, None, "retry-join spec"))
}

fn no_profile(name: &str, reason: &str) -> Failure {
    let sentence =
        format!("the profile `{name}` gives no credentials: check the AWS configuration files ({reason})");
    Failure::new(FailureKind::Rejected, &sentence)
}

impl Places<'_> {
    /// Asks one place after the other.
    async fn first(&self) -> Result<Credentials, Failure> {
        let half = match environment() {
            Ok(credentials) => return Ok(credentials),
            Err(half) => half,
        };
        let profile = match self.profile().await? {
            Ok(credentials) => return Ok(credentials),
            Err(reason) => reason,
        };
        if let Some(credentials) = self.web_identity().await? {
            return Ok(credentials);
        }
        if let Some(credentials) = self.container().await? {
            return Ok(credentials);
        }
        let provider = ImdsCredentialsProvider::builder()
            .configure(&self.config())
            .imds_client(self.metadata.clone())
            .build();
        let metadata = match ask("instance metadata", &provider).await? {
            Ok(credentials) => return Ok(credentials),
            Err(reason) => reason,
        };
        Err(self.nothing(half, profile, &metadata))
    }

    /// The failure when no place has credentials: it names the place that somebody meant to use, or else the last resort.
    fn nothing(&self, half: Option<String>, profile: String, metadata: &str) -> Failure {
        if let Some(half) = half {
            return Failure::new(
                FailureKind::Rejected,
                &format!("{half}, and no other place has credentials"),
            );
        }
        let reason = match &self.settings.profile {
            ProfileName::Named(_) => profile,
            ProfileName::Default => metadata_reason(metadata),
        };
        let sentence = "no credentials in the spec, the AWS_* environment, a profile, a web identity, ECS or \
            instance metadata: give the instance a role that allows ec2:DescribeInstances";
        Failure::new(FailureKind::Rejected, &format!("{sentence} ({reason})"))
    }

    /// The profile: the SDK reads it, but for a command, which it would leave running.
    async fn profile(&self) -> Result<Said, Failure> {
        let name = self.settings.profile.as_str();
        if let Err(broken) = &self.settings.profiles {
            let sentence = format!("the AWS configuration files cannot be parsed: {broken}");
            return Err(Failure::new(FailureKind::Rejected, &sentence));
        }
        match self.settings.origin() {
            Some(Origin::Process { command, profile, roles }) => {
                let place = format!("the credential_process of the profile `{profile}`");
                let printed = process::run(&command).await;
                let printed =
                    printed.map_err(|e| Failure::new(FailureKind::Unavailable, &format!("{place} {e}")))?;
                self.assume(printed, &roles).await.map(Ok)
            }
            Some(Origin::Login { profile }) => {
                let sentence = format!(
                    "the profile `{profile}` logs a person in (SSO), which no agent can: give it a role, or keys"
                );
                Err(Failure::new(FailureKind::Rejected, &sentence))
            }
            None => {
                let provider = ProfileFileCredentialsProvider::builder()
                    .configure(&self.config())
                    .profile_files(self.settings.files.clone())
                    .profile_name(name)
                    .build();
                let place = if self.settings.has_role() {
                    format!("{}, asked for the role of the profile `{name}`,", self.settings.sts())
                } else {
                    format!("the profile `{name}`")
                };
                ask(&place, &provider).await
            }
        }
    }

    /// Has STS exchange credentials for those of one role after the other.
    async fn assume(&self, mut credentials: Credentials, roles: &[Role]) -> Result<Credentials, Failure> {
        for role in roles {
            let loader =
                aws_config::defaults(BehaviorVersion::latest()).region(self.region.clone()).no_credentials();
            let config = self.trust.apply(loader).load().await;
            let mut provider = AssumeRoleProvider::builder(&role.arn).configure(&config);
            if let Some(name) = &role.session_name {
                provider = provider.session_name(name);
            }
            if let Some(id) = &role.external_id {
                provider = provider.external_id(id);
            }
            let place = format!("{}, asked for the role {},", self.settings.sts(), role.arn);
            let provider = provider.build_from_provider(credentials).await;
            credentials = ask(&place, &provider).await?.map_err(|reason| no_profile(&role.arn, &reason))?;
        }
        Ok(credentials)
    }

    /// A role that a token file stands for, as EKS gives it to a service account.
    async fn web_identity(&self) -> Result<Option<Credentials>, Failure> {
        let Some(path) = variable("AWS_WEB_IDENTITY_TOKEN_FILE") else { return Ok(None) };
        if variable("AWS_ROLE_ARN").is_none() {
            let sentence =
                format!("AWS_WEB_IDENTITY_TOKEN_FILE={path} needs its other half: set AWS_ROLE_ARN");
            return Err(Failure::new(FailureKind::Rejected, &sentence));
        }
        check_file("AWS_WEB_IDENTITY_TOKEN_FILE", &path)?;
        let provider = WebIdentityTokenCredentialsProvider::builder().configure(&self.config()).build();
        let place = format!("{}, asked with the token of AWS_WEB_IDENTITY_TOKEN_FILE,", self.settings.sts());
        ask(&place, &provider).await.map(Result::ok)
    }

    /// The credentials of an ECS task, or of an EKS pod.
    async fn container(&self) -> Result<Option<Credentials>, Failure> {
        let relative = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
        let url = match (relative, variable("AWS_CONTAINER_CREDENTIALS_FULL_URI")) {
            (Some(path), _) => format!("http://169.254.170.2{path}"),
            (None, Some(url)) => url,
            (None, None) => return Ok(None),
        };
        if let Some(path) = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
            check_file("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &path)?;
        }
        let provider = EcsCredentialsProvider::builder().configure(&self.config()).build();
        ask(&format!("the container's credential service at {url}"), &provider).await.map(Result::ok)
    }

    fn config(&self) -> ProviderConfig {
        self.trust.configure(ProviderConfig::without_region().with_region(Some(self.region.clone())))
    }
}

/// The access key in the environment; if there is none, the missing half of one.
fn environment() -> Result<Credentials, Option<String>> {
    let id = variable("AWS_ACCESS_KEY_ID");
    let secret = variable("AWS_SECRET_ACCESS_KEY").or_else(|| variable("SECRET_ACCESS_KEY"));
    let token = variable("AWS_SESSION_TOKEN");
    let half = |set, missing| Err(Some(format!("{set} is set without its other half: set {missing} too")));
    match (id, secret, &token) {
        (Some(id), Some(secret), _) => {
            let [id, secret] = [id, secret].map(|half| half.trim().to_owned());
            let token = token.map(|token| token.trim().to_owned());
            Ok(Credentials::new(id, secret, token, None, "environment"))
        }
        (Some(_), None, _) => half("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        (None, Some(_), _) => half("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"),
        (None, None, Some(_)) => half("AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        (None, None, None) => Err(None),
    }
}

/// Asks one place; fails if it should have credentials and gives none.
#[expect(clippy::wildcard_enum_match_arm, reason = "the SDK may add kinds of failure")]
async fn ask(place: &str, provider: &impl ProvideCredentials) -> Result<Said, Failure> {
    use FailureKind::{Rejected, Unavailable};
    let fail = |kind, said: &str| Err(Failure::new(kind, &format!("{place} {said}")));
    let Ok(answer) = timeout(PLACE_TIME, provider.provide_credentials()).await else {
        return fail(
            Unavailable,
            &format!("gave no credentials within {PLACE_TIME:?}: is there a route to it?"),
        );
    };
    let error = match answer {
        Ok(credentials) => return Ok(Ok(credentials)),
        Err(error) => error,
    };
    let text = chain(&error);
    match error {
        CredentialsError::CredentialsNotLoaded(_) => Ok(Err(text.trim_start_matches(NOT_ENABLED).to_owned())),
        CredentialsError::InvalidConfiguration(_) => {
            fail(Rejected, &format!("is configured wrongly ({text})"))
        }
        _ if REFUSALS.iter().any(|code| text.contains(code)) => fail(Rejected, &format!("refuses ({text})")),
        _ => fail(Unavailable, &format!("gives no credentials ({text})")),
    }
}

/// Completes the reason of instance metadata by what is usually behind it.
pub(crate) fn metadata_reason(reason: &str) -> String {
    if let Some(proxy) = proxy::of_metadata() {
        return format!(
            "{reason}; {proxy} takes instance metadata too: set NO_PROXY=169.254.169.254,169.254.170.2"
        );
    }
    if reason.contains("timeout") || reason.contains("timed out") {
        return format!("{reason}; in a container the hop limit of instance metadata has to be 2");
    }
    reason.to_owned()
}

/// Tests whether the file that a variable names can be read.
fn check_file(variable: &str, path: &str) -> Result<(), Failure> {
    let unreadable =
        |e| Failure::new(FailureKind::Rejected, &format!("{variable}={path} cannot be read: {e}"));
    std::fs::read(path).map(drop).map_err(unreadable)
}
