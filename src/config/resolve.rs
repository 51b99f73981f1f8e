//! The one step from what was given to a configuration that cannot be wrong.

use std::{collections::BTreeSet, net::SocketAddr, num::NonZeroU16, path::PathBuf};

use chronik_providers::{Spec, SpecError, nearest};

use super::{
    Config, DEFAULT_GOSSIP_PORT, DEFAULT_HTTP_PORT, EndpointFlag, Host, HttpAddr, LogFormat, Options,
    Profile, file,
    flags::{Origin, variable},
    value,
};
use crate::{
    bootstrap::{Admission, NamedFounders, NoFounders, SeedGate},
    choice::Choice,
    node::{InvalidName, NodeId, Role, Tags},
};

/// What is wrong with the configuration, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read or is no such TOML.
    #[error("--config {path}: {problem}")]
    File {
        /// The file.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// The file has a key that is no flag.
    #[error("{path}: unknown key `{key}`: {remedy}")]
    UnknownKey {
        /// The file.
        path: String,
        /// The key.
        key: String,
        /// The key that may be meant, or all that there are.
        remedy: String,
    },
    /// A value is not what its flag takes.
    #[error("--{flag} {value:?}{origin} {problem}")]
    Value {
        /// The flag, without dashes.
        flag: &'static str,
        /// As written.
        value: String,
        /// Where, if not on the command line.
        origin: String,
        /// What is wrong and what to write instead; continues the sentence.
        problem: String,
    },
    /// A spec is wrong. It may hold secrets, so that its place stands for it.
    #[error("--retry-join number {number}{origin}: {error}")]
    Spec {
        /// Which one, from 1.
        number: usize,
        /// Where, if not on the command line.
        origin: String,
        /// What is wrong, and the remedy.
        error: SpecError,
    },
    /// Two values do not go together, or one that is needed is missing.
    #[error("{0}")]
    Together(String),
}

impl Config {
    /// Reads the file of `--config`, if one is given, and checks everything.
    ///
    /// # Errors
    /// The first mistake, with flag, value and remedy.
    pub fn load(mut options: Options, host: &Host) -> Result<Self, ConfigError> {
        if let Some(path) = options.config.clone() {
            let text = std::fs::read_to_string(&path).map_err(|error| ConfigError::File {
                path: path.display().to_string(),
                problem: format!("cannot be read: {error}"),
            })?;
            options.add_from_file(&path, file::parse(&path, &text)?);
        }
        Self::resolve(&options, host)
    }

    /// Checks everything that was given; reads neither files nor the environment.
    ///
    /// # Errors
    /// The first mistake, with flag, value and remedy.
    pub fn resolve(options: &Options, host: &Host) -> Result<Self, ConfigError> {
        let config = Self {
            cluster: one(options, "cluster", rule)?
                .unwrap_or_else(|| "chronik".parse().expect("it keeps the rule")),
            node_name: node_name(options, host)?,
            role: one(options, "role", choice)?.unwrap_or(Role::Server),
            bootstrap_expect: one(options, "bootstrap-expect", count)?,
            founders: founders(options)?,
            admission: admission(options)?,
            join_only: one(options, "join-only", truth)?.unwrap_or(false),
            seed_gate: one(options, "seed-gate", seed_gate)?.unwrap_or(SeedGate::Patient),
            endpoints: endpoints(options)?,
            tags: tags(options)?,
            bind: one(options, "bind", value::bind)?.unwrap_or_else(|| any(DEFAULT_GOSSIP_PORT)),
            advertise: one(options, "advertise", value::advertise)?,
            http: http(options)?,
            state_dir: state_dir(options, host)?,
            profile: one(options, "profile", choice)?.unwrap_or(Profile::Lan),
            retry_join: seeds(options)?,
            http_token_file: one(options, "http-token-file", file_name)?,
            encrypt_key_file: one(options, "encrypt-key-file", file_name)?,
            require_encryption: one(options, "require-encryption", truth)?.unwrap_or(false),
            http_allow_hosts: all(options, "http-allow-host", value::web_host)?,
            log_format: one(options, "log-format", choice)?.unwrap_or(LogFormat::Text),
            log_level: one(options, "log-level", value::log_level)?.unwrap_or_else(value::usual_log_level),
        };
        config.founding_goes_together()?;
        config.goes_together()?;
        config.is_guarded()?;
        Ok(config)
    }

