//! The one table of flags. The command line, the environment variables, the keys of the file and the help text are all
//! made from it, so that they cannot drift apart.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use clap::{Arg, ArgAction, ArgMatches, Command, parser::ValueSource};

/// One setting of the agent.
#[derive(Debug)]
pub struct Flag {
    /// The name on the command line, without the dashes, and the key in the file.
    pub name: &'static str,
    /// What stands for the value in the help text.
    value_name: &'static str,
    /// May be given more than once.
    pub many: bool,
    /// What separates several values in one text, on the command line and in the environment.
    comma: bool,
    /// Is there or not: its value may be left out on the command line.
    pub switch: bool,
    /// The help text.
    help: &'static str,
}

const fn one(name: &'static str, value_name: &'static str, help: &'static str) -> Flag {
    Flag { name, value_name, many: false, comma: false, switch: false, help }
}

const fn many(name: &'static str, value_name: &'static str, comma: bool, help: &'static str) -> Flag {
    Flag { name, value_name, many: true, comma, switch: false, help }
}

const fn switch(name: &'static str, help: &'static str) -> Flag {
    Flag { name, value_name: "true|false", many: false, comma: false, switch: true, help }
}

/// Every setting, in the order of the help text.
pub const FLAGS: &[Flag] = &[
    many(
        "retry-join",
        "SPEC",
        false,
        "Where to find other agents, asked for ever: `provider=NAME key=value…` or a list of addresses. \
         Repeatable; several in the environment variable are separated by `;`",
    ),
    many(
        "join",
        "ADDR",
        true,
        "Addresses of other agents, comma-separated: short for a static --retry-join. Repeatable",
    ),
    one("bootstrap-expect", "N", "How many servers found the cluster [default: unset, never found one]"),
    many(
        "founders",
        "ID",
        true,
        "Exactly these nodes found the cluster, instead of any --bootstrap-expect of them; the ids are those that \
         `members` lists",
    ),
    one("cluster-id", "ID", "Join the cluster with this id, and found none [default: any, or found one]"),
    switch("join-only", "Join a cluster that others found, and found none"),
    one(
        "seed-gate",
        "GATE",
        "What an address means that a provider lists and nobody answers from: `patient` founds without it after a \
         while, `strict` never does [default: patient]",
    ),
    one(
        "role",
        "ROLE",
        "`server`, or `observer`: gossips and answers queries, but is no voter [default: server]",
    ),
    one("cluster", "NAME", "Agents of different clusters never merge [default: chronik]"),
    one("node-name", "NAME", "A name for people, better unique [default: the host's name]"),
    many(
        "endpoint",
        "NAME=[HOST]:PORT",
        true,
        "An address of the co-located server to publish, such as `raft=:5001`; the host defaults to the advertised \
         one. Repeatable",
    ),
    many(
        "tag",
        "KEY=VALUE",
        false,
        "Free metadata for the others to see. Repeatable; several in the environment variable are separated by `,`",
    ),
    one("bind", "ADDR[:PORT]", "Where to gossip, UDP and TCP on the same port [default: 0.0.0.0:7946]"),
    one(
        "advertise",
        "ADDR[:PORT]",
        "The address given to the others; an interface (`eth0`) or network (`10.0.0.0/8`) picks this host's first \
         address there [default: worked out, and logged with its reason]",
    ),
    many(
        "http",
        "ADDR:PORT|unix:PATH",
        true,
        "Where the local API listens. Repeatable [default: 127.0.0.1:7947]",
    ),
    many(
        "http-allow-host",
        "NAME",
        true,
        "A further host name by which the local API may be asked, such as the one that a metrics collector uses. \
         Repeatable",
    ),
    one(
        "http-token-file",
        "FILE",
        "A file with one line, the token that changes need over the local API, and everything where --http is no \
         loopback address [default: none; whoever is on this host may change things]",
    ),
    one(
        "state-dir",
        "DIR",
        "Where identity and memory are kept over restarts [default: /var/lib/chronik-agent as root, else \
         $XDG_STATE_HOME/chronik-agent]",
    ),
    one(
        "encrypt-key-file",
        "FILE",
        "Keys that gossip is encrypted with, one a line as `keygen` prints them: the first one sends, all are \
         understood. Read again when it changes and on SIGHUP [default: not encrypted]",
    ),
    switch("require-encryption", "Refuse to start without --encrypt-key-file"),
    one("profile", "PROFILE", "Protocol timing: `local`, `lan` or `wan` [default: lan]"),
    one("log-format", "FORMAT", "Logs on standard error: `text` or `json` [default: text]"),
    one(
        "log-level",
        "LEVEL",
        "`error`, `warn`, `info`, `debug`, `trace`, `off`, or directives such as `info,chronik_agent=debug` \
         [default: info]",
    ),
];

