//! The SWIM engine alone, as the baseline of a comparison, without all that the core puts around it. One guard is there,
//! because without it the baseline would show a fault of foca 2.0.0 and not SWIM: a refuted suspicion ends in silence.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::{Buf, BufMut};
use chronik_agent::{
    gossip::{Peer, Transmit},
    membership::MemberStatus,
    node::{Epoch, NodeId},
};
use foca::{
    AccumulatingRuntime, Config, Foca, Header, Member, Message, NoCustomBroadcast, OwnedNotification, State,
    Timer,
};
use rand::{SeedableRng as _, rngs::StdRng};

/// A node of nothing but the engine.
pub(crate) struct Bare {
    foca: Foca<Peer, Codec, StdRng, NoCustomBroadcast>,
    runtime: AccumulatingRuntime<Peer>,
    timers: BTreeMap<(Instant, u8, u64), Timer<Peer>>,
    armed: u64,
    pub(super) transmits: VecDeque<Transmit>,
    /// Changes of status since the world last took them.
    pub(super) changes: Vec<(SocketAddr, MemberStatus)>,
}

impl Bare {
    pub(super) fn new(me: Peer, config: Config, seed: u64) -> Self {
        Self {
            foca: Foca::new(me, config, StdRng::seed_from_u64(seed), Codec),
            runtime: AccumulatingRuntime::new(),
            timers: BTreeMap::new(),
            armed: 0,
            transmits: VecDeque::new(),
            changes: Vec::new(),
        }
    }

    /// Tells the engine at its start of these members.
    pub(super) fn meet(&mut self, members: impl Iterator<Item = Peer>, now: Instant) {
        let me = self.foca.identity().id;
        let members = members.filter(|peer| peer.id != me).map(Member::alive);
        self.call(now, |foca, runtime| foca.apply_many(members, false, runtime));
        self.changes.clear();
    }

    pub(super) fn handle_datagram(&mut self, datagram: &[u8], now: Instant) {
        self.call(now, |foca, runtime| foca.handle_data(datagram, runtime));
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while let Some(entry) = self.timers.first_entry()
            && entry.key().0 <= now
        {
            let timer = entry.remove();
            if let Timer::ChangeSuspectToDown { member_id, incarnation, .. } = &timer {
                let suspect = |member: &&Member<Peer>| {
                    member.id() == member_id
                        && member.incarnation() == *incarnation
                        && member.state() == State::Suspect
                };
                if self.foca.iter_members().find(suspect).is_none() {
                    continue;
                }
            }
            self.call(now, |foca, runtime| foca.handle_timer(timer, runtime));
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first_key_value().map(|((at, ..), _)| *at)
    }

    /// The status that it gives to a member.
    pub(super) fn status(&self, id: NodeId) -> Option<MemberStatus> {
        let member = self.foca.iter_membership_state().find(|member| member.id().id == id)?;
        Some(match member.state() {
            State::Alive => MemberStatus::Alive,
            State::Suspect => MemberStatus::Suspect,
            State::Down => MemberStatus::Failed,
        })
    }

    fn call(
        &mut self,
        now: Instant,
        call: impl FnOnce(
            &mut Foca<Peer, Codec, StdRng, NoCustomBroadcast>,
            &mut AccumulatingRuntime<Peer>,
        ) -> Result<(), foca::Error>,
    ) {
        // An error is a late or foreign packet that was refused; nothing follows from it.
        call(&mut self.foca, &mut self.runtime).ok();
        while let Some((after, timer)) = self.runtime.to_schedule() {
            self.armed += 1;
            let rank = if matches!(timer, Timer::SendIndirectProbe { .. }) {
                0
            } else {
                1 + u8::from(!matches!(timer, Timer::ProbeRandomMember(_)))
            };
            self.timers.insert((now + after, rank, self.armed), timer);
        }
        while let Some((peer, payload)) = self.runtime.to_send() {
            self.transmits.push_back(Transmit { to: peer.addr(), payload });
        }
        while let Some(notification) = self.runtime.to_notify() {
            match notification {
                OwnedNotification::MemberUp(peer) => self.changes.push((peer.addr(), MemberStatus::Alive)),
                OwnedNotification::MemberDown(peer) => self.changes.push((peer.addr(), MemberStatus::Failed)),
                OwnedNotification::Rename(..)
                | OwnedNotification::Active
                | OwnedNotification::Idle
                | OwnedNotification::Defunct
                | OwnedNotification::Rejoin(_) => {}
            }
        }
    }
}

/// memberlist's default configuration, with `SuspicionMult` 4, and without Lifeguard, which memberlist cannot switch off.
pub(crate) fn like_memberlist(size: u32) -> Config {
    let mut config = Config::new_lan(size.try_into().unwrap());
    config.suspect_to_down_after = Duration::from_secs(4).mul_f64(f64::from(size).log10().max(1.0));
    config
}

struct Codec;

#[derive(Debug, thiserror::Error)]
#[error("does not fit, or does not read")]
struct Broken;

const PEER: usize = 16 + 4 + 2 + 8 + 2;

fn put(peer: &Peer, out: &mut impl BufMut) {
    let SocketAddr::V4(addr) = peer.addr() else { panic!("the simulated network is IPv4") };
    out.put_slice(peer.id.as_bytes());
    out.put_slice(&addr.ip().octets());
    out.put_u16(addr.port());
    out.put_u64(peer.epoch().0);
    out.put_u16(peer.bump());
}

fn get(bytes: &mut impl Buf) -> Result<Peer, Broken> {
    if bytes.remaining() < PEER {
        return Err(Broken);
    }
    let mut id = [0; 16];
    bytes.copy_to_slice(&mut id);
    let mut ip = [0; 4];
    bytes.copy_to_slice(&mut ip);
    let id = NodeId::try_from(id).map_err(|_| Broken)?;
    let addr = (ip, bytes.get_u16()).into();
    Ok(Peer::new(id, addr, Epoch(bytes.get_u64()), bytes.get_u16()))
}

impl foca::Codec<Peer> for Codec {
    type Error = Broken;