    fn founding_goes_together(&self) -> Result<(), ConfigError> {
        let together = |message: String| Err(ConfigError::Together(message));
        if let (Some(founders), Some(expect)) = (&self.founders, self.bootstrap_expect)
            && founders.ids().len() != usize::from(expect.get())
        {
            return together(format!(
                "--founders names {} servers, but --bootstrap-expect says {expect}: leave out --bootstrap-expect",
                founders.ids().len()
            ));
        }
        let founding = match (&self.founders, self.bootstrap_expect) {
            (Some(_), _) => Some("--founders"),
            (None, Some(_)) => Some("--bootstrap-expect"),
            (None, None) => None,
        };
        if let Some(founding) = founding.filter(|_| self.role == Role::Observer) {
            return together(format!(
                "{founding} is for servers, but this agent is an observer: leave it out, or leave out --role observer"
            ));
        }
        match self.admission {
            Admission::JoinOnly if self.founders.is_some() => together(
                "--founders names who founds, but --join-only founds nothing: leave out one of them"
                    .to_owned(),
            ),
            Admission::Only(id) if self.founders.is_some() => together(format!(
                "--founders names who founds, but --cluster-id {id} joins that cluster and founds nothing: leave out \
                 one of them"
            )),
            Admission::Found | Admission::JoinOnly | Admission::Only(_) => Ok(()),
        }
    }

    /// Nobody else may reach an API that asks for no token.
    fn is_guarded(&self) -> Result<(), ConfigError> {
        let exposed = self.http.iter().find(|http| http.is_exposed());
        match (exposed, &self.http_token_file) {
            (Some(HttpAddr::Tcp(addr)), None) => Err(ConfigError::Together(format!(
                "--http {addr} is no loopback address, and whoever reaches it could change things: give \
                 --http-token-file FILE, or listen on 127.0.0.1:{} or unix:PATH",
                addr.port()
            ))),
            _ => Ok(()),
        }
    }

    fn goes_together(&self) -> Result<(), ConfigError> {
        let together = |message: String| Err(ConfigError::Together(message));
        if self.bootstrap_expect == Some(NonZeroU16::MIN) && !self.retry_join.is_empty() {
            return together(
                "--bootstrap-expect 1 founds a cluster of one at once, but --join or --retry-join names others to \
                 join: leave out the seeds, or say how many servers found the cluster (3, for instance)"
                    .to_owned(),
            );
        }
        if self.require_encryption && self.encrypt_key_file.is_none() {
            return together(
                "--require-encryption needs --encrypt-key-file: make a key with `chronik-agent keygen`, or leave out \
                 --require-encryption"
                    .to_owned(),
            );
        }
        for http in &self.http {
            if let HttpAddr::Tcp(addr) = http
                && addr.port() == self.bind.port()
                && addr.port() != 0
                && (addr.ip() == self.bind.ip()
                    || addr.ip().is_unspecified()
                    || self.bind.ip().is_unspecified())
            {
                return together(format!(
                    "--http {addr} and --bind {} want the same port: give one of them another",
                    self.bind
                ));
            }
        }
        Ok(())
    }
}

fn any(port: u16) -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], port))
}

/// The value of a flag that is given at most once.
fn one<T>(
    options: &Options,
    flag: &'static str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, ConfigError> {
    Ok(all(options, flag, parse)?.pop())
}

/// The values of a flag, each checked.
fn all<T>(
    options: &Options,
    flag: &'static str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, ConfigError> {
    let Some(given) = options.get(flag) else {
        return Ok(Vec::new());
    };
    let parsed = given.values.iter().map(|value| {
        parse(value).map_err(|problem| ConfigError::Value {
            flag,
            value: value.clone(),
            origin: origin(flag, &given.origin),
            problem,
        })
    });
    parsed.collect()
}

fn origin(flag: &str, origin: &Origin) -> String {
    match origin {
        Origin::Flag => String::new(),
        Origin::Environment => format!(" (from {})", variable(flag)),
        Origin::File(path) => format!(" (from {})", path.display()),
    }
}

fn rule<T: std::str::FromStr<Err = InvalidName>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: InvalidName| format!("is no {}: write {}", error.what, error.rule))
}

fn choice<T: Choice>(text: &str) -> Result<T, String> {
    T::named(text).ok_or_else(|| {
        let words: Vec<_> = T::ALL.iter().map(|value| value.word()).collect();
        let all = words.join(", ");
        match nearest(text, words) {
            Some(near) => format!("is not one of {all}: did you mean `{near}`?"),
            None => format!("is not one of {all}"),
        }
    })
}

