//! The token of the API: one line in a file that only the agent's user and group can read, and never shown anywhere.

use std::{
    fmt,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use subtle::ConstantTimeEq as _;

use super::private_file::{self, Fault, Owner};

/// The shortest token: 128 bits take 22 characters of base64, and with 16 guessing over a local API is hopeless for any
/// alphabet of ours.
const SHORTEST: usize = 16;
/// The longest token: fits into the head of a request with room to spare.
const LONGEST: usize = 512;

/// Proof that a request may change things, shown in its `Authorization` header.
#[derive(Clone)]
pub struct Token(String);

/// Reason for which the file of a token is not used, and what to do about it. Never shows the token.
#[derive(Debug, thiserror::Error)]
#[error("--http-token-file {}: {problem}", path.display())]
pub struct TokenError {
    /// The file.
    pub path: PathBuf,
    /// The problem, and the remedy.
    pub problem: String,
}

impl Token {
    /// Reads the one line of the file, for an agent.
    ///
    /// # Errors
    /// If it cannot be read, others could read or change it, it belongs to somebody else, or its line is no token.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        Self::read_from(path, private_file::open(path, Owner::OursOrRoot))
    }

    /// Reads the one line of the file, for a client of an agent: the agent's user shares it with its group.
    ///
    /// # Errors
    /// As [`Token::read`], except for the owner.
    pub(crate) fn read_shared(path: &Path) -> Result<Self, TokenError> {
        Self::read_from(path, private_file::open(path, Owner::Anybody))
    }

    fn read_from(path: &Path, opened: Result<File, Fault>) -> Result<Self, TokenError> {
        let fault = |problem: String| TokenError { path: path.to_owned(), problem };
        let unreadable = |error: io::Error| {
            fault(format!("cannot be read: {error}; name a file with one line, the token"))
        };
        let file = opened.map_err(|refused| match refused {
            Fault::Io(error) => unreadable(error),
            Fault::Open { mode } => {
                fault(format!("others can read or change it (mode {mode:04o}): chmod 640 or 600"))
            }
            Fault::Foreign { owner, user } => fault(format!(
                "it belongs to user {owner}, and this agent runs as user {user}: chown {user} {}",
                path.display()
            )),
        })?;
        let mut text = String::new();
        // One more than fits, so that a longer file shows.
        file.take(LONGEST as u64 + 2).read_to_string(&mut text).map_err(unreadable)?;
        Self::parse(&text).map_err(fault)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let line = text.strip_suffix('\n').unwrap_or(text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        let remedy = "make one with `openssl rand -hex 32`";
        if line.len() > LONGEST || line.contains('\n') {
            return Err(format!("holds more than one line of at most {LONGEST} characters: {remedy}"));
        }
        if line.len() < SHORTEST {
            return Err(format!("holds less than {SHORTEST} characters: {remedy}"));
        }
        // RFC 6750 allows these behind `Bearer`.
        if !line.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte)) {
            return Err(format!("holds other characters than letters, digits and -._~+/=: {remedy}"));
        }
        Ok(Self(line.to_owned()))
    }

    /// The value of an `Authorization` header that shows it.
    pub(crate) fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// True if an `Authorization` header shows it; the time that this takes tells nothing of the token but its length.
    pub(crate) fn is_in(&self, authorization: &[u8]) -> bool {
        let Some((scheme, given)) = authorization.split_at_checked("Bearer ".len()) else {
            return false;
        };
        scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(given.ct_eq(self.0.as_bytes()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_line_of_enough_plain_characters() {
        let token = Token::parse("0123456789abcdef\n").unwrap();
        assert_eq!(format!("{token:?}"), "<redacted>");
        for header in ["Bearer 0123456789abcdef", "bearer 0123456789abcdef"] {
            assert!(token.is_in(header.as_bytes()), "{header}");
        }
        for header in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer 0123456789abcdeg",
            "Bearer 0123456789abcdef0",
            "Basic 0123456789abcdef",
        ] {
            assert!(!token.is_in(header.as_bytes()), "{header}");
        }
        for (text, expected) in [
            ("", "holds less than 16 characters: make one with `openssl rand -hex 32`"),
            ("0123456789abcde\n", "holds less than 16 characters: make one with `openssl rand -hex 32`"),
            (
                "0123456789abcdef\nx",
                "holds more than one line of at most 512 characters: make one with `openssl rand -hex 32`",
            ),
            (
                "0123456789 abcdef",
                "holds other characters than letters, digits and -._~+/=: make one with `openssl rand -hex 32`",
            ),
        ] {
            assert_eq!(Token::parse(text).unwrap_err(), expected, "{text:?}");
        }
        assert!(
            Token::parse(&"a".repeat(LONGEST)).is_ok() && Token::parse(&"a".repeat(LONGEST + 1)).is_err()
        );
    }
}
