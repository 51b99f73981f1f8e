//! An EC2 endpoint that fails in every way known: what is said, how often it is asked again, what the asker can do.

use chronik_providers::{DiscoverError, FailureKind, Spec};

use crate::{
    aws::{KEYS, ONE},
    black_hole::BlackHole,
    http_double::{HttpDouble, Reply},
};

async fn fail(url: &str) -> DiscoverError {
    let spec = format!("provider=aws tag.a=b endpoint={url} {KEYS}");
    let error = Spec::parse(&spec).unwrap().connect(7946).unwrap().discover().await.unwrap_err();
    assert!(!error.message.contains('\n') && error.message.chars().count() <= 401, "{error}");
    error
}

/// An error, as EC2 sends it.
pub(crate) fn error_document(code: &str) -> String {
    format!(
        "<Response><Errors><Error><Code>{code}</Code><Message>Said so.</Message></Error></Errors></Response>"
    )
}

/// Answers that are sent for ever, and what is made of them.
#[tokio::test]
async fn answers_that_are_no_list() {
    use FailureKind::{Rejected, Throttled, Unavailable};
    let html = || "<html><body>Sign in</body></html>".to_owned();
    let said = |status, code| Reply::Answer(status, "", error_document(code));
    let not_ec2 = "the answer is not from EC2: is the endpoint wrong, or a proxy in between? (HTTP";
    let wrong = "the credentials are wrong: check access key, secret and session token";
    let expired = "the credentials have expired, or this host's clock is wrong";
    for (reply, tries, kind, sentence) in [
        (
            said(503, "RequestLimitExceeded"),
            3,
            Throttled,
            "the account makes too many requests (RequestLimitExceeded: Said so., HTTP 503)",
        ),
        (said(401, "AuthFailure"), 1, Rejected, wrong),
        (said(400, "RequestExpired"), 1, Rejected, expired),
        (
            said(403, "UnauthorizedOperation"),
            1,
            Rejected,
            "not allowed: the role or user needs the permission ec2:DescribeInstances (UnauthorizedOperation: Said so., HTTP 403)",
        ),
        (
            said(401, "OptInRequired"),
            1,
            Rejected,
            "this account may not use the region: enable it, or check region",
        ),
        (said(500, "InternalError"), 3, Unavailable, "EC2 has a fault (InternalError: Said so., HTTP 500)"),
        (
            said(400, "InvalidNextToken"),
            1,
            Rejected,
            "EC2 refuses the request (InvalidNextToken: Said so., HTTP 400)",
        ),
        (Reply::Answer(200, "", html()), 1, Unavailable, not_ec2),
        (Reply::Answer(502, "", html()), 3, Unavailable, not_ec2),
        (Reply::Close, 3, Unavailable, "the request to EC2 failed ("),
        (Reply::Truncated, 3, Unavailable, "the answer of EC2 broke off ("),
    ] {
        let ec2 = HttpDouble::start(move |_, _| reply.clone());
        let error = fail(&ec2.url()).await;
        assert!(error.message.starts_with(sentence), "{sentence}: {error}");
        assert_eq!((error.kind, ec2.requests()), (kind, tries), "{error}");
    }
}

#[tokio::test]
async fn endpoints_that_cannot_be_reached() {
    let refused = fail(&format!("http://127.0.0.1:{}", crate::daemon::free_port())).await;
    let sentence = "EC2 cannot be reached: check region and endpoint (";
    assert!(
        refused.message.starts_with(sentence) && refused.message.contains("Connection refused"),
        "{refused}"
    );
    // Too long for a name server to be asked, so that the test stays on loopback.
    let unknown = fail(&format!("http://{}.test", "a".repeat(64))).await;
    assert!(unknown.message.starts_with(sentence) && unknown.message.contains("lookup"), "{unknown}");
    let plain = HttpDouble::start(|_, _| Reply::Close);
    let tls = fail(&plain.url().replace("http", "https")).await;
    assert!(tls.message.starts_with(sentence), "{tls}");
    assert!([refused, unknown, tls].iter().all(|error| error.kind == FailureKind::Unavailable));
}

#[tokio::test]
async fn an_endpoint_behind_a_black_hole() {
    let hole = BlackHole::open().await;
    let error = fail(&hole.url).await;
    let sentence = "EC2 cannot be reached: is there a route to it (NAT gateway, VPC endpoint)? (";
    assert!(error.message.starts_with(sentence), "{error}");
}

#[tokio::test]
async fn an_endpoint_that_says_nothing() {
    let ec2 = HttpDouble::start(|_, _| Reply::Silence);
    let error = fail(&ec2.url()).await;
    assert!(error.message.starts_with("no answer from EC2 in time ("), "{error}");
    assert_eq!(error.kind, FailureKind::Unavailable);
}

#[tokio::test]
async fn pages_without_end() {
    let page = |token: &str| {
        let end = format!("<nextToken>{token}</nextToken></DescribeInstancesResponse>");
        Reply::Answer(200, "", ONE.replace("</DescribeInstancesResponse>", &end))
    };
    let endless = HttpDouble::start(move |_, number| page(&format!("t{number}")));
    let error = fail(&endless.url()).await;
    assert_eq!(error.message, "EC2 gives page after page: stopped after 200, is the endpoint EC2?");
    assert_eq!(endless.requests(), 200);
    let same = HttpDouble::start(move |_, _| page("t"));
    let spec = format!("provider=aws tag.a=b endpoint={} {KEYS}", same.url());
    let seeds = Spec::parse(&spec).unwrap().connect(7946).unwrap().discover().await.unwrap();
    assert_eq!(seeds.addrs, ["10.0.0.1:7946".parse().unwrap()]);
    assert_eq!(seeds.warnings, ["EC2 gave the same page token twice: the list may be incomplete"]);
    assert_eq!(same.requests(), 2);
}