fn count(text: &str) -> Result<NonZeroU16, String> {
    text.parse().map_err(|_| {
        "is no number of servers: write 1 to 65535, usually 3 or 5, or leave the flag out never to found a cluster"
            .to_owned()
    })
}

fn seed_gate(text: &str) -> Result<SeedGate, String> {
    match text {
        "patient" => Ok(SeedGate::Patient),
        "strict" => Ok(SeedGate::Strict),
        _ => Err("is not one of patient, strict".to_owned()),
    }
}

fn founders(options: &Options) -> Result<Option<NamedFounders>, ConfigError> {
    let ids: Vec<NodeId> = all(options, "founders", |id| rule(id.trim()))?;
    let set: BTreeSet<NodeId> = ids.iter().copied().collect();
    if set.len() != ids.len() {
        let twice =
            ids.iter().enumerate().find(|(at, id)| ids.iter().take(*at).any(|earlier| earlier == *id));
        let twice = twice.map_or_else(String::new, |(_, id)| id.to_string());
        return Err(ConfigError::Together(format!(
            "--founders {twice} is given twice; name each founder once"
        )));
    }
    if set.is_empty() {
        return Ok(None);
    }
    set.try_into()
        .map(Some)
        .map_err(|error: NoFounders| ConfigError::Together(format!("--founders: {error}")))
}

/// Whether this agent may found; a cluster's id says that it joins, so that --join-only beside it says nothing more.
fn admission(options: &Options) -> Result<Admission, ConfigError> {
    let cluster_id = one(options, "cluster-id", rule)?;
    let join_only = one(options, "join-only", truth)?;
    Ok(match (cluster_id, join_only) {
        (Some(id), _) => Admission::Only(id),
        (None, Some(true)) => Admission::JoinOnly,
        (None, Some(false) | None) => Admission::Found,
    })
}

fn truth(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "is neither true nor false".to_owned())
}

fn node_name(options: &Options, host: &Host) -> Result<crate::node::NodeName, ConfigError> {
    if let Some(name) = one(options, "node-name", rule)? {
        return Ok(name);
    }
    host.name.parse().map_err(|_| {
        ConfigError::Together(format!(
            "the host's name {:?} cannot be a node name: give one with --node-name",
            host.name
        ))
    })
}

fn endpoints(options: &Options) -> Result<Vec<EndpointFlag>, ConfigError> {
    let endpoints = all(options, "endpoint", value::endpoint)?;
    for (at, endpoint) in endpoints.iter().enumerate() {
        if endpoints.iter().take(at).any(|earlier| earlier.name == endpoint.name) {
            return Err(ConfigError::Together(format!(
                "--endpoint {endpoint}: `{}` is given twice; give each endpoint one address",
                endpoint.name
            )));
        }
    }
    Ok(endpoints)
}

fn tags(options: &Options) -> Result<Tags, ConfigError> {
    let mut tags = Tags::new();
    for (key, value) in all(options, "tag", value::tag)? {
        if tags.contains_key(&key) {
            return Err(ConfigError::Together(format!(
                "--tag {key}={value}: `{key}` is given twice; give each tag one value"
            )));
        }
        tags.insert(key, value);
    }
    Ok(tags)
}

fn http(options: &Options) -> Result<Vec<HttpAddr>, ConfigError> {
    let http = all(options, "http", value::http)?;
    let default = || vec![HttpAddr::Tcp(SocketAddr::from(([127, 0, 0, 1], DEFAULT_HTTP_PORT)))];
    Ok(if http.is_empty() { default() } else { http })
}

fn file_name(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("names no file".to_owned()) } else { Ok(PathBuf::from(text)) }
}

fn state_dir(options: &Options, host: &Host) -> Result<PathBuf, ConfigError> {
    let parse = |text: &str| match text {
        "" => Err("names no directory".to_owned()),
        text => Ok(PathBuf::from(text)),
    };
    one(options, "state-dir", parse)?.or_else(|| host.state_dir()).ok_or_else(|| {
        ConfigError::Together(
            "no place for the agent's records: neither HOME nor XDG_STATE_HOME is set; give --state-dir DIR"
                .to_owned(),
        )
    })
}

