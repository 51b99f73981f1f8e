//! The proof that servers agreed on a founding: it needs no trust in the node that shows it.

use std::{collections::BTreeSet, ops::Deref};

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::{ballot::Ballot, founding::Founding, terms::Terms};
use crate::{
    node::{ClusterName, NodeId},
    signing::{Domain, NodeKey, Signed, Statement},
};

/// The acceptance of a founding: its signer accepted it in this ballot, on these terms.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(map)]
pub struct Acceptance {
    /// The ballot in which it was accepted, which may be later than the one in which it was proposed first.
    #[n(0)]
    pub ballot: Ballot,
    /// The terms of that ballot.
    #[n(1)]
    pub terms: Terms,
    /// All 256 bits of the founding's digest.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub digest: [u8; 32],
}

impl Statement for Acceptance {
    const DOMAIN: Domain = Domain::Acceptance;
}

impl Acceptance {
    /// The signed acceptance of a founding.
    pub(super) fn sign(
        key: &NodeKey,
        name: &ClusterName,
        ballot: Ballot,
        terms: &Terms,
        founding: &Founding,
    ) -> Signed<Self> {
        Signed::new(key, name, Self { ballot, terms: terms.clone(), digest: founding.digest(name) })
    }
}

/// A founding, and the acceptances of as many servers as its terms ask for, all of one ballot. There is none without them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Claimed", into = "Claimed")]
pub struct Certificate(Claimed);

/// A founding and acceptances that nobody has compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode, Decode)]
#[serde(deny_unknown_fields)]
#[cbor(map)]
struct Claimed {
    #[n(0)]
    founding: Founding,
    #[n(1)]
    acceptances: Vec<Signed<Acceptance>>,
}

/// A founding that is not proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// Nobody has accepted it.
    #[error("nobody has signed that he accepted it")]
    Nobody,
    /// Acceptances of one founding in several ballots prove nothing.
    #[error("its acceptances are not all of one ballot, on the same terms, of this very founding")]
    Mixed,
    /// The founding is not what its id says, or does not fit its terms.
    #[error("its id is not the digest of it, or it does not fit the terms on which it was accepted")]
    NotGenuine,
    /// Too few servers that count have accepted it.
    #[error("too few servers have accepted it: {0} of {1}")]
    TooFew(usize, usize),
}

impl Certificate {
    /// The proof of a founding.
    ///
    /// # Errors
    /// The acceptances do not prove it.
    pub(super) fn new(
        founding: Founding,
        acceptances: impl IntoIterator<Item = Signed<Acceptance>>,
    ) -> Result<Self, Unproven> {
        Claimed { founding, acceptances: acceptances.into_iter().collect() }.try_into()
    }

    /// The acceptances, each by another server.
    pub fn acceptances(&self) -> &[Signed<Acceptance>] {
        &self.0.acceptances
    }

    /// The name of the cluster.
    pub fn cluster(&self) -> &ClusterName {
        self.0.acceptances[0].cluster()
    }

    /// The ballot in which it was accepted, and its terms.
    pub fn terms(&self) -> (Ballot, &Terms) {
        let first = &self.0.acceptances[0];
        (first.ballot, &first.terms)
    }

    /// The founding that is proven.
    pub fn founding(&self) -> &Founding {
        &self.0.founding
    }
}

impl Deref for Certificate {
    type Target = Founding;

    fn deref(&self) -> &Founding {
        &self.0.founding
    }
}

impl TryFrom<Claimed> for Certificate {
    type Error = Unproven;

