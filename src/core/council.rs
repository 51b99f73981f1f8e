//! The talk of agents about the members of their servers: the agent beside the leader asks all for an account, tells those that
//! wait why, and takes in the wishes that operators have said at others. No consensus: whoever asks forgets the answers with the
//! step that they are for.
//!
//! Drive it with [`Council::survey`], [`Council::tell`], [`Council::wish`], [`Council::answer_wish`] and with what comes from
//! others ([`Council::handle`]); after each send what [`Council::poll_talk`] gives, look at [`Council::poll_event`], and call
//! [`Council::handle_timeout`] at [`Council::poll_timeout`].

mod talk;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use rand::{RngExt as _, rngs::StdRng};

use self::talk::{About, Answer, Question, Talk};
pub use self::talk::{Account, Granted, Outcome, State, Verb, Verdict, Wish};
use crate::{bootstrap::Admittance, node::NodeId};

/// Time after which an agent that has not answered is asked once more: a lost segment is sent again after 200 ms.
const AGAIN_AFTER: Duration = Duration::from_millis(400);
/// Time after which those that have not answered are left out. Longer than three round trips of 300 ms, between continents.
const ANSWERED_WITHIN: Duration = Duration::from_millis(1_200);
/// Time for which a plan may be carried out: a person reads it first.
const TICKET_FOR: Duration = Duration::from_secs(120);
/// Most tickets that are kept, and most agents and nodes that a question is for.
const MOST: usize = 64;
/// Most bytes of a name in a wish, as of an id or a name.
const MOST_NAME: usize = 128;

/// An event that the caller has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The survey of this number has ended, with the accounts of all that have answered.
    Surveyed(u64, BTreeMap<NodeId, Account>),
    /// A node passes on an operator's wish: answer it with [`Council::answer_wish`].
    Wished(NodeId, Wish),
    /// The outcome of a wish that this node has passed on.
    Outcome(u64, Outcome),
}

/// The fate of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It is none of this talk.
    Foreign,
    /// It was taken in.
    Here,
    /// It tells the place of the server here among the members.
    Word(Box<Admittance>),
}

/// The account of this node, and its view of others.
pub struct View<'a> {
    /// State of the server here.
    pub server: State,
    /// True if a node is active in this view.
    pub is_active: &'a dyn Fn(NodeId) -> bool,
    /// True if a node's wishes are taken: all are sealed by a group key, or it is an agent of a voter.
    pub may_wish: &'a dyn Fn(NodeId) -> bool,
}

/// A survey under way.
#[derive(Debug)]
struct Survey {
    question: Question,
    missing: BTreeSet<NodeId>,
    accounts: BTreeMap<NodeId, Account>,
    again_at: Option<Instant>,
    ends_at: Instant,
}

/// A promise to carry out a plan.
#[derive(Debug)]
struct Ticket {
    of: NodeId,
    ends_at: Instant,
}

/// One agent's part in the talk.
#[derive(Debug)]
pub struct Council {
    rng: StdRng,
    survey: Option<Survey>,
    /// Wishes that were passed on, until their outcome, with the node that they were sent to.
    wishes: BTreeMap<u64, NodeId>,
    tickets: BTreeMap<u64, Ticket>,
    /// Index that the server here has applied.
    applied: Option<u64>,
    talk: VecDeque<(NodeId, Talk)>,
    events: VecDeque<Event>,
}

