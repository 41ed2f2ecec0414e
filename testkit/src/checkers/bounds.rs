//! Queues and memory keep to their budgets, whatever happens.

use consensus_api::Engine;

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
    // Whoever catches up has what a leader sends at once in memory alone, until its disk has it too.
    let (standing, held) = (replica.standing(), member.disk.outline());
    let start = held.snapshot.as_ref().map_or(held.compacted, |mark| mark.index.max(held.compacted));
    let lacks_chosen = held.first_hole(start.next()) <= standing.commit;
    let catches_up = standing.last > held.last() || lacks_chosen;
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
