//! Credentials that a service or a proxy quotes in its answer: headers of our request come back in an error, and errors
//! are shown in the API and in logs. Known credentials are masked whatever stands around them.

use crate::spec::REDACTED;

/// Names of credentials, in any case: headers, parameters of a query, members of JSON.
const NAMES: [&str; 8] = [
    "x-amz-security-token",
    "securitytoken",
    "sessiontoken",
    "session_token",
    "secretaccesskey",
    "secret_access_key",
    "credential",
    "signature",
];

/// Beginnings of an access key's id: of a user's key, and of a temporary one.
const KEY_ID_PREFIXES: [&str; 2] = ["AKIA", "ASIA"];

/// Length of an access key's id.
const KEY_ID_LENGTH: usize = 20;

/// Replaces the credentials in a text by [`REDACTED`].
pub(crate) fn mask(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    let mut before = ' ';
    while let Some(next) = rest.chars().next() {
        // A name begins a word: `IncompleteSignature: …` is an error, and its explanation is no signature.
        let begins = !before.is_ascii_alphanumeric();
        before = next;
        if starts_with_key_id(rest) {
            masked.push_str(REDACTED);
            rest = &rest[KEY_ID_LENGTH..];
        } else if let Some(Named { name, value }) = named(rest).filter(|_| begins) {
            masked.push_str(name);
            masked.push_str(REDACTED);
            rest = &rest[name.len() + value.len()..];
        } else {
            masked.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    masked
}

fn starts_with_key_id(text: &str) -> bool {
    let is_upper = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    text.get(..KEY_ID_LENGTH).is_some_and(|id| {
        KEY_ID_PREFIXES.iter().any(|prefix| id.starts_with(prefix)) && id.bytes().all(is_upper)
    })
}

/// A named credential at the beginning of a text.
struct Named<'a> {
    /// The name with everything up to the value.
    name: &'a str,
    /// The credential. Never empty.
    value: &'a str,
}

fn named(text: &str) -> Option<Named<'_>> {
    let is_first =
        |name: &&&str| text.get(..name.len()).is_some_and(|first| first.eq_ignore_ascii_case(name));
    let (_, rest) = text.split_at(NAMES.iter().find(is_first)?.len());
    let value = rest.trim_start_matches(['"', '\'', ' ', ':', '=', '>']);
    let assignment = &rest[..rest.len() - value.len()];
    // A sentence may speak of a signature.
    assignment.contains(['=', ':', '>']).then_some(())?;
    let ends =
        |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | ';' | '&' | '<' | ')' | ']' | '}');
    let (name, value) = text.split_at(text.len() - value.len());
    let value = &value[..value.find(ends).unwrap_or(value.len())];
    (!value.is_empty()).then_some(Named { name, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_request_that_a_proxy_quotes_shows_no_credential() {
        let id = "ASIAIOSFODNN7EXAMPLE";
        let cases = [
            (
                format!(
                    "AWS4-HMAC-SHA256 Credential={id}/20261125/eu-central-1/ec2/aws4_request, \
                     SignedHeaders=host;x-amz-date;x-amz-security-token, Signature=fe5f80f77d5fa3be, HTTP 502"
                ),
                "AWS4-HMAC-SHA256 Credential=<redacted>, SignedHeaders=host;x-amz-date;x-amz-security-token, \
                 Signature=<redacted>, HTTP 502",
            ),
            (
                "{\"X-Amz-Security-Token\": \"IQoJb3JpZ2luX2VjE+/=\", \"host\": \"ec2\"}".to_owned(),
                "{\"X-Amz-Security-Token\": \"<redacted>\", \"host\": \"ec2\"}",
            ),
            ("?X-Amz-Credential=key%2F2026&a=b".to_owned(), "?X-Amz-Credential=<redacted>&a=b"),
            ("<SessionToken>FwoGZX</SessionToken>".to_owned(), "<SessionToken><redacted></SessionToken>"),
            ("aws_secret_access_key = wJalr/K7".to_owned(), "aws_secret_access_key = <redacted>"),
            (format!("the key '{id}', of ü"), "the key '<redacted>', of ü"),
            ("x-amz-security-token:".to_owned(), "x-amz-security-token:"),
        ];
        for (text, masked) in cases {
            assert_eq!(mask(&text), masked);
        }
    }

    #[test]
    fn other_words_stay_as_they_are() {
        for text in [
            "the request signature we calculated does not match: check the key",
            "IncompleteSignature: the header has no date",
            "no credentials in the spec, the AWS_* environment: give the instance a role",
            "AKIAI is too short, akiaiosfodnn7example is no id (HTTP 403, request 3f2a)",
            "",
        ] {
            assert_eq!(mask(text), text);
        }
    }
}