impl Council {
    /// A silent one. Numbers are drawn, so that nothing that was said in an earlier life answers a question of this one.
    pub fn new(rng: StdRng) -> Self {
        Self {
            rng,
            survey: None,
            wishes: BTreeMap::new(),
            tickets: BTreeMap::new(),
            applied: None,
            talk: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Notes the index that the server here has applied by its last answer; `None` if it gave none.
    pub fn note_applied(&mut self, applied: Option<u64>) {
        self.applied = applied;
    }

    /// Asks these agents for their accounts, each with whom of `about` it sees away. An earlier survey ends with what it has.
    pub fn survey(&mut self, asked: BTreeSet<NodeId>, about: &BTreeSet<NodeId>, now: Instant) -> u64 {
        self.end_survey();
        let number = self.rng.random();
        let about = about.iter().take(MOST).copied().map(About).collect();
        let missing: BTreeSet<NodeId> = asked.into_iter().take(MOST).collect();
        let survey = Survey {
            question: Question { number, about },
            missing,
            accounts: BTreeMap::new(),
            again_at: Some(now + AGAIN_AFTER),
            ends_at: now + ANSWERED_WITHIN,
        };
        self.ask(&survey);
        let is_over = survey.missing.is_empty();
        self.survey = Some(survey);
        if is_over {
            self.end_survey();
        }
        number
    }

    /// Tells an agent the place of its server.
    pub fn tell(&mut self, to: NodeId, word: Admittance) {
        self.talk.push_back((to, Talk::Word(Box::new(word))));
    }

    /// Passes an operator's wish on to the agent beside the leader; its outcome comes under the number that is returned.
    pub fn wish(&mut self, to: NodeId, verb: Verb, node: String, ticket: Option<u64>) -> u64 {
        let number = self.rng.random();
        if self.wishes.len() >= MOST {
            self.wishes.pop_first();
        }
        self.wishes.insert(number, to);
        self.talk.push_back((to, Talk::Wish(Wish { number, verb, node, ticket })));
        number
    }

    /// Answers a wish of another node.
    pub fn answer_wish(&mut self, to: NodeId, wish: &Wish, granted: Granted, now: Instant) {
        let Granted { verdict, text, newcomer } = granted;
        let ticket = (verdict == Verdict::Plan).then(|| self.rng.random());
        if let Some(ticket) = ticket {
            self.tickets.retain(|_, ticket| ticket.ends_at > now);
            if self.tickets.len() >= MOST {
                self.tickets.pop_first();
            }
            self.tickets.insert(ticket, Ticket { of: to, ends_at: now + TICKET_FOR });
        }
        let outcome = Outcome { number: wish.number, verdict, text, ticket, newcomer };
        self.talk.push_back((to, Talk::Outcome(outcome)));
    }

    /// Takes in a message.
    pub fn handle(&mut self, from: NodeId, bytes: &[u8], view: &View<'_>, now: Instant) -> Taken {
        let Some(talk) = Talk::read(bytes) else { return Taken::Foreign };
        match talk {
            Talk::Question(question) => {
                let account = self.account(&question, view);
                let answer = Answer { number: question.number, account };
                self.talk.push_back((from, Talk::Answer(answer)));
            }
            Talk::Answer(Answer { number, account }) => self.take_account(from, number, account),
            Talk::Word(word) => return Taken::Word(word),
            Talk::Wish(wish) => self.take_wish(from, wish, view, now),
            Talk::Outcome(outcome) => {
                if self.wishes.get(&outcome.number) == Some(&from) {
                    self.wishes.remove(&outcome.number);
                    self.events.push_back(Event::Outcome(outcome.number, outcome));
                }
            }
        }
        Taken::Here
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let Some(survey) = &mut self.survey else { return };
        if survey.ends_at <= now {
            return self.end_survey();
        }
        if survey.again_at.take_if(|at| *at <= now).is_some() {
            let survey = self.survey.take();
            survey.iter().for_each(|survey| self.ask(survey));
            self.survey = survey;
        }
    }

    /// Time at which `handle_timeout` wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.survey.as_ref().map(|survey| survey.again_at.unwrap_or(survey.ends_at))
    }

    /// The next message to send, as bytes.
    pub fn poll_talk(&mut self) -> Option<(NodeId, Vec<u8>)> {
        self.talk.pop_front().map(|(to, talk)| (to, talk.write()))
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn ask(&mut self, survey: &Survey) {
        let question = |to: &NodeId| (*to, Talk::Question(survey.question.clone()));
        self.talk.extend(survey.missing.iter().map(question));
    }

    fn account(&self, question: &Question, view: &View<'_>) -> Account {
        let is_away = |about: &&About| !(view.is_active)(about.0);
        Account {
            server: view.server,
            applied: self.applied,
            away: question.about.iter().take(MOST).filter(is_away).copied().collect(),
        }
    }

    fn take_account(&mut self, from: NodeId, number: u64, account: Account) {
        let Some(survey) = self.survey.as_mut().filter(|survey| survey.question.number == number) else {
            return;
        };
        if survey.missing.remove(&from) {
            survey.accounts.insert(from, account);
        }
        if survey.missing.is_empty() {
            self.end_survey();
        }
    }

    fn end_survey(&mut self) {
        if let Some(Survey { question, accounts, .. }) = self.survey.take() {
            self.events.push_back(Event::Surveyed(question.number, accounts));
        }
    }

    /// A plan is given to whoever may wish. Its step needs the ticket that came with the plan, so that a wish that was overheard
    /// and is said again does nothing.
    fn take_wish(&mut self, from: NodeId, wish: Wish, view: &View<'_>, now: Instant) {
        let refuse = |text: &str| Outcome {
            number: wish.number,
            verdict: Verdict::Refused,
            text: text.to_owned(),
            ticket: None,
            newcomer: None,
        };
        let refused = if !(view.may_wish)(from) {
            Some(refuse(
                "without --encrypt-key-file wishes are taken from the agents of voters alone: say it at one of them",
            ))
        } else if wish.node.len() > MOST_NAME {
            Some(refuse(
                "the name is longer than any that a node has: name it as `chronik-agent members` does",
            ))
        } else {
            let ticket = wish.ticket.map(|id| self.tickets.remove(&id));
            let is_valid = |ticket: &Ticket| ticket.of == from && ticket.ends_at > now;
            let is_void = ticket.is_some_and(|ticket| !ticket.as_ref().is_some_and(is_valid));
            is_void.then(|| refuse("the plan is too old to be carried out: ask for it once more"))
        };
        match refused {
            Some(outcome) => self.talk.push_back((from, Talk::Outcome(outcome))),
            None => self.events.push_back(Event::Wished(from, wish)),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    fn id(number: u8) -> NodeId {
        let mut bytes = [7; 16];
        bytes[15] = number;
        bytes.try_into().unwrap()
    }

    fn now() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
        Instant::now()
    }

    fn view() -> View<'static> {
        View { server: State::Waiting, is_active: &|node| node != id(9), may_wish: &|node| node != id(8) }
    }

    fn council(seed: u64) -> Council {
        Council::new(StdRng::seed_from_u64(seed))
    }

    #[test]
    fn a_survey_asks_twice_and_ends_with_those_that_have_answered() {
        let (mut asks, mut answers, now) = (council(1), council(2), now());
        answers.note_applied(Some(7));
        let number = asks.survey([id(2), id(3)].into(), &[id(2), id(9)].into(), now);
        let (to, question) = asks.poll_talk().unwrap();
        assert_eq!(to, id(2));
        assert_eq!(answers.handle(id(1), &question, &view(), now), Taken::Here);
        let (to, answer) = answers.poll_talk().unwrap();
        assert_eq!(to, id(1));
        asks.handle(id(4), &answer, &view(), now);
        asks.handle(id(2), &answer, &view(), now);
        assert_eq!(asks.poll_talk().map(|(to, _)| to), Some(id(3)));
        assert_eq!((asks.poll_event(), asks.poll_talk()), (None, None));
        asks.handle_timeout(now + AGAIN_AFTER);
        assert_eq!(asks.poll_talk().map(|(to, _)| to), Some(id(3)), "who has answered is not asked again");
        asks.handle_timeout(now + ANSWERED_WITHIN);
        let Some(Event::Surveyed(of, accounts)) = asks.poll_event() else { panic!("no end") };
        assert_eq!((of, accounts.keys().copied().collect::<Vec<_>>()), (number, vec![id(2)]));
    }

    #[test]
    fn a_silent_agent_is_left_out() {
        let (mut asks, now) = (council(1), now());
        let number = asks.survey([id(3)].into(), &BTreeSet::new(), now);
        assert!(asks.poll_talk().is_some());
        asks.handle_timeout(now + AGAIN_AFTER);
        assert_eq!(asks.poll_talk().map(|(to, _)| to), Some(id(3)), "once more");
        asks.handle_timeout(now + ANSWERED_WITHIN);
        assert_eq!(asks.poll_event(), Some(Event::Surveyed(number, BTreeMap::new())));
        assert_eq!(asks.poll_timeout(), None);
        assert_eq!(asks.handle(id(3), &[0xa0], &view(), now), Taken::Foreign, "a map is of the founding");
    }

    #[test]
    fn an_account_says_who_is_away_and_how_the_server_is() {
        let (mut asks, mut answers, now) = (council(1), council(2), now());
        answers.note_applied(Some(7));
        let number = asks.survey([id(2)].into(), &[id(5), id(9)].into(), now);
        let (_, question) = asks.poll_talk().unwrap();
        answers.handle(id(1), &question, &view(), now);
        let (_, answer) = answers.poll_talk().unwrap();
        asks.handle(id(2), &answer, &view(), now);
        let Some(Event::Surveyed(of, accounts)) = asks.poll_event() else { panic!("no end") };
        let account = &accounts[&id(2)];
        assert_eq!((of, account.server, account.applied), (number, State::Waiting, Some(7)));
        assert!(account.has_away(id(9)) && !account.has_away(id(5)));
    }

    #[test]
    fn a_step_needs_the_ticket_of_its_plan_and_each_serves_once() {
        let (mut wishes, mut grants, now) = (council(1), council(2), now());
        let mut say = |ticket, at| {
            wishes.wish(id(2), Verb::Remove, "c".to_owned(), ticket);
            let (_, wish) = wishes.poll_talk().unwrap();
            grants.handle(id(1), &wish, &view(), at);
            let verdict = if ticket.is_some() { Verdict::Made } else { Verdict::Plan };
            if let Some(Event::Wished(from, wish)) = grants.poll_event() {
                assert_eq!((from, wish.verb, wish.node.as_str()), (id(1), Verb::Remove, "c"));
                let granted = Granted { verdict, text: "first".to_owned(), newcomer: None };
                grants.answer_wish(from, &wish, granted, at);
            }
            let (_, outcome) = grants.poll_talk().unwrap();
            wishes.handle(id(3), &outcome, &view(), at);
            assert_eq!(wishes.poll_event(), None, "it was asked of another");
            wishes.handle(id(2), &outcome, &view(), at);
            let Some(Event::Outcome(_, outcome)) = wishes.poll_event() else { panic!("no outcome") };
            outcome
        };
        let plan = say(None, now);
        assert_eq!((plan.verdict, plan.text.as_str()), (Verdict::Plan, "first"));
        assert_eq!(say(plan.ticket, now).verdict, Verdict::Made);
        assert_eq!(say(plan.ticket, now).verdict, Verdict::Refused, "it was used");
        let late = say(None, now);
        assert_eq!(say(late.ticket, now + TICKET_FOR).verdict, Verdict::Refused, "it is too old");
        wishes.wish(id(2), Verb::Add, "d".to_owned(), None);
        let (_, wish) = wishes.poll_talk().unwrap();
        grants.handle(id(8), &wish, &view(), now);
        assert_eq!(grants.poll_event(), None, "a stranger");
    }
}
