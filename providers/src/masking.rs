//! Credentials that a service or a proxy quotes in its answer: headers of our request come back in an error, and errors
//! are shown in the API and in logs. What is known to be secret is taken out whatever stands around it.

use crate::spec::REDACTED;

/// What stands before a credential, in any case of its letters: headers, parameters of a query, members of JSON.
const BEFORE: [&str; 8] = [
    "x-amz-security-token",
    "securitytoken",
    "sessiontoken",
    "session_token",
    "secretaccesskey",
    "secret_access_key",
    "credential",
    "signature",
];
/// With what the ids of access keys begin: those of a user, and those that are given for a time.
const KEY_IDS: [&str; 2] = ["AKIA", "ASIA"];
const KEY_ID: usize = 20;

/// The text without credentials.
pub(crate) fn mask(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if let Some(id) = key_id(rest) {
            masked.push_str(REDACTED);
            rest = &rest[id..];
        } else if let Some((name, value)) = named(rest) {
            masked.push_str(&rest[..name]);
            masked.push_str(REDACTED);
            rest = &rest[name + value..];
        } else {
            masked.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    masked
}

/// The length of the key id that the text begins with.
fn key_id(text: &str) -> Option<usize> {
    let id = text.get(..KEY_ID)?;
    let upper = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    (KEY_IDS.iter().any(|begin| id.starts_with(begin)) && id.bytes().all(upper)).then_some(KEY_ID)
}

/// The lengths of a name with what assigns to it, and of the value behind it, where the text begins with both.
fn named(text: &str) -> Option<(usize, usize)> {
    let begins = |name: &&&str| text.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name));
    let name = BEFORE.iter().find(begins)?.len();
    let assigned = text[name..].trim_start_matches(['"', '\'', ' ', ':', '=', '>']);
    let begin = text.len() - assigned.len();
    // A sentence may speak of a signature.
    text[name..begin].contains(['=', ':', '>']).then_some(())?;
    let ends =
        |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | ';' | '&' | '<' | ')' | ']' | '}');
    let value = assigned.find(ends).unwrap_or(assigned.len());
    (value > 0).then_some((begin, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_proxy_quotes_of_a_signed_request_shows_no_credential() {
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
            "no credentials in the spec, the AWS_* environment: give the instance a role",
            "AKIAI is too short, akiaiosfodnn7example is no id (HTTP 403, request 3f2a)",
            "",
        ] {
            assert_eq!(mask(text), text);
        }
    }
}
