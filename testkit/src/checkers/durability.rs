//! Nothing is acknowledged before a quorum of disks holds it, nor applied before the node's own does. It counts disks, not
//! memories.

use consensus_api::{Engine, Index};

use super::memberships::Memberships;
use super::{Checked, Essence, violated};
use crate::simulator::Member;

pub(super) const NAME: &str = "durability";

/// Checks that a node holds durably what it applies.
pub(super) fn applied<E: Engine>(member: &Member<E>, index: Index, essence: Essence) -> Checked {
    if holds(member, index, essence) {
        return Ok(());
    }
    let what = format!("node {} applies entry {index}, which its disk lacks", member.id);
    violated("applied only once durable", what)
}

fn holds<E: Engine>(member: &Member<E>, index: Index, essence: Essence) -> bool {
    let entry = member.disk.image().entries().get(&index);
    let in_log = entry.is_some_and(|entry| (entry.checksum, entry.proposal.sequence) == essence);
    in_log || member.disk.outline().snapshot.as_ref().is_some_and(|mark| mark.index >= index)
}

/// Checks that a quorum holds this entry durably: in the log, or in a snapshot that covers it.
pub(super) fn acknowledged<E: Engine>(
    memberships: &Memberships,
    members: &[Member<E>],
    index: Index,
    essence: Essence,
) -> Checked {
    let held: Vec<_> =
        members.iter().filter(|member| holds(member, index, essence)).map(|member| member.id).collect();
    if memberships.quorum_holds(members, |node| held.contains(&node)) {
        return Ok(());
    }
    violated(
        "durable on a quorum before it is acknowledged",
        format!("entry {index} is only on the disks of {held:?}"),
    )
}
