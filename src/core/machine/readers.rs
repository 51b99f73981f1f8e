//! The news that each half has for the other, and for readers.

use std::{sync::Arc, time::Instant};

use super::Machine;
use crate::{
    bootstrap::Certificate,
    membership::{FoundingNews, Metadata},
    quorum::Quorum,
};

impl Machine {
    /// Tells the other members of the cluster that is known here.
    pub(super) fn tell_news(&mut self, now: Instant) {
        let cluster = self.bootstrap.cluster();
        let news = FoundingNews {
            cluster_id: cluster.map(|cluster| cluster.id),
            config_index: cluster.map_or(0, |cluster| cluster.config_index),
            established: cluster.is_some_and(|cluster| cluster.established),
            attestation: self.bootstrap.attestation(),
            server_up: self.server.is_up(now),
            named: self.named,
            knowledge: self.bootstrap.knowledge(),
            may_vote: self.bootstrap.may_vote(),
            has_voted: self.bootstrap.has_voted(),
        };
        if self.gossip.own_metadata().founding != news {
            let metadata = Metadata { founding: news, ..self.gossip.own_metadata().clone() };
            if let Err(error) = self.gossip.set_metadata(metadata, now) {
                tracing::error!(%error, "what is known of the cluster cannot be told");
            }
        }
    }

    /// Brings time and way of the last contact with each member up to date, in a membership that is otherwise unchanged.
    pub fn refresh_contact(&mut self) {
        for member in self.membership.members.values_mut() {
            self.gossip.refresh_contact(member);
        }
    }

    pub(super) fn refresh(&mut self, now: Instant) {
        let (server, certificate) = (self.server.status(now), self.shown_certificate());
        self.founding.update(Self::status(&self.bootstrap, server, certificate));
        let unheard = self.gossip.is_stale(now).then(|| {
            let ids = self.membership.members.keys().copied();
            ids.filter(|id| *id != self.gossip.me().id && !self.gossip.hears(*id, now)).collect()
        });
        let quorum =
            Quorum::assess(&self.membership, &self.founding, self.expect, unheard.as_ref(), self.duplicate);
        let voters =
            if quorum.has_quorum() { Quorum::known_voters(&self.membership, &self.founding) } else { vec![] };
        self.gossip.set_voters(voters, quorum.required);
        self.quorum.update(quorum);
    }

    /// The proof of the founding, the one that readers have already if it is the same.
    fn shown_certificate(&self) -> Option<Arc<Certificate>> {
        let certificate = self.bootstrap.certificate()?;
        let shown = self.founding.certificate.as_ref().filter(|shown| ***shown == *certificate);
        Some(shown.cloned().unwrap_or_else(|| Arc::new(certificate.clone())))
    }

    /// Takes over the members that have changed.
    pub(super) fn follow_gossip(&mut self) {
        while let Some(id) = self.gossip.poll_change() {
            match self.gossip.member(id) {
                Some(member) => self.membership.members.insert(id, member),
                None => self.membership.members.remove(&id),
            };
        }
        self.membership.index = self.gossip.index();
    }
}
