//! Errors of the SDK, which span lines and dump requests, turned into one sentence each.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ec2::{
    error::{ProvideErrorMetadata, SdkError},
    operation::{RequestId, describe_instances::DescribeInstancesError},
};

use crate::{discovery::FailureKind, line::one_line, masking::mask};

/// Longest message, in characters: a denial has an encoded message of a thousand characters in it that only AWS can read.
const MAX_CHARS: usize = 400;

/// Words of the SDK before every reason for having no credentials. They add nothing.
const NOT_ENABLED: &str = "the credential provider was not enabled: ";

/// Words of the TLS library about a certificate that it does not trust.
const BAD_CERTIFICATE: &str = "invalid peer certificate";

/// A failed poll.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Kind of the failure, by what the asker can do about it.
    pub(crate) kind: FailureKind,
    /// One line.
    pub(crate) message: String,
    /// The fate of the client.
    pub(crate) session: Session,
}

/// The fate of the client, which holds region and credentials, after a failed poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Session {
    /// The client serves the next poll, too.
    Keep,
    /// The next poll makes a new client: region or credentials have to be found anew.
    Renew,
}

impl Failure {
    /// A failure that leaves the client in place.
    pub(crate) fn new(kind: FailureKind, message: &str) -> Self {
        // Masked before it is cut, since the first part of a credential would not be recognised as one.
        let mut message = mask(&one_line(message));
        if let Some((end, _)) = message.char_indices().nth(MAX_CHARS) {
            message.truncate(end);
            message.push('…');
        }
        Self { kind, message, session: Session::Keep }
    }

    fn with_session(self, session: Session) -> Self {
        Self { session, ..self }
    }

    /// Describes a failed call. `profile` gave the credentials, if the spec names one.
    pub(crate) fn of_call(error: &SdkError<DescribeInstancesError>, profile: Option<&str>) -> Self {
        use FailureKind::{Rejected, Unavailable};
        if let Some(credentials) = find::<CredentialsError>(error) {
            return of_credentials(credentials, profile).with_session(Session::Renew);
        }
        let (kind, sentence) = match error {
            SdkError::ServiceError(service) => {
                return of_answer(service.err(), service.raw().status().as_u16(), error.request_id());
            }
            SdkError::TimeoutError(_) => (Unavailable, "no answer from EC2 in time"),
            SdkError::DispatchFailure(e) if e.is_timeout() => {
                (Unavailable, "EC2 cannot be reached: is there a route to it (NAT gateway, VPC endpoint)?")
            }
            SdkError::DispatchFailure(e) if e.is_io() && chain(error).contains(BAD_CERTIFICATE) => {
                let sentence = "the certificate of EC2 is not trusted: is there a CA bundle at \
                    /etc/ssl/certs/ca-certificates.crt, or a proxy in between?";
                (Unavailable, sentence)
            }
            SdkError::DispatchFailure(e) if e.is_io() => {
                (Unavailable, "EC2 cannot be reached: check region and endpoint")
            }
            SdkError::DispatchFailure(e) if e.is_user() => (Rejected, "the request cannot be made"),
            SdkError::DispatchFailure(_) => (Unavailable, "the request to EC2 failed"),
            SdkError::ResponseError(_) => (Unavailable, "the answer of EC2 broke off"),
            SdkError::ConstructionFailure(_) => (Rejected, "the request cannot be made"),
            _ => (Unavailable, "the request to EC2 failed"),
        };
        Self::new(kind, &format!("{sentence} ({})", chain(error)))
    }
}

/// Describes credentials that could not be had.
fn of_credentials(error: &CredentialsError, profile: Option<&str>) -> Failure {
    use FailureKind::{Rejected, Unavailable};
    let text = chain(error);
    let (kind, sentence) = match (error, profile) {
        (CredentialsError::CredentialsNotLoaded(_), Some(name)) => {
            let sentence =
                format!("the profile `{name}` gives no credentials: check the AWS configuration files");
            return Failure::new(Rejected, &format!("{sentence} ({})", text.trim_start_matches(NOT_ENABLED)));
        }
        (CredentialsError::CredentialsNotLoaded(_), None) => {
            let sentence = "no credentials in the spec, the AWS_* environment, a profile, a web identity, ECS or \
                instance metadata: give the instance a role that allows ec2:DescribeInstances";
            return Failure::new(Rejected, &format!("{sentence} ({})", telling_part(&text)));
        }
        (CredentialsError::InvalidConfiguration(_), _) => {
            (Rejected, "the credentials are configured wrongly")
        }
        (CredentialsError::ProviderTimedOut(_), _) => (Unavailable, "no credentials in time"),
        _ => (Unavailable, "the credentials cannot be had"),
    };
    Failure::new(kind, &format!("{sentence} ({text})"))
}

/// Picks the telling part of the SDK's list of all places that it tried: a profile that was asked for by name and is not
/// there, or else instance metadata, which is the last resort.
fn telling_part(text: &str) -> String {
    let profile = text.split("Profile: ").nth(1).and_then(|rest| rest.split(" WebIdentityToken: ").next());
    if let Some(profile) = profile.filter(|part| part.contains("not defined")) {
        return profile.trim_start_matches(NOT_ENABLED).to_owned();
    }
    let part =
        text.rsplit("Ec2InstanceMetadata: ").next().unwrap_or_default().trim_start_matches(NOT_ENABLED);
    if part.contains("timeout") {
        return format!("{part}; in a container the hop limit of instance metadata has to be 2");
    }
    part.to_owned()
}

/// Describes an answer that is no list.
fn of_answer(error: &DescribeInstancesError, status: u16, request_id: Option<&str>) -> Failure {
    use FailureKind::{Rejected, Throttled, Unavailable};
    use Session::{Keep, Renew};
    let Some(code) = error.code() else {
        let sentence = "the answer is not from EC2: is the endpoint wrong, or a proxy in between?";
        return Failure::new(Unavailable, &format!("{sentence} (HTTP {status}: {})", chain(error)));
    };
    let (kind, session, sentence) = match code {
        "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" => {
            (Rejected, Renew, "not allowed: the role or user needs the permission ec2:DescribeInstances")
        }
        "AuthFailure" | "InvalidClientTokenId" | "SignatureDoesNotMatch" | "UnrecognizedClientException" => {
            (Rejected, Renew, "the credentials are wrong: check access key, secret and session token")
        }
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" => {
            (Rejected, Renew, "the credentials have expired, or this host's clock is wrong")
        }
        "OptInRequired" => {
            (Rejected, Keep, "this account may not use the region: enable it, or check region")
        }
        "RequestLimitExceeded" | "Throttling" | "ThrottlingException" | "EC2ThrottledException" => {
            (Throttled, Keep, "the account makes too many requests")
        }
        "RequestThrottled" | "TooManyRequestsException" | "SlowDown" => {
            (Throttled, Keep, "the account makes too many requests")
        }
        _ if status >= 500 => (Unavailable, Keep, "EC2 has a fault"),
        _ => (Rejected, Keep, "EC2 refuses the request"),
    };
    let message = error.message().unwrap_or("no message");
    let id = request_id.map(|id| format!(", request {id}")).unwrap_or_default();
    let text = format!("{sentence} ({code}: {message}, HTTP {status}{id})");
    Failure::new(kind, &text).with_session(session)
}

/// Joins the texts of an error and of its causes, except those that an outer text has in it already.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    for error in causes(error) {
        let text = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        if parts.last().is_none_or(|outer| !outer.contains(&text)) {
            parts.push(text);
        }
    }
    parts.join(": ")
}

fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    causes(error).find_map(|error| error.downcast_ref())
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}
