//! [`Taken`]: the errands that others handed to this node, so that none is taken twice and each can be asked after.
//!
//! A frame may come twice, late, or never. Who handed an errand over says so again, in the same words, until it hears
//! of its end; so the end is remembered, and told again (*Patterns of Distributed Systems*, "Idempotent Receiver").

use std::collections::BTreeMap;

use consensus_api::{Membership, ProposalId};

use super::lives::Lives;
use crate::envelope::ErrandOutcome;

/// Of each life of a node so many errands are remembered: twice as many as may wait there at a time.
const REMEMBERED_MAX: usize = 128;

/// Errands by who handed them over and in which life.
#[derive(Debug, Default)]
pub(super) struct Taken(Lives<Remembered>);

/// The errands of one life of a node.
#[derive(Debug, Default)]
struct Remembered {
    /// What became of each; `None` while it is under way.
    ends: BTreeMap<u64, Option<ErrandOutcome>>,
    /// Up to here, of those that are not among `ends` nobody can tell whether they were ever taken.
    forgotten: u64,
}

/// What is known of an errand that is handed over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Known {
    /// It was never taken.
    Nothing,
    /// It was taken, and is under way.
    UnderWay,
    /// It came to this end.
    Ended(ErrandOutcome),
}

impl Taken {
    /// Takes an errand, unless it was taken before. What was known of it until now.
    pub(super) fn take(&mut self, errand: ProposalId, members: &Membership) -> Known {
        let remembered = self.0.of(errand.node, errand.incarnation, members);
        match remembered.ends.get(&errand.sequence) {
            Some(None) => Known::UnderWay,
            Some(Some(end)) => Known::Ended(end.clone()),
            None if errand.sequence <= remembered.forgotten => Known::Ended(ErrandOutcome::Unknown),
            None => {
                remembered.insert(errand.sequence, None);
                Known::Nothing
            }
        }
    }

    /// An errand came to its end.
    pub(super) fn ended(&mut self, errand: ProposalId, end: ErrandOutcome, members: &Membership) {
        let remembered = self.0.of(errand.node, errand.incarnation, members);
        remembered.insert(errand.sequence, Some(end));
    }
}

impl Remembered {
    fn insert(&mut self, sequence: u64, end: Option<ErrandOutcome>) {
        self.ends.insert(sequence, end);
        if self.ends.len() > REMEMBERED_MAX {
            // The oldest that has ended: of one under way more is to come.
            let ended = self.ends.iter().find(|(_, end)| end.is_some()).map(|(sequence, _)| *sequence);
            let oldest = ended.or_else(|| self.ends.keys().next().copied()).unwrap_or_default();
            self.ends.remove(&oldest);
            self.forgotten = self.forgotten.max(oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use consensus_api::{Incarnation, NodeId};

    use super::*;

    fn errand(sequence: u64) -> ProposalId {
        ProposalId { node: NodeId(2), incarnation: Incarnation(1), sequence }
    }

    fn nobody() -> Membership {
        Membership::default()
    }

    #[test]
    fn an_errand_is_taken_once_and_its_end_is_told_as_often_as_it_is_asked() {
        let mut taken = Taken::default();
        assert_eq!(taken.take(errand(2), &nobody()), Known::Nothing);
        assert_eq!(taken.take(errand(2), &nobody()), Known::UnderWay);
        assert_eq!(taken.take(errand(1), &nobody()), Known::Nothing, "it was overtaken, or lost at first");
        taken.ended(errand(2), ErrandOutcome::Done, &nobody());
        assert_eq!(taken.take(errand(2), &nobody()), Known::Ended(ErrandOutcome::Done));
        assert_eq!(taken.take(errand(2), &nobody()), Known::Ended(ErrandOutcome::Done));
        let of_another_life = ProposalId { incarnation: Incarnation(9), ..errand(2) };
        assert_eq!(taken.take(of_another_life, &nobody()), Known::Nothing);
    }

    #[test]
    fn the_oldest_ends_are_forgotten_and_nothing_forgotten_is_taken_again() {
        let mut taken = Taken::default();
        assert_eq!(taken.take(errand(1), &nobody()), Known::Nothing);
        for sequence in 2..=REMEMBERED_MAX as u64 + 2 {
            taken.take(errand(sequence), &nobody());
            taken.ended(errand(sequence), ErrandOutcome::NotTaken, &nobody());
        }
        assert_eq!(taken.take(errand(1), &nobody()), Known::UnderWay, "the oldest of all, but under way");
        for forgotten in [2, 3] {
            assert_eq!(taken.take(errand(forgotten), &nobody()), Known::Ended(ErrandOutcome::Unknown));
        }
        assert_eq!(taken.take(errand(4), &nobody()), Known::Ended(ErrandOutcome::NotTaken));
        // Even where all are under way there is an end to what is remembered.
        let mut busy = Taken::default();
        (1..=1000).for_each(|sequence| drop(busy.take(errand(sequence), &nobody())));
        assert_eq!(busy.0.values().map(|remembered| remembered.ends.len()).sum::<usize>(), REMEMBERED_MAX);
        assert_eq!(busy.take(errand(1), &nobody()), Known::Ended(ErrandOutcome::Unknown));
    }
}
