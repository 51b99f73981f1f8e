//! The AWS settings of this process: its environment, and the profile in the shared configuration files.

use std::path::PathBuf;

use aws_runtime::env_config::{
    file::{EnvConfigFileKind, EnvConfigFiles},
    section::{EnvConfigSections, Profile},
    source,
};
use aws_types::os_shim_internal::{Env, Fs};

use super::causes::chain;

/// The profile that counts if none is named.
const DEFAULT_PROFILE: &str = "default";

/// Most profiles on the way from one to the source of its credentials.
const MAX_SOURCES: usize = 8;

/// A variable of the environment. One that is empty, or has blanks alone, counts as not set: charts and unit files give such
/// for every setting that is left out.
#[expect(clippy::disallowed_methods, reason = "the variables of every AWS tool; no settings of ours")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// Tests whether a variable is set, and has nothing in it.
#[expect(clippy::disallowed_methods, reason = "the variables of every AWS tool; no settings of ours")]
fn is_blank(name: &str) -> bool {
    std::env::var(name).is_ok_and(|value| value.trim().is_empty())
}

/// The name of a profile, and the one who names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ProfileName {
    /// The spec or `AWS_PROFILE`.
    Named(String),
    /// Nobody: it is `default`.
    Default,
}

impl ProfileName {
    /// The profile that a spec names, or else the environment.
    pub(crate) fn of(spec: Option<&str>) -> Self {
        let named = spec.map(str::to_owned).or_else(|| variable("AWS_PROFILE"));
        named.map_or(Self::Default, Self::Named)
    }

    /// The name.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Named(name) => name,
            Self::Default => DEFAULT_PROFILE,
        }
    }
}

/// The settings, read anew whenever credentials are.
pub(crate) struct Settings {
    /// The profile that counts.
    pub(crate) profile: ProfileName,
    /// The files that it is in.
    pub(crate) files: EnvConfigFiles,
    /// All profiles, or the fault of the files, with path and line.
    pub(crate) profiles: Result<EnvConfigSections, String>,
}

/// The origin of a profile's credentials that needs more than the SDK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A command, and the roles that its credentials are to assume, one after the other.
    Process {
        /// The command line.
        command: String,
        /// The profile that has it.
        profile: String,
        /// The roles.
        roles: Vec<Role>,
    },
    /// A log-in of a person.
    Login {
        /// The profile that has it.
        profile: String,
    },
}

/// A role to assume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Role {
    /// `role_arn`.
    pub(crate) arn: String,
    /// `role_session_name`.
    pub(crate) session_name: Option<String>,
    /// `external_id`.
    pub(crate) external_id: Option<String>,
}

impl Settings {
    /// Reads the files.
    pub(crate) async fn read(spec_profile: Option<&str>) -> Self {
        let profile = ProfileName::of(spec_profile);
        let files = files();
        let profiles = match source::load(&Env::real(), &Fs::real(), &files).await {
            Ok(mut source) => {
                source.profile = profile.as_str().to_owned().into();
                EnvConfigSections::parse(source).map_err(|e| chain(&e))
            }
            Err(e) => Err(chain(&e)),
        };
        Self { profile, files, profiles }
    }

    /// A value of the profile.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        self.get(self.profile.as_str())?.get(key).filter(|value| !value.trim().is_empty())
    }

    /// The endpoint of the Security Token Service, if a setting gives it.
    pub(crate) fn sts(&self) -> String {
        let given = variable("AWS_ENDPOINT_URL_STS").or_else(|| variable("AWS_ENDPOINT_URL"));
        given.map_or_else(|| "STS".to_owned(), |url| format!("STS at {url}"))
    }

    /// Tests whether the profile has STS give it a role.
    pub(crate) fn has_role(&self) -> bool {
        self.value("role_arn").is_some()
    }

    /// Follows the profile's sources to one that the SDK does not serve, or not well.
    pub(crate) fn origin(&self) -> Option<Origin> {
        let mut roles = Vec::new();
        let mut name = self.profile.as_str();
        for _ in 0..MAX_SOURCES {
            let profile = self.get(name)?;
            let role = profile.get("role_arn");
            let source = profile.get("source_profile").filter(|source| *source != name);
            if let (Some(arn), Some(source)) = (role, source) {
                let get = |key| profile.get(key).map(str::to_owned);
                let (session_name, external_id) = (get("role_session_name"), get("external_id"));
                roles.push(Role { arn: arn.to_owned(), session_name, external_id });
                name = source;
                continue;
            }
            let has = |key| profile.get(key).is_some();
            let profile_name = name.to_owned();
            if has("web_identity_token_file") || has("credential_source") {
                return None;
            }
            if ["sso_start_url", "sso_session", "login_session"].into_iter().any(has) {
                return Some(Origin::Login { profile: profile_name });
            }
            let command = profile.get("credential_process")?.to_owned();
            roles.reverse();
            return Some(Origin::Process { command, profile: profile_name, roles });
        }
        None
    }

    fn get(&self, name: &str) -> Option<&Profile> {
        self.profiles.as_ref().ok()?.get_profile(name)
    }
}

