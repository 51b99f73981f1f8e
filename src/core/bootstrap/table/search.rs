//! The search: every interleaving of three founders, with a Raft group of one write and a few terms as the world around them.
#![expect(
    clippy::disallowed_types,
    reason = "no order shows: the search visits states in the order of its queue"
)]

use std::{
    collections::{HashMap, VecDeque},
    fmt::Write as _,
    rc::Rc,
};

use super::{
    agent,
    founder::{Disk, Founder, Instance, Mutant, Process, Progress, Step},
    steps,
};

/// A state of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct World {
    /// The founders, by number.
    pub(super) founders: [u16; 3],
    /// Disks with data that were lost, at most two.
    pub(super) lost: u8,
    pub(super) write: Write,
    /// Terms that have had a leader, a bit each.
    pub(super) led: u8,
}

/// The one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Write {
    None,
    Acknowledged,
    /// Two disks were lost before anybody had reported that the group exists: it may be gone.
    Gone,
}

/// A step of the world.
pub(super) struct Next {
    pub(super) world: World,
    pub(super) label: &'static str,
    pub(super) by: usize,
    pub(super) with: Option<usize>,
    /// True if nothing fails in it, and the group does nothing in it.
    pub(super) is_good: bool,
    pub(super) broken: Option<&'static str>,
}

/// The step by which a state was reached first, and the new names of its founders.
#[derive(Clone, Copy)]
pub(super) struct Way {
    pub(super) before: World,
    pub(super) label: &'static str,
    pub(super) by: usize,
    pub(super) with: Option<usize>,
    pub(super) names: [usize; 3],
}

pub(super) struct Explorer {
    pub(super) instance: Instance,
    /// The renamings under which the kinds are the same.
    renamings: Vec<[usize; 3]>,
    founders: Vec<Founder>,
    numbers: HashMap<Founder, u16>,
    steps: HashMap<(usize, u16), Rc<Vec<Step>>>,
    seen_blank: HashMap<(usize, u16), bool>,
    renamed: HashMap<(usize, u16), u16>,
    single: HashMap<(usize, u16, Single), u16>,
    pub(super) ways: HashMap<World, Option<Way>>,
}

/// A step of one founder with others, by the shipped machine.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Single {
    Establish,
    Hear,
    /// Founders that are seen blank, a bit each.
    See(u8),
}

const RENAMINGS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

impl Explorer {
    pub(super) fn new(instance: Instance) -> Self {
        let same = |names: &[usize; 3]| (0..3).all(|new| instance.kinds[names[new]] == instance.kinds[new]);
        Self {
            instance,
            renamings: RENAMINGS.into_iter().filter(same).collect(),
            founders: Vec::new(),
            numbers: HashMap::new(),
            steps: HashMap::new(),
            seen_blank: HashMap::new(),
            renamed: HashMap::new(),
            single: HashMap::new(),
            ways: HashMap::new(),
        }
    }

    /// The number of founders that were seen.
    pub(super) fn founders(&self) -> u16 {
        u16::try_from(self.founders.len()).unwrap()
    }

    pub(super) fn founder(&self, number: u16) -> &Founder {
        &self.founders[usize::from(number)]
    }

    pub(super) fn number(&mut self, founder: Founder) -> u16 {
        let is_merged = self.instance.mutant != Some(Mutant::NamedLater);
        let founder = if is_merged { founder.plain() } else { founder };
        let next = u16::try_from(self.founders.len()).unwrap();
        let number = *self.numbers.entry(founder).or_insert(next);
        if number == next {
            self.founders.push(founder);
        }
        number
    }

    /// Searches until every state was seen, or a property is broken: the way to that is returned.
    pub(super) fn search(&mut self) -> Result<(), String> {
        let new = self.number(Founder::NEW);
        let start = World { founders: [new; 3], lost: 0, write: Write::None, led: 0 };
        self.ways.insert(start, None);
        let mut queue = VecDeque::from([start]);
        while let Some(world) = queue.pop_front() {
            for next in self.next(&world) {
                if let Some(broken) = next.broken {
                    let way = Way {
                        before: world,
                        label: next.label,
                        by: next.by,
                        with: next.with,
                        names: RENAMINGS[0],
                    };
                    return Err(format!("{broken}: {}", self.trace(way)));
                }
                let (canonical, names) = self.canonical(&next.world);
                let way = Way { before: world, label: next.label, by: next.by, with: next.with, names };
                self.ways.entry(canonical).or_insert_with(|| {
                    queue.push_back(canonical);
                    Some(way)
                });
            }
        }
        Ok(())
    }

