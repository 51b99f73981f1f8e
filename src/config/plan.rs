//! What `--check` prints: the configuration as it would be used.

use super::Config;
use crate::{
    advertise::{AdvertiseError, Advertised},
    bootstrap::{Admission, SeedGate},
    choice::Choice as _,
    key_file,
};

impl Config {
    /// What the agent would do, a line each; no secret is among them.
    pub fn plan(&self, advertised: &Result<Advertised, AdvertiseError>) -> String {
        let list = |items: Vec<String>| {
            if items.is_empty() { "none".to_owned() } else { items.join(", ") }
        };
        let founding = self.founding();
        let advertised = match advertised {
            Ok(advertised) => format!("{} ({})", advertised.addr, advertised.because),
            Err(error) => error.to_string(),
        };
        let tags = self.tags.iter().map(|(key, value)| format!("{key}={value}"));
        let mut rows = vec![
            ("cluster", self.cluster.to_string()),
            ("node name", self.node_name.to_string()),
            ("role", self.role.to_string()),
            ("gossip", format!("{} over UDP and TCP", self.bind)),
            ("advertised", advertised),
            ("http", list(self.http.iter().map(ToString::to_string).collect())),
            ("http token", self.http_token()),
            ("state", self.state_dir.display().to_string()),
            ("encryption", self.encryption()),
            ("profile", self.profile.word().to_owned()),
            ("founding", founding),
            ("endpoints", list(self.endpoints.iter().map(ToString::to_string).collect())),
            ("tags", list(tags.collect())),
        ];
        if self.retry_join.is_empty() {
            rows.push(("seeds", "none: waits to be joined by others".to_owned()));
        }
        for spec in self.seed_specs() {
            rows.push(("seeds", spec));
        }
        let rows = rows.into_iter().map(|(what, value)| format!("{what:<11} {value}\n"));
        rows.collect()
    }

    /// What needs the token of the API.
    fn http_token(&self) -> String {
        match &self.http_token_file {
            Some(path) => format!("in {}: needed for changes, and from other hosts for all", path.display()),
            None => "none: whoever is on this host may change things".to_owned(),
        }
    }

    /// Where the keys are, and whether they can be used.
    fn encryption(&self) -> String {
        match &self.encrypt_key_file {
            None => "none: whoever reaches the gossip port can join".to_owned(),
            Some(path) => match key_file::read(path) {
                Ok(keyring) => {
                    let ids: Vec<String> = keyring.ids().map(|id| id.to_string()).collect();
                    format!("keys {} of {}; the first one sends", ids.join(", "), path.display())
                }
                Err(error) => error.to_string(),
            },
        }
    }

    /// When and with whom this agent founds.
    fn founding(&self) -> String {
        let gate = match self.seed_gate {
            SeedGate::Patient => "",
            SeedGate::Strict => ", and every seed has answered",
        };
        match (self.admission, &self.founders, self.bootstrap_expect) {
            (Admission::Only(id), ..) => format!("never: joins cluster {id} or none"),
            (Admission::JoinOnly, ..) => "never: joins a cluster that others found".to_owned(),
            (Admission::Found, Some(founders), _) => {
                let ids: Vec<String> = founders.ids().iter().map(ToString::to_string).collect();
                format!("once these servers are there{gate}: {}", ids.join(", "))
            }
            (Admission::Found, None, Some(expect)) => format!("once {expect} servers are there{gate}"),
            (Admission::Found, None, None) => "never: --bootstrap-expect is not set".to_owned(),
        }
    }

    /// The specs with their secrets masked.
    pub fn seed_specs(&self) -> Vec<String> {
        self.retry_join.iter().map(ToString::to_string).collect()
    }
}
