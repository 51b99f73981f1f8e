//! The known word that a mistyped one most likely means.

/// The nearest of `known` to `word`, if one is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = word.trim_start_matches('-').replace('_', "-").to_lowercase();
    known
        .into_iter()
        .map(|known| (strsim::jaro_winkler(&plain, known), known))
        // 0.8 keeps transpositions and missing letters and drops words that only share a first letter; clap uses 0.7.
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_near_is_offered() {
        let known = ["status", "role", "tag"];
        assert_eq!(nearest("state", known), Some("status"));
        assert_eq!(nearest("ROLES", known), Some("role"));
        assert_eq!(nearest("xyz", known), None);
    }
}
