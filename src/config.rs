//! The whole configuration, checked once. Flags, environment and file become a `Config` here, in which nothing later can
//! find a mistake.

mod address;
mod choices;
mod draft;
mod environment;
mod error;
mod file;
mod flag;
mod flags;
mod host;
mod options;
mod replacement;
mod rules;
pub(crate) mod value;

use std::{ops::Deref, path::PathBuf, time::Duration};

use chronik_providers::Spec;

pub use self::{
    address::{Advertise, DEFAULT_GOSSIP_PORT, DEFAULT_HTTP_PORT, EndpointFlag, HttpAddr},
    choices::{LogFormat, Profile},
    draft::Draft,
    error::ConfigError,
    flag::{Flag, variable},
    flags::FLAGS,
    host::Host,
    options::Options,
    replacement::ReplaceFailed,
};
use crate::{
    bootstrap::{Admission, Terms},
    node::NodeName,
};

/// The longest time that a graceful stop may take in all.
pub const LEAVE_WITHIN: Duration = Duration::from_secs(3);

/// A complete configuration of the agent, whose values go together.
///
/// It has the fields of the [`Draft`] it was made of, and of those that depend on the host or on each other the final
/// values. Only [`Config::new`] makes one, so that no function that takes one need check anything.
#[derive(Debug)]
pub struct Config {
    draft: Draft,
    /// `--node-name`, or the host's name.
    pub node_name: NodeName,
    /// `--state-dir`, or the usual place on this host.
    pub state_dir: PathBuf,
    /// `--retry-join`, and `--join` as one more.
    pub retry_join: Vec<Spec>,
    /// Permission to bootstrap a cluster: `--join-only` and `--cluster-id` take it away.
    pub admission: Admission,
    /// Variables of the environment that begin like those of the flags and set none of them.
    pub ignored_variables: Vec<String>,
}

/// The values are read like fields of the configuration, and cannot be changed any more.
impl Deref for Config {
    type Target = Draft;

    fn deref(&self) -> &Draft {
        &self.draft
    }
}

impl Config {
    /// Reads the file of `--config`, if one is given, and checks everything.
    ///
    /// # Errors
    /// The first mistake, with flag, value and remedy.
    pub fn load(mut options: Options, host: &Host) -> Result<Self, ConfigError> {
        environment::check(&host.variables)?;
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
        let mut draft = Draft::default();
        options.set(&mut draft)?;
        Self::new(draft, host)
    }

    /// Checks that the values go together, and takes from `host` those that are missing.
    ///
    /// # Errors
    /// The first mistake, with flag, value and remedy.
    pub fn new(draft: Draft, host: &Host) -> Result<Self, ConfigError> {
        rules::check(&draft)?;
        let draft = with_endpoints_of_server(draft);
        Ok(Self {
            node_name: node_name(&draft, host)?,
            state_dir: state_dir(&draft, host)?,
            retry_join: retry_join(&draft)?,
            admission: admission(&draft),
            ignored_variables: environment::unknown(&host.variables).map(str::to_owned).collect(),
            draft,
        })
    }

    /// The terms on which this agent takes part in a founding; `None`: it never bootstraps.
    pub fn terms(&self) -> Option<Terms> {
        let named = self.founders.clone().map(Terms::Named);
        named.or(self.bootstrap_expect.map(Terms::Count))
    }

    /// The specs with their secrets masked.
    pub fn seed_specs(&self) -> Vec<String> {
        self.retry_join.iter().map(ToString::to_string).collect()
    }
}

/// The draft with the endpoints that a server of its kind has, as far as it does not name them itself.
fn with_endpoints_of_server(mut draft: Draft) -> Draft {
    for endpoint in draft.server.iter().flat_map(|server| server.kind().facts().endpoints) {
        let is_named = |given: &EndpointFlag| endpoint.names.contains(&given.name.as_str());
        let name = endpoint.names.first().and_then(|name| name.parse().ok());
        if let Some(name) = name.filter(|_| !draft.endpoints.iter().any(is_named)) {
            draft.endpoints.push(EndpointFlag { name, host: None, port: endpoint.port });
        }
    }
    draft
}

fn node_name(draft: &Draft, host: &Host) -> Result<NodeName, ConfigError> {
    if let Some(name) = &draft.node_name {
        return Ok(name.clone());
    }
    host.name.parse().map_err(|_| {
        ConfigError::Together(format!(
            "the host's name {:?} cannot be a node name: give one with --node-name",
            host.name
        ))
    })
}

fn state_dir(draft: &Draft, host: &Host) -> Result<PathBuf, ConfigError> {
    draft.state_dir.clone().or_else(|| host.state_dir()).ok_or_else(|| {
        ConfigError::Together(
            "no place for the agent's records: neither HOME nor XDG_STATE_HOME is set; give --state-dir DIR"
                .to_owned(),
        )
    })
}

fn retry_join(draft: &Draft) -> Result<Vec<Spec>, ConfigError> {
    let mut specs = draft.retry_join.clone();
    if !draft.join.is_empty() {
        let listed = Spec::of_addrs(&draft.join);
        specs.push(listed.map_err(|error| ConfigError::Together(format!("--join: {error}")))?);
    }
    Ok(specs)
}

