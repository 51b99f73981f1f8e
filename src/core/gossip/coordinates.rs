//! Positions of this node and its peers in the network, learnt from the round trips of probes: Vivaldi, after Dabek, Cox,
//! Kaashoek and Morris, "Vivaldi: A Decentralized Network Coordinate System" (SIGCOMM 2004), with heights. A peer's word
//! about itself is not trusted further than one measured round trip bears it out.

use std::{collections::BTreeMap, time::Duration};

use foca::Message;
use rand::{RngExt as _, rngs::StdRng};

use super::{codec::put_item, engine::Sent, peer::Peer, rumours::Rumour};
use crate::{
    membership::{Coordinate, DIMENSIONS, distance},
    node::NodeId,
    wire::MAX_PAYLOAD,
};

/// Share of a surprise by which one round trip moves the node and its error; the paper's `c_c` and `c_e`.
const GAIN: f64 = 0.25;
/// Smallest error that any node is taken to have, whatever it says: round trips vary by more.
const SUREST: f64 = 0.02;
/// Largest surprise of a round trip, as a multiple of the error that the node expects of itself. A peer that lies moves a
/// well-placed node little; if the network has really changed, every round trip surprises, and the error grows until the
/// node follows.
const MOST_SURPRISE: f64 = 3.0;
/// Shortest access line, so that heights never vanish altogether and can grow again; as in Serf.
const LOWEST: f64 = 10e-6;
/// Share by which each round trip draws the whole space back to its origin, so that it does not drift away: a thousandth of
/// the distance that a round trip can move.
const GRAVITY: f64 = 1e-4;
/// Longest round trip that counts: a longer one says that a process was paused, not where it is; as in Serf.
const LONGEST: Duration = Duration::from_secs(10);
/// Number of round trips of which the median counts, so that one that was late does not; as in Serf.
const FILTER: usize = 3;
/// Movement after which a peer is told again.
const MOVED: Duration = Duration::from_micros(250);
/// Share of the round trip to the peer that is added to that movement.
const MOVED_SHARE: f64 = 0.05;
/// Number of answers after which a peer is told again anyway, for datagrams get lost.
const REPEAT: u8 = 16;

/// Position of this node, and those of its peers.
#[derive(Debug)]
pub(super) struct Coordinates {
    position: [f64; DIMENSIONS],
    height: f64,
    error: f64,
    /// Dice of its own, so that the rest of the machine takes the same course with and without coordinates.
    rng: StdRng,
    /// Position as it is told; none before the first round trip.
    own: Option<Coordinate>,
    known: BTreeMap<NodeId, PeerPosition>,
}

/// A peer's position, and the position that it was told.
#[derive(Debug, Default)]
struct PeerPosition {
    coordinate: Option<Coordinate>,
    /// Last round trips, the newest first.
    recent: Vec<Duration>,
    told: Option<(Peer, Coordinate)>,
    /// Number of answers to it since it was told.
    answers: u8,
}

impl PeerPosition {
    fn filtered(&self) -> Option<Duration> {
        let mut recent = self.recent.clone();
        recent.sort_unstable();
        recent.get(recent.len() / 2).copied()
    }
}

impl Coordinates {
    /// A node that knows nothing of its position.
    pub(super) fn new(rng: StdRng) -> Self {
        let position = [0.0; DIMENSIONS];
        Self { position, height: LOWEST, error: 1.0, rng, own: None, known: BTreeMap::new() }
    }

    /// Position of this node; `None` before its first round trip to a peer that has a coordinate.
    pub(super) fn own(&self) -> Option<Coordinate> {
        self.own
    }

    /// Position of a peer by its own account.
    pub(super) fn of(&self, id: &NodeId) -> Option<Coordinate> {
        self.known.get(id)?.coordinate
    }

    /// Takes note of a peer's account of its position.
    pub(super) fn note(&mut self, id: NodeId, coordinate: Coordinate) {
        self.known.entry(id).or_default().coordinate = Some(coordinate);
    }

