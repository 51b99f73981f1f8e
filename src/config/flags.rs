//! The one table of flags. The command line, the environment variables, the keys of the file, the help text and the
//! configuration are all made from it, so that they cannot drift apart.

use std::collections::BTreeSet;

use chronik_providers::Spec;

use super::{
    draft::Draft,
    error::ConfigError,
    flag::{
        Flag, Given,
        Split::{Comma, InVariable},
        Takes,
    },
    value,
};
use crate::{
    bootstrap::{NoFounders, SeedGate},
    choice::Choice as _,
    node::NodeId,
};

/// Every setting, in the order of the help text.
pub const FLAGS: &[Flag] = &[
    Flag {
        name: "retry-join",
        takes: Takes::Many("SPEC", InVariable(';')),
        help: "Where to find other agents, asked for ever: `provider=NAME key=value…` or a list of addresses. \
               Repeatable; several in the environment variable are separated by `;`",
        default: None,
        set: set_retry_join,
        show: |draft| texts(&draft.retry_join),
    },
    Flag {
        name: "join",
        takes: Takes::Many("ADDR", Comma),
        help: "Addresses of other agents, comma-separated: short for a static --retry-join. Repeatable",
        default: None,
        set: |draft, given| given.many(&mut draft.join, value::seed_addr),
        show: |draft| texts(&draft.join),
    },
    Flag {
        name: "bootstrap-expect",
        takes: Takes::One("N"),
        help: "How many servers bootstrap the cluster. An agent with --join-only or --cluster-id bootstraps none \
               whatever this says, so that one configuration can serve all",
        default: Some("unset, never bootstrap one"),
        set: |draft, given| given.some(&mut draft.bootstrap_expect, value::count),
        show: |draft| texts(draft.bootstrap_expect),
    },
    Flag {
        name: "founders",
        takes: Takes::Many("ID", Comma),
        help: "Exactly these nodes bootstrap the cluster, instead of any --bootstrap-expect of them; the ids are those \
               that `members` lists",
        default: None,
        set: set_founders,
        show: |draft| texts(draft.founders.iter().flat_map(|founders| founders.ids())),
    },
    Flag {
        name: "cluster-id",
        takes: Takes::One("ID"),
        help: "Join the cluster with this id, and bootstrap none",
        default: Some("any, or bootstrap one"),
        set: |draft, given| given.some(&mut draft.cluster_id, value::rule),
        show: |draft| texts(draft.cluster_id),
    },
    Flag {
        name: "join-only",
        takes: Takes::Switch,
        help: "Join a cluster that others bootstrap, and bootstrap none",
        default: None,
        set: |draft, given| given.one(&mut draft.join_only, value::truth),
        show: |draft| texts(draft.join_only.then_some(true)),
    },
    Flag {
        name: "seed-gate",
        takes: Takes::One("GATE"),
        help: "What an address means that a provider lists and nobody answers from: `patient` bootstraps without it \
               after a while, `strict` never does",
        default: None,
        set: |draft, given| given.one(&mut draft.seed_gate, value::seed_gate),
        show: |draft| match draft.seed_gate {
            SeedGate::Patient => texts(["patient"]),
            SeedGate::Strict => texts(["strict"]),
        },
    },
    Flag {
        name: "role",
        takes: Takes::One("ROLE"),
        help: "`server`, or `observer`: gossips and answers queries, but is no voter",
        default: None,
        set: |draft, given| given.one(&mut draft.role, value::choice),
        show: |draft| texts([draft.role.word()]),
    },
    Flag {
        name: "cluster",
        takes: Takes::One("NAME"),
        help: "Agents of different clusters never merge",
        default: None,
        set: |draft, given| given.one(&mut draft.cluster, value::rule),
        show: |draft| texts([&draft.cluster]),
    },
    Flag {
        name: "node-name",
        takes: Takes::One("NAME"),
        help: "A name for people, better unique",
        default: Some("the host's name"),
        set: |draft, given| given.some(&mut draft.node_name, value::rule),
        show: |draft| texts(&draft.node_name),
    },
    Flag {
        name: "endpoint",
        takes: Takes::Pairs("NAME=[HOST]:PORT", Comma),
        help: "An address of the co-located server to publish, such as `raft=:5001`; the host defaults to the \
               advertised one. Repeatable",
        default: None,
        set: |draft, given| given.many(&mut draft.endpoints, value::endpoint),
        show: |draft| texts(&draft.endpoints),
    },
    Flag {
        name: "server",
        takes: Takes::One("KIND[=URL]|hooks=DIR"),
        help: "The kind of the co-located server, and where it is asked: `etcd`, or `hooks`, programs in a directory. The agent then publishes its endpoints, and \
               reports itself what the server says of its members",
        default: Some("none: the server reports itself"),
        set: |draft, given| given.some(&mut draft.server, value::server),
        show: |draft| texts(&draft.server),
    },
    Flag {
        name: "server-ca-file",
        takes: Takes::One("FILE"),
        help: "Certificates in PEM that prove the server beside this agent, where --server asks it by https",
        default: None,
        set: |draft, given| given.some(&mut draft.server_tls.ca, value::file_name),
        show: |draft| texts(draft.server_tls.ca.iter().map(|path| path.display())),
    },
    Flag {
        name: "server-cert-file",
        takes: Takes::One("FILE"),
        help: "A certificate in PEM that the agent shows to that server, with those that prove it",
        default: None,
        set: |draft, given| given.some(&mut draft.server_tls.cert, value::file_name),
        show: |draft| texts(draft.server_tls.cert.iter().map(|path| path.display())),
    },
    Flag {
        name: "server-key-file",
        takes: Takes::One("FILE"),
        help: "The key in PEM of --server-cert-file",
        default: None,
        set: |draft, given| given.some(&mut draft.server_tls.key, value::file_name),
        show: |draft| texts(draft.server_tls.key.iter().map(|path| path.display())),
    },
    Flag {
        name: "voters",
        takes: Takes::One("N"),
        help: "How many servers vote at most, an odd number, where the agents change the members (--server); the others run \
               without a vote, or wait",
        default: Some("all, or as many as bootstrap where servers without a vote cannot run"),
        set: |draft, given| given.some(&mut draft.voters, value::voters),
        show: |draft| texts(draft.voters),
    },
    Flag {
        name: "replace-failed",
        takes: Takes::One("DURATION|never"),
        help: "How long a voter is gone before one that waits takes its place",
        default: None,
        set: |draft, given| given.one(&mut draft.replace_failed, value::replace_failed),
        show: |draft| texts([draft.replace_failed]),
    },
    Flag {
        name: "tag",
        takes: Takes::Pairs("KEY=VALUE", InVariable(',')),
        help: "Free metadata for the others to see. Repeatable; several in the environment variable are separated by \
               `,`",
        default: None,
        set: set_tags,
        show: |draft| texts(draft.tags.iter().map(|(key, value)| format!("{key}={value}"))),
    },
    Flag {
        name: "bind",
        takes: Takes::One("ADDR[:PORT]"),
        help: "Where to gossip, UDP and TCP on the same port",
        default: None,
        set: |draft, given| given.one(&mut draft.bind, value::bind),
        show: |draft| texts([draft.bind]),
    },
    Flag {
        name: "advertise",
        takes: Takes::One("ADDR[:PORT]"),
        help: "The address given to the others; an interface (`eth0`) or network (`10.0.0.0/8`) picks this host's \
               first address there",
        default: Some("worked out, and logged with its reason"),
        set: |draft, given| given.some(&mut draft.advertise, value::advertise),
        show: |draft| texts(&draft.advertise),
    },
    Flag {
        name: "http",
        takes: Takes::Many("ADDR:PORT|unix:PATH", Comma),
        help: "Where the local API listens. Repeatable",
        default: None,
        set: |draft, given| given.many(&mut draft.http, value::http),
        show: |draft| {
            texts(draft.http.iter().map(|at| at.to_string().trim_start_matches("http://").to_owned()))
        },
    },
    Flag {
        name: "http-allow-host",
        takes: Takes::Many("NAME", Comma),
        help: "A further host name by which the local API may be asked, such as the one that a metrics collector uses. \
               Repeatable",
        default: None,
        set: |draft, given| given.many(&mut draft.http_allow_hosts, value::web_host),
        show: |draft| texts(&draft.http_allow_hosts),
    },
    Flag {
        name: "http-token-file",
        takes: Takes::One("FILE"),
        help: "A file with one line, the token that changes need over the local API, and everything where --http is no \
               loopback address",
        default: Some("none; everybody on this host may change things"),
        set: |draft, given| given.some(&mut draft.http_token_file, value::file_name),
        show: |draft| texts(draft.http_token_file.iter().map(|path| path.display())),
    },
    Flag {
        name: "state-dir",
        takes: Takes::One("DIR"),
        help: "Where identity and memory are kept over restarts",
        default: Some("/var/lib/chronik-agent as root, else $XDG_STATE_HOME/chronik-agent"),
        set: |draft, given| given.some(&mut draft.state_dir, value::directory),
        show: |draft| texts(draft.state_dir.iter().map(|path| path.display())),
    },
    Flag {
        name: "encrypt-key-file",
        takes: Takes::One("FILE"),
        help: "Keys that gossip is encrypted with, one a line as `keygen` prints them: the first one sends, all are \
               understood. Read again when it changes and on SIGHUP",
        default: Some("not encrypted"),
        set: |draft, given| given.some(&mut draft.encrypt_key_file, value::file_name),
        show: |draft| texts(draft.encrypt_key_file.iter().map(|path| path.display())),
    },
    Flag {
        name: "require-encryption",
        takes: Takes::Switch,
        help: "Refuse to start without --encrypt-key-file",
        default: None,
        set: |draft, given| given.one(&mut draft.require_encryption, value::truth),
        show: |draft| texts(draft.require_encryption.then_some(true)),
    },
    Flag {
        name: "profile",
        takes: Takes::One("PROFILE"),
        help: "Protocol timing: `local`, `lan` or `wan`",
        default: None,
        set: |draft, given| given.one(&mut draft.profile, value::choice),
        show: |draft| texts([draft.profile.word()]),
    },
    Flag {
        name: "log-format",
        takes: Takes::One("FORMAT"),
        help: "Logs on standard error: `text` or `json`",
        default: None,
        set: |draft, given| given.one(&mut draft.log_format, value::choice),
        show: |draft| texts([draft.log_format.word()]),
    },
    Flag {
        name: "log-level",
        takes: Takes::One("LEVEL"),
        help: "`error`, `warn`, `info`, `debug`, `trace`, `off`, or directives such as `info,chronik_agent=debug`",
        default: None,
        set: |draft, given| given.one(&mut draft.log_level, value::log_level),
        show: |draft| texts([&draft.log_level]),
    },
];

