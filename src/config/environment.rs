//! Variables of the environment that begin like those of the flags and set none of them: a misspelt one must not be passed over
//! in silence, for it may be the one that encrypts.

use super::{
    error::ConfigError,
    flag::{Flag, variable},
    flags::FLAGS,
};

const PREFIX: &str = "CHRONIK_AGENT_";

/// Refuses a variable that looks like a misspelt one of ours, and tells of others with that prefix.
pub(super) fn check(variables: &[String]) -> Result<(), ConfigError> {
    let known = known();
    let slips =
        unknown(variables).filter_map(|name| Some((name, known.iter().find(|known| is_slip(name, known))?)));
    let slips: Vec<_> = slips.map(|(name, known)| format!("{name} (did you mean `{known}`?)")).collect();
    if slips.is_empty() { Ok(()) } else { Err(ConfigError::UnknownVariables(slips.join(", "))) }
}

/// The variables with our prefix that set nothing and are not known to be of another origin.
pub(super) fn unknown(variables: &[String]) -> impl Iterator<Item = &str> {
    let known = known();
    let is_unknown = move |name: &&str| {
        let rest = name.strip_prefix(PREFIX);
        rest.is_some_and(|rest| !known.iter().any(|known| known == name) && !is_service_link(rest))
    };
    variables.iter().map(String::as_str).filter(is_unknown)
}

/// True if `word` is `known` but for two letters that are wrong, missing or too many.
fn is_slip(word: &str, known: &str) -> bool {
    let (word, known): (Vec<_>, Vec<_>) = (word.chars().collect(), known.chars().collect());
    // Levenshtein's distance, row by row.
    let mut row: Vec<usize> = (0..=known.len()).collect();
    for (at, letter) in word.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (column, other) in known.iter().enumerate() {
            let changed = diagonal + usize::from(letter != other);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[known.len()] <= 2
}

fn known() -> Vec<String> {
    FLAGS.iter().map(Flag::variable).chain([variable("config")]).collect()
}

/// True for the variables that Kubernetes and Docker set in every container beside a service named `chronik-agent`:
/// `SERVICE_HOST`, `SERVICE_PORT…`, `PORT`, `PORT_7946_TCP…`. None of the flags begins like that.
fn is_service_link(rest: &str) -> bool {
    let begins = |prefix: &str| rest == prefix || rest.starts_with(&format!("{prefix}_"));
    begins("SERVICE_HOST") || begins("SERVICE_PORT") || begins("PORT")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(names: &[&str]) -> Option<String> {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        check(&names).err().map(|error| error.to_string())
    }

    #[test]
    fn a_misspelt_variable_is_named_with_the_one_that_is_meant() {
        let wrong = ["REQUIRE_ENCRYPION", "ENCRYPT_KEYFILE", "CONFG"].map(|rest| format!("{PREFIX}{rest}"));
        let expected = "the environment sets nothing by CHRONIK_AGENT_REQUIRE_ENCRYPION (did you mean \
                        `CHRONIK_AGENT_REQUIRE_ENCRYPTION`?), CHRONIK_AGENT_ENCRYPT_KEYFILE (did you mean \
                        `CHRONIK_AGENT_ENCRYPT_KEY_FILE`?), CHRONIK_AGENT_CONFG (did you mean \
                        `CHRONIK_AGENT_CONFIG`?): correct or unset them";
        assert_eq!(refused(&["PATH", &wrong[0], &wrong[1], &wrong[2]]).as_deref(), Some(expected));
    }

    #[test]
    fn variables_of_others_are_left_alone() {
        let others =
            ["PORT", "PORT_7946_TCP", "PORT_7946_TCP_ADDR", "SERVICE_HOST", "SERVICE_PORT_GOSSIP", "VERSION"];
        let others = others.map(|rest| format!("{PREFIX}{rest}"));
        assert_eq!(refused(&others.each_ref().map(String::as_str)), None);
        assert_eq!(unknown(&others).collect::<Vec<_>>(), ["CHRONIK_AGENT_VERSION"]);
        assert_eq!(refused(&known().iter().map(String::as_str).collect::<Vec<_>>()), None);
    }
}
