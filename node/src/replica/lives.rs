//! [`Lives`]: what this node remembers of others, life by life, and no more of it than can still matter.
//!
//! It is what keeps an order (a forwarded proposal, an errand) from being taken twice, and one that was taken from being
//! refused. A life has no number that would tell old from new, so the lives before the newest count, too: whoever starts
//! again may have left frames on the way, and a copy of what was taken may be among them.
//!
//! **Invariant:** an order of a life that is remembered is taken at most once. A life is forgotten only after orders of
//! `LIVES_MAX` others of the same node arrived since its own last one; and a node only if it is no member. A copy that is
//! later than that finds its mark only if this node still leads the generation that the order names: a leader takes no
//! other. It would have to be on its way, then, while its sender starts again as many times over and gives an order each
//! time, all under one leader; and nobody waits for the answer to it, since whoever asked is gone.

use std::collections::{BTreeMap, VecDeque};

use consensus_api::{Incarnation, Membership, NodeId};

/// Of each node so many lives are remembered: those heard of last.
const LIVES_MAX: usize = 64;

/// Something for each life of each node.
#[derive(Debug, Default)]
pub(super) struct Lives<T>(BTreeMap<NodeId, VecDeque<(Incarnation, T)>>);

impl<T: Default> Lives<T> {
    /// What is remembered of this life of a node, which counts as heard of now; nothing at first. Where there are as many
    /// nodes as a cluster may have members, those that are none are forgotten.
    pub(super) fn of(&mut self, node: NodeId, life: Incarnation, members: &Membership) -> &mut T {
        if self.0.len() >= Membership::MEMBERS_MAX && !self.0.contains_key(&node) {
            self.0.retain(|known, _| members.contains(*known));
        }
        let lives = self.0.entry(node).or_default();
        let known = lives.iter().position(|(known, _)| *known == life).and_then(|at| lives.remove(at));
        lives.truncate(LIVES_MAX - 1);
        lives.push_front(known.unwrap_or_else(|| (life, T::default())));
        &mut lives[0].1
    }

    /// How many lives are remembered, of all nodes.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.0.values().map(VecDeque::len).sum()
    }

    /// All that is remembered.
    #[cfg(test)]
    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.values().flatten().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nobody() -> Membership {
        Membership::default()
    }

    #[test]
    fn of_a_node_that_starts_again_and_again_only_the_lives_heard_of_last_are_remembered() {
        let mut lives = Lives::<u64>::default();
        for life in 1..=1000 {
            *lives.of(NodeId(1), Incarnation(life), &nobody()) = life;
            // Another is heard all the while, and is not forgotten for it.
            *lives.of(NodeId(2), Incarnation(7), &nobody()) += 1;
        }
        assert_eq!(lives.count(), LIVES_MAX + 1);
        let oldest = 1001 - LIVES_MAX as u64;
        assert_eq!(*lives.of(NodeId(1), Incarnation(oldest), &nobody()), oldest);
        assert_eq!(*lives.of(NodeId(2), Incarnation(7), &nobody()), 1000);
        // What was heard of again is the newest now.
        *lives.of(NodeId(1), Incarnation(5000), &nobody()) = 5000;
        assert_eq!(*lives.of(NodeId(1), Incarnation(oldest), &nobody()), oldest);
        assert_eq!(
            *lives.of(NodeId(1), Incarnation(oldest + 1), &nobody()),
            0,
            "it was heard of longest ago"
        );
    }

    #[test]
    fn nodes_that_are_members_no_longer_are_forgotten_when_there_are_many() {
        let members = Membership::of_voters([NodeId(1), NodeId(2)]).unwrap();
        let mut lives = Lives::<u64>::default();
        *lives.of(NodeId(1), Incarnation(1), &members) = 1;
        (3..=5000).for_each(|node| *lives.of(NodeId(node), Incarnation(1), &members) = node);
        assert!(lives.count() <= Membership::MEMBERS_MAX, "{}", lives.count());
        assert_eq!(*lives.of(NodeId(1), Incarnation(1), &members), 1, "a member is not forgotten");
    }
}
