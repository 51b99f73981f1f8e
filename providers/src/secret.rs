//! Values that must not be seen, and the places that they come from.

use std::{fmt, path::PathBuf};

use crate::spec::{REDACTED, error::SpecError, keys::Keys};

/// A value that no log, error or printed spec shows.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// The value itself, to be sent to the service that it is for and nowhere else.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// The place of a secret: the spec itself, or a place that the spec points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SecretSource {
    /// The spec.
    Given(Secret),
    /// An environment variable of this name.
    Env(String),
    /// A file; blanks around the secret do not belong to it. Read anew each time, since files are rotated.
    File(PathBuf),
}

impl SecretSource {
    /// Takes the value of a secret key, if it is given.
    pub(crate) fn take(keys: &mut Keys, key: &'static str) -> Result<Option<Self>, SpecError> {
        keys.take_optional(key).map(|value| Self::parse(key, &value)).transpose()
    }

    /// Parses the value of a secret key: `env:NAME`, `file:PATH`, or the secret itself.
    pub(crate) fn parse(key: &str, value: &str) -> Result<Self, SpecError> {
        let fault =
            |problem: &str| Err(SpecError::Secret { key: key.to_owned(), problem: problem.to_owned() });
        if value == REDACTED {
            return fault(
                "this is what a printed spec shows in place of a secret: give the secret, env:NAME or file:PATH",
            );
        }
        match value.split_once(':') {
            Some(("env", "")) => fault("env: names no variable: write env:NAME"),
            Some(("env", name)) => Ok(Self::Env(name.to_owned())),
            Some(("file", "")) => fault("file: names no file: write file:PATH"),
            Some(("file", path)) => Ok(Self::File(path.into())),
            _ => Ok(Self::Given(Secret(value.to_owned()))),
        }
    }

    /// Reads the secret from its place; `key` is for the error.
    pub(crate) fn read(&self, key: &str) -> Result<Secret, SpecError> {
        let fault = |problem| SpecError::Secret { key: key.to_owned(), problem };
        let found = match self {
            Self::Given(secret) => return Ok(secret.clone()),
            Self::Env(name) => read_env(name).map_err(fault)?,
            Self::File(path) => std::fs::read_to_string(path)
                .map_err(|e| fault(format!("{} cannot be read: {e}", path.display())))?
                .trim()
                .to_owned(),
        };
        if found.is_empty() {
            return Err(fault(match self {
                Self::Env(name) => format!("the environment variable {name} is empty"),
                Self::File(path) => format!("{} is empty", path.display()),
                Self::Given(_) => "the value is empty".to_owned(),
            }));
        }
        Ok(Secret(found))
    }
}

#[expect(clippy::disallowed_methods, reason = "`env:NAME` in a spec asks for exactly this variable")]
fn read_env(name: &str) -> Result<String, String> {
    // The error's own text would show the value if that is no Unicode.
    std::env::var(name).map_err(|e| match e {
        std::env::VarError::NotPresent => {
            format!("the environment variable {name} is not set: set it, or use file:PATH")
        }
        std::env::VarError::NotUnicode(_) => {
            format!("the environment variable {name} holds bytes that are no text")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &str) -> SecretSource {
        SecretSource::parse("secret_access_key", value).unwrap()
    }

    fn read_error(value: &str) -> String {
        parse(value).read("secret_access_key").unwrap_err().to_string()
    }

    #[test]
    fn a_given_secret_is_read_and_not_shown() {
        let given = parse("hunter2");
        assert_eq!(given.read("k").unwrap().expose(), "hunter2");
        assert_eq!(format!("{given:?}"), "Given(<redacted>)");
    }

    #[test]
    fn a_file_is_read_anew_and_trimmed() {
        let path = std::env::temp_dir().join(format!("chronik-secret-{}", std::process::id()));
        let source = parse(&format!("file:{}", path.display()));
        for secret in ["one", "two"] {
            std::fs::write(&path, format!("{secret}\n")).unwrap();
            assert_eq!(source.read("k").unwrap().expose(), secret);
        }
        std::fs::write(&path, " \n").unwrap();
        let problem = format!("secret_access_key: {} is empty", path.display());
        assert_eq!(source.read("secret_access_key").unwrap_err().to_string(), problem);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn an_environment_variable_is_read() {
        let manifest = parse("env:CARGO_MANIFEST_DIR").read("k").unwrap();
        assert!(manifest.expose().ends_with("providers"));
        assert_eq!(
            read_error("env:CHRONIK_NO_SUCH"),
            "secret_access_key: the environment variable CHRONIK_NO_SUCH is not set: set it, or use file:PATH"
        );
        assert_eq!(
            read_error("file:/no/such"),
            "secret_access_key: /no/such cannot be read: No such file or directory (os error 2)"
        );
    }

    #[test]
    fn values_that_are_no_secret_are_refused() {
        for value in ["env:", "file:", "<redacted>"] {
            assert!(SecretSource::parse("k", value).is_err(), "{value}");
        }
    }
}
