//! Errors of the SDK, which span lines and dump requests, turned into one sentence each.

use std::time::{Duration, SystemTime};

use aws_sdk_ec2::{
    error::{ProvideErrorMetadata, SdkError},
    operation::{RequestId, describe_instances::DescribeInstancesError},
    primitives::{DateTime, DateTimeFormat},
};

use super::{causes::chain, proxy};
use crate::{discovery::FailureKind, line::one_line, masking::mask};

/// Longest message, in characters: a denial has an encoded message of a thousand characters in it that only AWS can read.
const MAX_CHARS: usize = 400;

/// Difference to EC2's clock above which a signature may be refused: EC2 allows 5 min, and the answer was under way.
const MAX_SKEW: Duration = Duration::from_secs(240);

/// Words of the TLS library about a certificate that it does not trust.
const BAD_CERTIFICATE: &str = "invalid peer certificate";

/// The way to EC2, for errors on it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Way {
    /// URL of EC2.
    pub(crate) url: String,
    /// Place where a certificate of one's own belongs.
    pub(crate) bundle: String,
}

/// A failed poll. The message begins with the one at fault, or with what is wrong.
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

    /// Describes a failed call.
    pub(crate) fn of_call(error: &SdkError<DescribeInstancesError>, way: &Way) -> Self {
        use FailureKind::{Rejected, Unavailable};
        let text = chain(error);
        let unreachable = |why: &str| match proxy::of(&way.url) {
            Some(proxy) => {
                (Unavailable, format!("EC2 cannot be reached through {proxy}: check the proxy and NO_PROXY"))
            }
            None => (Unavailable, format!("EC2 cannot be reached: {why}")),
        };
        let (kind, sentence) = match error {
            SdkError::ServiceError(service) => {
                let raw = service.raw();
                let skew = raw.headers().get("date").and_then(Skew::of);
                return of_answer(service.err(), raw.status().as_u16(), error.request_id(), skew);
            }
            SdkError::TimeoutError(_) => (Unavailable, "no answer from EC2 in time".to_owned()),
            SdkError::DispatchFailure(e) if e.is_timeout() => {
                unreachable("is there a route to it (NAT gateway, VPC endpoint)?")
            }
            SdkError::DispatchFailure(e) if e.is_io() && text.contains(BAD_CERTIFICATE) => {
                let bundle = &way.bundle;
                let sentence = format!(
                    "the certificate of EC2 is not trusted: is there a CA bundle at {bundle}, or a proxy in between? \
                     AWS_CA_BUNDLE names a bundle of your own"
                );
                (Unavailable, sentence)
            }
            SdkError::DispatchFailure(e) if e.is_io() => unreachable("check region and endpoint"),
            SdkError::DispatchFailure(e) if e.is_user() => {
                (Rejected, "the request cannot be made".to_owned())
            }
            SdkError::DispatchFailure(_) => (Unavailable, "the request to EC2 failed".to_owned()),
            SdkError::ResponseError(_) => (Unavailable, "the answer of EC2 broke off".to_owned()),
            SdkError::ConstructionFailure(_) => (Rejected, "the request cannot be made".to_owned()),
            _ => (Unavailable, "the request to EC2 failed".to_owned()),
        };
        Self::new(kind, &format!("{sentence} ({text})"))
    }
}

/// The difference between this host's clock and EC2's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Skew {
    by: Duration,
    /// This host's clock is behind.
    is_behind: bool,
}

impl Skew {
    /// Reads the time at which an answer was made.
    fn of(date: &str) -> Option<Self> {
        let theirs = DateTime::from_str(date, DateTimeFormat::HttpDate).ok()?;
        Some(Self::between(now(), SystemTime::try_from(theirs).ok()?))
    }

    fn between(ours: SystemTime, theirs: SystemTime) -> Self {
        match theirs.duration_since(ours) {
            Ok(by) => Self { by, is_behind: true },
            Err(e) => Self { by: e.duration(), is_behind: false },
        }
    }

