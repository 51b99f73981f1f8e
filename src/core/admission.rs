//! Admission to the server's own membership: who gets a vote, who is replaced, who may leave, and with which number.
//!
//! A wrong admission costs the quorum, and so does one too early or one too many. [`Admission`] judges one look at the cluster and
//! gives at most one change; it does no I/O, reads no clock, and what it remembers are two times a member.
//!
//! # How to drive it
//!
//! Each agent beside a member has one [`Admission`] and every few seconds, and after each change, does this:
//!
//! 1. Read the leader's list, **then** see who is up and what the agents say, and make a new [`Look`] of it. Nothing in a look
//!    may be older than its list: an old sight of who is up takes away a voter that has come back.
//! 2. Where servers have numbers, ask the agents of all voters, after the list was read, for the highest number that they have on
//!    disk ([`Numbers`]). Those that do not answer are left out.
//! 3. Hand it to [`Admission::handle_look`], whether this agent is beside the leader or not: so that each knows since when a
//!    member is gone, whoever is beside the leader later.
//! 4. **Beside the leader only**: make the [`Step`] of the outlook at the leader, with its condition
//!    ([`Step::on_version`]), and look again. If the server refuses, or does not answer, forget the step and look again: no
//!    step is kept, none is tried a second time.
//! 5. Tell each agent of [`Outlook::waits`] its reason, and those of [`Outlook::spread`] the number, which they write to disk.
//!    A newcomer with a number is told it only after the admission has been made.
//!
//! Others than the agent beside the leader ask it. The server's own check of changes (etcd's strict reconfiguration check) stays
//! on. An operator's wish goes to [`Admission::ask`] with a look of its own; the command prints the plan, has its step made as in
//! 4, and asks again with a new look until it is [`Answer::Done`]: no wish is kept either.
//!
//! Two promises are the caller's alone. An agent that leaves for good says so (`is_leaving`), and stops **only when its member is
//! off the list**. And a removed server that holds data stays `wait` with `removed_voter`: it is told neither to start nor its
//! old number.
//!
//! # The rules
//!
//! - A newcomer gets a vote only once it runs and has caught up, where the server has learners. Without: one at a time in the
//!   whole cluster, with a majority of the new list up without it, and no admitted one that is not up.
//! - One that was admitted and is not up after two minutes is removed again, by whoever is beside the leader then; so is a
//!   learner that is not seen for that long.
//! - While any voter is not seen by the leader, no vote is given that makes the list even. A vote that makes it odd raises no
//!   majority and does not wait.
//! - A voter is gone when the leader does not see it and its agent is failed, left, retired or forgotten for all living voters'
//!   agents. Gone for `--replace-failed`, and with a majority of the others up, it is replaced: with learners, when one has
//!   caught up, which gets its vote at once; without, when a joiner waits. An even list removes it without a joiner. A server that
//!   takes no learner while it does not see a voter (etcd's own check of changes) has it removed when a joiner waits, too.
//! - No more voters than `--voters`: with learners as many as come unless it is given, without as many as founded. The others
//!   run without a vote, or wait.
//! - Who leaves for good is removed first: one after another, from an odd list only while every other voter is up, never the last.
//! - Nothing is admitted by itself without a group key, and nobody who has not proven that it has it, or whose server is not blank.
//! - An address changes to what the agent announces, where the others are a majority without that member.
//! - Nothing is done without a majority of the list, and all on the condition of the list's version, where there is one. A server
//!   without versions is safe only as far as its leader alone makes changes and its list is read there.
//!
//! # What the rules do not keep
//!
//! With learners, and one change for a removal and a vote, no quorum is lost by the agents' own doing. Else a list of three bears
//! no failure, although it would have borne one without the removal if the removed one came back:
//!
//! - with learners, from a removal to the vote, where those are two changes (etcd): one round trip to the leader. The vote first
//!   would be worse: then a failure costs the quorum although nobody comes back;
//! - where no learner is taken beside the dead (etcd), from a removal to the newcomer's vote, unless a learner runs already, as with
//!   `--voters 3` and four servers;
//! - without learners, from a removal to the newcomer's start; and where others have left for good before, so that the list is odd
//!   and smaller than `--voters`, from an admission to the newcomer's start. The number of founders alone does not keep an odd list
//!   from growing there; a smaller `--voters`, given before they leave, does.
//!
//! The checks keep the traces (`checker/instances`, exceptions).
//!
//! # Names
//!
//! Numbers: see [`Numbers`]. The rules are named in `rule`, and the checks leave out each of them and see what goes wrong.

mod ask;
mod judge;
mod list;
mod look;
mod majority;
mod numbers;
mod outlook;
mod plan;
mod rule;
mod step;
mod times;
mod voter_count;
mod wait;

#[cfg(test)]
mod checker;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::time::Instant;

pub use ask::{Answer, Ask, HasGroupKey, Note, Plan, Refused, Then};
pub use list::{Kind, List, Listed, Seen};
pub use look::{Agent, Away, Beside, Life, Look, Settings};
pub use numbers::Numbers;
pub use outlook::{Outlook, Spread};
pub use step::{Change, Named, Newcomer, Removal, Step};
pub use voter_count::{InvalidVoterCount, VoterCount};
pub use wait::Wait;

use judge::Judge;
use plan::Planner;
use rule::Rules;
use times::Times;

/// Judge of admissions beside one server. See the module for how to drive it.
#[derive(Debug, Clone, Default)]
pub struct Admission {
    times: Times,
}

impl Admission {
    /// Takes in a look and says what to do now, and for what each waits.
    pub fn handle_look(&mut self, look: &Look, now: Instant) -> Outlook {
        self.times.observe(look, now);
        Judge::new(look, &self.times, now, Rules::ALL).outlook()
    }

    /// Takes in a look, and answers an operator's wish by it.
    ///
    /// # Errors
    /// The wish would cost the quorum, or cannot be carried out; the error says why and what to do.
    pub fn ask(&mut self, ask: &Ask, look: &Look, now: Instant) -> Result<Answer, Refused> {
        self.times.observe(look, now);
        Planner::new(Judge::new(look, &self.times, now, Rules::ALL)).answer(ask)
    }
}
