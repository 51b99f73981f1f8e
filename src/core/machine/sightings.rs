//! What gossip and the providers know, as the founding wants to see it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    num::NonZeroU16,
    time::{Duration, Instant},
};

use super::Machine;
use crate::{
    bootstrap::{Contact, Founder, Sighting, Sightings},
    membership::{Member, MemberStatus},
    node::Role,
};

/// Contact counts as direct for this long, or for three rounds of probing everybody, whichever is longer.
const DIRECT_FOR: Duration = Duration::from_secs(5);

impl Machine {
    /// What gossip and the providers know that matters to the founding.
    pub(super) fn sightings(&self, now: Instant) -> Sightings {
        let me = self.gossip.me().id;
        let members = &self.membership.members;
        let others = members.values().filter(|member| member.id != me);
        let nodes: BTreeMap<_, _> = others.map(|member| (member.id, self.sighting(member, now))).collect();
        let unanswered = self.unanswered();
        let replaced = |member: &Member| {
            // Its address belongs to somebody else now, or did after it: that process is gone, and its record with it.
            let came_after = |other: &Member| {
                other.id != member.id
                    && other.addr == member.addr
                    && (other.status.is_active() || other.epoch > member.epoch)
            };
            !member.status.is_active() && members.values().any(came_after)
        };
        let servers =
            members.values().filter(|member| member.role == Role::Server && !replaced(member)).count();
        Sightings {
            nodes,
            distinct_servers: servers + unanswered.len(),
            seeds: self.seeds.keys().filter(|addr| !self.gossip.is_own(**addr)).count(),
            unanswered_seeds: unanswered,
            duplicate: self.duplicate,
        }
    }

    /// Whether what the founding goes by has changed with the time alone. Always so until a cluster is known: nobody waits
    /// for what an idle agent saves.
    pub(super) fn has_aged(&self, now: Instant) -> bool {
        let seen = self.bootstrap.sightings();
        let me = self.gossip.me().id;
        let same = |member: &Member| {
            member.id == me
                || seen.nodes.get(&member.id).is_some_and(|known| known.contact == self.contact(member, now))
        };
        self.bootstrap.cluster().is_none()
            || self.quorum.stale
            || self.founding.server.as_ref().and_then(|server| server.up) != self.server_up(now)
            || !self.membership.members.values().all(same)
            || self.unanswered() != seen.unanswered_seeds
    }

    fn contact(&self, member: &Member, now: Instant) -> Contact {
        let round = self.gossip.timing().probe_period
            * u32::try_from(self.membership.members.len()).unwrap_or(u32::MAX);
        let bound = DIRECT_FOR.max(round * 3);
        let heard = self.gossip.last_heard(member.id).is_some_and(|at| now.duration_since(at) <= bound);
        match member.status {
            MemberStatus::Alive if heard => Contact::Direct,
            MemberStatus::Alive | MemberStatus::Suspect => Contact::Reported,
            MemberStatus::Failed | MemberStatus::Left => Contact::Remembered,
        }
    }

    fn sighting(&self, member: &Member, now: Instant) -> Sighting {
        let news = member.founding;
        Sighting {
            founder: Founder {
                id: member.id,
                name: member.name.clone(),
                addr: member.addr,
                endpoints: member.endpoints.clone(),
            },
            zone: zone_of(&member.tags),
            role: member.role,
            contact: self.contact(member, now),
            expect: member.expect.map(NonZeroU16::get),
            cluster_id: news.cluster_id,
            config_index: news.config_index,
            established: news.established,
            attestation: news.attestation,
        }
    }

    /// The addresses that a provider lists and nobody has answered from. Those of another family than ours are left
    /// out: a name that resolves to both lists each server twice, and we could not reach it there.
    fn unanswered(&self) -> BTreeMap<SocketAddr, Instant> {
        let here = self.gossip.me().addr();
        let members: BTreeSet<_> = self.membership.members.values().map(|member| member.addr).collect();
        let silent = |addr: &SocketAddr| {
            addr.is_ipv4() == here.is_ipv4() && !members.contains(addr) && !self.gossip.has_answered(*addr)
        };
        self.seeds.iter().filter(|(addr, _)| silent(addr)).map(|(addr, since)| (*addr, *since)).collect()
    }
}

/// Where a node runs: the tag by which founders are spread.
pub fn zone_of(tags: &crate::node::Tags) -> Option<String> {
    tags.iter().find(|(key, _)| key.as_str() == "zone").map(|(_, zone)| zone.clone())
}
