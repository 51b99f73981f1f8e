//! The ends: how many servers are up in the end, after the best and after the worst race, if nothing fails any more.
#![expect(clippy::disallowed_types, reason = "no order shows")]

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    founder::{Disk, Founder, Instance, Process, Progress},
    search::{Explorer, World, Write},
};

/// An end, by what was lost before: the most and the fewest servers that are up, the write, and the number of lost disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct End {
    pub(super) best: usize,
    pub(super) worst: usize,
    pub(super) write: Write,
    pub(super) lost: u8,
}

/// The states of each end: how many, and one of them.
pub(super) type Ends = BTreeMap<End, (usize, World)>;

/// Follows every state of a search to its ends.
pub(super) fn ends(explorer: &mut Explorer) -> Ends {
    let mut ends = Ends::new();
    let mut known = HashMap::new();
    let worlds: BTreeSet<World> = explorer.ways.keys().copied().collect();
    for world in worlds {
        let part = part(explorer, &world);
        let ups = follow(explorer, part, &mut known);
        let (best, worst) = (*ups.last().unwrap(), *ups.first().unwrap());
        let end = End { best, worst, write: world.write, lost: world.lost };
        ends.entry(end).or_insert((0, world)).0 += 1;
    }
    ends
}

/// The part of a state that matters from here on: everybody hears of everything, and terms are over.
fn part(explorer: &mut Explorer, world: &World) -> World {
    let founders = world.founders.map(|number| *explorer.founder(number));
    let established = founders.iter().any(|founder| founder.established);
    let founders = founders.map(|founder| {
        let process = if founder.process == Process::Leads { Process::Up } else { founder.process };
        let look = founder.look.filter(|_| !established);
        let disk = founder.disk.map(|_| Disk::default());
        explorer.number(Founder { established, process, look, disk, ..founder })
    });
    let part = World { founders, lost: 0, write: Write::None, led: 0 };
    explorer.canonical(&part).0
}

fn follow(
    explorer: &mut Explorer,
    part: World,
    known: &mut HashMap<World, BTreeSet<usize>>,
) -> BTreeSet<usize> {
    if let Some(ups) = known.get(&part) {
        return ups.clone();
    }
    let holds = is_held(explorer, &part);
    let mut ups = BTreeSet::new();
    for next in explorer.next(&part) {
        let starts = next.label.starts_with("is told bootstrap") || next.label == "says begun";
        let after = self::part(explorer, &next.world);
        if next.is_good && after != part && !(holds && starts) {
            ups.extend(follow(explorer, after, known));
        }
    }
    if ups.is_empty() {
        let up = part.founders.iter().filter(|number| explorer.founder(**number).process.is_up());
        ups.insert(up.count());
    }
    known.insert(part, ups.clone());
    ups
}

/// True if somebody looks and may pass: meanwhile nobody that can be looked at is started.
fn is_held(explorer: &mut Explorer, part: &World) -> bool {
    let Instance { holds, .. } = explorer.instance;
    let founders = part.founders.map(|number| *explorer.founder(number));
    let can_pass = (0..3).all(|founder| {
        let waits = matches!(founders[founder].process, Process::Waits | Process::Told | Process::Begun);
        waits && explorer.is_seen(founder, part.founders[founder])
    });
    let looks = |founder: &Founder| {
        founder.process == Process::Waits && founder.begun && founder.look != Some(Progress::PASSED)
    };
    holds && !founders[0].established && can_pass && founders.iter().any(looks)
}
