//! Which membership is in force, and what follows from it for this member.

use consensus_api::{Generation, Index, Membership};

use crate::log::Log;
use crate::raft::Raft;

/// The newest membership in the log, committed or not; else the snapshot's; else the founders'. An uncommitted one is
/// rolled back by truncating its entry.
pub(crate) fn in_force(log: &Log, founders: &Membership) -> Result<Membership, String> {
    if let Some(entry) = log.memberships().last() {
        return Membership::decode(&entry.body)
            .map_err(|error| format!("the membership in entry {} cannot be read: {error}", entry.index));
    }
    Ok(log.snapshot().map_or(founders, |mark| &mark.membership).clone())
}

/// Where that membership stands: its entry, or the last one of the snapshot.
pub(crate) fn stands_at(log: &Log) -> (Index, Generation) {
    match (log.memberships().last(), log.snapshot()) {
        (Some(entry), _) => (entry.index, entry.generation),
        (None, Some(mark)) => (mark.index, mark.generation),
        (None, None) => (Index::ZERO, Generation::ZERO),
    }
}

impl Raft {
    /// Whether this member is a quorum by itself.
    pub(crate) fn is_alone(&self) -> bool {
        self.membership.quorum_holds(|member| member == self.node)
    }

    /// Whether a membership is committed but not yet applied. Until it is, this member does not stand for election: it
    /// might lead under one configuration while its services still live in another (tikv/raft-rs#226).
    pub(crate) fn has_unapplied_membership(&self) -> bool {
        let newest_committed = self.log.memberships().iter().rev().find(|entry| entry.index <= self.commit);
        newest_committed.is_some_and(|entry| entry.index > self.applied)
    }
}
