//! What only ever grows: the round, through restarts; commit and applied, within a life.

use consensus_api::{Engine, Index};

use super::{Checked, violated};
use crate::simulator::Member;

#[derive(Debug)]
pub(super) struct Monotony {
    seen: Vec<Seen>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// The highest round that was durable.
    durable_snapshot: Index,
    round: u64,
    commit: Index,
}

impl Monotony {
    pub(super) fn new(count: usize) -> Self {
        Self { seen: vec![Seen::default(); count] }
    }

    pub(super) fn stepped<E: Engine>(&mut self, member: &Member<E>, at: usize) -> Checked {
        let Some(engine) = member.engine() else { return Ok(()) };
        let (standing, seen) = (engine.standing(), &mut self.seen[at]);
        if standing.generation.round < seen.round || standing.commit < seen.commit {
            return violated(
                "round and commit never go back",
                format!("node {}: {standing:?} after {seen:?}", member.id),
            );
        }
        let snapshot = member.disk.outline().snapshot.as_ref().map_or(Index::ZERO, |mark| mark.index);
        if snapshot < seen.durable_snapshot {
            return violated("a snapshot's mark never goes back", format!("node {}: {snapshot}", member.id));
        }
        *seen =
            Seen { durable_snapshot: snapshot, round: standing.generation.round, commit: standing.commit };
        Ok(())
    }

    pub(super) fn crashed(&mut self, at: usize) {
        // What was not durable may be forgotten.
        let durable_snapshot = self.seen[at].durable_snapshot;
        self.seen[at] = Seen { durable_snapshot, ..Seen::default() };
    }

    pub(super) fn restarted<E: Engine>(&mut self, member: &Member<E>, at: usize) -> Checked {
        self.stepped(member, at)
    }
}