    /// The first of all states that differ in the names of equal founders alone.
    pub(super) fn canonical(&mut self, world: &World) -> (World, [usize; 3]) {
        let mut best = (*world, RENAMINGS[0]);
        for number in 1..self.renamings.len() {
            let names = self.renamings[number];
            let mut other = *world;
            for new in 0..3 {
                let founder = world.founders[names[new]];
                other.founders[new] = match self.renamed.get(&(number, founder)) {
                    Some(renamed) => *renamed,
                    None => {
                        let renamed = self.founders[usize::from(founder)].renamed(names);
                        let renamed = self.number(renamed);
                        self.renamed.insert((number, founder), renamed);
                        renamed
                    }
                };
            }
            best = best.min((other, names));
        }
        best
    }

    /// Everything that can happen next.
    pub(super) fn next(&mut self, world: &World) -> Vec<Next> {
        let mut next = Vec::new();
        let founders = world.founders.map(|number| self.founders[usize::from(number)]);
        let has_leader = founders.iter().any(|founder| founder.process == Process::Leads);
        for by in 0..3 {
            for step in self.steps(by, world.founders[by]).iter() {
                let lost = world.lost + u8::from(step.loses);
                if lost <= 2 {
                    let world = World { lost, ..self.with(world, by, step.next) };
                    next.push(Next {
                        world,
                        label: step.label,
                        by,
                        with: None,
                        is_good: step.is_good,
                        broken: None,
                    });
                }
            }
            let reports = world.write != Write::None && has_leader && founders[by].process.is_up();
            if reports && !founders[by].established {
                let world = self.single(world, by, Single::Establish);
                next.push(Next {
                    world,
                    label: "reports established",
                    by,
                    with: None,
                    is_good: false,
                    broken: None,
                });
            }
            self.look(world, by, &mut next);
            for other in (0..3).filter(|other| *other != by) {
                if founders[other].established && !founders[by].established {
                    let world = self.single(world, by, Single::Hear);
                    let (label, with) = ("hears of established from", Some(other));
                    next.push(Next { world, label, by, with, is_good: true, broken: None });
                }
                self.elect(world, by, other, &mut next);
            }
        }
        next
    }

    fn with(&mut self, world: &World, by: usize, founder: Founder) -> World {
        let mut next = *world;
        next.founders[by] = self.number(founder);
        next
    }

    fn steps(&mut self, by: usize, number: u16) -> Rc<Vec<Step>> {
        let (founder, instance) = (self.founders[usize::from(number)], self.instance);
        Rc::clone(
            self.steps.entry((by, number)).or_insert_with(|| Rc::new(steps::steps(by, &founder, &instance))),
        )
    }

    fn single(&mut self, world: &World, by: usize, step: Single) -> World {
        let key = (by, world.founders[by], step);
        let number = match self.single.get(&key) {
            Some(number) => *number,
            None => {
                let founder = self.founders[usize::from(world.founders[by])];
                let founder = match step {
                    Single::Establish => steps::establish(by, &founder, &self.instance),
                    Single::Hear => steps::hear(by, &founder, &self.instance),
                    Single::See(others) => {
                        let others: Vec<usize> = (0..3).filter(|other| others & (1 << other) != 0).collect();
                        let rounds = if self.instance.at_once { 2 } else { 1 };
                        steps::see(by, &founder, &others.repeat(rounds), &self.instance)
                    }
                };
                let number = self.number(founder);
                self.single.insert(key, number);
                number
            }
        };
        let mut next = *world;
        next.founders[by] = number;
        next
    }

    /// True if a founder's server is seen blank.
    pub(super) fn is_seen(&mut self, by: usize, number: u16) -> bool {
        let Instance { kinds, mutant, pollers_seen, at_once, .. } = self.instance;
        let mut founder = self.founders[usize::from(number)];
        if matches!(mutant, Some(Mutant::DeafLook | Mutant::LookDecides)) {
            founder.established = false;
        }
        let can_be_seen = kinds[by] == super::founder::Kind::Exec || pollers_seen;
        let seen = self.seen_blank.entry((by, number));
        mutant == Some(Mutant::UnseenIsBlank)
            || can_be_seen && *seen.or_insert_with(|| agent::is_seen(by, kinds[by], &founder, !at_once))
    }

