//! Proof that an address gets what is sent to it. Without keys anybody may say that it is at another's address; until that address
//! has echoed a cookie, or has answered over a stream, nothing is answered that is larger than what came, and only to
//! where it came from, but for the messages that help with another's probe. So no agent can be made to send a third party more
//! than is sent to the agent.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use bytes::Buf as _;
use foca::{Codec as _, Message};
use sha2::{Digest as _, Sha256};

use super::codec::{SHORTENED, SwimCodec, put_item};
use crate::wire::MAX_PAYLOAD;

/// Kinds of the items beside rumours; see `rumours`.
const COOKIE: u8 = 9;
const ECHO: u8 = 10;
/// Bytes of a cookie: nobody guesses one of 2^64.
const COOKIE_LEN: usize = 8;
/// Bytes of an item with one, and its length before it.
const ITEM_LEN: usize = 2 + 1 + COOKIE_LEN;
/// Upper bound on addresses remembered to have shown that they are there; one that is forgotten shows it again.
const MAX_KNOWN: usize = 32_768;
/// Upper bound on cookies to be echoed, and on addresses that are sent cookies.
const MAX_OWED: usize = 4_096;
/// Number of whole messages of our own accord to an address that does not echo: rumours of the first minute in a cluster of a hundred.
/// Then the header alone goes there, which is a twentieth.
const WHOLE_MESSAGES: u8 = 64;
/// Number of them after which each asks for an echo. Before that pings do, which bring an answer.
const ASK_AFTER: u8 = 4;

type Cookie = [u8; COOKIE_LEN];

/// The addresses that have shown that they are there.
#[derive(Debug)]
pub(super) struct Echoes {
    secret: u64,
    /// Bytes that an envelope adds to a message.
    envelope: usize,
    known: BTreeSet<SocketAddr>,
    /// Cookies of others, to go back with the next message.
    owed: BTreeMap<SocketAddr, Cookie>,
    /// Number of messages that were sent to an address with a cookie.
    asked: BTreeMap<SocketAddr, u8>,
    /// Datagram that is being answered.
    answering: Option<Answering>,
    /// Number of messages that were cut or not sent since the start.
    withheld: u64,
}

/// A datagram that is being answered, and the bytes that its sender may still be sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answering {
    from: SocketAddr,
    allowance: usize,
}

impl Echoes {
    pub(super) fn new(secret: u64, envelope: usize) -> Self {
        Self {
            secret,
            envelope,
            known: BTreeSet::new(),
            owed: BTreeMap::new(),
            asked: BTreeMap::new(),
            answering: None,
            withheld: 0,
        }
    }

    /// Takes note that a datagram of so many bytes is answered from here on.
    pub(super) fn begin(&mut self, from: SocketAddr, bytes: usize) {
        self.answering = Some(Answering { from, allowance: bytes });
    }

    /// Takes note that what is sent from here on answers no datagram.
    pub(super) fn end(&mut self) {
        self.answering = None;
    }

    /// Takes note that what is sent from here on is of this node's own accord, until `resume`; returns what that needs.
    pub(super) fn pause(&mut self) -> Option<Answering> {
        self.answering.take()
    }

    /// Goes on with the answer to a datagram.
    pub(super) fn resume(&mut self, answering: Option<Answering>) {
        self.answering = answering;
    }

    /// Takes note that an address answers.
    pub(super) fn note_there(&mut self, addr: SocketAddr) {
        if self.known.len() >= MAX_KNOWN && !self.known.contains(&addr) {
            self.known.pop_first();
        }
        self.known.insert(addr);
        self.asked.remove(&addr);
    }

    /// True if an address has answered.
    pub(super) fn is_there(&self, addr: SocketAddr) -> bool {
        self.known.contains(&addr)
    }

    /// True if a cookie of an address is to go back.
    pub(super) fn owes(&self, addr: SocketAddr) -> bool {
        self.owed.contains_key(&addr)
    }

