//! The grammar of a spec: text to `key=value` pairs and back.
//!
//! A superset of HashiCorp go-discover's: every string that go-discover accepts gives the same pairs here, except one
//! that begins a key or a value with a single quote, which is a quote here and a letter there. Any blank separates
//! pairs, not only a space.

use std::{collections::BTreeSet, fmt, iter::Peekable, str::CharIndices};

/// A key and its value, unquoted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pair {
    /// The key.
    pub(crate) key: String,
    /// The value. It may be a secret, so `Debug` does not show it.
    pub(crate) value: String,
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}=…", self.key)
    }
}

/// A fault in the grammar of a spec. The sentence names keys, never a value, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrammarFault {
    /// A word that another word or the end follows, in place of an `=`.
    #[error("a word without `=`: write KEY=VALUE, and quote a value that has blanks in it: KEY=\"a b\"")]
    MissingEquals,
    /// An `=` with nothing before it.
    #[error("`=` without a key before it: write KEY=VALUE")]
    MissingKey,
    /// An `=` with nothing behind it.
    #[error("`{key}` has no value: write {key}=VALUE, or {key}=\"\" for an empty one")]
    MissingValue {
        /// The key.
        key: String,
    },
    /// An `=` within a bare value.
    #[error("the value of `{key}` has a `=` in it: quote it: {key}=\"VALUE\"")]
    EqualsInValue {
        /// The key.
        key: String,
    },
    /// A key that has been given before.
    #[error("`{key}` is given twice: keep one of them")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// A quote that is not closed.
    #[error("this quote is not closed: add another {quote} where the text ends")]
    UnbalancedQuote {
        /// The quote, `"` or `'`.
        quote: char,
    },
    /// An escape sequence that the end of the text cuts off.
    #[error("the text ends within an escape sequence: write \\\\ for a backslash")]
    UnterminatedEscape,
    /// An escape sequence without a meaning.
    #[error(
        "unknown escape sequence: use \\\" \\\\ \\n \\r \\t \\xNN \\uNNNN, or \\\\ for a backslash, or single quotes, in which nothing is escaped"
    )]
    UnknownEscape,
    /// `\xNN` sequences that together are no UTF-8.
    #[error("the escape sequences in this text do not make UTF-8: use \\uNNNN")]
    NotText,
}

/// A fault and the place where it begins.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FaultAt {
    /// Column in characters from the start of the spec, the first being 1.
    pub(crate) column: usize,
    /// The fault.
    pub(crate) fault: GrammarFault,
}

/// Parses pairs, in the order given. An empty text has none.
pub(crate) fn parse(text: &str) -> Result<Vec<Pair>, FaultAt> {
    let mut reader = Reader { text, chars: text.char_indices().peekable() };
    let mut pairs = Vec::new();
    let mut seen = BTreeSet::new();
    while let Some((start, first)) = reader.skip_blanks() {
        if first == '=' {
            // `a=b=c` parses as the pair a=b and a stray `=c`: the value before the stray is the one to quote.
            let fault = match pairs.last() {
                Some(Pair { key, .. }) => GrammarFault::EqualsInValue { key: key.clone() },
                None => GrammarFault::MissingKey,
            };
            return Err(reader.at(start, fault));
        }
        let key = reader.read_word()?;
        if !matches!(reader.skip_blanks(), Some((_, '='))) {
            return Err(reader.at(start, GrammarFault::MissingEquals));
        }
        reader.chars.next();
        let value = match reader.skip_blanks() {
            None | Some((_, '=')) => return Err(reader.at(start, GrammarFault::MissingValue { key })),
            Some(_) => reader.read_word()?,
        };
        if !seen.insert(key.clone()) {
            return Err(reader.at(start, GrammarFault::DuplicateKey { key }));
        }
        pairs.push(Pair { key, value });
    }
    Ok(pairs)
}

/// Prints a pair so that [`parse`] gives it back.
pub(crate) fn print(f: &mut impl fmt::Write, key: &str, value: &str) -> fmt::Result {
    print_word(f, key)?;
    f.write_char('=')?;
    print_word(f, value)
}

fn print_word(f: &mut impl fmt::Write, word: &str) -> fmt::Result {
    let special = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '=' | '"' | '\'' | '\\');
    if !word.is_empty() && !word.contains(special) {
        return f.write_str(word);
    }
    f.write_char('"')?;
    for c in word.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

struct Reader<'a> {
    text: &'a str,
    chars: Peekable<CharIndices<'a>>,
}

