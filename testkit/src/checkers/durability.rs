//! Nothing is acknowledged before a quorum of disks holds it. It counts disks, not memories.

use consensus_api::{Engine, Index, Membership};

use super::{Checked, Essence, violated};
use crate::simulator::Member;

pub(super) const NAME: &str = "durability";

/// Checks that a quorum holds this entry durably: in the log, or in a snapshot that covers it.
pub(super) fn acknowledged<E: Engine>(
    founders: &Membership,
    members: &[Member<E>],
    index: Index,
    essence: Essence,
) -> Checked {
    let holds = |member: &Member<E>| {
        let entry = member.disk.image().entries().get(&index);
        let in_log = entry.is_some_and(|entry| (entry.checksum, entry.proposal.sequence) == essence);
        in_log || member.disk.outline().snapshot.as_ref().is_some_and(|mark| mark.index >= index)
    };
    let held: Vec<_> = members.iter().filter(|member| holds(member)).map(|member| member.id).collect();
    if founders.quorum_holds(|node| held.contains(&node)) {
        return Ok(());
    }
    violated(
        "durable on a quorum before it is acknowledged",
        format!("entry {index} is only on the disks of {held:?}"),
    )
}
