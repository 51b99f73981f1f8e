//! A double of EC2's instance metadata, version 2. That of moto leaves out a header that the SDK needs.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::http_double::{HttpDouble, Reply, Request};

/// The header with a token's time to live.
const TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";

/// The instance's role.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A role with the name `chronik`.
    Attached,
    /// No role, so no credentials.
    Missing,
}

/// Starts the metadata of an instance in `us-east-1`.
pub(crate) fn start(role: Role) -> HttpDouble {
    HttpDouble::start(move |request, _| answer(request, role))
}

/// Starts the metadata of an instance that has neither region nor role when it is asked for them first.
pub(crate) fn start_late() -> HttpDouble {
    let known = ["/latest/meta-data/placement/region", "/latest/meta-data/iam/security-credentials/"]
        .map(|path| (path, AtomicBool::new(false)));
    HttpDouble::start(move |request, _| {
        let late = known.iter().find(|(path, _)| *path == request.path);
        match late {
            Some((_, known)) if !known.swap(true, Ordering::SeqCst) => Reply::Answer(404, "", String::new()),
            _ => answer(request, Role::Attached),
        }
    })
}

fn answer(request: &Request, role: Role) -> Reply {
    let has_role = role == Role::Attached;
    let text = |body: &str| Reply::Answer(200, "", body.to_owned());
    let token = request.header("x-aws-ec2-metadata-token");
    match (request.method.as_str(), request.path.as_str()) {
        ("PUT", "/latest/api/token") if request.header(TTL).is_some() => {
            Reply::Answer(200, "x-aws-ec2-metadata-token-ttl-seconds: 21600\r\n", "token-1".to_owned())
        }
        ("PUT", _) => Reply::Answer(400, "", String::new()),
        _ if token != Some("token-1") => Reply::Answer(401, "", String::new()),
        (_, "/latest/meta-data/placement/region") => text("us-east-1"),
        (_, "/latest/meta-data/iam/security-credentials/") if has_role => text("chronik"),
        (_, "/latest/meta-data/iam/security-credentials/chronik") if has_role => text(
            r#"{"Code":"Success","Type":"AWS-HMAC","LastUpdated":"2026-01-01T00:00:00Z","AccessKeyId":"ASIAROLE",
               "SecretAccessKey":"secret","Token":"session","Expiration":"2099-01-01T00:00:00Z"}"#,
        ),
        _ => Reply::Answer(404, "", String::new()),
    }
}
