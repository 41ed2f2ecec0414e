//! Queues and memory keep to their budgets, whatever happens.

use consensus_api::{Engine, Index, Outline, Standing};

use super::{Checked, violated};
use crate::simulator::Member;

pub(super) const NAME: &str = "bounds";

/// What only memory holds yet, because the disk is slow, comes on top of the budget.
const IN_MEMORY_ONLY_BYTES_MAX: usize = 128 << 10;
/// Notes to the operator.
const NOTES_MAX: usize = 64;

pub(super) fn stepped<E: Engine>(member: &Member<E>) -> Checked {
    let Some(running) = &member.running else { return Ok(()) };
    let (options, replica) = (&member.options, &running.replica);
    let caches = |index| replica.caches(index);
    let catches_up = catches_up(replica.standing(), member.disk.outline(), caches);
    let on_its_way = if catches_up { options.flow.inflight_bytes_max } else { 0 };
    let cached_max = 2 * options.cache_bytes_max + IN_MEMORY_ONLY_BYTES_MAX + on_its_way;
    if replica.cached_bytes() > cached_max {
        let what = format!(
            "node {}: {} bytes of entries in memory, at most {cached_max}",
            member.id,
            replica.cached_bytes()
        );
        return violated("memory keeps to its budget", what);
    }
    let handed_over = running.apply_bytes();
    if handed_over >= options.apply_bytes_max {
        let what = format!("node {}: {handed_over} bytes wait to be applied", member.id);
        return violated("work for the state machine keeps to its budget", what);
    }
    if replica.notes().len() > NOTES_MAX {
        return violated(
            "notes keep to their budget",
            format!("node {}: {}", member.id, replica.notes().len()),
        );
    }
    Ok(())
}

/// Whether a node's memory holds what its disk does not: at the end of its log, or where that has holes. It has what a leader
/// sends at once in memory alone, until its disk has it too.
fn catches_up(standing: Standing, held: &Outline, caches: impl Fn(Index) -> bool) -> bool {
    let start = held.snapshot.as_ref().map_or(held.compacted, |mark| mark.index.max(held.compacted));
    let hole = held.first_hole(start.next());
    standing.last > held.last() || hole <= standing.commit || hole < held.last() && caches(hole)
}

#[cfg(test)]
mod tests {
    use consensus_api::{Entry, Generation, Membership, NodeId, Op, Role, SnapshotMark};

    use super::*;

    const GENERATION: Generation = Generation { round: 1, node: NodeId(1) };

    /// A log with these entries, behind a snapshot up to `upto`.
    fn held(upto: u64, entries: &[u64]) -> Outline {
        let mut outline = Outline::default();
        let (index, membership) = (Index(upto), Membership::default());
        outline.replay(&Op::SnapshotMark(SnapshotMark { index, generation: GENERATION, membership }));
        outline.replay(&Op::Compact { upto: index, generation: GENERATION });
        entries.iter().for_each(|index| outline.put(&Entry::noop(GENERATION, Index(*index))));
        outline
    }

    fn standing(commit: u64, last: u64) -> Standing {
        let (role, generation, leader) = (Role::Follower, GENERATION, None);
        Standing { role, generation, leader, commit: Index(commit), last: Index(last) }
    }

    #[test]
    fn whose_disk_holds_its_log_is_given_no_more_room() {
        let all = |_| true;
        assert!(!catches_up(standing(5, 5), &held(0, &[1, 2, 3, 4, 5]), all));
        assert!(!catches_up(standing(5, 5), &held(3, &[4, 5]), all), "a snapshot holds the rest");
        assert!(!catches_up(standing(3, 3), &held(3, &[]), all), "a snapshot alone");
        assert!(!catches_up(standing(2, 5), &held(0, &[1, 2, 5]), |_| false), "a hole in memory, too");
    }

    #[test]
    fn whose_memory_holds_more_than_its_disk_catches_up() {
        let none = |_| false;
        assert!(catches_up(standing(3, 5), &held(0, &[1, 2, 3]), none), "at the end");
        assert!(catches_up(standing(5, 5), &held(0, &[1, 2, 5]), none), "in a hole that is chosen");
        assert!(catches_up(standing(2, 5), &held(0, &[1, 2, 5]), |at| at == Index(3)), "in any hole");
        assert!(catches_up(standing(5, 6), &held(2, &[4, 5, 6]), none), "between a snapshot and the log");
    }
}
