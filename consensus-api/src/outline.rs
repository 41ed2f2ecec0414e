//! [`Outline`]: what a log holds, without the payloads. Storage reports one at start, engines and nodes keep one.

use std::ops::Range;

use bytes::Bytes;

use crate::{Entry, EntryKind, Generation, Index, Op, SnapshotMark};

/// Entries that follow each other and share a generation: `first ..= last`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Run {
    /// The first of them.
    pub first: Index,
    /// The last of them.
    pub last: Index,
    /// The generation they share.
    pub generation: Generation,
}

/// The shape of a log: its bounds, the generation of each entry (as runs), its memberships, and the marks beside them.
///
/// Built by handing every operation of the log to [`replay`](Self::replay) in order. A few dozen bytes per change of
/// leadership, however long the log.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct Outline {
    /// The newest hard state.
    pub hard_state: Option<Bytes>,
    /// The newest snapshot's mark.
    pub snapshot: Option<SnapshotMark>,
    /// Entries up to and including this one are gone.
    pub compacted: Index,
    /// The generation of the entry at `compacted`.
    pub compacted_generation: Generation,
    /// Known to be committed when last written; a hint.
    pub watermark: Index,
    /// The entries there, in ascending order; a gap between runs is a hole in the log.
    runs: Vec<Run>,
    /// The membership entries among them, in ascending order.
    memberships: Vec<Entry>,
}

impl Outline {
    /// Takes one operation into account.
    pub fn replay(&mut self, op: &Op) {
        match op {
            Op::HardState(bytes) => self.hard_state = Some(bytes.clone()),
            Op::TruncateFrom(from) => self.truncate_from(*from),
            Op::Put(entry) => self.put(entry),
            Op::Compact { upto, generation } => self.compact(*upto, *generation),
            Op::SnapshotMark(mark) => self.snapshot = Some(mark.clone()),
            Op::Watermark(index) => self.watermark = self.watermark.max(*index),
        }
    }

    /// The runs of entries, in ascending order.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The membership entries, in ascending order.
    pub fn memberships(&self) -> &[Entry] {
        &self.memberships
    }

    /// The last entry, or where the log was compacted to if there is none behind it.
    pub fn last(&self) -> Index {
        self.runs.last().map_or(self.compacted, |run| run.last)
    }

    /// The generation of the entry at [`last`](Self::last).
    pub fn last_generation(&self) -> Generation {
        self.runs.last().map_or(self.compacted_generation, |run| run.generation)
    }

    /// The generation of the entry at `index`, if it is there or is the one the log was compacted to.
    pub fn generation_at(&self, index: Index) -> Option<Generation> {
        if index == self.compacted {
            return Some(self.compacted_generation);
        }
        let run = &self.runs[self.runs.partition_point(|run| run.last < index)..];
        run.first().filter(|run| run.first <= index).map(|run| run.generation)
    }

    /// The first hole at or above `from`: the first index at which no entry stands.
    pub fn first_hole(&self, from: Index) -> Index {
        let mut hole = from;
        for run in &self.runs[self.runs.partition_point(|run| run.last < from)..] {
            if run.first > hole {
                break;
            }
            hole = run.last.next();
        }
        hole
    }

    /// Puts an entry at its index, over whatever stood there.
    pub fn put(&mut self, entry: &Entry) {
        let (index, generation) = (entry.index, entry.generation);
        if index > self.compacted {
            self.lay(Run { first: index, last: index, generation });
            let at = self.memberships.partition_point(|old| old.index < index);
            if self.memberships.get(at).is_some_and(|old| old.index == index) {
                self.memberships.remove(at);
            }
            if entry.kind == EntryKind::Membership {
                self.memberships.insert(at, entry.clone());
            }
        }
    }

    /// Puts entries that share a generation, none of them a membership, over whatever stood there: as
    /// [`put`](Self::put) for each of them, in one step.
    pub fn put_run(&mut self, run: Run) {
        let first = run.first.max(self.compacted.next());
        if first <= run.last {
            self.memberships.retain(|old| old.index < first || old.index > run.last);
            self.lay(Run { first, ..run });
        }
    }

    fn lay(&mut self, run: Run) {
        // Nearly always: right behind the last.
        if let Some(last) = self.runs.last_mut()
            && last.last.next() == run.first
            && last.last < run.first
            && last.generation == run.generation
        {
            last.last = run.last;
            return;
        }
        self.cut_out(run.first..run.last.next());
        let at = self.runs.partition_point(|other| other.last < run.first);
        self.runs.insert(at, run);
        self.join(at + 1);
        self.join(at);
    }

    /// Joins the run at `at` with the one before it if they continue each other.
    fn join(&mut self, at: usize) {
        if at == 0 || at >= self.runs.len() {
            return;
        }
        let (before, run) = (self.runs[at - 1], self.runs[at]);
        if before.last.next() == run.first && before.generation == run.generation {
            self.runs[at - 1].last = run.last;
            self.runs.remove(at);
        }
    }

    fn cut_out(&mut self, range: Range<Index>) {
        let start = self.runs.partition_point(|run| run.last < range.start);
        let end = self.runs.partition_point(|run| run.first < range.end);
        if start >= end {
            return;
        }
        let (low, high) = (self.runs[start], self.runs[end - 1]);
        let below = (low.first < range.start).then(|| Run { last: range.start.prev(), ..low });
        let above = (high.last >= range.end).then_some(Run { first: range.end, ..high });
        self.runs.splice(start..end, below.into_iter().chain(above));
    }

    fn truncate_from(&mut self, from: Index) {
        self.cut_out(from..Index(u64::MAX));
        self.memberships.retain(|entry| entry.index < from);
    }

    fn compact(&mut self, upto: Index, generation: Generation) {
        if upto > self.compacted {
            self.cut_out(Index::ZERO..upto.next());
            self.memberships.retain(|entry| entry.index > upto);
            self.compacted = upto;
            self.compacted_generation = generation;
        }
    }
}
