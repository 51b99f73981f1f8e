//! The TOML file of `--config`: its keys are the names of the flags.

use std::{collections::BTreeMap, path::Path};

use chronik_providers::nearest;
use toml::{Table, Value};

use super::{
    error::ConfigError,
    flag::{Flag, Takes},
    flags::{FLAGS, named},
};

/// Reads the values in `text`, by flag. A list stands for a repeated flag, a table for its `KEY=VALUE` pairs.
pub(super) fn parse(path: &Path, text: &str) -> Result<BTreeMap<&'static str, Vec<String>>, ConfigError> {
    let file = || path.display().to_string();
    let table: Table = text.parse().map_err(|error: toml::de::Error| ConfigError::File {
        path: file(),
        problem: error.to_string().trim_end().to_owned(),
    })?;
    let mut values = BTreeMap::new();
    for (key, value) in table {
        let Some(flag) = named(&key) else {
            return Err(unknown(file(), key));
        };
        let texts = texts(flag, value).ok_or_else(|| ConfigError::File {
            path: file(),
            problem: match flag.takes {
                Takes::Switch => format!("`{key}` must be true or false"),
                Takes::One(_) => format!("`{key}` must be one text or number"),
                Takes::Many(..) => format!("`{key}` must be a text or a list of texts"),
                Takes::Pairs(..) => format!("`{key}` must be a list of `KEY=VALUE` texts or a table"),
            },
        })?;
        values.insert(flag.name, texts);
    }
    Ok(values)
}

fn unknown(path: String, key: String) -> ConfigError {
    let names = FLAGS.iter().map(|flag| flag.name);
    let remedy = match key.as_str() {
        "config" | "check" => "it is a flag of the command line only".to_owned(),
        _ => nearest(&key, names.clone()).map_or_else(
            || format!("known keys: {}", names.collect::<Vec<_>>().join(", ")),
            |known| format!("did you mean `{known}`?"),
        ),
    };
    ConfigError::UnknownKey { path, key, remedy }
}

/// The texts that `value` stands for; `None` if the flag takes no value of that shape.
fn texts(flag: &Flag, value: Value) -> Option<Vec<String>> {
    match (flag.takes, value) {
        (Takes::Many(..) | Takes::Pairs(..), Value::Array(values)) => values.into_iter().map(text).collect(),
        (Takes::Pairs(..), Value::Table(table)) => {
            let pair = |(key, value)| Some(format!("{key}={}", text(value)?));
            table.into_iter().map(pair).collect()
        }
        (Takes::Switch, Value::Boolean(on)) => Some(vec![on.to_string()]),
        (_, value) => Some(vec![text(value)?]),
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<BTreeMap<&'static str, Vec<String>>, String> {
        parse(Path::new("agent.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn keys_are_flags_lists_repeat_and_tables_are_pairs() {
        let values = parsed(
            "cluster = 'blue'\nbootstrap-expect = 3\nhttp = ['127.0.0.1:1', 'unix:/x']\njoin = 'a'\n\
             endpoint = ['raft=:5001']\n[tag]\nzone = 'a'\nrack = 7\n",
        );
        let expected = [
            ("bootstrap-expect", vec!["3"]),
            ("cluster", vec!["blue"]),
            ("endpoint", vec!["raft=:5001"]),
            ("http", vec!["127.0.0.1:1", "unix:/x"]),
            ("join", vec!["a"]),
            ("tag", vec!["rack=7", "zone=a"]),
        ];
        let expected = expected.map(|(name, values)| (name, values.into_iter().map(str::to_owned).collect()));
        assert_eq!(values, Ok(BTreeMap::from(expected)));
    }

    #[test]
    fn a_wrong_key_names_the_nearest_one() {
        assert_eq!(
            parsed("bootstrap_expect = 3"),
            Err("agent.toml: unknown key `bootstrap_expect`: did you mean `bootstrap-expect`?".to_owned())
        );
        assert_eq!(
            parsed("check = true"),
            Err("agent.toml: unknown key `check`: it is a flag of the command line only".to_owned())
        );
    }

    #[test]
    fn a_wrong_shape_says_what_is_expected() {
        assert_eq!(
            parsed("cluster = ['a', 'b']"),
            Err("--config agent.toml: `cluster` must be one text or number".to_owned())
        );
        assert_eq!(
            parsed("http = [true]"),
            Err("--config agent.toml: `http` must be a text or a list of texts".to_owned())
        );
        let broken = parsed("cluster = ").unwrap_err();
        assert!(broken.starts_with("--config agent.toml: TOML parse error at line 1, column 11"), "{broken}");
    }
}