/// A cluster's id says that this agent joins, so that `--join-only` beside it says nothing more.
fn admission(draft: &Draft) -> Admission {
    match (draft.cluster_id, draft.join_only) {
        (Some(id), _) => Admission::Only(id),
        (None, true) => Admission::JoinOnly,
        (None, false) => Admission::Found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootstrap::SeedGate;

    fn host() -> Host {
        let home = Some("/home/me".into());
        Host { name: "box".to_owned(), is_root: false, xdg_state_home: None, home, variables: vec![] }
    }

    const ID: &str = "0191b3a0-0000-7000-8000-000000000001";

    #[test]
    fn the_founding_is_narrowed() {
        let config = resolve([("founders", ID), ("seed-gate", "strict")]).unwrap();
        assert_eq!(config.terms().map(|terms| terms.expect()), Some(1));
        assert_eq!((config.seed_gate, config.admission), (SeedGate::Strict, Admission::Found));
        let joins = |flags: &[(&str, &str)]| resolve(flags.iter().copied()).unwrap().admission;
        // One file for all: the count is the cluster's.
        assert_eq!(joins(&[("join-only", "true"), ("bootstrap-expect", "3")]), Admission::JoinOnly);
        let alone = [("join-only", "true"), ("bootstrap-expect", "1"), ("join", "10.0.0.1")];
        assert_eq!(joins(&alone), Admission::JoinOnly);
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
        let draft = Config::new(Draft::default(), &host()).unwrap();
        assert_eq!(format!("{draft:?}"), format!("{config:?}"), "a draft has the same defaults");
    }

    #[test]
    fn a_draft_is_held_to_the_rules_of_the_command_line() {
        let exposed = vec![HttpAddr::Tcp("10.0.0.1:1".parse().unwrap())];
        let error = Config::new(Draft { http: exposed, ..Draft::default() }, &host()).unwrap_err();
        assert!(error.to_string().starts_with("--http 10.0.0.1:1 is no loopback address"), "{error}");
        let join = vec!["10.0.0.1:0".parse().unwrap()];
        let error = Config::new(Draft { join, ..Draft::default() }, &host()).unwrap_err();
        let expected =
            "--join: provider=static: addrs: `10.0.0.1:0` has a bad port: a port is a number from 1 to 65535";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn the_host_s_name_and_directory_are_taken_unless_others_are_given() {
        let draft = || Draft { node_name: Some("n1".parse().unwrap()), ..Draft::default() };
        let bad_name = Host { name: "\n".to_owned(), ..host() };
        assert_eq!(Config::new(draft(), &bad_name).unwrap().node_name.as_str(), "n1");
        let error = Config::new(Draft::default(), &bad_name).unwrap_err().to_string();
        assert_eq!(error, "the host's name \"\\n\" cannot be a node name: give one with --node-name");
        let elsewhere = Draft { state_dir: Some("/s".into()), ..Draft::default() };
        assert_eq!(Config::new(elsewhere, &host()).unwrap().state_dir, PathBuf::from("/s"));
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
    fn too_many_addresses_to_join_are_refused() {
        let addrs: Vec<_> = (1..=257).map(|port| format!("10.0.0.1:{port}")).collect();
        let error = resolve(addrs.iter().map(|addr| ("join", addr.as_str()))).unwrap_err();
        let expected =
            "--join: provider=static: addrs lists 257 addresses: 256 at most, and a few are enough";
        assert_eq!(error, expected);
    }

    #[test]
    fn a_server_brings_its_endpoints_where_they_are_not_given() {
        let endpoints = |flags: &[(&str, &str)]| {
            let config = resolve(flags.iter().copied()).unwrap();
            config.endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(endpoints(&[("server", "etcd")]), "peer=:2380 client=:2379");
        assert_eq!(
            endpoints(&[("server", "etcd"), ("endpoint", "etcd-peer=db1:1")]),
            "etcd-peer=db1:1 client=:2379"
        );
        assert_eq!(endpoints(&[]), "");
        let error = resolve([("server", "ectd")]).unwrap_err();
        assert_eq!(error, "--server \"ectd\" is no kind of server: did you mean `etcd`?");
        let error = resolve([("server", "etcd"), ("role", "observer")]).unwrap_err();
        assert!(error.starts_with("--server etcd=http://127.0.0.1:2379 is the server beside"), "{error}");
        let error = resolve([("server", "etcd=https://127.0.0.1:1")]).unwrap_err();
        let needs =
            if cfg!(feature = "tls") { "needs --server-ca-file FILE" } else { "needs TLS, which this build" };
        assert!(error.contains(needs), "{error}");
        let error = resolve([("server-key-file", "/k")]).unwrap_err();
        assert!(error.starts_with("--server-cert-file and --server-key-file go together"), "{error}");
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
                 out never to bootstrap a cluster",
            ),
            (
                "join",
                "db1",
                "--join \"db1\" is no address; write 10.0.0.1 or 10.0.0.1:7946; for a name use --retry-join",
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
                "--bootstrap-expect 1 bootstraps a cluster of one at once, but",
            ),
            (
                vec![("require-encryption", "true")],
                "--require-encryption needs --encrypt-key-file: make a key with `chronik-agent keygen`",
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
                "--founders names who bootstraps the cluster, but --join-only bootstraps none: leave out --join-only",
            ),
            (
                vec![("founders", ID), ("cluster-id", ID)],
                "--founders names who bootstraps the cluster, but --cluster-id 0191b3a0-0000-7000-8000-000000000001 joins",
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
