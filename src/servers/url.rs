//! The address of a server's own port: `http://HOST:PORT`.

use std::{fmt, str::FromStr};

use chronik_providers::{Address, Host};

/// The address of a server's port. Paths are the drivers' own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// True for `https`.
    pub is_secure: bool,
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
}

impl Url {
    /// The host and the port, as they stand in a URL.
    pub fn authority(&self) -> String {
        match &self.host {
            Host::Ip(std::net::IpAddr::V6(ip)) => format!("[{ip}]:{}", self.port),
            Host::Ip(std::net::IpAddr::V4(ip)) => format!("{ip}:{}", self.port),
            Host::Name(name) => format!("{}:{}", name.as_str(), self.port),
        }
    }
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shape = || format!("has no URL `{text}`: write http://HOST:PORT, such as http://127.0.0.1:2379");
        let (is_secure, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            _ => return Err(shape()),
        };
        let Address { host, port } = rest.trim_end_matches('/').parse().map_err(|_| shape())?;
        let port = port.ok_or_else(shape)?.get();
        Ok(Self { is_secure, host, port })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.is_secure { "https" } else { "http" }, self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_scheme_a_host_and_a_port() {
        for text in ["http://127.0.0.1:2379", "https://etcd-1:2379", "http://[::1]:2379"] {
            assert_eq!(text.parse::<Url>().unwrap().to_string(), text);
        }
        assert_eq!("http://a:1/".parse::<Url>().unwrap().to_string(), "http://a:1");
        for text in
            ["127.0.0.1:2379", "ftp://a:1", "http://a", "http://a:0", "http://a:1/v3", "http://u:p@a:1", ""]
        {
            let error = text.parse::<Url>().unwrap_err();
            assert!(error.starts_with(&format!("has no URL `{text}`: write http://HOST:PORT")), "{error}");
        }
    }
}
