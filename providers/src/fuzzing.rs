//! What the fuzz targets in `fuzz/` call: the grammar of specs, and the answers of name servers and of EC2 as they are
//! used here. Built for fuzzing and for tests alone; no part of the library.

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;

use crate::{DiscoverError, Seeds, Spec, SpecError};

/// What is done with an input.
pub type Target = fn(&[u8]);

/// Every target here, by the name of its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("spec", spec),
    #[cfg(feature = "dns")]
    ("dns", dns),
    #[cfg(feature = "aws")]
    ("ec2", ec2),
];

/// Specs: what is read is printed to a spec that means the same, unless it has a secret; and what is refused is refused
/// in one line.
pub fn spec(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Spec::parse(text) {
        Ok(spec) => {
            let printed = spec.to_string();
            match Spec::parse(&printed) {
                Ok(again) => assert!(again == spec && again.to_string() == printed, "{printed}"),
                Err(error) => assert!(printed.contains(crate::spec::REDACTED), "{printed}: {error}"),
            }
        }
        Err(error) => assert!(!error.to_string().is_empty() && column_is_in(&error, text)),
    }
}

fn column_is_in(error: &SpecError, text: &str) -> bool {
    let SpecError::Grammar { column, .. } = error else { return true };
    (1..=text.chars().count() + 1).contains(column)
}

/// What comes out of a poll is lines, whatever an answer had in it.
#[cfg_attr(not(any(feature = "dns", feature = "aws")), expect(dead_code, reason = "static asks nobody"))]
fn lines(answer: &Result<Seeds, DiscoverError>) {
    let line = |text: &str| !text.is_empty() && !text.contains(char::is_control) && text.len() < 16_384;
    match answer {
        Ok(seeds) => seeds.warnings.iter().for_each(|warning| assert!(line(warning), "{warning:?}")),
        Err(error) => assert!(line(&error.message), "{error:?}"),
    }
}

/// Answers of a name server: for a service if the first byte is odd, for a host otherwise.
#[cfg(feature = "dns")]
pub fn dns(data: &[u8]) {
    let (service, answers) = data.split_first().map_or((false, data), |(first, rest)| (first % 2 == 1, rest));
    lines(&crate::dns::fuzzing::ask(service, answers));
}

/// Answers of EC2, a page behind each zero byte; and the whole as what an ECS task says of itself.
#[cfg(feature = "aws")]
pub fn ec2(data: &[u8]) {
    lines(&crate::aws::fuzzing::ask(data));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_comes_is_read_or_refused() {
        for (name, target) in TARGETS {
            replay::replay(name, *target);
        }
    }
}