    /// The looks of one founder at the others.
    fn look(&mut self, world: &World, by: usize, next: &mut Vec<Next>) {
        let me = self.founders[usize::from(world.founders[by])];
        let mutant = self.instance.mutant;
        let is_cached = mutant == Some(Mutant::CachedLook) && me.look.is_none();
        let looks = me.process == Process::Waits && me.look.is_some_and(|look| look.rounds < 2);
        if !looks && !is_cached {
            return;
        }
        let seen: Vec<usize> =
            (0..3).filter(|other| *other != by && self.is_seen(*other, world.founders[*other])).collect();
        if !self.instance.at_once {
            for other in seen {
                let world = self.single(world, by, Single::See(1 << other));
                let (label, with) = ("sees blank the directory of", Some(other));
                next.push(Next { world, label, by, with, is_good: true, broken: None });
            }
            return;
        }
        let enough = if mutant == Some(Mutant::OneOther) { 1 } else { 2 };
        if seen.len() < enough || me.look.is_some_and(|look| look != Progress::BEGUN) {
            return;
        }
        let mut after = *world;
        let is_established =
            world.founders.iter().any(|number| self.founders[usize::from(*number)].established);
        for y in 0..3 {
            let founder = self.founders[usize::from(after.founders[y])];
            let waits = founder.process == Process::Waits && founder.look == Some(Progress::BEGUN);
            let hears_nothing = !founder.established;
            if y == by && is_cached {
                after = self.with(&after, y, Founder { look: Some(Progress::PASSED), ..founder });
            } else if y == by || waits && founder.disk.is_none() && hears_nothing {
                after = self.single(&after, y, Single::See(7 & !(1 << y)));
                if mutant == Some(Mutant::LookDecides) {
                    let passed = self.founders[usize::from(after.founders[y])];
                    after = self.with(&after, y, Founder { established: is_established, ..passed });
                }
            }
        }
        let label = "finds all blank at one moment";
        next.push(Next { world: after, label, by, with: None, is_good: true, broken: None });
    }

    /// The group: `by` is elected by `other`, or acknowledges the write with it.
    fn elect(&mut self, world: &World, by: usize, other: usize, next: &mut Vec<Next>) {
        let [me, voter] = [by, other].map(|founder| self.founders[usize::from(world.founders[founder])]);
        let (Some(mine), Some(theirs)) = (me.disk, voter.disk) else { return };
        if !me.process.is_up() || !voter.process.is_up() {
            return;
        }
        let term = mine.term + 1;
        let votes = theirs.term < term
            || theirs.term == term && theirs.vote.is_none_or(|vote| usize::from(vote) == by);
        let vote = Some(u8::try_from(by).unwrap());
        let with = Some(other);
        if term <= self.instance.terms && mine.has_write >= theirs.has_write && votes {
            let elected = Disk { term, vote, has_write: mine.has_write };
            let voted = Disk { term, vote, has_write: theirs.has_write };
            let after = self.with(world, by, Founder { process: Process::Leads, disk: Some(elected), ..me });
            let mut after =
                self.with(&after, other, Founder { process: Process::Up, disk: Some(voted), ..voter });
            let is_lost = world.write == Write::Acknowledged && !mine.has_write;
            let is_established =
                world.founders.iter().any(|number| self.founders[usize::from(*number)].established);
            let broken = if is_lost && world.lost < 2 {
                Some("ACKNOWLEDGED WRITE LOST")
            } else if is_lost && is_established {
                Some("REFOUNDED IN SILENCE")
            } else if world.led & (1 << term) != 0 && world.lost < 2 {
                Some("TWO LEADERS OF A TERM")
            } else {
                None
            };
            after.led |= 1 << term;
            if is_lost {
                after.write = Write::Gone;
            }
            next.push(Next { world: after, label: "is elected by", by, with, is_good: false, broken });
        }
        let leads = me.process == Process::Leads && theirs.term <= mine.term;
        if leads && !theirs.has_write && world.write != Write::Gone {
            let process = if theirs.term < mine.term { Process::Up } else { voter.process };
            let vote = if theirs.term == mine.term { theirs.vote } else { None };
            let disk = Disk { term: mine.term, vote, has_write: true };
            let after = self.with(world, by, Founder { disk: Some(Disk { has_write: true, ..mine }), ..me });
            let mut after = self.with(&after, other, Founder { process, disk: Some(disk), ..voter });
            after.write = Write::Acknowledged;
            let label = "acknowledges the write with";
            next.push(Next { world: after, label, by, with, is_good: false, broken: None });
        }
    }

    /// The way to a state, and the last step after it.
    fn trace(&self, last: Way) -> String {
        let mut path = vec![last];
        while let Some(Some(way)) = self.ways.get(&path[path.len() - 1].before) {
            path.push(*way);
        }
        let mut names = ['A', 'B', 'C'];
        let mut text = String::new();
        for Way { label, by, with, names: new, .. } in path.into_iter().rev() {
            let with = with.map(|with| format!(" {}", names[with])).unwrap_or_default();
            write!(text, "{} {label}{with}; ", names[by]).unwrap();
            names = new.map(|old| names[old]);
        }
        text
    }
}
