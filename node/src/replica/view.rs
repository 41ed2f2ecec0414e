//! What can be seen of a [`Replica`] from outside.

use consensus_api::{Engine, Identity, Index, Standing};

use super::Replica;

impl<E: Engine, P, R> Replica<E, P, R> {
    /// Whether nothing is under way that anyone waits for.
    pub fn is_quiet(&self) -> bool {
        !self.administration.handing_over
            && self.proposals.is_empty()
            && self.reads.is_empty()
            && self.writes.is_idle()
    }

    /// Whether a write is under way whose end is still to be told.
    pub const fn is_writing(&self) -> bool {
        self.writes.is_writing()
    }

    /// Why the replica has stopped, if it has.
    pub fn stopped(&self) -> Option<&str> {
        self.stopped.as_deref()
    }

    /// Who this is.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The engine, for looking at.
    pub const fn engine(&self) -> &E {
        &self.engine
    }

    /// Where the engine stands.
    pub const fn standing(&self) -> Standing {
        self.standing
    }

    /// Everything up to here is applied.
    pub const fn applied_index(&self) -> Index {
        self.feeding.applied()
    }

    /// The last entry covered by the newest snapshot.
    pub const fn snapshot_index(&self) -> Index {
        self.snapshot
    }

    /// Bytes of recent entries held in memory.
    pub const fn cached_bytes(&self) -> usize {
        self.cache.bytes()
    }

    /// Whether the entry at `index` is among the recent ones held in memory.
    pub fn caches(&self, index: Index) -> bool {
        self.cache.get(index).is_some()
    }

    /// Counts the notes there ever were.
    pub const fn noted(&self) -> u64 {
        self.noted
    }

    /// What an operator should know, the newest last.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}
