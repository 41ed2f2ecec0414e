//! [`Quorums`]: how many acceptors each phase needs.

use consensus_api::mutation::mutated;
use consensus_api::{Membership, NodeId, StartError, quorum};

/// The sizes of quorums. `None` is a majority.
///
/// Only quorums of different phases need to meet (Howard, Malkhi, Spiegelman 2016, "Flexible Paxos", section 3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Quorums {
    pub(crate) phase_1: Option<usize>,
    pub(crate) phase_2: Option<usize>,
}

/// The phases of Paxos.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Phase {
    /// Promises.
    One,
    /// Acceptances, and the contact a leader keeps.
    Two,
}

impl Quorums {
    /// Checks that the two quorums of these members always meet.
    pub(crate) fn check(self, membership: &Membership) -> Result<(), StartError> {
        let members = membership.voters().len();
        if quorum::intersect(members, self.size(Phase::One, members), self.size(Phase::Two, members))
            || mutated("paxos/quorums-may-miss")
        {
            return Ok(());
        }
        Err(StartError::Options {
            field: "phase_1_quorum",
            problem: "and phase_2_quorum must each be between 1 and the number of voters, and together exceed it",
        })
    }

    /// The size of a quorum among so many.
    pub(crate) fn size(self, phase: Phase, members: usize) -> usize {
        let size = if phase == Phase::One { self.phase_1 } else { self.phase_2 };
        size.unwrap_or(quorum::majority(members))
    }

    /// The largest value that a quorum has reached. Of outgoing voters, found in a log of a later version, a majority
    /// must have reached it too.
    pub(crate) fn reached<V: Ord + Copy>(
        self,
        phase: Phase,
        membership: &Membership,
        scratch: &mut Vec<V>,
        mut reached: impl FnMut(NodeId) -> V,
    ) -> Option<V> {
        let voters = membership.voters();
        scratch.clear();
        scratch.extend(voters.iter().map(|voter| reached(*voter)));
        scratch.sort_unstable_by(|a, b| b.cmp(a));
        let incoming = *scratch.get(self.size(phase, voters.len()).checked_sub(1)?)?;
        if !membership.is_joint() {
            return Some(incoming);
        }
        Some(incoming.min(quorum::majority_reached(membership.outgoing(), scratch, reached)?))
    }

    /// Whether this is true of a quorum.
    pub(crate) fn holds(
        self,
        phase: Phase,
        membership: &Membership,
        mut holds: impl FnMut(NodeId) -> bool,
    ) -> bool {
        let voters = membership.voters();
        let count = voters.iter().filter(|voter| holds(**voter)).count();
        count >= self.size(phase, voters.len())
            && !voters.is_empty()
            && (!membership.is_joint() || quorum::majority_holds(membership.outgoing(), holds))
    }
}
