//! The surroundings that some defaults depend on: the host's name, and the agent's user.

use std::path::PathBuf;

/// The surroundings of the process, read once.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// The host's name.
    pub name: String,
    /// True if the agent runs as root.
    pub is_root: bool,
    /// `$XDG_STATE_HOME`, if it is an absolute path, as its specification demands.
    pub xdg_state_home: Option<PathBuf>,
    /// `$HOME`.
    pub home: Option<PathBuf>,
    /// Names of the variables of the environment that are not empty.
    pub variables: Vec<String>,
}

impl Host {
    /// The surroundings of this process.
    pub fn here() -> Self {
        let path = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        Self {
            name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            is_root: rustix::process::geteuid().is_root(),
            xdg_state_home: path("XDG_STATE_HOME"),
            home: path("HOME"),
            variables: std::env::vars_os()
                .filter(|(_, value)| !value.is_empty())
                .map(|(name, _)| name.to_string_lossy().into_owned())
                .collect(),
        }
    }

    /// The usual place of the records; none for a user without a home.
    pub(super) fn state_dir(&self) -> Option<PathBuf> {
        if self.is_root {
            return Some(PathBuf::from("/var/lib/chronik-agent"));
        }
        let state_home =
            self.xdg_state_home.clone().or_else(|| Some(self.home.as_ref()?.join(".local/state")))?;
        Some(state_home.join("chronik-agent"))
    }
}
