//! The value of `--server`: a kind, and where the server beside the agent is asked.

use std::{fmt, path::PathBuf, str::FromStr};

use chronik_providers::nearest;

use super::{
    driver::Driver,
    etcd::{self, Etcd},
    hooks::{self, Hooks},
    kind::{Facts, Kind},
    request::Client,
    tls::TlsFiles,
    url::Url,
};
use crate::{choice::Choice as _, node::Endpoints};

/// The value of `--server`: `KIND`, `KIND=URL` or `hooks=DIR`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerFlag {
    /// etcd, asked at this address.
    Etcd(Url),
    /// Any other server, asked by the programs in this directory.
    Hooks(PathBuf),
}

impl Kind {
    /// The facts of this kind.
    pub fn facts(self) -> &'static Facts {
        match self {
            Self::Etcd => &etcd::FACTS,
            Self::Hooks => &hooks::FACTS,
        }
    }
}

impl ServerFlag {
    /// A driver of this server, whose agent announces `own`; `tls` is for a server that is asked by https.
    pub fn driver(&self, own: &Endpoints, tls: &TlsFiles) -> Box<dyn Driver> {
        match self {
            Self::Etcd(url) => Box::new(Etcd::new(Client::new(url.clone(), tls.clone()), own)),
            Self::Hooks(dir) => Box::new(Hooks::new(dir.clone(), own)),
        }
    }

    /// True if it is asked by https.
    pub fn is_secure(&self) -> bool {
        match self {
            Self::Etcd(url) => url.is_secure,
            Self::Hooks(_) => false,
        }
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Etcd(_) => Kind::Etcd,
            Self::Hooks(_) => Kind::Hooks,
        }
    }

    /// The place at which it is asked.
    pub fn place(&self) -> String {
        match self {
            Self::Etcd(url) => url.to_string(),
            Self::Hooks(dir) => dir.display().to_string(),
        }
    }
}

impl FromStr for ServerFlag {
    type Err = String;

    /// The error continues a sentence that begins with the value.
    fn from_str(text: &str) -> Result<Self, String> {
        let (word, place) = text.split_once('=').map_or((text, None), |(word, place)| (word, Some(place)));
        let kind = Kind::named(word).ok_or_else(|| {
            let words: Vec<_> = Kind::ALL.iter().map(|kind| kind.word()).collect();
            let all = words.join(", ");
            match nearest(word, words) {
                Some(near) => format!("is no kind of server: did you mean `{near}`?"),
                None => format!("is no kind of server: write KIND or KIND=URL, where KIND is one of {all}"),
            }
        })?;
        let place = place.or(kind.facts().default_url).unwrap_or_default();
        match kind {
            Kind::Etcd => place.parse().map(Self::Etcd),
            Kind::Hooks if place.starts_with('/') => Ok(Self::Hooks(PathBuf::from(place))),
            Kind::Hooks => {
                Err("names no directory from the root on: write hooks=/etc/chronik-agent/hooks".to_owned())
            }
        }
    }
}

impl fmt::Display for ServerFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.kind().word(), self.place())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_a_kind_and_perhaps_a_url() {
        let flag = |text: &str| text.parse::<ServerFlag>().map(|flag| flag.to_string());
        assert_eq!(flag("etcd").unwrap(), "etcd=http://127.0.0.1:2379");
        assert_eq!(flag("etcd=http://db1:4001").unwrap(), "etcd=http://db1:4001");
        assert_eq!(flag("etc").unwrap_err(), "is no kind of server: did you mean `etcd`?");
        assert!(flag("sql").unwrap_err().ends_with("where KIND is one of etcd, hooks"));
        assert_eq!(flag("hooks=/etc/hooks").unwrap(), "hooks=/etc/hooks");
        assert!(flag("hooks").unwrap_err().starts_with("names no directory") && flag("hooks=x").is_err());
        assert!(flag("etcd=db1").unwrap_err().starts_with("has no URL `db1`: write http://HOST:PORT"));
    }
}
