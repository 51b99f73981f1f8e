//! The process of a host: the gossip half alone, the whole machine with the founding, or for comparison the SWIM engine
//! with nothing around it.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use chronik_agent::{
    gossip::{Dial, Event, ExchangeId, Gossip, NoAnswer, Transmit},
    machine::Machine,
    membership::Member,
    wire::KeyChange,
};

use super::bare::Bare;

/// A running agent.
pub(crate) enum Process {
    Gossip(Box<Gossip>),
    Whole(Box<Machine>),
    Bare(Box<Bare>),
}

impl Process {
    pub(super) fn gossip(&self) -> &Gossip {
        match self {
            Self::Gossip(gossip) => gossip,
            Self::Whole(machine) => machine.gossip(),
            Self::Bare(_) => panic!("nothing but an engine runs on this host"),
        }
    }

    /// Takes the members whose entries have changed since the last call; of a whole machine, all members.
    pub(super) fn poll_changed(&mut self) -> Vec<Member> {
        match self {
            Self::Gossip(gossip) => {
                let ids = std::iter::from_fn(|| gossip.poll_change()).collect::<Vec<_>>();
                ids.into_iter().filter_map(|id| gossip.member(id)).collect()
            }
            Self::Whole(machine) => machine.membership().members.values().cloned().collect(),
            Self::Bare(_) => Vec::new(),
        }
    }

    pub(super) fn machine(&self) -> Option<&Machine> {
        match self {
            Self::Gossip(_) | Self::Bare(_) => None,
            Self::Whole(machine) => Some(machine),
        }
    }

    pub(super) fn machine_mut(&mut self) -> Option<&mut Machine> {
        match self {
            Self::Gossip(_) | Self::Bare(_) => None,
            Self::Whole(machine) => Some(machine),
        }
    }

    /// The gossip half, if it runs alone: only then may a test change it at will.
    pub(super) fn gossip_mut(&mut self) -> Option<&mut Gossip> {
        match self {
            Self::Gossip(gossip) => Some(gossip),
            Self::Whole(_) | Self::Bare(_) => None,
        }
    }

    pub(super) fn bare(&self) -> Option<&Bare> {
        match self {
            Self::Gossip(_) | Self::Whole(_) => None,
            Self::Bare(bare) => Some(bare),
        }
    }

    pub(super) fn bare_mut(&mut self) -> Option<&mut Bare> {
        match self {
            Self::Gossip(_) | Self::Whole(_) => None,
            Self::Bare(bare) => Some(bare),
        }
    }

    pub(super) fn handle_datagram(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) {
        match self {
            Self::Gossip(gossip) => gossip.handle_datagram(from, datagram, now),
            Self::Whole(machine) => machine.handle_datagram(from, datagram, now),
            Self::Bare(bare) => bare.handle_datagram(datagram, now),
        }
    }

    pub(super) fn handle_request(&mut self, from: SocketAddr, frame: &[u8], now: Instant) -> Option<Bytes> {
        match self {
            Self::Gossip(gossip) => gossip.handle_request(from, frame, now),
            Self::Whole(machine) => machine.handle_request(from, frame, now),
            Self::Bare(_) => None,
        }
    }

    pub(super) fn handle_reply(
        &mut self,
        exchange: ExchangeId,
        reply: Result<&[u8], NoAnswer>,
        now: Instant,
    ) {
        match self {
            Self::Gossip(gossip) => gossip.handle_reply(exchange, reply, now),
            Self::Whole(machine) => machine.handle_reply(exchange, reply, now),
            Self::Bare(_) => {}
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        match self {
            Self::Gossip(gossip) => gossip.handle_timeout(now),
            Self::Whole(machine) => machine.handle_timeout(now),
            Self::Bare(bare) => bare.handle_timeout(now),
        }
    }

    /// True if something is due.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        match self {
            Self::Gossip(gossip) => gossip.poll_timeout().is_some_and(|due| due <= now),
            Self::Whole(_) => true,
            Self::Bare(bare) => bare.poll_timeout().is_some_and(|due| due <= now),
        }
    }

    /// Time of the next wake-up: at most a second away for a whole machine, as in the running agent.
    pub(super) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        match self {
            Self::Gossip(gossip) => gossip.poll_timeout(),
            Self::Whole(machine) => {
                let refresh = now + Duration::from_secs(1);
                Some(machine.poll_timeout().map_or(refresh, |due| due.min(refresh)))
            }
            Self::Bare(bare) => bare.poll_timeout(),
        }
    }

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        match self {
            Self::Gossip(gossip) => gossip.poll_event(),
            Self::Whole(machine) => machine.poll_event(),
            Self::Bare(_) => None,
        }
    }

    /// Changes the keys as a member asks, as the running agent changes its file.
    pub(super) fn change_keys(&mut self, change: &KeyChange) {
        let Some(gossip) = self.gossip_mut() else { return };
        let mut keyring = gossip.keyring().unwrap().clone();
        match change.apply(&mut keyring) {
            Ok(()) => gossip.set_keyring(keyring),
            Err(error) => gossip.set_key_trouble(error.to_string()),
        }
    }

    pub(super) fn poll_transmit(&mut self) -> Option<Transmit> {
        match self {
            Self::Gossip(gossip) => gossip.poll_transmit(),
            Self::Whole(machine) => machine.poll_transmit(),
            Self::Bare(bare) => bare.transmits.pop_front(),
        }
    }

    pub(super) fn poll_dial(&mut self) -> Option<Dial> {
        match self {
            Self::Gossip(gossip) => gossip.poll_dial(),
            Self::Whole(machine) => machine.poll_dial(),
            Self::Bare(_) => None,
        }
    }

    pub(super) fn leave(&mut self, now: Instant) {
        match self {
            Self::Gossip(gossip) => gossip.leave(now),
            Self::Whole(machine) => machine.leave(now),
            Self::Bare(_) => panic!("the baseline does not leave"),
        }
    }
}