    fn try_from(claimed: Claimed) -> Result<Self, Unproven> {
        let Claimed { founding, acceptances } = &claimed;
        let first = acceptances.first().ok_or(Unproven::Nobody)?;
        let name = first.cluster();
        let is_alike = |other: &Signed<Acceptance>| other.cluster() == name && **other == **first;
        if !acceptances.iter().all(is_alike) || first.digest != founding.digest(name) {
            return Err(Unproven::Mixed);
        }
        let is_genuine = founding.is_genuine(name) && founding.ballot() <= first.ballot;
        if !is_genuine || !founding.fits(&first.terms) {
            return Err(Unproven::NotGenuine);
        }
        let signers: BTreeSet<NodeId> = acceptances.iter().map(Signed::signer).collect();
        let counted = signers.iter().filter(|id| first.terms.counts(**id)).count();
        // An operator's founding is his word at the node of its ballot.
        let (count, enough) = match founding.operator() {
            Some(_) => (usize::from(signers.contains(&founding.ballot().node)), 1),
            None => (counted, first.terms.quorum()),
        };
        if count < enough { Err(Unproven::TooFew(count, enough)) } else { Ok(Self(claimed)) }
    }
}

impl From<Certificate> for Claimed {
    fn from(certificate: Certificate) -> Self {
        certificate.0
    }
}

impl<C> Encode<C> for Certificate {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        context: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        self.0.encode(e, context)
    }
}

impl<'b, C> Decode<'b, C> for Certificate {
    fn decode(d: &mut minicbor::Decoder<'b>, context: &mut C) -> Result<Self, minicbor::decode::Error> {
        let claimed: Claimed = d.decode_with(context)?;
        claimed.try_into().map_err(minicbor::decode::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::{
        super::fixture::{founder, id, key, name},
        *,
    };

    fn ballot(round: u64) -> Ballot {
        Ballot { round, node: id(0) }
    }

    fn terms(count: u16) -> Terms {
        Terms::Count(NonZeroU16::new(count).unwrap())
    }

    fn founding(founders: usize) -> Founding {
        Founding::new(&name(), ballot(1), (0..founders).map(founder).collect(), None)
    }

    fn accepted(server: usize, round: u64, of: &Founding) -> Signed<Acceptance> {
        Acceptance::sign(&key(server), &name(), ballot(round), &terms(3), of)
    }

    #[test]
    fn a_quorum_of_one_ballot_proves_a_founding_and_is_read_as_written() {
        let founding = founding(3);
        let acceptances = [0, 1, 4].map(|server| accepted(server, 2, &founding));
        let certificate = Certificate::new(founding.clone(), acceptances).unwrap();
        assert_eq!((certificate.id(), certificate.terms()), (founding.id(), (ballot(2), &terms(3))));
        let bytes = minicbor::to_vec(&certificate).unwrap();
        assert_eq!(minicbor::decode::<Certificate>(&bytes).unwrap(), certificate);
        let json = serde_json::to_string(&certificate).unwrap();
        assert_eq!(serde_json::from_str::<Certificate>(&json).unwrap(), certificate);
    }

    /// Acceptances over several ballots are among them: in the model, two foundings each had enough of those.
    #[test]
    fn other_acceptances_prove_nothing() {
        let (founding, other) = (founding(3), founding(2));
        let prove = |acceptances: &[Signed<Acceptance>]| {
            Certificate::new(founding.clone(), acceptances.to_vec()).map(|_| ())
        };
        let [a, b, c] = [0, 1, 2].map(|server| accepted(server, 2, &founding));
        assert_eq!(prove(&[]), Err(Unproven::Nobody));
        assert_eq!(prove(&[a.clone(), b.clone()]), Err(Unproven::TooFew(2, 3)));
        assert_eq!(prove(&[a.clone(), a.clone(), a.clone()]), Err(Unproven::TooFew(1, 3)), "one three times");
        assert_eq!(prove(&[a.clone(), b.clone(), accepted(2, 3, &founding)]), Err(Unproven::Mixed));
        assert_eq!(prove(&[a.clone(), b.clone(), accepted(2, 2, &other)]), Err(Unproven::Mixed));
        let early = [0, 1, 2].map(|server| accepted(server, 0, &founding));
        assert_eq!(prove(&early), Err(Unproven::NotGenuine), "before it was proposed");
        let few = Certificate::new(other.clone(), [0, 1, 2].map(|server| accepted(server, 2, &other)));
        assert_eq!(few.map(|_| ()), Err(Unproven::NotGenuine), "two founders on terms of three");
        assert_eq!(prove(&[a, b, c]), Ok(()));
    }
}
