//! An EC2 endpoint that fails in every known way: the sentence, the number of attempts, and the kind of the failure; and the
//! next good answer is taken. `rows.rs` lists all faults.

use chronik_providers::{Discover, DiscoverError, FailureKind, Spec};

use crate::{
    aws::{KEYS, ONE},
    black_hole::BlackHole,
    http_double::{HttpDouble, Identity, Reply},
};

fn provider(url: &str) -> Box<dyn Discover> {
    let spec = format!("provider=aws tag.a=b endpoint={url} {KEYS}");
    Spec::parse(&spec).unwrap().connect(7946).unwrap()
}

/// Polls, and asserts that the poll fails in one line of at most 400 characters and an ellipsis.
async fn fail(provider: &dyn Discover) -> DiscoverError {
    let error = provider.discover().await.unwrap_err();
    assert!(!error.message.contains('\n') && error.message.chars().count() <= 401, "{error}");
    error
}

/// Polls, and asserts that the poll gives the address in [`ONE`].
async fn succeed(provider: &dyn Discover) {
    assert_eq!(provider.discover().await.unwrap().addrs, ["10.0.0.1:7946".parse().unwrap()]);
}

fn one() -> Reply {
    Reply::Answer(200, "", ONE.to_owned())
}

/// An error in the form of EC2.
pub(crate) fn error_document(code: &str) -> String {
    format!(
        "<Response><Errors><Error><Code>{code}</Code><Message>Said so.</Message></Error></Errors></Response>"
    )
}

/// Plays answers that are no list, each followed by a list.
#[tokio::test]
async fn answers_that_are_no_list() {
    use FailureKind::{Rejected, Throttled, Unavailable};
    let html = || "<html><body>Sign in</body></html>".to_owned();
    let refusal = |status, code| Reply::Answer(status, "", error_document(code));
    let not_ec2 = "the answer is not from EC2: is the endpoint wrong, or a proxy in between? (HTTP";
    let wrong =
        "the credentials are wrong: check access key, secret and session token, and this host's clock (";
    let refused = "the credentials are wrong: check access key, secret and session token (";
    let clock = "this host's clock is wrong: set it (NTP) (";
    let expired = "the credentials have expired, or this host's clock is wrong";
    for (reply, tries, kind, sentence) in [
        (
            refusal(503, "RequestLimitExceeded"),
            3,
            Throttled,
            "the account makes too many requests (RequestLimitExceeded: Said so., HTTP 503)",
        ),
        (refusal(401, "AuthFailure"), 1, Rejected, wrong),
        (refusal(403, "InvalidClientTokenId"), 1, Rejected, refused),
        (refusal(400, "MissingAuthenticationToken"), 1, Rejected, refused),
        (
            refusal(400, "IncompleteSignature"),
            1,
            Rejected,
            "the credentials are wrong: check access key, secret and session token (IncompleteSignature: Said so., HTTP 400)",
        ),
        (refusal(400, "RequestInTheFuture"), 1, Rejected, clock),
        (refusal(400, "RequestExpired"), 1, Rejected, expired),
        (
            refusal(403, "UnauthorizedOperation"),
            1,
            Rejected,
            "not allowed: the role or user needs the permission ec2:DescribeInstances (UnauthorizedOperation: Said so., HTTP 403)",
        ),
        (
            refusal(401, "OptInRequired"),
            1,
            Rejected,
            "this account may not use the region: enable it, or check region",
        ),
        (
            refusal(500, "InternalError"),
            3,
            Unavailable,
            "EC2 has a fault (InternalError: Said so., HTTP 500)",
        ),
        (
            refusal(400, "InvalidNextToken"),
            1,
            Rejected,
            "EC2 refuses the request (InvalidNextToken: Said so., HTTP 400)",
        ),
        (Reply::Answer(200, "", html()), 1, Unavailable, not_ec2),
        (Reply::Answer(502, "", html()), 3, Unavailable, not_ec2),
        (Reply::Close, 3, Unavailable, "the request to EC2 failed ("),
        (Reply::Truncated, 3, Unavailable, "the answer of EC2 broke off ("),
    ] {
        let ec2 = HttpDouble::start(move |_, asked| if asked < tries { reply.clone() } else { one() });
        let provider = provider(&ec2.url());
        let error = fail(provider.as_ref()).await;
        assert!(error.message.starts_with(sentence), "{sentence}: {error}");
        assert_eq!((error.kind, ec2.requests()), (kind, tries), "{error}");
        succeed(provider.as_ref()).await;
    }
}

