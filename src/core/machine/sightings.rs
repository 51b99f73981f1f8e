//! Sightings: what gossip and the providers know of other servers, as the founding wants to see it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    num::NonZeroU16,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    bootstrap::{Bootstrap, Contact, Counted, Founder, LastLife, Listed, Sighting, Sightings},
    gossip::Gossip,
    membership::{FoundingNews, Member, MemberStatus, Membership},
    node::{NodeId, Role, Tags},
};

/// Time for which contact counts as direct, if three rounds of probing everybody do not take longer.
const DIRECT_FOR: Duration = Duration::from_secs(5);

/// Addresses that the providers list.
pub(super) type Seeds = BTreeMap<SocketAddr, Listed>;

/// An address that a provider lists.
#[derive(Debug, Clone)]
pub struct Seed {
    /// The address.
    pub addr: SocketAddr,
    /// Name of the provider, for people.
    pub by: Arc<str>,
}

impl From<SocketAddr> for Seed {
    fn from(addr: SocketAddr) -> Self {
        Self { addr, by: "a provider".into() }
    }
}

/// Takes over what the providers list now; an address that was listed before has been since then.
pub(super) fn list(known: &Seeds, seeds: impl IntoIterator<Item = Seed>, now: Instant) -> Seeds {
    let mut listed = Seeds::new();
    for Seed { addr, by } in seeds {
        let since = known.get(&addr).map_or(now, |known| known.since);
        let names = &mut listed.entry(addr).or_insert_with(|| Listed { since, by: Arc::default() }).by;
        Arc::make_mut(names).insert(by);
    }
    listed
}

/// The seeds that are waited for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Awaited {
    /// Set while a provider has not answered at all.
    pub(super) unheard_providers: bool,
    /// Set if seeds of the other family than this node's are waited for, too.
    pub(super) both_families: bool,
}

/// Facts from which sightings are made.
#[derive(Clone, Copy)]
pub(super) struct Lookout<'a> {
    pub(super) gossip: &'a Gossip,
    pub(super) membership: &'a Membership,
    pub(super) seeds: &'a Seeds,
    /// Nodes that operators have forgotten.
    pub(super) forgotten: &'a BTreeMap<NodeId, LastLife>,
    pub(super) awaited: Awaited,
    /// Address of another agent that has this node's id.
    pub(super) duplicate: Option<SocketAddr>,
}

impl Lookout<'_> {
    /// Everything that gossip and the providers know and that matters to the founding.
    pub(super) fn sightings(&self, now: Instant) -> Sightings {
        let me = self.gossip.me().id;
        let members = &self.membership.members;
        let others = members.values().filter(|member| member.id != me);
        let nodes: BTreeMap<_, _> = others.map(|member| (member.id, self.sighting(member, now))).collect();
        let unanswered = self.unanswered();
        let replaced = |member: &Member| {
            // Its address belongs to another member now, or did after it: that process is gone, and its record with it.
            let came_after = |other: &Member| {
                other.id != member.id
                    && other.addr == member.addr
                    && (other.status.is_active() || other.epoch > member.epoch)
            };
            !member.status.is_active() && members.values().any(came_after)
        };
        let counts = |member: &&Member| member.id != me && may_vote(member) && !replaced(member);
        let ids = members.values().filter(counts).map(|member| (member.id, member.addr));
        Sightings {
            nodes,
            counted: Counted { ids: ids.collect(), silent: unanswered.keys().copied().collect() },
            seeds: self.seeds.keys().filter(|addr| !self.gossip.is_own(**addr)).count(),
            unanswered_seeds: unanswered,
            unheard_providers: self.awaited.unheard_providers,
            duplicate: self.duplicate,
        }
    }

    /// True if a member's contact, or the silence of a seed, has changed with the time alone since `bootstrap` saw it.
    pub(super) fn has_aged(&self, bootstrap: &Bootstrap, now: Instant) -> bool {
        let seen = bootstrap.sightings();
        let me = self.gossip.me().id;
        let same = |member: &Member| {
            member.id == me
                || seen.nodes.get(&member.id).is_some_and(|known| known.contact == self.contact(member, now))
        };
        !self.membership.members.values().all(same) || self.unanswered() != seen.unanswered_seeds
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
            named: news.named,
            cluster_id: news.cluster_id,
            attestation: news.attestation,
            knowledge: news.knowledge,
        }
    }

    /// The addresses that a provider lists and from which no agent has answered, nor had one that is forgotten. Those of another family than ours are left
    /// out unless they are waited for: a name that resolves to both lists each server twice.
    fn unanswered(&self) -> Seeds {
        let here = self.gossip.me().addr();
        let forgotten = self.forgotten.values().map(|last| last.addr);
        let members = self.membership.members.values().map(|member| member.addr);
        let members: BTreeSet<_> = members.chain(forgotten).collect();
        let silent = |addr: &SocketAddr| {
            (self.awaited.both_families || addr.is_ipv4() == here.is_ipv4())
                && !members.contains(addr)
                && !self.gossip.has_answered(*addr)
        };
        self.seeds
            .iter()
            .filter(|(addr, _)| silent(addr))
            .map(|(addr, listed)| (*addr, listed.clone()))
            .collect()
    }
}

/// True if a member may have a vote: a server that has not said otherwise, or a node of which only others have told. Whoever has
/// said goodbye gives none any more.
fn may_vote(member: &Member) -> bool {
    let has_said_nothing = member.name.as_str() == member.id.to_string();
    let FoundingNews { may_vote, has_voted, .. } = member.founding;
    let is_leaving = member.status == MemberStatus::Left;
    has_said_nothing || (member.role == Role::Server && if is_leaving { has_voted } else { may_vote })
}

/// Zone of a node: the tag by which founders are spread.
pub fn zone_of(tags: &Tags) -> Option<String> {
    tags.iter().find(|(key, _)| key.as_str() == "zone").map(|(_, zone)| zone.clone())
}
