//! The anomaly of the Lifeguard paper: a member stands still right before it sends and right after it receives, while
//! its timers run. All that it sent and all that came for it goes on when the anomaly ends.

use chronik_agent::gossip::{Dial, Transmit};

use super::{Node, SOCKET_BUFFER, World, network::Happening, process::Process};

/// Input and output that wait for the end of an anomaly.
#[derive(Default)]
pub(super) struct Blocked {
    came: Vec<Happening>,
    transmits: Vec<Transmit>,
    dials: Vec<Dial>,
}

impl Blocked {
    pub(super) fn hold(
        &mut self,
        transmits: impl Iterator<Item = Transmit>,
        dials: impl Iterator<Item = Dial>,
    ) {
        self.transmits.extend(transmits);
        self.dials.extend(dials);
    }
}

impl World {
    /// Begins an anomaly at a member.
    pub(crate) fn block(&mut self, node: Node) {
        self.hosts[node].blocked = Some(Blocked::default());
    }

    /// Ends the anomaly: first the output goes out, then the input is taken in.
    pub(crate) fn unblock(&mut self, node: Node) {
        let Blocked { came, transmits, dials } = self.hosts[node].blocked.take().unwrap();
        for Transmit { to, payload } in transmits {
            self.send_datagram(node, to, payload);
        }
        for dial in dials {
            self.open_stream(node, dial);
        }
        for happening in came {
            self.deliver(node, happening);
        }
    }

    /// Keeps input for a blocked member; returns what is to be delivered now.
    pub(super) fn hold_back(&mut self, node: Node, happening: Happening) -> Option<Happening> {
        let Some(blocked) = &mut self.hosts[node].blocked else { return Some(happening) };
        match happening {
            Happening::Wake(_) | Happening::Heartbeat(..) => Some(happening),
            Happening::Datagram { .. } | Happening::Request { .. } | Happening::Reply { .. } => {
                if blocked.came.len() < SOCKET_BUFFER {
                    blocked.came.push(happening);
                }
                None
            }
        }
    }

    /// Adds and starts `count` hosts that run nothing but the engine and know each other from the start.
    pub(crate) fn add_bare_hosts(&mut self, count: usize, config: foca::Config) -> Vec<Node> {
        self.bare = Some(config);
        let nodes = self.add_hosts(count, "bare");
        nodes.iter().for_each(|node| self.start(*node));
        let peers: Vec<_> = nodes.iter().map(|node| self.peer(*node)).collect();
        let now = self.now;
        for node in &nodes {
            let bare = self.hosts[*node].process.as_mut().and_then(Process::bare_mut).unwrap();
            bare.meet(peers.iter().copied(), now);
            self.drain(*node);
        }
        nodes
    }
}