    /// The sentence about a clock that is too wrong for EC2.
    fn sentence(self) -> Option<String> {
        let minutes = self.by.as_secs() / 60;
        let direction = if self.is_behind { "behind" } else { "ahead of" };
        (self.by > MAX_SKEW)
            .then(|| format!("this host's clock is {minutes} min {direction} EC2's: set it (NTP)"))
    }
}

#[expect(clippy::disallowed_methods, reason = "EC2 compares its clock with this host's")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// Describes an answer that is no list.
fn of_answer(
    error: &DescribeInstancesError,
    status: u16,
    request_id: Option<&str>,
    skew: Option<Skew>,
) -> Failure {
    use FailureKind::{Rejected, Unavailable};
    let Some(code) = error.code() else {
        let sentence = "the answer is not from EC2: is the endpoint wrong, or a proxy in between?";
        return Failure::new(Unavailable, &format!("{sentence} (HTTP {status}: {})", chain(error)));
    };
    let message = error.message().unwrap_or("no message");
    let (kind, session, sentence) = match kind_of(code, status, message) {
        // A refusal for the time of a request seldom says so: the date of the answer does.
        Meaning { kind: Rejected, session, sentence } if sentence.contains("credentials") => {
            let clock = skew.and_then(Skew::sentence);
            (Rejected, session, clock.unwrap_or_else(|| sentence.to_owned()))
        }
        Meaning { kind, session, sentence } => (kind, session, sentence.to_owned()),
    };
    let id = request_id.map(|id| format!(", request {id}")).unwrap_or_default();
    let text = format!("{sentence} ({code}: {message}, HTTP {status}{id})");
    Failure::new(kind, &text).with_session(session)
}

/// The meaning of a code.
struct Meaning {
    kind: FailureKind,
    session: Session,
    sentence: &'static str,
}

fn kind_of(code: &str, status: u16, message: &str) -> Meaning {
    use FailureKind::{Rejected, Throttled, Unavailable};
    use Session::{Keep, Renew};
    let is_untimely = ["Signature expired", "not yet current"].iter().any(|words| message.contains(words));
    let (kind, session, sentence) = match code {
        "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" => {
            (Rejected, Renew, "not allowed: the role or user needs the permission ec2:DescribeInstances")
        }
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" => {
            (Rejected, Renew, "the credentials have expired, or this host's clock is wrong")
        }
        "RequestInTheFuture" | "RequestTimeTooSkewed" => {
            (Rejected, Renew, "this host's clock is wrong: set it (NTP)")
        }
        "SignatureDoesNotMatch" | "InvalidSignatureException" if is_untimely => {
            (Rejected, Renew, "this host's clock is wrong: set it (NTP)")
        }
        "AuthFailure" => {
            let sentence = "the credentials are wrong: check access key, secret and session token, and this host's clock";
            (Rejected, Renew, sentence)
        }
        "InvalidClientTokenId" | "SignatureDoesNotMatch" | "InvalidSignatureException" => {
            (Rejected, Renew, "the credentials are wrong: check access key, secret and session token")
        }
        "UnrecognizedClientException" | "IncompleteSignature" | "MissingAuthenticationToken" => {
            (Rejected, Renew, "the credentials are wrong: check access key, secret and session token")
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
    Meaning { kind, session, sentence }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_wrong_by_minutes() {
        let ours = SystemTime::UNIX_EPOCH + Duration::from_secs(10_000);
        let sentence = |seconds: u64| {
            Skew::between(ours, SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).sentence()
        };
        assert_eq!(sentence(10_000), None);
        assert_eq!(sentence(10_240), None);
        let behind = "this host's clock is 5 min behind EC2's: set it (NTP)";
        assert_eq!(sentence(10_301).as_deref(), Some(behind));
        let ahead = "this host's clock is 10 min ahead of EC2's: set it (NTP)";
        assert_eq!(sentence(9_400).as_deref(), Some(ahead));
        assert_eq!(Skew::of("no date"), None);
    }
}
