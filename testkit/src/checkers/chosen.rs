//! Single-slot agreement for Paxos: in each slot at most one value is ever accepted by a quorum at one ballot, counted on
//! disks and over all time, whether or not anybody notices. Who decides about a slot is told by the memberships chosen below
//! it: nobody proposes in a slot before these are on a quorum's disks.

use std::collections::{BTreeMap, BTreeSet};

use consensus_api::{Engine, EntryKind, Generation, Index, Membership, NodeId};

use super::memberships::decides;
use super::{Checked, Essence, violated};
use crate::simulator::{Member, essence};

pub(super) const NAME: &str = "chosen";

/// Who accepted what, and what was chosen.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    accepted: BTreeMap<(Index, Generation), BTreeSet<NodeId>>,
    values: BTreeMap<Index, (Generation, Essence)>,
    looked: BTreeMap<NodeId, Index>,
    memberships: BTreeMap<Index, Membership>,
}

impl Chosen {
    /// A disk was lost: of the next one nothing was looked at.
    pub(super) fn wiped(&mut self, node: NodeId) {
        self.looked.remove(&node);
    }

    pub(super) fn written<E: Engine>(&mut self, founders: &Membership, member: &Member<E>) -> Checked {
        let commit = member.engine().map_or(Index::ZERO, |engine| engine.standing().commit);
        // What is known to be chosen does not change on this disk; it was looked at before.
        let from = self.looked.insert(member.id, commit).unwrap_or_default();
        for (index, entry) in member.disk.image().entries().range(from.next()..) {
            let by = self.accepted.entry((*index, entry.generation)).or_default();
            let newest = self.memberships.range(..*index).next_back();
            let membership = newest.map_or(founders, |(_, membership)| membership);
            if !by.insert(member.id) || !decides(membership, *index, |node| by.contains(&node)) {
                continue;
            }
            if entry.kind == EntryKind::Membership
                && let Ok(chosen) = Membership::decode(&entry.body)
            {
                self.memberships.insert(*index, chosen);
            }
            let found = (entry.generation, essence(entry));
            let first = *self.values.entry(*index).or_insert(found);
            if first.1 != found.1 {
                return violated(
                    "one value per slot",
                    format!("slot {index}: {first:x?} and {found:x?} were chosen"),
                );
            }
        }
        Ok(())
    }
}
