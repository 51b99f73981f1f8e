//! The text of an error with its causes, which the SDK keeps apart.

use std::error::Error;

/// Joins the texts of an error and of its causes, except those that an outer text has in it already.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    for error in causes(error) {
        let text = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        if parts.last().is_none_or(|outer| !outer.contains(&text)) {
            parts.push(text);
        }
    }
    parts.join(": ")
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}
