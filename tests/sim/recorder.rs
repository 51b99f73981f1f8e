//! An attacker on the path without a key: records what is sent, and sends it again.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use chronik_agent::{
    gossip::Event,
    wire::{KeyChange, Keyring, MemberKeys},
};

use super::{Node, World, process::Process};

/// Counts of what was sent, and on demand the packets themselves.
#[derive(Default)]
pub(crate) struct Traffic {
    pub(crate) datagrams: u64,
    /// Bytes in datagrams and streams.
    pub(crate) bytes: u64,
    /// Datagrams with a coordinate; counted if set.
    pub(crate) coordinates: Option<u64>,
    /// Packets; recorded if set.
    pub(crate) tape: Option<Vec<Recorded>>,
}

/// A packet as it was sent.
pub(crate) struct Recorded {
    from: SocketAddr,
    to: SocketAddr,
    bytes: Bytes,
    carrier: Carrier,
}

#[derive(Clone, Copy, PartialEq)]
enum Carrier {
    Datagram,
    Stream,
}

impl World {
    pub(super) fn record_datagram(&mut self, from: Node, to: SocketAddr, bytes: &Bytes) {
        self.record_packet(Carrier::Datagram, from, to, bytes);
    }

    pub(super) fn record_request(&mut self, from: Node, to: SocketAddr, bytes: &Bytes) {
        self.record_packet(Carrier::Stream, from, to, bytes);
    }

    fn record_packet(&mut self, carrier: Carrier, from: Node, to: SocketAddr, bytes: &Bytes) {
        let from = self.hosts[from].addr;
        if let Some(tape) = &mut self.traffic.tape {
            tape.push(Recorded { from, to, bytes: bytes.clone(), carrier });
        }
    }

    /// Addresses to which the recorded streams went.
    pub(crate) fn dialled(&self) -> impl Iterator<Item = SocketAddr> {
        let tape = self.traffic.tape.iter().flatten();
        tape.filter(|packet| packet.carrier == Carrier::Stream).map(|packet| packet.to)
    }

    /// Sends each packet again, at once, to its addressee and to every other host. Returns how many requests were answered
    /// with more than a challenge.
    pub(crate) fn play(&mut self, tape: &[Recorded]) -> usize {
        let mut answered = 0;
        for packet in tape {
            for node in 0..self.hosts.len() {
                let (here, now) = (self.hosts[node].addr, self.now);
                let Some(process) = self.hosts[node].process.as_mut() else { continue };
                if packet.carrier == Carrier::Stream {
                    let answer = process.handle_request(packet.from, &packet.bytes, now);
                    answered += usize::from(answer.is_some_and(|answer| answer.len() > 64));
                } else if packet.to == here {
                    process.handle_datagram(packet.from, &packet.bytes, now);
                    process.handle_datagram(here, &packet.bytes, now);
                } else {
                    process.handle_datagram(packet.from, &packet.bytes, now);
                }
                self.drain(node);
            }
        }
        answered
    }

    /// Gives a running process other keys.
    pub(crate) fn set_keyring(&mut self, node: Node, keyring: &Keyring) {
        let gossip = self.hosts[node].process.as_mut().and_then(Process::gossip_mut);
        gossip.expect("gossip runs there alone").set_keyring(keyring.clone());
    }

    /// Makes a running process ask all members for their keys, and waits for the answers.
    pub(crate) fn ask_keys(&mut self, node: Node, change: Option<KeyChange>) -> Vec<MemberKeys> {
        let now = self.now;
        let gossip = self.hosts[node].process.as_mut().and_then(Process::gossip_mut);
        let asked = gossip.expect("gossip runs there alone").ask_keys(change, now).expect("it has keys");
        self.drain(node);
        let answered = |world: &Self| {
            world.history.events.iter().find_map(|(_, event)| {
                if let Event::KeysAnswered(id, answers) = event
                    && *id == asked
                {
                    return Some(answers.clone());
                }
                None
            })
        };
        self.run_until(Duration::from_secs(20), |world| answered(world).is_some());
        answered(self).expect("a question ends")
    }
}
