//! The settings that are one of a few words.

use crate::choice::Choice;

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// Protocol timing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// One host: loopback or containers side by side.
    Local,
    /// One data centre.
    Lan,
    /// Several.
    Wan,
}

impl Choice for LogFormat {
    const ALL: &'static [Self] = &[Self::Text, Self::Json];

    fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Text => "For people",
            Self::Json => "One object a line",
        }
    }
}

impl Choice for Profile {
    const ALL: &'static [Self] = &[Self::Local, Self::Lan, Self::Wan];

    fn word(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Lan => "lan",
            Self::Wan => "wan",
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Local => "One host: loopback or containers side by side",
            Self::Lan => "One data centre",
            Self::Wan => "Several",
        }
    }
}
