//! Every scenario that the product must handle, by its name, with whole agents in the simulated world.

use std::time::Duration;

use chronik_agent::bootstrap::{Decision, Group};

use crate::sim::{Node, World};

pub(crate) mod forming;
pub(crate) mod losing;
pub(crate) mod parting;

const SECOND: Duration = Duration::from_secs(1);

/// The cluster that this server was told of.
fn group(world: &World, node: Node) -> &Group {
    let group = match world.decision(node) {
        Decision::Bootstrap(group) | Decision::Resume(group) | Decision::Join(group) => Some(group),
        Decision::Wait { .. } | Decision::Conflict(_) => None,
    };
    group.unwrap()
}

/// True if the decision of each of `nodes` is `word`.
fn all_told(world: &World, nodes: &[Node], word: &str) -> bool {
    nodes.iter().all(|node| world.word(*node) == word)
}

/// Asserts that at most one cluster was founded, and nothing taken back.
fn assert_sound(world: &World) {
    assert_eq!(world.judge.violations, [""; 0], "\n{}", world.describe());
}

/// The servers beside the agents.
#[derive(Clone, Copy, PartialEq)]
enum Servers {
    /// They send heartbeats, and report that the group exists.
    Attached,
    /// None ever sends anything.
    Silent,
}

/// Agents that have founded a cluster; if their servers are attached, the group exists.
fn founded(seed: u64, count: usize, expect: u16, servers: Servers) -> (World, Vec<Node>) {
    let mut world = World::new(seed);
    let nodes = world.add_servers(count, expect);
    if servers == Servers::Attached {
        nodes.iter().for_each(|node| world.attach_server(*node));
    }
    world.start_all(&nodes);
    let settled = world.run_until(20 * SECOND, |world| {
        let done = |node: &Node| match world.decision(*node) {
            Decision::Bootstrap(_) => servers == Servers::Silent,
            Decision::Resume(_) | Decision::Join(_) => true,
            Decision::Wait { .. } | Decision::Conflict(_) => false,
        };
        nodes.iter().all(done)
    });
    assert!(settled.is_some(), "seed {seed}: not founded\n{}", world.describe());
    (world, nodes)
}

/// Stops all, lets months pass, and starts `those`.
fn restart_months_later(world: &mut World, all: &[Node], those: &[Node]) {
    world.run_for(5 * SECOND);
    all.iter().for_each(|node| world.crash(*node));
    world.unix_ms += 90 * 86_400_000;
    world.run_for(SECOND);
    world.start_all(those);
}
