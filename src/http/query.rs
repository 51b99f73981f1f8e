//! The query of a request: known keys only, each value parsed.

use std::time::Duration;

use axum::http::Uri;
use chronik_providers::nearest;

use super::{
    bounds::{WAIT_DEFAULT, WAIT_MAX},
    problem::Problem,
};
use crate::choice::Choice;

/// The keys of a long poll, which every `GET` with an index understands.
const POLL_KEYS: [&str; 2] = ["index", "wait"];

/// The pairs of a query, in the order given.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

/// A request to be answered once the index differs from `index`, or after `wait` at the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Poll {
    pub(super) index: u64,
    pub(super) wait: Duration,
}

impl Query {
    /// Parses the query. Keys that are neither in `known` nor part of a long poll are refused.
    pub(super) fn of(uri: &Uri, known: &[&str]) -> Result<Self, Problem> {
        let pairs: Vec<_> =
            form_urlencoded::parse(uri.query().unwrap_or("").as_bytes()).into_owned().collect();
        for (key, _) in &pairs {
            if !known.contains(&key.as_str()) && !POLL_KEYS.contains(&key.as_str()) {
                return Err(unknown(key, known));
            }
        }
        Ok(Self(pairs))
    }

    /// All values of `key`.
    pub(super) fn all(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// The value of `key`; a second one is refused.
    pub(super) fn one(&self, key: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.all(key);
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            (_, Some(_)) => Err(Problem::bad_request(format!("`{key}` is given twice: give it once"))),
        }
    }

    /// The values of `key` as members of an enum; an empty list means any.
    pub(super) fn choices<T: Choice>(&self, key: &str) -> Result<Vec<T>, Problem> {
        self.all(key)
            .flat_map(|value| value.split(','))
            .map(|value| {
                T::named(value).ok_or_else(|| {
                    let known: Vec<_> = T::ALL.iter().map(|choice| choice.word()).collect();
                    let hint = nearest(value, known.iter().copied())
                        .map_or_else(String::new, |near| format!(": did you mean `{near}`?"));
                    let known = known.join(", ");
                    Problem::bad_request(format!("`{key}={value}` is not one of {known}{hint}"))
                })
            })
            .collect()
    }

    /// The long poll, if the client asks for one.
    pub(super) fn poll(&self) -> Result<Option<Poll>, Problem> {
        let index = self.one("index")?.map(|text| {
            text.parse().map_err(|_| {
                Problem::bad_request(format!(
                    "`index={text}` is no index: send the X-Chronik-Index of the last answer, or leave it out"
                ))
            })
        });
        let wait = self.one("wait")?.map(wait).transpose()?;
        match (index.transpose()?, wait) {
            (Some(index), wait) => Ok(Some(Poll { index, wait: wait.unwrap_or(WAIT_DEFAULT) })),
            (None, Some(_)) => Err(Problem::bad_request(
                "`wait` needs `index`: send the X-Chronik-Index of the last answer with it",
            )),
            (None, None) => Ok(None),
        }
    }
}

fn unknown(key: &str, known: &[&str]) -> Problem {
    let all: Vec<&str> = known.iter().copied().chain(POLL_KEYS).collect();
    let remedy = nearest(key, all.iter().copied())
        .map_or_else(|| format!("known here: {}", all.join(", ")), |near| format!("did you mean `{near}`?"));
    Problem::bad_request(format!("unknown query key `{key}`: {remedy}"))
}

fn wait(text: &str) -> Result<Duration, Problem> {
    let wait = humantime::parse_duration(text).map_err(|_| {
        Problem::bad_request(format!(
            "`wait={text}` is no duration: write it as 30s, 500ms or 2m, at most 10m"
        ))
    })?;
    if wait > WAIT_MAX {
        return Err(Problem::bad_request(format!(
            "`wait={text}` is too long: wait at most 10m, and ask again"
        )));
    }
    Ok(wait)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::membership::MemberStatus;

    fn query(text: &str) -> Result<Query, Problem> {
        let uri = Uri::try_from(format!("/v1/members?{text}"));
        Query::of(&uri.unwrap_or_default(), &["status", "role", "tag"])
    }

    #[test]
    fn a_poll_has_an_index_and_a_bounded_wait() {
        let poll = |text| query(text).and_then(|query| query.poll());
        let wait = Duration::from_secs(2);
        assert_eq!(poll("index=7&wait=2s"), Ok(Some(Poll { index: 7, wait })));
        let wait = WAIT_DEFAULT;
        assert_eq!(poll("index=7"), Ok(Some(Poll { index: 7, wait })));
        assert_eq!(poll(""), Ok(None));
        for (text, detail) in [
            ("wait=2s", "`wait` needs `index`: send the X-Chronik-Index of the last answer with it"),
            ("index=1&wait=11m", "`wait=11m` is too long: wait at most 10m, and ask again"),
            ("index=1&wait=30", "`wait=30` is no duration: write it as 30s, 500ms or 2m, at most 10m"),
            (
                "index=-1",
                "`index=-1` is no index: send the X-Chronik-Index of the last answer, or leave it out",
            ),
            ("index=1&index=2", "`index` is given twice: give it once"),
        ] {
            assert_eq!(poll(text), Err(Problem::bad_request(detail)));
        }
    }

    #[test]
    fn unknown_keys_and_values_name_the_nearest() {
        let detail = "unknown query key `state`: did you mean `status`?";
        assert_eq!(query("state=alive").unwrap_err(), Problem::bad_request(detail));
        let detail = "unknown query key `q`: known here: status, role, tag, index, wait";
        assert_eq!(query("q=1").unwrap_err(), Problem::bad_request(detail));
        let statuses = |text| query(text).and_then(|query| query.choices::<MemberStatus>("status"));
        let expected = vec![MemberStatus::Alive, MemberStatus::Left];
        assert_eq!(statuses("status=alive&status=left"), Ok(expected.clone()));
        assert_eq!(statuses("status=alive,left"), Ok(expected));
        let detail = "`status=fail` is not one of alive, suspect, failed, left: did you mean `failed`?";
        assert_eq!(statuses("status=fail"), Err(Problem::bad_request(detail)));
    }
}
