//! [`Log`]: the shape of this member's log. A slot holds what was accepted in it last, at the ballot that is its
//! entry's generation. There may be holes.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

use consensus_api::{
    Effects, Entry, EntryKind, Generation, Index, Membership, Op, Outline, Run, SnapshotMark, Time, WriteSeq,
};

/// The shape of the log. Every change goes to the storage in the same breath.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    outline: Outline,
    /// Writes that are not durable, oldest first, and when they began.
    pending: VecDeque<(WriteSeq, Time)>,
    /// Something was written since this was last asked.
    wrote: bool,
}

impl Log {
    /// A log as the storage reports it: all of it durable.
    pub(crate) fn recover(mut outline: Outline) -> Self {
        outline.hard_state = None; // kept decoded, elsewhere
        Self { outline, pending: VecDeque::new(), wrote: false }
    }

    /// The highest slot in which anything was accepted.
    pub(crate) fn last(&self) -> Index {
        self.outline.last()
    }

    /// Entries up to here are gone; all of them are chosen, and in a snapshot.
    pub(crate) fn compacted(&self) -> Index {
        self.outline.compacted
    }

    pub(crate) fn snapshot(&self) -> Option<&SnapshotMark> {
        self.outline.snapshot.as_ref()
    }

    pub(crate) fn snapshot_index(&self) -> Index {
        self.snapshot().map_or(Index::ZERO, |mark| mark.index)
    }

    pub(crate) fn memberships(&self) -> &[Entry] {
        self.outline.memberships()
    }

    pub(crate) fn runs(&self) -> &[Run] {
        self.outline.runs()
    }

    /// The ballot at which the slot's value was accepted.
    pub(crate) fn ballot_at(&self, slot: Index) -> Option<Generation> {
        self.run_from(slot).filter(|run| run.first <= slot).map(|run| run.generation)
    }

    /// The run that `from` lies in, or else the next one above it.
    pub(crate) fn run_from(&self, from: Index) -> Option<Run> {
        let runs = self.runs();
        runs.get(runs.partition_point(|run| run.last < from)).copied()
    }

    /// The first slots at or above `from` that hold something of this ballot: from there to the end of the run.
    pub(crate) fn of_ballot(&self, from: Index, ballot: Generation) -> Option<(Index, Index)> {
        let runs = self.runs();
        let above = &runs[runs.partition_point(|run| run.last < from)..];
        let run = above.iter().find(|run| run.generation == ballot)?;
        Some((run.first.max(from), run.last))
    }

    /// Whether every slot from the compacted part up to `upto` is filled.
    pub(crate) fn is_unbroken(&self, upto: Index) -> bool {
        self.holds((Index::ZERO, upto), Generation::ZERO)
    }

    /// Whether every slot of `first ..= last` that is not compacted holds something of this ballot or a higher one.
    pub(crate) fn holds(&self, (first, last): (Index, Index), least: Generation) -> bool {
        let mut reached = self.compacted().max(first.prev());
        let from = self.runs().partition_point(|run| run.last <= reached);
        for run in self.runs()[from..].iter().take_while(|run| run.first <= last) {
            if run.first > reached.next() || run.generation < least {
                break;
            }
            reached = run.last;
        }
        reached >= last
    }

    /// The generation of the entry at `index`, for a compaction.
    pub(crate) fn generation_at(&self, index: Index) -> Option<Generation> {
        self.outline.generation_at(index)
    }

    /// Since when the oldest write that is not durable is under way.
    pub(crate) fn writing_since(&self) -> Option<Time> {
        self.pending.front().map(|(_, since)| *since)
    }

    /// Whether something was written since this was last asked: then a hint may ride along.
    pub(crate) fn take_wrote(&mut self) -> bool {
        std::mem::take(&mut self.wrote)
    }

    /// Puts a value into its slot, over what was accepted there at a lower ballot.
    pub(crate) fn put<M>(&mut self, now: Time, entry: Entry, effects: &mut Effects<M>) -> WriteSeq {
        assert!(entry.index > self.compacted(), "what is compacted stays compacted");
        assert!(
            self.ballot_at(entry.index).is_none_or(|old| old < entry.generation),
            "the ballot of a slot only grows"
        );
        self.outline.put(&entry);
        self.write(now, Op::Put(entry), effects)
    }

    /// A snapshot stands for everything up to its index; entries up to `upto` go. What was accepted above stays
    /// (TigerBeetle PR #364 lost a suffix here).
    pub(crate) fn compact<M>(
        &mut self,
        now: Time,
        mark: SnapshotMark,
        upto: Index,
        effects: &mut Effects<M>,
    ) {
        let generation = if upto == mark.index { Some(mark.generation) } else { self.generation_at(upto) };
        let compact = generation.filter(|_| upto > self.compacted());
        let ops = [Some(Op::SnapshotMark(mark)), compact.map(|generation| Op::Compact { upto, generation })];
        for op in ops.into_iter().flatten() {
            self.outline.replay(&op);
            self.write(now, op, effects);
        }
    }

    /// Writes anything, and says under which number it becomes durable.
    pub(crate) fn write<M>(&mut self, now: Time, op: Op, effects: &mut Effects<M>) -> WriteSeq {
        let seq = effects.write(op);
        self.wrote = true;
        if self.pending.back().is_none_or(|(newest, _)| *newest < seq) {
            self.pending.push_back((seq, now));
        }
        seq
    }

    /// Everything written up to `seq` is durable.
    pub(crate) fn made_durable(&mut self, seq: WriteSeq) {
        while self.pending.front().is_some_and(|(oldest, _)| *oldest <= seq) {
            self.pending.pop_front();
        }
    }
}

impl Hash for Log {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.outline.hash(state);
        self.pending.iter().for_each(|(seq, _)| seq.hash(state));
    }
}

/// Whether these could have come out of a log: entries without a gap, memberships that can be read.
pub(crate) fn is_well_formed(entries: &[Entry]) -> bool {
    let in_order = entries.windows(2).all(|pair| pair[0].index.0.checked_add(1) == Some(pair[1].index.0));
    let readable =
        |entry: &Entry| entry.kind != EntryKind::Membership || Membership::decode(&entry.body).is_ok();
    let within = entries.iter().all(|entry| entry.index > Index::ZERO && entry.index.0 < u64::MAX);
    in_order && within && entries.iter().all(readable)
}
