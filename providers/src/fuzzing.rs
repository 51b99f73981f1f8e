//! The bodies of the fuzz targets in `fuzz/`: the grammar of specs, and the answers of name servers and of EC2 as they are
//! used here. Built for fuzzing and for tests alone; no part of the library.

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;

#[cfg(feature = "aws")]
use crate::aws;
#[cfg(feature = "dns")]
use crate::dns;
use crate::{
    discovery::{DiscoverError, Seeds},
    registry::Spec,
    spec::{REDACTED, error::SpecError},
};

/// A function that is fed one input, and panics if it finds a fault.
pub type Target = fn(&[u8]);

/// All targets, by the name of their corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("spec", spec),
    #[cfg(feature = "dns")]
    ("dns", dns),
    #[cfg(feature = "aws")]
    ("ec2", ec2),
];

/// Parses a spec. A spec that parses prints to one that parses to the same, unless it has a secret; an error is one line
/// whose column lies in the text.
pub fn spec(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Spec::parse(text) {
        Ok(spec) => {
            let printed = spec.to_string();
            match Spec::parse(&printed) {
                Ok(again) => assert!(again == spec && again.to_string() == printed, "{printed}"),
                Err(error) => assert!(printed.contains(REDACTED), "{printed}: {error}"),
            }
        }
        Err(error) => assert!(!error.to_string().is_empty() && is_within(&error, text)),
    }
}

fn is_within(error: &SpecError, text: &str) -> bool {
    let SpecError::Grammar { column, .. } = error else { return true };
    (1..=text.chars().count() + 1).contains(column)
}

/// Asserts that warnings and errors of a poll are lines, whatever an answer had in it.
#[cfg_attr(not(any(feature = "dns", feature = "aws")), expect(dead_code, reason = "static asks nobody"))]
fn assert_lines(answer: &Result<Seeds, DiscoverError>) {
    let is_line = |text: &str| !text.is_empty() && !text.contains(char::is_control) && text.len() < 16_384;
    match answer {
        Ok(seeds) => seeds.warnings.iter().for_each(|warning| assert!(is_line(warning), "{warning:?}")),
        Err(error) => assert!(is_line(&error.message), "{error:?}"),
    }
}

/// Polls with answers of a name server: for a service if the first byte is odd, for a host otherwise.
#[cfg(feature = "dns")]
pub fn dns(data: &[u8]) {
    let (asked, answers) = match data {
        [first, rest @ ..] if first % 2 == 1 => (dns::fuzzing::Asked::Service, rest),
        [_, rest @ ..] => (dns::fuzzing::Asked::Host, rest),
        [] => (dns::fuzzing::Asked::Host, data),
    };
    assert_lines(&dns::fuzzing::ask(asked, answers));
}

/// Polls with answers of EC2, a page behind each zero byte; and parses the whole as the metadata of an ECS task.
#[cfg(feature = "aws")]
pub fn ec2(data: &[u8]) {
    assert_lines(&aws::fuzzing::ask(data));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_takes_every_input() {
        for (name, target) in TARGETS {
            replay::replay(name, *target);
        }
    }
}
