//! A stranger on the bridge, who hears what passes and sends datagrams in the names of others.

use std::{net::UdpSocket, num::NonZeroU32, os::fd::OwnedFd};

use rand::{Rng as _, RngExt as _, rngs::StdRng};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SocketFlags, SocketType, recv, socket_with};

use crate::{
    network::{addr, borrow_addr},
    program::Forgery,
};

/// All protocols, in the order of the network.
const EVERYTHING: u32 = 0x0300;
const GOSSIP: u16 = 7946;
/// Datagrams of one forgery.
const MANY: usize = 200;
/// Frames that are kept.
const KEPT: usize = 2_000;

/// A stranger, and all that he has heard.
#[derive(Debug)]
pub(crate) struct Stranger {
    socket: OwnedFd,
    frames: Vec<Vec<u8>>,
}

impl Stranger {
    pub(crate) fn new() -> Self {
        let protocol = NonZeroU32::new(EVERYTHING).map(Protocol::from_raw);
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, flags, protocol).unwrap();
        Self { socket, frames: Vec::new() }
    }

    /// Takes in what has passed since the last time; the kernel keeps some hundred packets until then.
    pub(crate) fn listen(&mut self) {
        let mut packet = [0; 2048];
        while let Ok((length, _)) = recv(&self.socket, &mut packet[..], RecvFlags::empty()) {
            if let Some(payload) = gossip_in(&packet[..length]) {
                self.frames.push(payload.to_vec());
            }
        }
        let surplus = self.frames.len().saturating_sub(KEPT);
        self.frames.drain(..surplus);
    }

    /// Sends many datagrams to a host, half of them in the name of another; returns their number.
    pub(crate) fn send(&mut self, to: usize, as_if: usize, forgery: Forgery, rng: &mut StdRng) -> usize {
        self.listen();
        borrow_addr(as_if, true);
        let sockets =
            [addr(as_if), crate::network::OURS].map(|from| UdpSocket::bind((from, GOSSIP)).unwrap());
        let mut sent = 0;
        for number in 0..MANY {
            let mut frame = match forgery {
                Forgery::Garbage => {
                    let mut garbage = vec![0; rng.random_range(0..1400)];
                    rng.fill_bytes(&mut garbage);
                    garbage
                }
                Forgery::Replayed | Forgery::Altered => {
                    if self.frames.is_empty() {
                        break;
                    }
                    self.frames[rng.random_range(0..self.frames.len())].clone()
                }
            };
            if forgery == Forgery::Altered && !frame.is_empty() {
                for _ in 0..rng.random_range(1..4) {
                    let place = rng.random_range(0..frame.len());
                    frame[place] = rng.random();
                }
            }
            sent += usize::from(sockets[number % 2].send_to(&frame, (addr(to), GOSSIP)).is_ok());
        }
        borrow_addr(as_if, false);
        sent
    }
}

/// The payload of a packet, if it is a datagram of gossip: behind the headers of Ethernet, IPv4 and UDP.
fn gossip_in(packet: &[u8]) -> Option<&[u8]> {
    let ip = packet.get(14..)?;
    let is_udp = packet.get(12..14)? == [8, 0] && *ip.get(9)? == 17;
    let udp = ip.get(usize::from(ip.first()? & 15) * 4..)?;
    let port = u16::from_be_bytes([*udp.get(2)?, *udp.get(3)?]);
    (is_udp && port == GOSSIP).then(|| udp.get(8..))?
}
