//! A double of EC2's instance metadata, version 2. moto's leaves out the header that the SDK insists on.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::http_double::{HttpDouble, Reply, Request};

const TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";

/// Starts it for an instance in `us-east-1`, with a role or without one.
pub(crate) fn start(role: bool) -> HttpDouble {
    HttpDouble::start(move |request, _| answer(request, role))
}

/// Starts it where region and role are not there yet when they are asked for first.
pub(crate) fn start_late() -> HttpDouble {
    let known = ["/latest/meta-data/placement/region", "/latest/meta-data/iam/security-credentials/"]
        .map(|path| (path, AtomicBool::new(false)));
    HttpDouble::start(move |request, _| {
        let late = known.iter().find(|(path, _)| *path == request.path);
        match late {
            Some((_, known)) if !known.swap(true, Ordering::SeqCst) => Reply::Answer(404, "", String::new()),
            _ => answer(request, true),
        }
    })
}

fn answer(request: &Request, role: bool) -> Reply {
    let text = |body: &str| Reply::Answer(200, "", body.to_owned());
    let token = request.header("x-aws-ec2-metadata-token");
    match (request.method.as_str(), request.path.as_str()) {
        ("PUT", "/latest/api/token") if request.header(TTL).is_some() => {
            Reply::Answer(200, "x-aws-ec2-metadata-token-ttl-seconds: 21600\r\n", "token-1".to_owned())
        }
        ("PUT", _) => Reply::Answer(400, "", String::new()),
        _ if token != Some("token-1") => Reply::Answer(401, "", String::new()),
        (_, "/latest/meta-data/placement/region") => text("us-east-1"),
        (_, "/latest/meta-data/iam/security-credentials/") if role => text("chronik"),
        (_, "/latest/meta-data/iam/security-credentials/chronik") if role => text(
            r#"{"Code":"Success","Type":"AWS-HMAC","LastUpdated":"2026-01-01T00:00:00Z","AccessKeyId":"ASIAROLE",
               "SecretAccessKey":"secret","Token":"session","Expiration":"2099-01-01T00:00:00Z"}"#,
        ),
        _ => Reply::Answer(404, "", String::new()),
    }
}
