//! Texts for flags, from the command line, the environment and a file; not yet checked.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
};

use clap::{Arg, ArgAction, ArgMatches, Command, parser::ValueSource};

use super::{
    draft::Draft,
    error::ConfigError,
    flag::{Flag, Given, Origin, Split, Takes, variable},
    flags::FLAGS,
};

/// The texts given for each flag. The command line wins over the environment, both over the file.
#[derive(Clone, Default)]
pub struct Options {
    given: BTreeMap<&'static str, Given>,
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--check`.
    pub check: bool,
}

impl Options {
    /// Sets every flag that is given, in the order of the table.
    pub(super) fn set(&self, draft: &mut Draft) -> Result<(), ConfigError> {
        for flag in FLAGS {
            if let Some(given) = self.given.get(flag.name) {
                (flag.set)(draft, given)?;
            }
        }
        Ok(())
    }

    /// Adds the texts from the file at `path` for flags that are not given otherwise.
    pub(super) fn add_from_file(&mut self, path: &Path, values: BTreeMap<&'static str, Vec<String>>) {
        for (flag, values) in values {
            let origin = Origin::File(path.to_owned());
            self.given.entry(flag).or_insert(Given { flag, values, origin });
        }
    }

    /// Options as if from the command line.
    #[cfg(test)]
    pub(crate) fn from_flags<'a>(flags: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut options = Self::default();
        for (name, value) in flags {
            let flag = super::flags::named(name).unwrap().name;
            let given = Given { flag, values: Vec::new(), origin: Origin::Flag };
            options.given.entry(flag).or_insert(given).values.push(value.to_owned());
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
            .value_parser(clap::value_parser!(OsString))
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
        .value_name(flag.value_name())
        .env(flag.variable())
        .hide_env_values(true)
        .help(flag.help());
    match flag.takes {
        Takes::Switch => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        Takes::One(_) => arg,
        Takes::Many(_, Split::Comma) | Takes::Pairs(_, Split::Comma) => {
            arg.action(ArgAction::Append).value_delimiter(',')
        }
        Takes::Many(_, Split::InVariable(_)) | Takes::Pairs(_, Split::InVariable(_)) => {
            arg.action(ArgAction::Append)
        }
    }
}

impl clap::FromArgMatches for Options {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = FLAGS.iter().filter_map(|flag| Some((flag.name, given(flag, matches)?)));
        Ok(Self {
            given: given.collect(),
            // Empty in the environment, it counts as unset like the others.
            config: matches
                .get_one::<OsString>("config")
                .filter(|path| {
                    !path.is_empty() || matches.value_source("config") != Some(ValueSource::EnvVariable)
                })
                .map(PathBuf::from),
            check: matches.get_flag("check"),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The texts for one flag. An empty environment variable counts as unset: that is how `${NAME:-}` in a compose file ends.
fn given(flag: &Flag, matches: &ArgMatches) -> Option<Given> {
    let values: Vec<String> = matches.get_many::<String>(flag.name)?.cloned().collect();
    if matches.value_source(flag.name) != Some(ValueSource::EnvVariable) {
        return Some(Given { flag: flag.name, values, origin: Origin::Flag });
    }
    let values = values.iter().flat_map(|value| match flag.takes {
        Takes::Many(_, Split::InVariable(separator)) | Takes::Pairs(_, Split::InVariable(separator)) => {
            split_unquoted(value, separator)
        }
        // Clap has split it.
        Takes::Many(_, Split::Comma) | Takes::Pairs(_, Split::Comma) | Takes::Switch | Takes::One(_) => {
            vec![value.clone()]
        }
    });
    let values = values.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    let values: Vec<String> = values.collect();
    (!values.is_empty()).then_some(Given { flag: flag.name, values, origin: Origin::Environment })
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
}
