//! The time after which a voter that is gone is replaced.

use std::{fmt, str::FromStr, time::Duration};

/// The value of `--replace-failed`; none for `never`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplaceFailed(pub Option<Duration>);

impl Default for ReplaceFailed {
    /// Ten minutes: longer than a restart of a host, and short beside the time in which a second one fails.
    fn default() -> Self {
        Self(Some(Duration::from_secs(600)))
    }
}

impl FromStr for ReplaceFailed {
    type Err = String;

    /// The error continues a sentence that begins with the value.
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "never" {
            return Ok(Self(None));
        }
        humantime::parse_duration(text)
            .map(|after| Self(Some(after)))
            .map_err(|_| "is neither a duration nor `never`: write 10m, or never to replace none".to_owned())
    }
}

impl fmt::Display for ReplaceFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("never"),
            Some(after) => humantime::format_duration(after).fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_or_never() {
        for text in ["never", "10m", "5s", "1h 30m"] {
            assert_eq!(text.parse::<ReplaceFailed>().unwrap().to_string(), text);
        }
        assert_eq!(ReplaceFailed::default().to_string(), "10m");
        for wrong in ["10", "soon", ""] {
            assert!(wrong.parse::<ReplaceFailed>().unwrap_err().starts_with("is neither a duration nor"));
        }
    }
}
