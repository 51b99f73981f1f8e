//! What goes out: datagrams, and requests over streams, which are sent once more where that helps.

use std::net::SocketAddr;

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
            return;
        }
        let payload = frame::write(request);
        let mut untried = self.wire.keys_for(to);
        match untried.pop() {
            Some(key) => self.send_request(to, purpose, Again { payload, key, untried, challenged: false }),
            None => self.open_stream(to, purpose, &payload, None),
        }
    }

    /// Sends a request under the key that it names.
    pub(super) fn send_request(&mut self, to: SocketAddr, purpose: Purpose, request: Again) {
        let payload = request.payload.clone();
        self.open_stream(to, purpose, &payload, Some(request));
    }

    fn open_stream(&mut self, to: SocketAddr, purpose: Purpose, payload: &[u8], again: Option<Again>) {
        let (frame, stamp) = self.wire.seal_request(to, again.as_ref().map(|again| again.key), payload);
        let exchange = ExchangeId(self.next_exchange);
        self.next_exchange += 1;
        self.counters.exchanges_out += 1;
        self.exchanges.insert(exchange, Exchange { to, purpose, stamp, again });
        self.dials.push_back(Dial { exchange, to, frame });
    }
}