fn seeds(options: &Options) -> Result<Vec<Spec>, ConfigError> {
    let mut specs = Vec::new();
    if let Some(given) = options.get("retry-join") {
        for (at, text) in given.values.iter().enumerate() {
            specs.push(Spec::parse(text).map_err(|error| ConfigError::Spec {
                number: at + 1,
                origin: origin("retry-join", &given.origin),
                error,
            })?);
        }
    }
    let addrs = all(options, "join", |addr| {
        value::gossip_addr(addr.trim()).map(|addr| addr.to_string()).ok_or_else(|| {
            "is no address; write 10.0.0.1 or 10.0.0.1:7946; for a name use --retry-join".to_owned()
        })
    })?;
    if !addrs.is_empty() {
        specs.push(listed(&addrs));
    }
    Ok(specs)
}

fn listed(addrs: &[String]) -> Spec {
    Spec::parse(&addrs.join(",")).expect("a list of addresses is a spec")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Host {
        Host { name: "box".to_owned(), is_root: false, xdg_state_home: None, home: Some("/home/me".into()) }
    }

    const ID: &str = "0191b3a0-0000-7000-8000-000000000001";

    #[test]
    fn the_founding_is_narrowed() {
        let config = resolve([("founders", ID), ("seed-gate", "strict")]).unwrap();
        assert_eq!(config.terms().map(|terms| terms.expect()), Some(1));
        assert_eq!((config.seed_gate, config.admission), (SeedGate::Strict, Admission::Found));
        let joins = |flags: &[(&str, &str)]| resolve(flags.iter().copied()).unwrap().admission;
        assert_eq!(joins(&[("join-only", "true"), ("bootstrap-expect", "3")]), Admission::JoinOnly);
        assert_eq!(joins(&[("join-only", "false")]), Admission::Found);
        let only = Admission::Only(ID.parse().unwrap());
        assert_eq!(joins(&[("cluster-id", ID), ("join-only", "true")]), only);
        assert_eq!(
            resolve([("join-only", "yes")]).unwrap_err(),
            "--join-only \"yes\" is neither true nor false"
        );
        let expected =
            "--cluster-id \"x\" is no cluster id: write a UUID as `chronik-agent bootstrap` prints it";
        assert_eq!(resolve([("cluster-id", "x")]).unwrap_err(), expected);
    }

    fn resolve<'a>(flags: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Config, String> {
        Config::resolve(&Options::from_flags(flags), &host()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_api_for_others_needs_a_token_file() {
        let guarded = |http: &str| resolve([("http", http), ("http-token-file", "/t")]).is_ok();
        let open = |http: &str| resolve([("http", http)]).is_ok();
        for http in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "unix:/x"] {
            assert!(open(http) && guarded(http), "{http}");
        }
        for http in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[::ffff:10.0.0.1]:1"] {
            assert!(!open(http) && guarded(http), "{http}");
        }
        assert!(resolve([("http", "127.0.0.1:1"), ("http", "10.0.0.1:1")]).is_err());
    }

    #[test]
    fn a_printed_configuration_holds_no_secret() {
        let spec = "provider=aws tag_key=a tag_value=b access_key_id=AKIA secret_access_key=hush-hush";
        // A build without that provider refuses the spec, and prints no more of it.
        let config = resolve([("retry-join", spec), ("http-token-file", "/t")]);
        let printed = format!("{config:?}");
        assert!(printed.contains("retry") && !printed.contains("hush-hush"), "{printed}");
    }

    #[test]
    fn nothing_given_is_a_whole_configuration() {
        let config = resolve([]).unwrap();
        assert_eq!(config.cluster.as_str(), "chronik");
        assert_eq!(config.node_name.as_str(), "box");
        assert_eq!(config.bind, "0.0.0.0:7946".parse().unwrap());
        assert_eq!(config.http, [HttpAddr::Tcp("127.0.0.1:7947".parse().unwrap())]);
        assert_eq!(config.state_dir, PathBuf::from("/home/me/.local/state/chronik-agent"));
        assert_eq!(config.bootstrap_expect, None);
        assert!(config.retry_join.is_empty());
    }

    #[test]
    fn the_state_dir_follows_who_runs_the_agent() {
        let xdg = Some(PathBuf::from("/xdg"));
        let user = Host { xdg_state_home: xdg, ..host() };
        assert_eq!(user.state_dir(), Some("/xdg/chronik-agent".into()));
        let root = Host { is_root: true, ..user };
        assert_eq!(root.state_dir(), Some("/var/lib/chronik-agent".into()));
        let nobody = Host { home: None, ..host() };
        let error = Config::resolve(&Options::default(), &nobody).unwrap_err().to_string();
        assert!(error.ends_with("give --state-dir DIR"), "{error}");
    }

    #[test]
    fn join_is_one_more_spec() {
        let flags = [("retry-join", "10.0.0.9"), ("join", "10.0.0.1"), ("join", "10.0.0.2:9")];
        let specs = resolve(flags).unwrap().seed_specs();
        assert_eq!(
            specs,
            ["provider=static addrs=10.0.0.9", "provider=static addrs=10.0.0.1:7946,10.0.0.2:9"]
        );
    }

    #[test]
    fn a_wrong_spec_is_named_by_its_place() {
        let error =
            resolve([("retry-join", "10.0.0.9"), ("retry-join", "provider=sttic addrs=a")]).unwrap_err();
        let expected = "--retry-join number 2: unknown provider `sttic`";
        assert!(error.starts_with(expected), "{error}");
    }

    #[test]
    fn every_message_names_flag_value_and_remedy() {
        for (flag, value, expected) in [
            (
                "cluster",
                "two words",
                r#"--cluster "two words" is no cluster name: write 1 to 32 of the characters a-z A-Z 0-9 - _ ."#,
            ),
            ("role", "sever", r#"--role "sever" is not one of server, observer: did you mean `server`?"#),
            ("profile", "moon", r#"--profile "moon" is not one of local, lan, wan"#),
            (
                "bootstrap-expect",
                "0",
                "--bootstrap-expect \"0\" is no number of servers: write 1 to 65535, usually 3 or 5, or leave the flag \
                 out never to found a cluster",
            ),
            (
                "join",
                "db1",
                "--join \"db1\" is no address; write 10.0.0.1 or 10.0.0.1:7946; for a name use --retry-join",
            ),
            (
                "join",
                "10.0.0.1:0",
                "--join \"10.0.0.1:0\" is no address; write 10.0.0.1 or 10.0.0.1:7946; for a name use --retry-join",
            ),
            (
                "endpoint",
                "raft=10.0.0.256:5001",
                "--endpoint \"raft=10.0.0.256:5001\" has no valid host: `10.0.0.256` is no IPv4 address: write four \
                 numbers from 0 to 255 with dots between them",
            ),
            (
                "endpoint",
                "raft=-x:5001",
                "--endpoint \"raft=-x:5001\" has no valid host: `-x` is no host name: labels of 1 to 63 letters, digits, \
                 `-` and `_` with dots between them, 253 characters at most (international names in their xn-- form)",
            ),
            (
                "http-allow-host",
                "http://x:1",
                "--http-allow-host \"http://x:1\" is no host name; write it without scheme and port, such as \
                 node-1.example.com",
            ),
        ] {
            assert_eq!(resolve([(flag, value)]).unwrap_err(), expected);
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for (flags, expected) in [
            (
                vec![("bootstrap-expect", "1"), ("join", "10.0.0.1")],
                "--bootstrap-expect 1 founds a cluster of one at once, but",
            ),
            (vec![("bootstrap-expect", "3"), ("role", "observer")], "--bootstrap-expect is for servers, but"),
            (
                vec![("founders", ID), ("role", "observer")],
                "--founders is for servers, but this agent is an observer",
            ),
            (
                vec![("founders", ID), ("bootstrap-expect", "3")],
                "--founders names 1 servers, but --bootstrap-expect says 3",
            ),
            (
                vec![("founders", ID), ("founders", ID)],
                "--founders 0191b3a0-0000-7000-8000-000000000001 is given",
            ),
            (
                vec![("founders", ID), ("join-only", "true")],
                "--founders names who founds, but --join-only founds nothing",
            ),
            (
                vec![("founders", ID), ("cluster-id", ID)],
                "--founders names who founds, but --cluster-id 0191b3a0-0000-7000-8000-000000000001 joins",
            ),
            (
                vec![("http", "127.0.0.1:7946")],
                "--http 127.0.0.1:7946 and --bind 0.0.0.0:7946 want the same port",
            ),
            (vec![("tag", "zone=a"), ("tag", "zone=b")], "--tag zone=b: `zone` is given twice"),
            (
                vec![("endpoint", "raft=:1"), ("endpoint", "raft=h:2")],
                "--endpoint raft=h:2: `raft` is given twice",
            ),
        ] {
            let error = resolve(flags).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
