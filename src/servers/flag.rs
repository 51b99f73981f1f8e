//! The value of `--server`: a kind, and where the server beside the agent is asked.

use std::{fmt, str::FromStr};

use chronik_providers::nearest;

use super::{
    driver::Driver,
    etcd::{self, Etcd},
    kind::{Facts, Kind},
    url::Url,
};
use crate::{choice::Choice as _, node::Endpoints};

/// The value of `--server`: `KIND` or `KIND=URL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFlag {
    /// The kind.
    pub kind: Kind,
    /// The address at which it is asked.
    pub url: Url,
}

impl Kind {
    /// The facts of this kind.
    pub fn facts(self) -> &'static Facts {
        match self {
            Self::Etcd => &etcd::FACTS,
        }
    }
}

impl ServerFlag {
    /// A driver of this server, whose agent announces `own`.
    pub fn driver(&self, own: &Endpoints) -> Box<dyn Driver> {
        match self.kind {
            Kind::Etcd => Box::new(Etcd::new(self.url.clone(), own)),
        }
    }
}

impl FromStr for ServerFlag {
    type Err = String;

    /// The error continues a sentence that begins with the value.
    fn from_str(text: &str) -> Result<Self, String> {
        let (word, url) = text.split_once('=').map_or((text, None), |(word, url)| (word, Some(url)));
        let kind = Kind::named(word).ok_or_else(|| {
            let words: Vec<_> = Kind::ALL.iter().map(|kind| kind.word()).collect();
            let all = words.join(", ");
            match nearest(word, words) {
                Some(near) => format!("is no kind of server: did you mean `{near}`?"),
                None => format!("is no kind of server: write KIND or KIND=URL, where KIND is one of {all}"),
            }
        })?;
        let url = url.unwrap_or(kind.facts().default_url).parse()?;
        Ok(Self { kind, url })
    }
}

impl fmt::Display for ServerFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.kind.word(), self.url)
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
        assert!(flag("sql").unwrap_err().ends_with("where KIND is one of etcd"));
        assert!(flag("etcd=db1").unwrap_err().starts_with("has no URL `db1`: write http://HOST:PORT"));
    }
}
