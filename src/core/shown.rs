//! Text of others, as it is shown: characters that end a line, move a cursor, turn the direction of writing or cannot be seen are
//! written as what they are.

use std::borrow::Cow;

/// True if a character may stand in a line of text: it is seen, and changes nothing of how others are.
pub fn is_plain(char: char) -> bool {
    !char.is_control() && !is_hidden(char)
}

/// Line and paragraph separators, marks of direction (UAX #9), and characters without a width that are no part of any word.
fn is_hidden(char: char) -> bool {
    matches!(
        char,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// The text with every such character as `\u{…}`.
pub fn shown(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_plain) {
        return text.into();
    }
    let escape =
        |char: char| if is_plain(char) { char.to_string() } else { char.escape_unicode().to_string() };
    text.chars().map(escape).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_would_act_is_written_out() {
        assert_eq!(
            shown("a\nb\u{1b}[2J\u{202e}c\u{200b}\u{9b}31m"),
            "a\\u{a}b\\u{1b}[2J\\u{202e}c\\u{200b}\\u{9b}31m"
        );
        let fine = "Zürich 東京 \u{1f469}\u{200d}\u{1f4bb} स्‍थ";
        assert!(matches!(shown(fine), Cow::Borrowed(text) if text == fine));
    }
}
