//! [`Divergence`]: replicas compare digests of their states, and one that differs from a majority stops.
//!
//! Every so many entries each replica computes a digest of its state, and tells the others through the log: an entry of
//! kind [`Digest`](consensus_api::EntryKind::Digest) that names the index and the digest. Whoever applies these entries
//! counts them; once a majority of the voters told the same digest of an index, a replica with another one knows that
//! its state is wrong: a machine that is not deterministic, memory that is broken, an operator's hand.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut, TryGetError};
use consensus_api::{Entry, Failure, Index, Membership, NodeId};

/// What is known of the digests of this replica and the others.
#[derive(Debug)]
pub(crate) struct Divergence {
    every: u64,
    own: BTreeMap<Index, u64>,
    told: BTreeMap<Index, BTreeMap<NodeId, u64>>,
    /// To be told to the others.
    due: Option<(Index, u64)>,
}

/// So many digests are remembered; one that comes later than that is not compared.
const KEPT_MAX: usize = 64;

impl Divergence {
    /// Compares every so many entries; 0 for never.
    pub(crate) const fn new(every: u64) -> Self {
        Self { every, own: BTreeMap::new(), told: BTreeMap::new(), due: None }
    }

    /// Whether a digest of the state after this entry is to be computed.
    pub(crate) const fn is_due(&self, index: Index) -> bool {
        self.every > 0 && index.0.is_multiple_of(self.every)
    }

    /// The digest of this replica's own state. `None` if its machine makes none.
    pub(crate) fn computed(&mut self, index: Index, digest: Option<u64>) {
        let Some(digest) = digest else { return };
        self.own.insert(index, digest);
        if self.own.len() > KEPT_MAX {
            self.own.pop_first();
        }
        self.due = Some((index, digest));
    }

    pub(crate) fn take_own(&mut self) -> Option<(Index, u64)> {
        self.due.take()
    }

    /// A replica told its digest, this one included.
    ///
    /// # Errors
    /// [`Failure`] when a majority agrees on another digest than this replica's own. It names the index.
    pub(crate) fn told(&mut self, entry: &Entry, membership: &Membership) -> Result<(), Failure> {
        let Ok((index, digest)) = decode(entry.body.clone()) else { return Ok(()) };
        let told = self.told.entry(index).or_default();
        told.insert(entry.proposal.node, digest);
        let same = |node: NodeId| told.get(&node) == Some(&digest);
        let majority = membership.quorum_holds(same);
        if self.told.len() > KEPT_MAX {
            self.told.pop_first();
        }
        match self.own.get(&index) {
            Some(own) if majority && *own != digest => Err(Failure(format!(
                "the state after entry {index} differs from that of a majority: its digest is {own:016x} here, \
                 {digest:016x} there; find out why before you restore this node from a snapshot of another"
            ))),
            _ => Ok(()),
        }
    }
}

/// The body of an entry that tells a digest.
pub(crate) fn encode(index: Index, digest: u64) -> Bytes {
    let mut body = BytesMut::with_capacity(16);
    body.put_u64_le(index.0);
    body.put_u64_le(digest);
    body.freeze()
}

/// Reads such a body.
pub(crate) fn decode(mut body: Bytes) -> Result<(Index, u64), TryGetError> {
    Ok((Index(body.try_get_u64_le()?), body.try_get_u64_le()?))
}

#[cfg(test)]
mod tests {
    use consensus_api::{EntryKind, LogTime, ProposalId};

    use super::*;

    fn tell(divergence: &mut Divergence, node: u64, index: u64, digest: u64) -> Result<(), Failure> {
        let proposal = ProposalId { node: NodeId(node), ..ProposalId::default() };
        let body = encode(Index(index), digest);
        let entry = Entry::new(EntryKind::Digest, 0, proposal, LogTime::ZERO, body);
        divergence.told(&entry, &Membership::of_voters([1, 2, 3].map(NodeId)).expect("a few members"))
    }

    fn with_own(index: u64, digest: u64) -> Divergence {
        let mut divergence = Divergence::new(10);
        assert!(divergence.is_due(Index(index)));
        divergence.computed(Index(index), Some(digest));
        assert_eq!(divergence.take_own(), Some((Index(index), digest)));
        divergence
    }

    #[test]
    fn who_differs_from_a_majority_is_told_and_nobody_else() {
        let mut odd = with_own(20, 7);
        assert_eq!(tell(&mut odd, 3, 20, 7), Ok(()));
        assert_eq!(tell(&mut odd, 1, 20, 5), Ok(()), "one other is no majority");
        let failure = tell(&mut odd, 2, 20, 5).unwrap_err();
        assert!(failure.0.contains("after entry 20 differs"), "{failure}");
        let mut sound = with_own(20, 5);
        for (node, digest) in [(3, 7), (1, 5), (2, 5)] {
            assert_eq!(tell(&mut sound, node, 20, digest), Ok(()));
        }
    }

    #[test]
    fn one_node_that_tells_twice_counts_once_and_an_index_of_its_own_is_needed() {
        let mut odd = with_own(20, 7);
        assert_eq!(tell(&mut odd, 1, 20, 5), Ok(()));
        assert_eq!(tell(&mut odd, 1, 20, 5), Ok(()));
        assert_eq!(tell(&mut odd, 1, 30, 5), Ok(()));
        assert_eq!(tell(&mut odd, 2, 30, 5), Ok(()), "nothing of its own to compare");
    }

    #[test]
    fn only_so_many_are_remembered() {
        let mut divergence = Divergence::new(1);
        for index in 1..1000 {
            divergence.computed(Index(index), Some(1));
            tell(&mut divergence, 1, index, 1).unwrap();
        }
        assert_eq!((divergence.own.len(), divergence.told.len()), (KEPT_MAX, KEPT_MAX));
        assert!(!Divergence::new(0).is_due(Index(0)));
    }
}