    /// Takes note of a round trip to a peer.
    pub(super) fn measure(&mut self, id: NodeId, rtt: Duration) {
        if rtt > LONGEST {
            return;
        }
        let known = self.known.entry(id).or_default();
        known.recent.truncate(FILTER - 1);
        known.recent.insert(0, rtt);
        let theirs = known.coordinate;
        let rtt = known.filtered().unwrap_or(rtt).as_secs_f64().max(LOWEST);
        // One node has to begin: next to a peer that does not know its position, a node is at the origin.
        if let Some(theirs) = theirs {
            self.move_by(rtt, &theirs);
        }
        self.own = Coordinate::new(self.position, self.height, self.error).ok();
        if self.own.is_none() {
            // Pushed out of the space: begin again.
            (self.position, self.height, self.error) = ([0.0; DIMENSIONS], LOWEST, 1.0);
        }
    }

    /// Moves this node by the algorithm of the paper's figure 3, with bounds.
    fn move_by(&mut self, rtt: f64, theirs: &Coordinate) {
        let place = theirs.position();
        let apart = distance(&self.position, &place);
        let heights = self.height + theirs.height();
        let short = rtt - (apart + heights);
        let weight = self.error / (self.error + theirs.error().max(SUREST));
        let surprise = (short.abs() / rtt).min(MOST_SURPRISE * self.error).min(1.0);
        let gain = GAIN * weight;
        self.error = (self.error * (1.0 - gain) + surprise * gain).clamp(SUREST, 1.0);
        let force = gain * (surprise * rtt).copysign(short);
        let direction = self.direction(&place, apart);
        for (axis, along) in self.position.iter_mut().zip(direction) {
            *axis = (*axis + along * force) * (1.0 - GRAVITY);
        }
        if apart > LOWEST {
            self.height = (self.height + force * heights / apart).max(LOWEST);
        }
    }

    /// Unit vector away from `place`; in any direction if this node is just there.
    fn direction(&mut self, place: &[f64; DIMENSIONS], apart: f64) -> [f64; DIMENSIONS] {
        if apart > LOWEST / 10.0 {
            let mut away = self.position;
            away.iter_mut().zip(place).for_each(|(axis, theirs)| *axis = (*axis - theirs) / apart);
            return away;
        }
        let random: [f64; DIMENSIONS] = std::array::from_fn(|_| self.rng.random_range(-1.0..1.0));
        let length = distance(&random, &[0.0; DIMENSIONS]).max(f64::MIN_POSITIVE);
        random.map(|axis| axis / length)
    }

    /// Appends this node's position to a message that acknowledges a ping, if the peer has not heard of it. It comes last,
    /// so that an agent that does not know the item has taken in all others before it.
    pub(super) fn append_to(&mut self, sent: &mut Sent) {
        let fits = sent.bytes.len() + 2 + 1 + Coordinate::LEN <= MAX_PAYLOAD;
        if fits
            && matches!(sent.header.message, Message::Ack(_))
            && let Some(own) = self.tell(&sent.to)
        {
            put_item(&Rumour::Coordinate(sent.to, own).encode(), &mut sent.bytes);
        }
    }

    /// The position to tell `peer` with an answer, if it would be news.
    fn tell(&mut self, peer: &Peer) -> Option<Coordinate> {
        let own = self.own?;
        let known = self.known.entry(peer.id).or_default();
        known.answers = known.answers.saturating_add(1);
        let bound = MOVED + known.filtered().unwrap_or_default().mul_f64(MOVED_SHARE);
        let stale =
            known.told.is_none_or(|(life, told)| life != *peer || moved(&told, &own) > bound.as_secs_f64());
        if !stale && known.answers < REPEAT {
            return None;
        }
        known.told = Some((*peer, own));
        known.answers = 0;
        Some(own)
    }

