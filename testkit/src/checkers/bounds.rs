//! Queues and memory keep to their budgets, whatever happens.

use consensus_api::{Engine, Outline, Standing};

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
    let catches_up = catches_up(replica.standing(), member.disk.outline());
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
fn catches_up(standing: Standing, held: &Outline) -> bool {
    let start = held.snapshot.as_ref().map_or(held.compacted, |mark| mark.index.max(held.compacted));
    let lacks_chosen = held.first_hole(start.next()) <= standing.commit;
    standing.last > held.last() || lacks_chosen
}

#[cfg(test)]
mod tests {
    use consensus_api::{Entry, Generation, Index, Membership, NodeId, Op, Role, SnapshotMark};

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
        assert!(!catches_up(standing(5, 5), &held(0, &[1, 2, 3, 4, 5])));
        assert!(!catches_up(standing(5, 5), &held(3, &[4, 5])), "a snapshot holds the rest");
        assert!(!catches_up(standing(3, 3), &held(3, &[])), "a snapshot alone");
        assert!(!catches_up(standing(2, 5), &held(0, &[1, 2, 5])), "of a hole nothing is chosen yet");
    }

    #[test]
    fn whose_memory_holds_more_than_its_disk_catches_up() {
        assert!(catches_up(standing(3, 5), &held(0, &[1, 2, 3])), "at the end");
        assert!(catches_up(standing(5, 5), &held(0, &[1, 2, 5])), "in a hole");
        assert!(catches_up(standing(5, 6), &held(2, &[4, 5, 6])), "between a snapshot and the log");
    }
}