#[tokio::test]
async fn endpoints_that_cannot_be_reached() {
    let port = crate::daemon::free_port();
    let asked = provider(&format!("http://127.0.0.1:{port}"));
    let refused = fail(asked.as_ref()).await;
    let _up = HttpDouble::start_at(port, |_, _| one());
    succeed(asked.as_ref()).await;
    let sentence = "EC2 cannot be reached: check region and endpoint (";
    assert!(
        refused.message.starts_with(sentence) && refused.message.contains("Connection refused"),
        "{refused}"
    );
    // A label that is too long, so that the look-up fails before a name server is asked.
    let unknown = fail(provider(&format!("http://{}.test", "a".repeat(64))).as_ref()).await;
    assert!(unknown.message.starts_with(sentence) && unknown.message.contains("lookup"), "{unknown}");
    let plain = HttpDouble::start(|_, _| Reply::Close);
    let tls = fail(provider(&plain.url().replace("http", "https")).as_ref()).await;
    assert!(tls.message.starts_with(sentence), "{tls}");
    assert!([refused, unknown, tls].iter().all(|error| error.kind == FailureKind::Unavailable));
}

#[tokio::test]
async fn an_endpoint_behind_a_black_hole() {
    let hole = BlackHole::open().await;
    let asked = provider(&hole.url);
    let error = fail(asked.as_ref()).await;
    let sentence = "EC2 cannot be reached: is there a route to it (NAT gateway, VPC endpoint)? (";
    assert!(error.message.starts_with(sentence), "{error}");
    let port = hole.url.rsplit(':').next().unwrap().parse().unwrap();
    drop(hole);
    let _up = HttpDouble::start_at(port, |_, _| one());
    succeed(asked.as_ref()).await;
}

#[tokio::test]
async fn an_endpoint_that_says_nothing() {
    let ec2 = HttpDouble::start(|_, asked| if asked < 3 { Reply::Silence } else { one() });
    let asked = provider(&ec2.url());
    let error = fail(asked.as_ref()).await;
    assert!(error.message.starts_with("no answer from EC2 in time ("), "{error}");
    assert_eq!((error.kind, ec2.requests()), (FailureKind::Unavailable, 3));
    succeed(asked.as_ref()).await;
}

/// Half a list is no list: the asker would forget the members on the other pages.
#[tokio::test]
async fn a_page_that_fails_half_way_is_no_list() {
    let ec2 = HttpDouble::start(|_, asked| match asked {
        0 => page("t"),
        1 => Reply::Answer(400, "", error_document("InvalidNextToken")),
        _ => one(),
    });
    let asked = provider(&ec2.url());
    let error = fail(asked.as_ref()).await;
    assert_eq!(error.message, "EC2 refuses the request (InvalidNextToken: Said so., HTTP 400)");
    succeed(asked.as_ref()).await;
}

/// Plays a missing CA bundle, too, which ends in the same error.
#[tokio::test]
async fn an_endpoint_whose_certificate_nobody_vouches_for() {
    let ec2 = HttpDouble::start_tls(&Identity::new("nobody"), |_, _| one());
    let error = fail(provider(&ec2.url()).as_ref()).await;
    // The bundle that it goes on to name is the machine's own.
    let sentence = "the certificate of EC2 is not trusted: is there a CA bundle at ";
    assert!(
        error.message.starts_with(sentence) && error.message.contains("invalid peer certificate: "),
        "{error}"
    );
    assert_eq!(error.kind, FailureKind::Unavailable);
}

fn page(token: &str) -> Reply {
    let end = format!("<nextToken>{token}</nextToken></DescribeInstancesResponse>");
    Reply::Answer(200, "", ONE.replace("</DescribeInstancesResponse>", &end))
}

#[tokio::test]
async fn pages_without_end() {
    let endless = HttpDouble::start(|_, asked| if asked < 200 { page(&format!("t{asked}")) } else { one() });
    let asked = provider(&endless.url());
    let error = fail(asked.as_ref()).await;
    assert_eq!(error.message, "EC2 gives page after page: stopped after 200, is the endpoint EC2?");
    assert_eq!(endless.requests(), 200);
    succeed(asked.as_ref()).await;
    let same = HttpDouble::start(move |_, _| page("t"));
    let spec = format!("provider=aws tag.a=b endpoint={} {KEYS}", same.url());
    let seeds = Spec::parse(&spec).unwrap().connect(7946).unwrap().discover().await.unwrap();
    assert_eq!(seeds.addrs, ["10.0.0.1:7946".parse().unwrap()]);
    assert_eq!(seeds.warnings, ["EC2 gave the same page token twice: the list may be incomplete"]);
    assert_eq!(same.requests(), 2);
}
