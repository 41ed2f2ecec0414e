//! [`Batch`]: what is written to the log at once, and how two batches become one.

use bytes::Bytes;

use crate::{Entry, Generation, Index, Membership};

/// Counts an engine's writes. A batch covers all writes up to its number; numbers only grow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct WriteSeq(pub u64);

/// What a snapshot stands for: the log up to and including `index`.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct SnapshotMark {
    /// The last entry it covers: the last *applied* one, never the last one in the log.
    pub index: Index,
    /// That entry's generation.
    pub generation: Generation,
    /// The membership as of that entry.
    pub membership: Membership,
}

/// One change to the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    /// Replaces the engine's hard state: what it voted, what it promised. Opaque; at most [`HARD_STATE_BYTES_MAX`].
    HardState(Bytes),
    /// Removes every entry from this index on.
    TruncateFrom(Index),
    /// Puts an entry at its index, over whatever stood there. Removes nothing else, and may leave a hole below.
    Put(Entry),
    /// Removes every entry up to and including `upto`, whose generation is remembered: it is what an engine compares
    /// the first remaining entry's predecessor with. Never beyond the last snapshot.
    Compact {
        /// The last entry removed.
        upto: Index,
        /// Its generation.
        generation: Generation,
    },
    /// A snapshot is durable in the snapshot storage, and covers the log up to its index.
    SnapshotMark(SnapshotMark),
    /// Everything up to here is known to be committed. A hint for the next start: it may be written lazily, and never
    /// forces a sync on its own. It never falls: a lower one after a higher one says nothing.
    Watermark(Index),
}

/// The largest hard state, in bytes.
pub const HARD_STATE_BYTES_MAX: usize = 256;

/// An ordered list of changes that become durable together: after a crash all of them are there, or none.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Batch {
    ops: Vec<Op>,
}

impl Batch {
    /// An empty batch.
    pub const fn new() -> Self {
        Self { ops: Vec::new() }
    }

    /// The changes, in the order in which they take effect.
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// The changes, taken out.
    pub fn into_ops(self) -> Vec<Op> {
        self.ops
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Whether the batch may be written lazily: it holds hints only.
    pub fn is_lazy(&self) -> bool {
        self.ops.iter().all(|op| matches!(op, Op::Watermark(_)))
    }

    /// The bytes of the entries in it: what it takes on disk, give or take a header.
    pub fn entry_bytes(&self) -> usize {
        self.ops.iter().map(|op| if let Op::Put(entry) = op { entry.record_len() } else { 0 }).sum()
    }

    /// Adds a change after all others, and drops what it makes void: an older hard state or lower watermark, entries that a
    /// truncation removes. (A truncation itself stays: it also speaks of entries written earlier.)
    pub fn push(&mut self, mut op: Op) {
        match &mut op {
            Op::HardState(_) => self.ops.retain(|old| !matches!(old, Op::HardState(_))),
            Op::Watermark(index) => self.ops.retain(|old| {
                let Op::Watermark(old) = old else { return true };
                *index = (*index).max(*old);
                false
            }),
            Op::TruncateFrom(from) => {
                self.ops.retain(|old| !matches!(old, Op::Put(entry) if entry.index >= *from));
            }
            Op::Put(_) | Op::Compact { .. } | Op::SnapshotMark(_) => {}
        }
        self.ops.push(op);
    }

    /// Makes one batch of two: this one's changes, then `later`'s. Writing the result has the same effect as writing
    /// both, one after the other.
    pub fn merge(&mut self, later: Self) {
        if self.ops.is_empty() {
            self.ops = later.ops;
        } else {
            later.ops.into_iter().for_each(|op| self.push(op));
        }
    }
}

impl FromIterator<Op> for Batch {
    fn from_iter<I: IntoIterator<Item = Op>>(ops: I) -> Self {
        let mut batch = Self::new();
        ops.into_iter().for_each(|op| batch.push(op));
        batch
    }
}
