//! Quorum arithmetic, as pure functions over small sets of nodes.
//!
//! Two quorums of one configuration always share a node: on that rests every promise of this library. The property
//! tests beside this file check it for all sizes.

use crate::NodeId;
use crate::mutation::mutated;

/// The size of a majority of `members`: more than half. 0 members have none, and the answer 1 says so.
pub const fn majority(members: usize) -> usize {
    members / 2 + 1
}

/// A majority, as counted below.
fn needed(members: usize) -> usize {
    if mutated("quorum/one-short") { members.div_ceil(2) } else { majority(members) }
}

/// Whether `holds` is true of a majority of `members`. Each member counts once, whoever reports it how often. Never
/// true of an empty set.
pub fn majority_holds(members: &[NodeId], mut holds: impl FnMut(NodeId) -> bool) -> bool {
    members.iter().filter(|member| holds(**member)).count() >= needed(members.len())
}

/// The largest value that a majority of `members` has reached, where `reached` tells each member's.
/// `None` for an empty set.
///
/// Sorted downwards, the value at position `majority - 1` is reached by at least a majority; for four members that is
/// the third largest, not the second.
pub fn majority_reached<V: Ord + Copy>(
    members: &[NodeId],
    scratch: &mut Vec<V>,
    mut reached: impl FnMut(NodeId) -> V,
) -> Option<V> {
    scratch.clear();
    scratch.extend(members.iter().map(|member| reached(*member)));
    scratch.sort_unstable_by(|a, b| b.cmp(a));
    scratch.get(needed(members.len()) - 1).copied()
}

/// Whether flexible quorums of these sizes always meet: any `first` members and any `second` members of `members`
/// share one. (Howard, Malkhi, Spiegelman 2016, "Flexible Paxos", section 3.)
pub const fn intersect(members: usize, first: usize, second: usize) -> bool {
    first >= 1 && second >= 1 && first <= members && second <= members && first + second > members
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(count: u64) -> Vec<NodeId> {
        (1..=count).map(NodeId).collect()
    }

    #[test]
    fn any_two_majorities_share_a_member() {
        for size in 1..=9_u32 {
            let members = nodes(u64::from(size));
            let holds =
                |set: u32| majority_holds(&members, |NodeId(id)| set & (1 << (id - 1)) != 0).then_some(set);
            let quorums: Vec<u32> = (0..1 << size).filter_map(holds).collect();
            for a in &quorums {
                assert!(quorums.iter().all(|b| a & b != 0));
            }
        }
    }

    #[test]
    fn four_members_need_three() {
        let members = nodes(4);
        let reached = |id: NodeId| [9, 9, 4, 1][id.0 as usize - 1];
        assert_eq!(majority_reached(&members, &mut Vec::new(), reached), Some(4));
        assert!(!majority_holds(&members, |id| id.0 <= 2));
        assert!(majority_holds(&members, |id| id.0 <= 3));
    }

    #[test]
    fn the_empty_set_never_agrees() {
        assert!(!majority_holds(&[], |_| true));
        assert_eq!(majority_reached::<u64>(&[], &mut Vec::new(), |_| 7), None);
    }

    #[test]
    fn flexible_sizes_that_may_miss_each_other_are_told() {
        for members in 0..=9 {
            for first in 0..=9 {
                for second in 0..=9 {
                    let sets = |size| (0_u32..1 << members).filter(move |set| set.count_ones() == size);
                    let meet = first as usize <= members
                        && second as usize <= members
                        && sets(first).all(|a| sets(second).all(|b| a & b != 0));
                    assert_eq!(intersect(members, first as usize, second as usize), meet);
                }
            }
        }
    }
}