    fn encode_header(&mut self, header: &Header<Peer>, mut out: impl BufMut) -> Result<(), Broken> {
        put(&header.src, &mut out);
        out.put_u16(header.src_incarnation);
        put(&header.dst, &mut out);
        let (tag, number, peer) = match &header.message {
            Message::Ping(number) => (1, *number, None),
            Message::Ack(number) => (2, *number, None),
            Message::PingReq { target, probe_number } => (3, *probe_number, Some(target)),
            Message::IndirectPing { origin, probe_number } => (4, *probe_number, Some(origin)),
            Message::IndirectAck { target, probe_number } => (5, *probe_number, Some(target)),
            Message::ForwardedAck { origin, probe_number } => (6, *probe_number, Some(origin)),
            Message::Announce => (7, 0, None),
            Message::Feed => (8, 0, None),
            Message::Gossip => (9, 0, None),
            Message::Broadcast => (10, 0, None),
            Message::TurnUndead => (11, 0, None),
        };
        out.put_slice(&[tag, number]);
        if let Some(peer) = peer {
            put(peer, &mut out);
        }
        Ok(())
    }

    fn decode_header(&mut self, mut bytes: impl Buf) -> Result<Header<Peer>, Broken> {
        let src = get(&mut bytes)?;
        let src_incarnation = bytes.try_get_u16().map_err(|_| Broken)?;
        let dst = get(&mut bytes)?;
        let tag = bytes.try_get_u8().map_err(|_| Broken)?;
        let probe_number = bytes.try_get_u8().map_err(|_| Broken)?;
        let message = match tag {
            1 => Message::Ping(probe_number),
            2 => Message::Ack(probe_number),
            3 => Message::PingReq { target: get(&mut bytes)?, probe_number },
            4 => Message::IndirectPing { origin: get(&mut bytes)?, probe_number },
            5 => Message::IndirectAck { target: get(&mut bytes)?, probe_number },
            6 => Message::ForwardedAck { origin: get(&mut bytes)?, probe_number },
            7 => Message::Announce,
            8 => Message::Feed,
            9 => Message::Gossip,
            10 => Message::Broadcast,
            11 => Message::TurnUndead,
            _ => return Err(Broken),
        };
        Ok(Header { src, src_incarnation, dst, message })
    }

    fn encode_member(&mut self, member: &Member<Peer>, mut out: impl BufMut) -> Result<(), Broken> {
        if out.remaining_mut() < PEER + 3 {
            return Err(Broken);
        }
        put(member.id(), &mut out);
        out.put_u16(member.incarnation());
        out.put_u8(match member.state() {
            State::Alive => 0,
            State::Suspect => 1,
            State::Down => 2,
        });
        Ok(())
    }

    fn decode_member(&mut self, mut bytes: impl Buf) -> Result<Member<Peer>, Broken> {
        let peer = get(&mut bytes)?;
        let incarnation = bytes.try_get_u16().map_err(|_| Broken)?;
        let state = match bytes.try_get_u8().map_err(|_| Broken)? {
            0 => State::Alive,
            1 => State::Suspect,
            2 => State::Down,
            _ => return Err(Broken),
        };
        Ok(Member::new(peer, incarnation, state))
    }
}