    /// Takes in an item of the message of a node at `addr`, if it is one of these.
    pub(super) fn take(&mut self, addr: SocketAddr, item: &[u8]) {
        match (item.split_first(), item.get(1..).and_then(|rest| rest.try_into().ok())) {
            (Some((&COOKIE, _)), Some(cookie))
                if self.owed.len() < MAX_OWED || self.owed.contains_key(&addr) =>
            {
                self.owed.insert(addr, cookie);
            }
            (Some((&ECHO, _)), Some(cookie)) if cookie == self.cookie(addr) => self.note_there(addr),
            _ => {}
        }
    }

    /// Bytes of a datagram with a message of this length.
    fn cost(&self, length: usize) -> usize {
        (length + self.envelope).saturating_sub(SHORTENED)
    }

    fn cookie(&self, addr: SocketAddr) -> Cookie {
        let digest =
            Sha256::new_with_prefix(self.secret.to_be_bytes()).chain_update(addr.to_string()).finalize();
        digest.first_chunk().copied().unwrap_or_default()
    }

    /// The message to send to `to`: as it is, with a cookie, without what is beside its header, or none.
    pub(super) fn fit(&mut self, to: SocketAddr, message: &[u8]) -> Option<Vec<u8>> {
        let is_known = self.known.contains(&to);
        let echo = self.owed.get(&to).map(|cookie| (ECHO, *cookie));
        let mut fitted = match self.answering {
            _ if is_known => whole(message),
            Some(answering) => self.fit_answer(answering, to, message)?,
            None => self.fit_unasked(to, message),
        };
        let allowance =
            self.answering.filter(|_| !is_known).map_or(usize::MAX, |answering| answering.allowance);
        // A ping is what brings an answer.
        let asks = is_ping(message) || self.asked.get(&to).is_some_and(|asked| *asked > ASK_AFTER);
        let cookie = (!is_known && asks).then(|| (COOKIE, self.cookie(to)));
        for (kind, bytes) in echo.into_iter().chain(cookie) {
            let length = fitted.len() + ITEM_LEN;
            if length <= MAX_PAYLOAD && self.cost(length) <= allowance {
                put_item(&[&[kind][..], &bytes].concat(), &mut fitted);
                if kind == ECHO {
                    self.owed.remove(&to);
                }
            }
        }
        let cost = self.cost(fitted.len());
        if let Some(answering) = self.answering.as_mut().filter(|_| !is_known) {
            answering.allowance = answering.allowance.saturating_sub(cost);
        }
        Some(fitted)
    }

    fn fit_answer(&mut self, answering: Answering, to: SocketAddr, message: &[u8]) -> Option<Vec<u8>> {
        let Answering { from, allowance } = answering;
        let may = from == to || is_relayed(message);
        let fits = |message: &Vec<u8>| may && self.cost(message.len()) <= allowance;
        let fitted = Some(whole(message)).filter(fits);
        let is_whole = fitted.is_some();
        let fitted = fitted.or_else(|| bare(message).filter(fits));
        self.withheld += u64::from(!is_whole);
        fitted
    }

    fn fit_unasked(&mut self, to: SocketAddr, message: &[u8]) -> Vec<u8> {
        if self.asked.len() >= MAX_OWED && !self.asked.contains_key(&to) {
            self.asked.pop_first();
        }
        let asked = self.asked.entry(to).or_default();
        *asked = asked.saturating_add(1);
        if *asked <= WHOLE_MESSAGES {
            return whole(message);
        }
        self.withheld += 1;
        bare(message).unwrap_or_else(|| whole(message))
    }

    /// Number of messages that were cut or not sent since the start.
    pub(super) fn withheld(&self) -> u64 {
        self.withheld
    }
}

/// True for the items that are for this part alone.
pub(super) fn is_echo_or_cookie(item: &[u8]) -> bool {
    matches!(item, [COOKIE | ECHO, ..])
}

/// The message, in a form to which items can be added.
fn whole(message: &[u8]) -> Vec<u8> {
    let ends_with_header = bare(message).is_none_or(|bare| bare.len() > message.len());
    if ends_with_header { [message, &[0, 0]].concat() } else { message.to_vec() }
}

