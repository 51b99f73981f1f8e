//! The render cache: the answers that are asked for most, rendered at most once a snapshot.

use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use tokio::sync::watch;

use crate::snapshot::Snapshot;

/// Rendered answers of the newest snapshot that a client has asked for.
#[derive(Debug)]
pub(super) struct Rendered(watch::Sender<Arc<Answers>>);

/// Rendered answers of one snapshot, each rendered by the first request for it.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// The snapshot. A weak reference keeps its address from being used again, and not its content alive.
    of: Weak<Snapshot>,
    /// `GET /v1/members` without filters.
    pub(super) members: OnceLock<Bytes>,
    /// `GET /v1/quorum`.
    pub(super) quorum: OnceLock<Bytes>,
    /// `GET /v1/bootstrap`.
    pub(super) bootstrap: OnceLock<Bytes>,
}

impl Answers {
    fn of(snapshot: &Arc<Snapshot>) -> Self {
        Self { of: Arc::downgrade(snapshot), ..Self::default() }
    }

    fn are_of(&self, snapshot: &Arc<Snapshot>) -> bool {
        self.of.as_ptr() == Arc::as_ptr(snapshot)
    }
}

impl Rendered {
    pub(super) fn new() -> Self {
        Self(watch::Sender::default())
    }

    /// The answers of `snapshot`. Those of a snapshot that was replaced are kept until a newer one is asked for, and
    /// those of a snapshot older than that are not kept at all.
    pub(super) fn of(&self, snapshot: &Arc<Snapshot>) -> Arc<Answers> {
        let known = self.0.borrow().clone();
        if known.are_of(snapshot) {
            return known;
        }
        let mut answers = Arc::new(Answers::of(snapshot));
        self.0.send_if_modified(|latest| {
            if latest.are_of(snapshot) {
                // Another request was faster.
                answers = latest.clone();
            } else if latest.of.upgrade().is_none_or(|before| before.taken <= snapshot.taken) {
                *latest = answers.clone();
            }
            false
        });
        answers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::sample;

    #[test]
    fn an_answer_is_rendered_once_a_snapshot() {
        let rendered = Rendered::new();
        let [old, new] = [7, 8].map(|index| Arc::new(sample::snapshot(index)));
        let render = |snapshot, text: &'static str| {
            rendered.of(snapshot).members.get_or_init(|| Bytes::from_static(text.as_bytes())).clone()
        };
        assert_eq!(render(&old, "old"), "old");
        assert_eq!(render(&old, "again"), "old");
        assert_eq!(render(&new, "new"), "new");
        assert_eq!(render(&old, "late"), "late", "an older snapshot takes no place");
        assert_eq!(render(&new, "again"), "new");
    }
}
