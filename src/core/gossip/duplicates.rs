//! Another process that has this node's id. It is believed only when it answers itself, and only for as long as it does.

use std::net::SocketAddr;

use super::peer::Peer;

/// Questions without an answer after which the other process is gone.
const MISSED: u8 = 3;

/// The other process, if there is one.
#[derive(Debug, Default)]
pub(super) struct Duplicates {
    /// The process that is said to be one: anybody can say so.
    claimed: Option<Peer>,
    other: Option<Other>,
}

#[derive(Debug)]
struct Other {
    peer: Peer,
    missed: u8,
}

/// The answer of a process that is asked whether it has this node's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DuplicateAnswer {
    /// It runs, in this life.
    Runs(Peer),
    /// It is there, and takes part no more.
    HasStopped,
}

/// The outcome of a question to the other process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meeting {
    /// It is there.
    Met {
        /// Its life.
        other: Peer,
        /// Set if it was not known.
        is_news: bool,
        /// Set if it takes part no more.
        has_stopped: bool,
    },
    /// It was there, and has not answered often enough.
    Gone(Peer),
    /// Nothing has changed, or there is none.
    Nothing,
}

impl Duplicates {
    /// The other process.
    pub(super) fn other(&self) -> Option<Peer> {
        self.other.as_ref().map(|other| other.peer)
    }

    /// Takes note that a process is said to have this node's id.
    pub(super) fn note_claim(&mut self, peer: Peer) {
        self.claimed = Some(peer);
    }

    /// Takes note of what the process at `to` answered; `me` is this node.
    pub(super) fn note_answer(
        &mut self,
        me: &Peer,
        to: SocketAddr,
        answer: Option<DuplicateAnswer>,
    ) -> Meeting {
        let is_other = |peer: &Peer| peer.id == me.id && peer.addr() != me.addr();
        let known = self.other().into_iter().chain(self.claimed).find(|peer| peer.addr() == to);
        let (met, has_stopped) = match answer {
            Some(DuplicateAnswer::Runs(peer)) => (Some(peer).filter(is_other), false),
            Some(DuplicateAnswer::HasStopped) => (known, true),
            None => (None, false),
        };
        if let Some(peer) = met {
            let is_news = self.other.is_none();
            self.other = Some(Other { peer, missed: 0 });
            return Meeting::Met { other: peer, is_news, has_stopped };
        }
        match &mut self.other {
            Some(other) if other.peer.addr() == to => {
                other.missed += 1;
                if other.missed < MISSED {
                    return Meeting::Nothing;
                }
                let peer = other.peer;
                *self = Self::default();
                Meeting::Gone(peer)
            }
            Some(_) | None => Meeting::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fixture::peer, *};

    /// This node, and the other process with its id.
    fn two() -> (Peer, Peer) {
        let other = peer(3);
        let addr = peer(4).addr();
        (Peer::new(other.id, addr, other.epoch(), 0), other)
    }

    #[test]
    fn the_other_process_is_gone_after_three_questions_without_an_answer() {
        let (me, other) = two();
        let mut duplicates = Duplicates::default();
        let mut ask = |answer| duplicates.note_answer(&me, other.addr(), answer);
        assert_eq!(ask(None), Meeting::Nothing, "a stranger said that there is one");
        let met = |is_news| Meeting::Met { other, is_news, has_stopped: false };
        assert_eq!(ask(Some(DuplicateAnswer::Runs(other))), met(true));
        assert_eq!((ask(None), ask(Some(DuplicateAnswer::Runs(other)))), (Meeting::Nothing, met(false)));
        assert_eq!(
            [ask(None), ask(None), ask(None)],
            [Meeting::Nothing, Meeting::Nothing, Meeting::Gone(other)]
        );
        assert_eq!(duplicates.other(), None);
    }

    #[test]
    fn a_process_that_takes_part_no_more_is_the_other_one_only_if_it_was_said_to_be() {
        let (me, other) = two();
        let mut duplicates = Duplicates::default();
        let stopped = Some(DuplicateAnswer::HasStopped);
        assert_eq!(duplicates.note_answer(&me, other.addr(), stopped), Meeting::Nothing);
        duplicates.note_claim(other);
        let met = Meeting::Met { other, is_news: true, has_stopped: true };
        assert_eq!(duplicates.note_answer(&me, other.addr(), stopped), met);
    }
}
