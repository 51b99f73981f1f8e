//! The check of host and origin: a web page that the user happens to visit must not reach the API through the user's
//! browser. A name that an attacker has pointed at this host (DNS rebinding) shows in `Host`, a page of another origin
//! in `Origin`.

use std::net::IpAddr;

use axum::{
    extract::{Request, State},
    http::{
        StatusCode, Version,
        header::{HOST, ORIGIN},
        uri::Authority,
    },
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{listener::Arrival, problem::Problem, state::Api};

/// Passes on requests for a name of ours from a page of ours, or from no page at all. No browser opens a unix socket, so
/// that requests over one always pass.
pub(super) async fn check(State(api): State<Api>, request: Request, next: Next) -> Response {
    let Some(Arrival { local: Some(local), .. }) = request.extensions().get().copied() else {
        return next.run(request).await;
    };
    match require_own_name(&request, local, &api.shared.allow_hosts) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn require_own_name(request: &Request, local: IpAddr, allowed: &[String]) -> Result<(), Problem> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let asked = match request.uri().authority() {
        Some(authority) => authority.as_str(),
        None => header(HOST).unwrap_or(""),
    };
    // A health check of a load balancer. No browser speaks that version, and none leaves the host out.
    let is_plain = request.version() == Version::HTTP_10 && !request.headers().contains_key(HOST);
    if is_plain && request.uri().authority().is_none() && header(ORIGIN).is_none() {
        return Ok(());
    }
    if !is_ours(asked, local, allowed) {
        return Err(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            format!(
                "this agent is not {asked:?}: ask it as localhost or {local}, or start it with --http-allow-host and \
                 that name"
            ),
        ));
    }
    match header(ORIGIN) {
        Some(origin) if origin.split_once("://").is_none_or(|(_, origin)| origin != asked) => {
            Err(Problem::new(
                StatusCode::FORBIDDEN,
                format!("a page of {origin} may not ask this agent: use the command line"),
            ))
        }
        Some(_) | None => Ok(()),
    }
}

/// True if `asked`, a host with or without a port, is a loopback name, the address at which the connection arrived, or an
/// allowed name. Ports are not compared: they change on the way through a forwarded port.
fn is_ours(asked: &str, local: IpAddr, allowed: &[String]) -> bool {
    let Ok(authority) = asked.parse::<Authority>() else {
        return false;
    };
    let host = authority.host().trim_end_matches('.').to_lowercase();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback() || ip.to_canonical() == local.to_canonical() || allowed.contains(&host),
        Err(_) => host == "localhost" || host.ends_with(".localhost") || allowed.contains(&host),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    #[test]
    fn a_health_check_of_http_1_0_needs_no_host_and_a_browser_does() {
        let local = "10.0.0.5".parse().unwrap();
        let asks = |version, headers: &[(HeaderName, &str)]| {
            let request =
                headers.iter().fold(Request::get("/livez").version(version), |request, (name, value)| {
                    request.header(name, *value)
                });
            require_own_name(&request.body(axum::body::Body::empty()).unwrap(), local, &[]).is_ok()
        };
        assert!(asks(Version::HTTP_10, &[]));
        assert!(!asks(Version::HTTP_11, &[]));
        assert!(!asks(Version::HTTP_10, &[(HOST, "evil.example")]));
        assert!(!asks(Version::HTTP_10, &[(ORIGIN, "http://evil.example")]));
    }

    #[test]
    fn only_our_own_names_are_ours() {
        let local = "10.0.0.5".parse().unwrap();
        let allowed = ["node-1.example.com".to_owned(), "192.0.2.1".to_owned()];
        for ours in [
            "localhost",
            "localhost:7947",
            "LOCALHOST.",
            "agent.localhost",
            "127.0.0.1:1",
            "127.9.9.9",
            "[::1]:7947",
            "10.0.0.5:7947",
            "[::ffff:10.0.0.5]",
            "node-1.example.com:80",
            "192.0.2.1",
        ] {
            assert!(is_ours(ours, local, &allowed), "{ours}");
        }
        for foreign in ["", "evil.example", "localhost.evil.example", "10.0.0.6", "node-1", "a b", "[::2]"] {
            assert!(!is_ours(foreign, local, &allowed), "{foreign}");
        }
    }
}
