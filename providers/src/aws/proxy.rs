//! The proxy between the agent and a service, if the environment names one.

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

use super::settings::variable;

/// The variables that name proxies, for each scheme those that count before others.
const VARIABLES: [(&str, [&str; 4]); 2] = [
    ("https", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
    ("http", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]),
];

/// The proxy through which a URL is asked, and the variable that names it; without user and password.
pub(crate) fn of(url: &str) -> Option<String> {
    let url: Uri = url.parse().ok()?;
    // The rules by which the SDK's own client decides.
    let proxy = Matcher::from_env().intercept(&url)?;
    let authority = proxy.uri().authority()?.as_str();
    let host = authority.rsplit('@').next()?;
    let (_, names) = VARIABLES.iter().find(|(scheme, _)| url.scheme_str() == Some(scheme))?;
    let name = names.iter().find(|name| variable(name).is_some_and(|value| value.contains(host)))?;
    Some(format!("the proxy {host} of {name}"))
}

/// The proxy through which instance metadata would be asked.
pub(crate) fn of_metadata() -> Option<String> {
    of("http://169.254.169.254/")
}