/// The flag of that name.
pub(super) fn named(name: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.name == name)
}

fn texts<T: ToString>(values: impl IntoIterator<Item = T>) -> Vec<String> {
    values.into_iter().map(|value| value.to_string()).collect()
}

/// Specs may hold secrets, so that an error shows the place of one and not its text.
fn set_retry_join(draft: &mut Draft, given: &Given) -> Result<(), ConfigError> {
    let spec = |(number, text): (usize, &String)| {
        Spec::parse(text).map_err(|error| ConfigError::Spec { number, origin: given.origin(), error })
    };
    draft.retry_join = (1..).zip(&given.values).map(spec).collect::<Result<_, _>>()?;
    Ok(())
}

fn set_founders(draft: &mut Draft, given: &Given) -> Result<(), ConfigError> {
    let mut founders = BTreeSet::new();
    for id in given.all(|id| value::rule::<NodeId>(id.trim()))? {
        if !founders.insert(id) {
            let problem = format!("--founders {id} is given twice; name each founder once");
            return Err(ConfigError::Together(problem));
        }
    }
    if founders.is_empty() {
        return Ok(());
    }
    let refused = |error: NoFounders| ConfigError::Together(format!("--founders: {error}"));
    draft.founders = Some(founders.try_into().map_err(refused)?);
    Ok(())
}

