//! Who may do what, where the agent has a token: changes need it everywhere; over an address that others reach
//! everything does but the probes, which say nothing that is worth hiding.

use axum::{
    extract::{Request, State},
    http::{
        HeaderValue, Method, StatusCode,
        header::{AUTHORIZATION, WWW_AUTHENTICATE},
    },
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{Api, host_check::Arrived, problem::Problem};
use crate::token::Token;

/// What an orchestrator asks, which has no token.
const PROBES: [&str; 2] = ["/livez", "/readyz"];

pub(super) async fn check(State(api): State<Api>, request: Request, next: Next) -> Response {
    let exposed = request.extensions().get().is_none_or(|arrived: &Arrived| arrived.exposed);
    if !needs_token(&request, exposed) || brings(&request, api.shared.token.as_ref(), exposed) {
        return next.run(request).await;
    }
    let detail = "this needs the token of the agent's --http-token-file: send `Authorization: Bearer TOKEN`, or give \
                  the command --http-token-file FILE";
    let mut refused = Problem::new(StatusCode::UNAUTHORIZED, detail).into_response();
    let how = HeaderValue::from_static("Bearer realm=\"chronik-agent\"");
    refused.headers_mut().insert(WWW_AUTHENTICATE, how);
    refused
}

fn needs_token(request: &Request, exposed: bool) -> bool {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    !reads || (exposed && !PROBES.contains(&request.uri().path()))
}

/// Where there is no token, whoever is on this host may do all; an address for others is never without one, for the
/// configuration refuses that.
fn brings(request: &Request, token: Option<&Token>, exposed: bool) -> bool {
    let Some(token) = token else { return !exposed };
    let mut given = request.headers().get_all(AUTHORIZATION).iter();
    given.any(|given| token.is_in(given.as_bytes()))
}
