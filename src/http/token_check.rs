//! The check of the token, if the agent has one: changes need it on every address. On an address that other hosts reach,
//! everything needs it but the probes, which tell nothing that is worth hiding.

use axum::{
    extract::{Request, State},
    http::{
        HeaderValue, Method, StatusCode,
        header::{AUTHORIZATION, WWW_AUTHENTICATE},
    },
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{
    listener::{Arrival, Reach},
    problem::Problem,
    state::Api,
};
use crate::token::Token;

/// Paths for an orchestrator's probes, which bring no token.
const PROBES: [&str; 2] = ["/livez", "/readyz"];

pub(super) async fn check(State(api): State<Api>, request: Request, next: Next) -> Response {
    // A connection of unknown arrival counts as one from elsewhere.
    let reach = request.extensions().get().map_or(Reach::Exposed, |arrival: &Arrival| arrival.reach);
    if !needs_token(&request, reach) || has_token(&request, api.shared.token.as_ref(), reach) {
        return next.run(request).await;
    }
    let detail = "this needs the token of the agent's --http-token-file: send `Authorization: Bearer TOKEN`, or give \
                  the command --http-token-file FILE";
    let mut refused = Problem::new(StatusCode::UNAUTHORIZED, detail).into_response();
    let how = HeaderValue::from_static("Bearer realm=\"chronik-agent\"");
    refused.headers_mut().insert(WWW_AUTHENTICATE, how);
    refused
}

fn needs_token(request: &Request, reach: Reach) -> bool {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    !reads || (reach == Reach::Exposed && !PROBES.contains(&request.uri().path()))
}

/// True if the request brings the token. Without a token clients on this host may do everything; the configuration
/// refuses an exposed address without one.
fn has_token(request: &Request, token: Option<&Token>, reach: Reach) -> bool {
    let Some(token) = token else { return reach == Reach::Local };
    let mut given = request.headers().get_all(AUTHORIZATION).iter();
    given.any(|given| token.is_in(given.as_bytes()))
}