/// The files that the environment names, or else the usual ones.
fn files() -> EnvConfigFiles {
    let mut files = EnvConfigFiles::builder();
    for (variable, file, kind) in [
        ("AWS_CONFIG_FILE", "config", EnvConfigFileKind::Config),
        ("AWS_SHARED_CREDENTIALS_FILE", "credentials", EnvConfigFileKind::Credentials),
    ] {
        if !is_blank(variable) {
            files = match kind {
                EnvConfigFileKind::Credentials => files.include_default_credentials_file(true),
                _ => files.include_default_config_file(true),
            };
        } else if let Some(path) = usual(file).filter(|path| path.exists()) {
            files = files.with_file(kind, path);
        }
    }
    files.build()
}

fn usual(file: &str) -> Option<PathBuf> {
    Some(PathBuf::from(variable("HOME")?).join(".aws").join(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(config: &str, profile: &str) -> Settings {
        let files = EnvConfigFiles::builder().with_contents(EnvConfigFileKind::Config, config).build();
        let (env, fs) = (Env::from_slice(&[]), Fs::from_slice(&[]));
        let loaded = source::load(&env, &fs, &files);
        let source = futures_util::FutureExt::now_or_never(loaded).unwrap().unwrap();
        let profiles = EnvConfigSections::parse(source).map_err(|e| chain(&e));
        Settings { profile: ProfileName::Named(profile.to_owned()), files, profiles }
    }

    fn process(command: &str, profile: &str, arns: &[&str]) -> Option<Origin> {
        let role = |arn: &&str| Role { arn: String::from(*arn), session_name: None, external_id: None };
        let roles = arns.iter().map(role).collect();
        Some(Origin::Process { command: command.to_owned(), profile: profile.to_owned(), roles })
    }

    #[test]
    fn the_origin_of_credentials_is_followed() {
        let config = "[profile p]\ncredential_process = cmd a\n\
            [profile r]\nrole_arn = arn:r\nsource_profile = p\n\
            [profile q]\nrole_arn = arn:q\nsource_profile = r\n\
            [profile s]\nsso_session = x\n[profile l]\nrole_arn = arn:l\nsource_profile = l\n\
            [profile c]\nrole_arn = arn:c\nsource_profile = d\n[profile d]\nrole_arn = arn:d\nsource_profile = c\n\
            [profile k]\naws_access_key_id = a\naws_secret_access_key = b\n";
        let origin = |profile| settings(config, profile).origin();
        assert_eq!(origin("p"), process("cmd a", "p", &[]));
        assert_eq!(origin("r"), process("cmd a", "p", &["arn:r"]));
        assert_eq!(
            origin("q"),
            process("cmd a", "p", &["arn:r", "arn:q"]),
            "the nearest to the command first"
        );
        assert_eq!(origin("s"), Some(Origin::Login { profile: "s".to_owned() }));
        for other in ["l", "c", "k", "nope"] {
            assert_eq!(origin(other), None, "{other}");
        }
    }

    #[test]
    fn a_broken_file_is_told_with_its_line() {
        let error = settings("[profile x\n", "x").profiles.unwrap_err();
        assert!(error.contains("line 1"), "{error}");
    }
}