    /// Forgets peers that are no longer known.
    pub(super) fn retain(&mut self, known: impl Fn(&NodeId) -> bool) {
        self.known.retain(|id, _| known(id));
    }
}

/// Largest change of an estimate when a node goes from one position to the other.
fn moved(from: &Coordinate, to: &Coordinate) -> f64 {
    distance(&from.position(), &to.position()) + (from.height() - to.height()).abs()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;
    use crate::node::Epoch;

    const MS: Duration = Duration::from_millis(1);

    fn peer(last: u8) -> Peer {
        let id = NodeId::try_from([last; 16]).unwrap();
        Peer::new(id, ([10, 0, 0, last], 7946).into(), Epoch(1), 0)
    }

    fn node(seed: u64) -> Coordinates {
        Coordinates::new(StdRng::seed_from_u64(seed))
    }

    #[test]
    fn two_nodes_learn_how_far_they_are_apart() {
        let (mut a, mut b) = (node(1), node(2));
        for _ in 0..50 {
            a.measure(peer(2).id, 10 * MS);
            b.note(peer(1).id, a.own().unwrap());
            b.measure(peer(1).id, 10 * MS);
            a.note(peer(2).id, b.own().unwrap());
        }
        let estimate = a.own().unwrap().round_trip(&b.own().unwrap());
        assert!(estimate.abs_diff(10 * MS) < MS / 2, "{estimate:?}");
        assert!(a.own().unwrap().error() < 0.1);
    }

    #[test]
    fn a_round_trip_that_cannot_be_and_one_that_was_late_move_nothing() {
        let mut a = node(1);
        a.note(peer(2).id, Coordinate::new([0.01, 0.0, 0.0], 0.0, 0.1).unwrap());
        a.measure(peer(2).id, LONGEST + MS);
        assert_eq!(a.own(), None);
        for _ in 0..100 {
            a.measure(peer(2).id, 10 * MS);
        }
        let before = a.own().unwrap();
        a.measure(peer(2).id, LONGEST);
        a.measure(peer(2).id, Duration::ZERO);
        assert!(moved(&before, &a.own().unwrap()) < 0.0005);
    }

    /// Whatever it says, and however sure it is.
    #[test]
    fn a_lie_moves_a_well_placed_node_by_less_than_the_liar_is_away() {
        let mut a = node(1);
        a.note(peer(2).id, Coordinate::new([0.01, 0.0, 0.0], 0.0, 0.1).unwrap());
        for _ in 0..100 {
            a.measure(peer(2).id, 10 * MS);
        }
        let before = a.own().unwrap();
        a.note(peer(3).id, Coordinate::new([2.0, 2.0, -2.0], 0.6, 0.0).unwrap());
        a.measure(peer(3).id, 10 * MS);
        let moved = moved(&before, &a.own().unwrap());
        assert!(moved > 0.0 && moved < 0.001, "{moved}");
    }

    #[test]
    fn a_peer_is_told_at_first_then_when_it_would_be_wrong_and_now_and_then() {
        let mut a = node(1);
        assert_eq!(a.tell(&peer(2)), None, "it knows nothing yet");
        a.measure(peer(2).id, 10 * MS);
        let told = |a: &mut Coordinates, to| a.tell(&to).is_some();
        assert!(told(&mut a, peer(2)));
        let next = (1..).find(|_| told(&mut a, peer(2)));
        assert_eq!(next, Some(usize::from(REPEAT)));
        assert!(told(&mut a, peer(2).reborn(Epoch(1), 1)), "a new life has forgotten it");
        assert!(!told(&mut a, peer(2).reborn(Epoch(1), 1)));
        a.position = [0.001, 0.0, 0.0];
        a.measure(peer(2).id, 10 * MS);
        assert!(told(&mut a, peer(2).reborn(Epoch(1), 1)), "it has moved by a tenth of the round trip");
    }
}