/// The environment variable of a flag.
pub fn variable(name: &str) -> String {
    format!("CHRONIK_AGENT_{}", name.replace('-', "_").to_uppercase())
}

/// Where a value was given, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// On the command line.
    Flag,
    /// In the flag's environment variable.
    Environment,
    /// In this file.
    File(PathBuf),
}

/// The values given for one flag, all of one origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// As written.
    pub values: Vec<String>,
    /// Where.
    pub origin: Origin,
}

/// What was given for each flag, not yet checked. Flags win over the environment, both over the file.
#[derive(Clone, Default)]
pub struct Options {
    given: BTreeMap<&'static str, Given>,
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--check`.
    pub check: bool,
}

impl Options {
    /// What was given for `name`.
    pub fn get(&self, name: &'static str) -> Option<&Given> {
        self.given.get(name)
    }

    /// Adds what stands in the file at `path`, where nothing stronger is given.
    pub(super) fn add_from_file(&mut self, path: &Path, values: BTreeMap<&'static str, Vec<String>>) {
        for (name, values) in values {
            let origin = Origin::File(path.to_owned());
            self.given.entry(name).or_insert(Given { values, origin });
        }
    }

    /// Options as if from flags, for tests and for embedding.
    pub fn from_flags<'a>(flags: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut options = Self::default();
        for (name, value) in flags {
            let known =
                FLAGS.iter().find(|flag| flag.name == name).expect("the caller names a flag of the table");
            options
                .given
                .entry(known.name)
                .or_insert(Given { values: Vec::new(), origin: Origin::Flag })
                .values
                .push(value.to_owned());
        }
        options
    }
}

/// Values may hold secrets, so that only the names are shown.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.given.keys()).finish()
    }
}

impl clap::Args for Options {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .env(variable("config"))
            .hide_env_values(true)
            .value_parser(clap::value_parser!(PathBuf))
            .help("A TOML file whose keys are the names of these flags; flags and environment win over it");
        let check = Arg::new("check")
            .long("check")
            .action(ArgAction::SetTrue)
            .help("Check the whole configuration, print what it would do, and exit");
        command.next_help_heading("Running the agent").args(FLAGS.iter().map(arg)).arg(config).arg(check)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn arg(flag: &Flag) -> Arg {
    let arg = Arg::new(flag.name)
        .long(flag.name)
        .value_name(flag.value_name)
        .env(variable(flag.name))
        .hide_env_values(true)
        .help(flag.help);
    match (flag.many, flag.comma) {
        _ if flag.switch => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        (true, true) => arg.action(ArgAction::Append).value_delimiter(','),
        (true, false) => arg.action(ArgAction::Append),
        (false, _) => arg,
    }
}

impl clap::FromArgMatches for Options {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = FLAGS.iter().filter_map(|flag| Some((flag.name, given(flag, matches)?)));
        Ok(Self {
            given: given.collect(),
            config: matches.get_one("config").cloned(),
            check: matches.get_flag("check"),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// An empty environment variable counts as unset: that is what `${NAME:-}` in a compose file leaves behind.
fn given(flag: &Flag, matches: &ArgMatches) -> Option<Given> {
    let values: Vec<String> = matches.get_many::<String>(flag.name)?.cloned().collect();
    if matches.value_source(flag.name) != Some(ValueSource::EnvVariable) {
        let origin = Origin::Flag;
        return Some(Given { values, origin });
    }
    let values: Vec<String> = values
        .iter()
        .flat_map(|value| match flag.name {
            "retry-join" => split_unquoted(value, ';'),
            "tag" => split_unquoted(value, ','),
            _ => vec![value.clone()],
        })
        .map(|value| value.trim().to_owned())
        .filter(|value| !value.is_empty())
        .collect();
    let origin = Origin::Environment;
    (!values.is_empty()).then_some(Given { values, origin })
}

/// Splits at `separator` outside of quotes; an unbalanced quote is left for the parser of the value to report.
fn split_unquoted(text: &str, separator: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut quote, mut escaped) = (None, false);
    for char in text.chars() {
        if char == separator && quote.is_none() {
            parts.push(String::new());
            continue;
        }
        match quote {
            Some('"') if escaped => escaped = false,
            Some('"') if char == '\\' => escaped = true,
            Some(open) if open == char => quote = None,
            None if char == '"' || char == '\'' => quote = Some(char),
            Some(_) | None => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(char);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_values_in_one_variable_are_split_outside_quotes() {
        assert_eq!(split_unquoted(r#"a=1;b="x;\";y";c='z;'"#, ';'), ["a=1", r#"b="x;\";y""#, "c='z;'"]);
        assert_eq!(split_unquoted("a=\"open;b", ';'), ["a=\"open;b"]);
    }

    #[test]
    fn every_flag_has_a_variable() {
        assert_eq!(variable("retry-join"), "CHRONIK_AGENT_RETRY_JOIN");
    }
}
