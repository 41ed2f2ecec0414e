//! [`Membership`]: who votes and who learns.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

use crate::{NodeId, quorum};

/// Who takes part in the cluster. Stands in entries of kind [`EntryKind::Membership`](crate::EntryKind::Membership)
/// and in snapshots.
///
/// While a change is under way both the old voters and the new ones must agree (joint consensus; Ongaro's thesis,
/// section 4.3): then [`outgoing`](Self::outgoing) holds the old set.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct Membership {
    voters: Vec<NodeId>,
    outgoing: Vec<NodeId>,
    learners: Vec<NodeId>,
}

/// Bytes that are no membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a membership: {0}")]
pub struct MembershipError(&'static str);

impl Membership {
    /// The most members of one kind. Keeps a damaged count from being believed.
    pub const MEMBERS_MAX: usize = 1024;

    /// A membership of voters only. Sorted, and each counted once.
    pub fn of_voters(voters: impl IntoIterator<Item = NodeId>) -> Self {
        Self::new(voters, [], [])
    }

    /// A membership from its three sets. Each is sorted, and each node counted once in it; a learner that also votes
    /// is a voter.
    pub fn new(
        voters: impl IntoIterator<Item = NodeId>,
        outgoing: impl IntoIterator<Item = NodeId>,
        learners: impl IntoIterator<Item = NodeId>,
    ) -> Self {
        let voters = sorted(voters);
        let outgoing = sorted(outgoing);
        let mut learners = sorted(learners);
        learners.retain(|node| voters.binary_search(node).is_err() && outgoing.binary_search(node).is_err());
        Self { voters, outgoing, learners }
    }

    /// Those who vote, in ascending order.
    pub fn voters(&self) -> &[NodeId] {
        &self.voters
    }

    /// While a change is under way: those who voted before it. Otherwise empty.
    pub fn outgoing(&self) -> &[NodeId] {
        &self.outgoing
    }

    /// Those who receive the log but do not vote.
    pub fn learners(&self) -> &[NodeId] {
        &self.learners
    }

    /// Whether a change is under way.
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether `node` has a vote, in the old set or the new.
    pub fn is_voter(&self, node: NodeId) -> bool {
        self.voters.binary_search(&node).is_ok() || self.outgoing.binary_search(&node).is_ok()
    }

    /// Whether `node` takes part at all.
    pub fn contains(&self, node: NodeId) -> bool {
        self.is_voter(node) || self.learners.binary_search(&node).is_ok()
    }

    /// Everyone who takes part, each once: voters, then outgoing voters, then learners.
    pub fn members(&self) -> impl Iterator<Item = NodeId> + '_ {
        let leaving = self.outgoing.iter().filter(|node| self.voters.binary_search(node).is_err());
        self.voters.iter().chain(leaving).chain(&self.learners).copied()
    }

    /// Whether `holds` is true of a quorum: a majority of the voters and, during a change, of the outgoing ones too.
    pub fn quorum_holds(&self, mut holds: impl FnMut(NodeId) -> bool) -> bool {
        quorum::majority_holds(&self.voters, &mut holds)
            && (self.outgoing.is_empty() || quorum::majority_holds(&self.outgoing, holds))
    }

    /// The largest value that a quorum has reached. `None` without voters. `scratch` is working space.
    pub fn quorum_reached<V: Ord + Copy>(
        &self,
        scratch: &mut Vec<V>,
        mut reached: impl FnMut(NodeId) -> V,
    ) -> Option<V> {
        let incoming = quorum::majority_reached(&self.voters, scratch, &mut reached)?;
        if self.outgoing.is_empty() {
            return Some(incoming);
        }
        Some(incoming.min(quorum::majority_reached(&self.outgoing, scratch, reached)?))
    }

    /// The byte form: three times a `u32` count and that many `u64` ids, little-endian.
    pub fn encode(&self) -> Bytes {
        let mut out =
            BytesMut::with_capacity(12 + 8 * (self.voters.len() + self.outgoing.len() + self.learners.len()));
        for set in [&self.voters, &self.outgoing, &self.learners] {
            out.put_u32_le(set.len() as u32);
            for node in set {
                out.put_u64_le(node.0);
            }
        }
        out.freeze()
    }

    /// Reads the byte form.
    ///
    /// # Errors
    /// [`MembershipError`] when bytes are missing or left over, a count exceeds [`MEMBERS_MAX`](Self::MEMBERS_MAX), or a
    /// set is not as [`encode`](Self::encode) writes it.
    pub fn decode(bytes: &[u8]) -> Result<Self, MembershipError> {
        let mut rest = bytes;
        let from = &mut rest;
        let (voters, outgoing, learners) = (decode_set(from)?, decode_set(from)?, decode_set(from)?);
        if !rest.is_empty() {
            return Err(MembershipError("bytes are left over"));
        }
        let membership = Self::new(voters, outgoing, learners);
        if membership.encode() != bytes {
            return Err(MembershipError("members are out of order or stand twice"));
        }
        Ok(membership)
    }
}

fn sorted(nodes: impl IntoIterator<Item = NodeId>) -> Vec<NodeId> {
    let mut nodes: Vec<NodeId> = nodes.into_iter().collect();
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

fn decode_set(from: &mut &[u8]) -> Result<Vec<NodeId>, MembershipError> {
    let cut = |_| MembershipError("it is cut short");
    let count = from.try_get_u32_le().map_err(cut)? as usize;
    if count > Membership::MEMBERS_MAX {
        return Err(MembershipError("it has too many members"));
    }
    (0..count).map(|_| from.try_get_u64_le().map(NodeId).map_err(cut)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[u64]) -> Vec<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    #[test]
    fn a_joint_membership_needs_both_majorities() {
        let joint = Membership::new(ids(&[4, 5, 6]), ids(&[1, 2, 3]), []);
        assert!(!joint.quorum_holds(|node| node.0 >= 4));
        assert!(!joint.quorum_holds(|node| node.0 <= 3));
        assert!(joint.quorum_holds(|node| [1, 2, 5, 6].contains(&node.0)));
        let reached = |node: NodeId| node.0 * 10;
        assert_eq!(joint.quorum_reached(&mut Vec::new(), reached), Some(20));
    }

    #[test]
    fn a_learner_counts_in_no_quorum() {
        let membership = Membership::new(ids(&[1, 2, 3]), [], ids(&[4, 5, 3]));
        assert_eq!(membership.learners(), ids(&[4, 5]));
        assert!(!membership.quorum_holds(|node| node.0 >= 3));
        assert!(membership.contains(NodeId(4)) && !membership.is_voter(NodeId(4)));
    }

    #[test]
    fn the_byte_form_comes_back_and_damage_is_an_error() {
        let membership = Membership::new(ids(&[1, 2, 1 << 40]), ids(&[7]), ids(&[9, 8]));
        let bytes = membership.encode();
        assert_eq!(Membership::decode(&bytes), Ok(membership));
        for cut in 0..bytes.len() {
            assert!(Membership::decode(&bytes[..cut]).is_err());
        }
        assert!(Membership::decode(&u32::MAX.to_le_bytes()).is_err());
    }
}
