//! What goes out: datagrams, and requests over streams, which are sent once more where that helps.

use std::net::SocketAddr;

use bytes::Bytes;

use super::{
    Dial, Exchange, ExchangeId, Gossip, Phase, Purpose, Transmit, codec::shorten, frame, sync::Request,
};
use crate::wire::{KeyId, Kind};

/// A request that may have to be sent once more: because the other wants a proof that it is of now, or because it may
/// have another of our keys.
#[derive(Debug)]
pub(super) struct Again {
    pub(super) payload: Vec<u8>,
    /// The key it was sent under.
    pub(super) key: KeyId,
    /// Those not tried yet, the likeliest last.
    pub(super) untried: Vec<KeyId>,
    /// It has been asked for the proof.
    pub(super) challenged: bool,
}

impl Again {
    /// How to send it after an answer of that sort; nothing where that would not help.
    pub(super) fn next(mut self, mute: bool, challenge: bool) -> Option<Self> {
        if challenge && !self.challenged {
            return Some(Self { challenged: true, ..self });
        }
        let key = self.untried.pop().filter(|_| mute)?;
        Some(Self { key, ..self })
    }
}

impl Gossip {
    /// Sends a datagram.
    pub(super) fn transmit(&mut self, to: SocketAddr, kind: Kind, payload: &[u8]) {
        let payload = match kind {
            Kind::Swim => self.wire.seal(to, kind, &shorten(payload)),
            Kind::Goodbye | Kind::Request | Kind::Reply | Kind::Refusal | Kind::Challenge => {
                self.wire.seal(to, kind, payload)
            }
        };
        self.counters.datagrams_out += 1;
        self.counters.bytes_out += payload.len() as u64;
        self.transmits.push_back(Transmit { to, payload });
    }

    pub(super) fn request(&mut self, to: SocketAddr, purpose: Purpose, request: &Request) {
        if self.phase != Phase::Running {
            return self.end_unsent(to, purpose);
        }
        let payload = frame::write(request);
        let mut untried = self.wire.keys_for(to);
        if let Some(key) = untried.pop() {
            return self.send_request(to, purpose, Again { payload, key, untried, challenged: false });
        }
        let (frame, stamp) = self.wire.seal_request(to, None, &payload);
        self.open_stream(frame, Exchange { to, purpose, stamp, again: None });
    }

    /// Sends a request under the key that it names.
    pub(super) fn send_request(&mut self, to: SocketAddr, purpose: Purpose, request: Again) {
        let (frame, stamp) = self.wire.seal_request(to, Some(request.key), &request.payload);
        self.open_stream(frame, Exchange { to, purpose, stamp, again: Some(request) });
    }

    /// Whoever waits for an answer is told that nothing was asked.
    fn end_unsent(&mut self, to: SocketAddr, purpose: Purpose) {
        const WHY: &str = "this agent is leaving, or has stopped over a duplicate node id";
        if let Purpose::Asked(join) = purpose {
            self.end_asked(join, to, Err(WHY.to_owned()));
        } else if let Purpose::Keys(asked, member) = purpose {
            self.end_keys(asked, member, to, Err(WHY.to_owned()));
        }
    }

    fn open_stream(&mut self, frame: Bytes, opened: Exchange) {
        let exchange = ExchangeId(self.next_exchange);
        self.next_exchange += 1;
        self.counters.exchanges_out += 1;
        self.dials.push_back(Dial { exchange, to: opened.to, frame });
        self.exchanges.insert(exchange, opened);
    }
}