impl Reader<'_> {
    /// Skips blanks, and returns the position and character behind them without taking it.
    fn skip_blanks(&mut self) -> Option<(usize, char)> {
        while self.chars.next_if(|(_, c)| c.is_whitespace()).is_some() {}
        self.chars.peek().copied()
    }

    /// Reads a key or a value, quoted or bare. A quote within a bare word is a letter, as it is for go-discover.
    fn read_word(&mut self) -> Result<String, FaultAt> {
        if let Some((start, _)) = self.chars.next_if(|(_, c)| *c == '"') {
            return self.read_double_quoted(start);
        }
        let quoted = self.chars.next_if(|(_, c)| *c == '\'');
        let mut word = String::new();
        if let Some((start, quote)) = quoted {
            loop {
                match self.chars.next() {
                    Some((_, c)) if c == quote => return Ok(word),
                    Some((_, c)) => word.push(c),
                    None => return Err(self.at(start, GrammarFault::UnbalancedQuote { quote })),
                }
            }
        }
        while let Some((_, c)) = self.chars.next_if(|(_, c)| *c != '=' && !c.is_whitespace()) {
            word.push(c);
        }
        Ok(word)
    }

    /// Reads up to the closing quote; `start` is the position of the opening one.
    fn read_double_quoted(&mut self, start: usize) -> Result<String, FaultAt> {
        let mut bytes = Vec::new();
        loop {
            match self.chars.next() {
                Some((_, '"')) => {
                    return String::from_utf8(bytes).map_err(|_| self.at(start, GrammarFault::NotText));
                }
                Some((at, '\\')) => self.read_escape(at, &mut bytes)?,
                Some((_, c)) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                None => return Err(self.at(start, GrammarFault::UnbalancedQuote { quote: '"' })),
            }
        }
    }

    /// Reads the rest of an escape sequence, by the rules of Go's `strconv.Unquote`; `start` is the position of its
    /// backslash.
    fn read_escape(&mut self, start: usize, bytes: &mut Vec<u8>) -> Result<(), FaultAt> {
        let Some((_, c)) = self.chars.next() else {
            return Err(self.at(start, GrammarFault::UnterminatedEscape));
        };
        let byte = match c {
            'a' => 0x07,
            'b' => 0x08,
            'f' => 0x0c,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 0x0b,
            '\\' => b'\\',
            '"' => b'"',
            'x' => self.read_byte(start, 0, 2, 16)?,
            '0'..='7' => self.read_byte(start, u32::from(c) - u32::from('0'), 2, 8)?,
            'u' | 'U' => {
                let code = self.read_digits(start, 0, if c == 'u' { 4 } else { 8 }, 16)?;
                let c = char::from_u32(code).ok_or_else(|| self.at(start, GrammarFault::UnknownEscape))?;
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(self.at(start, GrammarFault::UnknownEscape)),
        };
        bytes.push(byte);
        Ok(())
    }

    /// Reads `count` digits after `first`, which make a byte.
    fn read_byte(&mut self, start: usize, first: u32, count: usize, radix: u32) -> Result<u8, FaultAt> {
        let number = self.read_digits(start, first, count, radix)?;
        u8::try_from(number).map_err(|_| self.at(start, GrammarFault::UnknownEscape))
    }

    /// Reads exactly `count` digits and appends them to `number`.
    fn read_digits(
        &mut self,
        start: usize,
        mut number: u32,
        count: usize,
        radix: u32,
    ) -> Result<u32, FaultAt> {
        for _ in 0..count {
            let (_, c) = self.chars.next().ok_or_else(|| self.at(start, GrammarFault::UnterminatedEscape))?;
            let digit = c.to_digit(radix).ok_or_else(|| self.at(start, GrammarFault::UnknownEscape))?;
            number = number.wrapping_mul(radix) | digit;
        }
        Ok(number)
    }

    /// Makes the error for a fault that begins at this byte.
    fn at(&self, byte: usize, fault: GrammarFault) -> FaultAt {
        FaultAt { column: self.text[..byte].chars().count() + 1, fault }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Pairs, or column and sentence: all that the parser says.
    fn outcome(text: &str) -> Result<Vec<(String, String)>, String> {
        parse(text)
            .map(|pairs| pairs.into_iter().map(|p| (p.key, p.value)).collect())
            .map_err(|e| format!("{}: {}", e.column, e.fault))
    }

    fn assert_pairs(text: &str, pairs: &[(&str, &str)]) {
        let pairs = pairs.iter().map(|(k, v)| (String::from(*k), String::from(*v))).collect();
        assert_eq!(outcome(text), Ok(pairs), "{text}");
    }

    #[test]
    fn specs_of_go_discover_give_the_same_pairs() {
        assert_pairs("", &[]);
        assert_pairs("key=a", &[("key", "a")]);
        assert_pairs("key=a+b key2=c/d", &[("key", "a+b"), ("key2", "c/d")]);
        assert_pairs(" key=a    key2=b ", &[("key", "a"), ("key2", "b")]);
        assert_pairs(" key = a   key2 = b ", &[("key", "a"), ("key2", "b")]);
        assert_pairs(r#"  "k e \\\" y" = "a \" b" key2=c"#, &[(r#"k e \" y"#, r#"a " b"#), ("key2", "c")]);
        assert_pairs(r#"secret="fpO+GU2GvEN4=""#, &[("secret", "fpO+GU2GvEN4=")]);
        assert_pairs(r#"a=us-(?west|east).+ b="c d""#, &[("a", "us-(?west|east).+"), ("b", "c d")]);
        assert_pairs(r#"a=b"c d=e\f"#, &[("a", "b\"c"), ("d", "e\\f")]);
        assert_pairs(r#"a="b"c=d"#, &[("a", "b"), ("c", "d")]);
        assert_pairs(r#"a="""#, &[("a", "")]);
    }

    #[test]
    fn blanks_and_single_quotes_that_go_discover_lacks() {
        assert_pairs("a=1\n\tb=2\r\n", &[("a", "1"), ("b", "2")]);
        assert_pairs(r"a='x = \n' 'b c'=''", &[("a", r"x = \n"), ("b c", "")]);
        assert_pairs("a=O'Brien", &[("a", "O'Brien")]);
        assert_pairs("a=\"two\nlines\"", &[("a", "two\nlines")]);
    }

    #[test]
    fn escapes() {
        assert_pairs(r#"a="\a\b\f\n\r\t\v\\\"""#, &[("a", "\u{7}\u{8}\u{c}\n\r\t\u{b}\\\"")]);
        assert_pairs(r#"a="\x41\101\u00fc\U0001F980\xc3\xbc""#, &[("a", "AAü🦀ü")]);
    }

    #[test]
    fn faults_point_at_their_column() {
        let assert_fault =
            |text, sentence: &str| assert_eq!(outcome(text), Err(sentence.to_owned()), "{text}");
        assert_fault("provider=aws foo", &format!("14: {}", GrammarFault::MissingEquals));
        assert_fault("key key2", &format!("1: {}", GrammarFault::MissingEquals));
        assert_fault("=a", "1: `=` without a key before it: write KEY=VALUE");
        assert_fault("ü=a key=", "5: `key` has no value: write key=VALUE, or key=\"\" for an empty one");
        assert_fault("key==a", "1: `key` has no value: write key=VALUE, or key=\"\" for an empty one");
        assert_fault(
            "secret=abc= b=c",
            "11: the value of `secret` has a `=` in it: quote it: secret=\"VALUE\"",
        );
        assert_fault("key=a  key=b", "8: `key` is given twice: keep one of them");
        assert_fault("key=\"a", "5: this quote is not closed: add another \" where the text ends");
        assert_fault("key='a", "5: this quote is not closed: add another ' where the text ends");
        assert_fault(r#"key="a\"#, &format!("7: {}", GrammarFault::UnterminatedEscape));
        assert_fault(r#"key="\u00"#, &format!("6: {}", GrammarFault::UnterminatedEscape));
        for text in [r#"key="\q""#, r#"key="\x4""#, r#"key="\777""#, r#"key="\ud800""#, r#"key="\'""#] {
            assert_fault(text, &format!("6: {}", GrammarFault::UnknownEscape));
        }
        assert_fault(r#"key="\xff""#, &format!("5: {}", GrammarFault::NotText));
    }

    #[test]
    fn no_fault_shows_a_value() {
        for text in ["secret=\"hunter2", "secret=hunter2= ", "secret=x hunter2", "secret=\"hunter2\\q\""] {
            let fault = outcome(text).unwrap_err();
            assert!(!fault.contains("hunter2"), "{fault}");
        }
    }

    proptest! {
        #[test]
        fn printed_pairs_parse_back(pairs in prop::collection::btree_map(any::<String>(), any::<String>(), 0..6)) {
            let mut text = String::new();
            for (key, value) in &pairs {
                print(&mut text, key, value).unwrap();
                text.push(' ');
            }
            let read: BTreeMap<_, _> = outcome(&text).unwrap().into_iter().collect();
            prop_assert_eq!(read, pairs);
        }

        #[test]
        fn no_text_is_a_panic(text in any::<String>()) {
            let _ = outcome(&text);
        }
    }
}