fn set_tags(draft: &mut Draft, given: &Given) -> Result<(), ConfigError> {
    for (key, value) in given.all(value::tag)? {
        if draft.tags.contains_key(&key) {
            return Err(ConfigError::Together(format!(
                "--tag {key}={value}: `{key}` is given twice; give each tag one value"
            )));
        }
        draft.tags.insert(key, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::flag::Origin;

    const ID: &str = "0191b3a0-0000-7000-8000-000000000001";

    /// Texts for each flag, as it shows them.
    const SAMPLES: &[(&str, &[&str])] = &[
        ("retry-join", &["provider=static addrs=10.0.0.9", "provider=static addrs=a,b:1"]),
        ("join", &["10.0.0.1:7946", "[::1]:9"]),
        ("bootstrap-expect", &["3"]),
        ("founders", &[ID]),
        ("cluster-id", &[ID]),
        ("join-only", &["true"]),
        ("seed-gate", &["strict"]),
        ("role", &["observer"]),
        ("cluster", &["blue"]),
        ("node-name", &["box"]),
        ("endpoint", &["raft=:5001", "kafka=db1.example.com:9092"]),
        ("server", &["etcd=http://127.0.0.1:4001"]),
        ("server-ca-file", &["/ca"]),
        ("server-cert-file", &["/cert"]),
        ("server-key-file", &["/key"]),
        ("voters", &["5"]),
        ("replace-failed", &["never"]),
        ("tag", &["rack=", "zone=a=b"]),
        ("bind", &["[::]:1"]),
        ("advertise", &["eth0:9"]),
        ("http", &["127.0.0.1:1", "unix:/x"]),
        ("http-allow-host", &["node-1.example.com"]),
        ("http-token-file", &["/t"]),
        ("state-dir", &["/state"]),
        ("encrypt-key-file", &["/k"]),
        ("require-encryption", &["true"]),
        ("profile", &["wan"]),
        ("log-format", &["json"]),
        ("log-level", &["chronik_agent=debug,info"]),
    ];

    #[test]
    fn every_flag_shows_what_it_is_set_to_and_sets_nothing_else() {
        let names: Vec<_> = FLAGS.iter().map(|flag| flag.name).collect();
        assert_eq!(names, SAMPLES.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        for (flag, (_, sample)) in FLAGS.iter().zip(SAMPLES) {
            let mut draft = Draft::default();
            let given = Given { flag: flag.name, values: texts(*sample), origin: Origin::Flag };
            (flag.set)(&mut draft, &given).unwrap();
            assert_eq!(flag.show(&draft), *sample, "{}", flag.name);
            assert_ne!(flag.show(&Draft::default()), *sample, "{} has a sample like its default", flag.name);
            for other in FLAGS.iter().filter(|other| other.name != flag.name) {
                let changed = format!("{} changes {}", flag.name, other.name);
                assert_eq!(other.show(&draft), other.show(&Draft::default()), "{changed}");
            }
        }
    }

    #[test]
    fn an_empty_list_leaves_the_default() {
        for flag in FLAGS.iter().filter(|flag| matches!(flag.takes, Takes::Many(..) | Takes::Pairs(..))) {
            let mut draft = Draft::default();
            let given = Given { flag: flag.name, values: Vec::new(), origin: Origin::Flag };
            (flag.set)(&mut draft, &given).unwrap();
            assert_eq!(flag.show(&draft), flag.show(&Draft::default()), "{}", flag.name);
        }
    }

    #[test]
    fn defaults_are_shown_in_the_help() {
        let help = |name: &str| named(name).unwrap().help();
        assert!(help("bind").ends_with("on the same port [default: 0.0.0.0:7946]"));
        assert!(help("http").ends_with(" [default: 127.0.0.1:7947]"));
        assert!(help("log-level").ends_with(" [default: info]"));
        assert!(help("node-name").ends_with(" [default: the host's name]"));
        assert!(!help("join-only").contains("default") && !help("tag").contains("default"));
        assert_eq!(named("retry-join").unwrap().variable(), "CHRONIK_AGENT_RETRY_JOIN");
    }
}