/// True for a message that helps with another's probe, which goes to a third node by its nature: a member, by its own account.
fn is_relayed(message: &[u8]) -> bool {
    let header = SwimCodec.decode_header(message);
    header.is_ok_and(|header| {
        matches!(header.message, Message::IndirectPing { .. } | Message::ForwardedAck { .. })
    })
}

fn is_ping(message: &[u8]) -> bool {
    let header = SwimCodec.decode_header(message);
    header.is_ok_and(|header| matches!(header.message, Message::Ping(_)))
}

/// The header and no updates.
fn bare(message: &[u8]) -> Option<Vec<u8>> {
    let mut rest = message;
    SwimCodec.decode_header(&mut rest).ok()?;
    let head = &message[..message.len() - rest.remaining()];
    Some([head, &[0, 0]].concat())
}

#[cfg(test)]
mod tests {
    use foca::Header;

    use super::*;
    use crate::gossip::{fixture::peer, packet::Packet};

    const ENVELOPE: usize = 40;
    /// Bytes that a datagram is longer than its message.
    const OVERHEAD: usize = ENVELOPE - SHORTENED;

    fn message(more: usize) -> Vec<u8> {
        let header = Header { src: peer(1), src_incarnation: 0, dst: peer(2), message: Message::Ping(1) };
        let mut bytes = Vec::new();
        SwimCodec.encode_header(&header, &mut bytes).unwrap();
        bytes.extend([0, 0]);
        if more > 0 {
            put_item(&vec![77; more], &mut bytes);
        }
        bytes
    }

    fn items(message: &[u8]) -> Vec<Vec<u8>> {
        Packet::decode(message).unwrap().items().map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn an_answer_is_no_larger_than_what_came_and_goes_back_to_where_it_came_from() {
        let (mut echoes, to) = (Echoes::new(1, ENVELOPE), peer(2).addr());
        for received in 0..400 {
            for more in [0, 30, 300] {
                let mut echoes = Echoes::new(1, ENVELOPE);
                echoes.begin(to, received);
                let sent = echoes.fit(to, &message(more)).map_or(0, |fitted| fitted.len() + OVERHEAD);
                assert!(sent <= received, "{sent} for {received}");
            }
        }
        echoes.begin(peer(3).addr(), 1_200);
        assert_eq!(echoes.fit(to, &message(0)), None, "another's address");
        echoes.begin(to, message(0).len() + OVERHEAD + ITEM_LEN);
        assert!(echoes.fit(to, &message(0)).is_some());
        assert_eq!(echoes.fit(to, &message(0)), None, "one answer has used it up");
    }

    #[test]
    fn whoever_echoes_its_cookie_is_told_everything() {
        let (mut echoes, mut other) = (Echoes::new(1, ENVELOPE), Echoes::new(2, ENVELOPE));
        let (me, to) = (peer(1).addr(), peer(2).addr());
        let asked = echoes.fit(to, &message(0)).unwrap();
        items(&asked).iter().for_each(|item| other.take(me, item));
        other.begin(me, asked.len() + OVERHEAD);
        let answer = other.fit(me, &message(0)).unwrap();
        assert!(answer.len() <= asked.len());
        for (addr, is_there) in [(peer(3).addr(), false), (to, true)] {
            items(&answer).iter().for_each(|item| echoes.take(addr, item));
            assert_eq!(echoes.known.contains(&addr), is_there, "a cookie is of one address");
        }
        echoes.begin(to, 0);
        assert_eq!(echoes.fit(to, &message(300)).unwrap(), message(300));
    }

    #[test]
    fn an_address_that_never_echoes_gets_headers_after_a_while() {
        let (mut echoes, to) = (Echoes::new(1, ENVELOPE), peer(2).addr());
        let lengths: Vec<_> =
            (0..=WHOLE_MESSAGES).map(|_| echoes.fit(to, &message(300)).unwrap().len()).collect();
        assert_eq!(lengths[0], message(300).len() + ITEM_LEN);
        assert_eq!(lengths[usize::from(WHOLE_MESSAGES)], message(0).len() + ITEM_LEN);
        assert_eq!(echoes.withheld(), 1);
        echoes.note_there(to);
        assert_eq!(echoes.fit(to, &message(300)).unwrap().len(), message(300).len());
    }
}
