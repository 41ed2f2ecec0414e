//! What only ever grows: a snapshot's mark, through restarts; round, commit and applied, within a life.

use consensus_api::{Engine, Index};

use super::{Checked, violated};
use crate::simulator::Member;

pub(super) const NAME: &str = "monotony";

#[derive(Debug)]
pub(super) struct Monotony {
    seen: Vec<Seen>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    durable_snapshot: Index,
    round: u64,
    commit: Index,
    applied: Index,
}

impl Monotony {
    pub(super) fn new(count: usize) -> Self {
        Self { seen: vec![Seen::default(); count] }
    }

    pub(super) fn stepped<E: Engine>(&mut self, member: &Member<E>, at: usize) -> Checked {
        let Some(engine) = member.engine() else { return Ok(()) };
        let (standing, seen) = (engine.standing(), &mut self.seen[at]);
        let applied = member.running.as_ref().map_or(Index::ZERO, |running| running.applier.applied());
        let back = standing.generation.round < seen.round || standing.commit < seen.commit;
        if back || applied < seen.applied {
            return violated(
                "round, commit and applied never go back",
                format!("node {}: {standing:?}, applied {applied}, after {seen:?}", member.id),
            );
        }
        let snapshot = member.disk.outline().snapshot.as_ref().map_or(Index::ZERO, |mark| mark.index);
        if snapshot < seen.durable_snapshot {
            return violated("a snapshot's mark never goes back", format!("node {}: {snapshot}", member.id));
        }
        *seen = Seen {
            durable_snapshot: snapshot,
            round: standing.generation.round,
            commit: standing.commit,
            applied,
        };
        Ok(())
    }

    pub(super) fn crashed(&mut self, at: usize) {
        // What was not durable may be forgotten.
        let durable_snapshot = self.seen[at].durable_snapshot;
        self.seen[at] = Seen { durable_snapshot, ..Seen::default() };
    }

    /// Another disk begins anew.
    pub(super) fn wiped(&mut self, at: usize) {
        self.seen[at] = Seen::default();
    }

    pub(super) fn restarted<E: Engine>(&mut self, member: &Member<E>, at: usize) -> Checked {
        self.stepped(member, at)
    }
}
