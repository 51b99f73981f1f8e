//! The type of a flag, and of the texts that are given for one.

use std::path::PathBuf;

use super::{draft::Draft, error::ConfigError};

/// One setting of the agent: it knows its name, its help, and how to set and to show its value.
#[derive(Debug)]
pub struct Flag {
    /// The name on the command line, without the dashes, and the key in the file.
    pub name: &'static str,
    /// The values that it takes.
    pub(super) takes: Takes,
    /// The help text, without the default.
    pub(super) help: &'static str,
    /// Words for the default. Without them the default is the value in `Draft::default()`, if there is one.
    pub(super) default: Option<&'static str>,
    /// Sets the value from its texts.
    pub(super) set: fn(&mut Draft, &Given) -> Result<(), ConfigError>,
    /// Shows the value as texts that would set it; none if it is unset. Secrets are masked.
    pub(super) show: fn(&Draft) -> Vec<String>,
}

/// The values that a flag takes, each with its placeholder in the help text.
#[derive(Debug, Clone, Copy)]
pub(super) enum Takes {
    /// `true` or `false`; on the command line the value may be left out.
    Switch,
    /// One.
    One(&'static str),
    /// Several.
    Many(&'static str, Split),
    /// Several `KEY=VALUE` pairs; the file may also have them as a table.
    Pairs(&'static str, Split),
}

/// The separator of several values in one text.
#[derive(Debug, Clone, Copy)]
pub(super) enum Split {
    /// A comma, on the command line and in the environment.
    Comma,
    /// This character outside of quotes, in the environment alone: on the command line the flag is repeated, because
    /// its values may hold any character.
    InVariable(char),
}

impl Flag {
    /// The environment variable.
    pub fn variable(&self) -> String {
        variable(self.name)
    }

    /// The value that holds if the flag is not given, as text; `None` if there is nothing to say.
    pub fn default(&self) -> Option<String> {
        let value = || Some(self.show(&Draft::default()).join(",")).filter(|value| !value.is_empty());
        self.default.map(str::to_owned).or_else(value)
    }

    /// The value in `draft`, as texts that would set it; none if it is unset. Secrets are masked.
    pub fn show(&self, draft: &Draft) -> Vec<String> {
        (self.show)(draft)
    }

    /// The placeholder of the value in the help text.
    pub(super) fn value_name(&self) -> &'static str {
        match self.takes {
            Takes::Switch => "true|false",
            Takes::One(name) | Takes::Many(name, _) | Takes::Pairs(name, _) => name,
        }
    }

    /// The help text.
    pub(super) fn help(&self) -> String {
        match self.default() {
            Some(default) => format!("{} [default: {default}]", self.help),
            None => self.help.to_owned(),
        }
    }
}

/// The environment variable of the flag `name`.
pub fn variable(name: &str) -> String {
    format!("CHRONIK_AGENT_{}", name.replace('-', "_").to_uppercase())
}

/// The source of a value, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The command line.
    Flag,
    /// The flag's environment variable.
    Environment,
    /// This file.
    File(PathBuf),
}

/// The texts given for one flag, all from one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given {
    /// The flag's name.
    pub(super) flag: &'static str,
    /// The texts, as written.
    pub(super) values: Vec<String>,
    /// Their source.
    pub(super) origin: Origin,
}

impl Given {
    /// Puts the value in `place`.
    pub(super) fn one<T>(
        &self,
        place: &mut T,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<(), ConfigError> {
        self.all(parse)?.into_iter().for_each(|value| *place = value);
        Ok(())
    }

    /// Puts the value in a `place` that may be empty.
    pub(super) fn some<T>(
        &self,
        place: &mut Option<T>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<(), ConfigError> {
        self.one(place, |text| parse(text).map(Some))
    }

    /// Puts the values in `place`. An empty list, which a file may have, leaves the default there.
    pub(super) fn many<T>(
        &self,
        place: &mut Vec<T>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<(), ConfigError> {
        let values = self.all(parse)?;
        if !values.is_empty() {
            *place = values;
        }
        Ok(())
    }

    /// The values, each checked.
    pub(super) fn all<T>(&self, parse: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, ConfigError> {
        let parsed = self.values.iter().map(|value| {
            parse(value).map_err(|problem| ConfigError::Value {
                flag: self.flag,
                value: value.clone(),
                origin: self.origin(),
                problem,
            })
        });
        parsed.collect()
    }

    /// The source in brackets, unless that is the command line.
    pub(super) fn origin(&self) -> String {
        match &self.origin {
            Origin::Flag => String::new(),
            Origin::Environment => format!(" (from {})", variable(self.flag)),
            Origin::File(path) => format!(" (from {})", path.display()),
        }
    }
}
