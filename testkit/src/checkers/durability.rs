//! Nothing is acknowledged before a quorum of disks holds it, nor applied before the node's own does. It counts disks, not
//! memories.

use consensus_api::{Engine, Index};

use super::memberships::Memberships;
use super::{Checked, Essence, violated};
use crate::simulator::Member;

pub(super) const NAME: &str = "durability";

/// Checks that a node holds durably what it applies; or a quorum does, if its state machine may run ahead of its disk.
pub(super) fn applied<E: Engine>(
    memberships: &Memberships,
    members: &[Member<E>],
    member: &Member<E>,
    index: Index,
    essence: Essence,
) -> Checked {
    if member.holds(index, essence) {
        return Ok(());
    }
    if member.options.apply_ahead_bytes_max > 0 {
        return acknowledged(memberships, members, index, essence);
    }
    let what = format!("node {} applies entry {index}, which its disk lacks", member.id);
    violated("applied only once durable", what)
}

/// Checks that a quorum holds this entry durably, or held it until a disk was lost: in the log, or in a snapshot that
/// covers it.
pub(super) fn acknowledged<E: Engine>(
    memberships: &Memberships,
    members: &[Member<E>],
    index: Index,
    essence: Essence,
) -> Checked {
    let held: Vec<_> =
        members.iter().filter(|member| member.has_held(index, essence)).map(|member| member.id).collect();
    if memberships.quorum_holds(members, index, |node| held.contains(&node)) {
        return Ok(());
    }
    violated(
        "durable on a quorum before it is acknowledged",
        format!("entry {index} is only on the disks of {held:?}"),
    )
}
