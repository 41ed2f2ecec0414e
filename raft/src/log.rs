//! [`Log`]: the shape of this member's log, and how much of it is durable.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

use consensus_api::mutation::mutated;
use consensus_api::{
    Effects, Entry, Generation, Index, Moment, Op, Outline, Run, SnapshotMark, Time, WriteSeq,
};

use crate::hard_state::HardState;
use crate::{Message, Term};

/// The shape of the log. Every change goes to the storage in the same breath, so that the two never differ by more than
/// what is still being written.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    outline: Outline,
    durable: Index,
    /// Writes not yet durable, oldest first.
    pending: VecDeque<Pending>,
    /// Something was written since this was last asked.
    wrote: bool,
}

/// A write under way.
#[derive(Clone, Copy, Hash, Debug)]
struct Pending {
    seq: WriteSeq,
    /// What is durable of *today's* log once it is done. Shrinks when a truncation takes away what it wrote: the late
    /// completion of a write that was replaced proves nothing (etcd-io/raft#8).
    last: Index,
    since: Moment,
}

impl Log {
    /// A log as the storage reports it: all of it durable.
    pub(crate) fn recover(mut outline: Outline) -> Self {
        outline.hard_state = None; // kept decoded, elsewhere
        let durable = outline.last();
        Self { outline, durable, pending: VecDeque::new(), wrote: false }
    }

    pub(crate) fn last(&self) -> Index {
        self.outline.last()
    }

    pub(crate) fn last_generation(&self) -> Generation {
        self.outline.last_generation()
    }

    pub(crate) fn last_term(&self) -> Term {
        Term(self.last_generation().round)
    }

    /// Entries up to here are gone; the generation of this one is still known.
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

    pub(crate) fn generation_at(&self, index: Index) -> Option<Generation> {
        self.outline.generation_at(index)
    }

    /// Whether the log has an entry of this generation at `index`. If so it agrees with every log that does, up to
    /// there (log matching; thesis, section 3.5).
    pub(crate) fn agrees_at(&self, index: Index, generation: Generation) -> bool {
        self.generation_at(index) == Some(generation)
    }

    /// The last entry at or below `index` whose term is not above `term`. Below the compacted part nothing is known:
    /// then the entry before it stands for "further back than this log reaches".
    pub(crate) fn last_within(&self, index: Index, term: Term) -> (Index, Term) {
        let within = |run: &&Run| run.first <= index && run.generation.round <= term.0;
        if let Some(run) = self.runs().iter().rev().find(within) {
            return (run.last.min(index), Term(run.generation.round));
        }
        let (compacted, compacted_term) = (self.compacted(), Term(self.outline.compacted_generation.round));
        if compacted <= index && compacted_term <= term {
            (compacted, compacted_term)
        } else {
            (compacted.prev().min(index), term)
        }
    }

    /// How much of today's log is durable.
    pub(crate) fn durable(&self) -> Index {
        self.durable
    }

    /// Since when the oldest write that is not durable is under way.
    pub(crate) fn writing_since(&self) -> Option<Time> {
        self.pending.front().map(|pending| pending.since.0)
    }

    /// Whether something was written since this was last asked: then a hint may ride along.
    pub(crate) fn take_wrote(&mut self) -> bool {
        std::mem::take(&mut self.wrote)
    }

    /// The last index and number of every write under way, for the invariants.
    pub(crate) fn pending(&self) -> impl Iterator<Item = (WriteSeq, Index)> + '_ {
        self.pending.iter().map(|pending| (pending.seq, pending.last))
    }

    /// Appends an entry behind the last.
    pub(crate) fn append(&mut self, now: Time, entry: Entry, effects: &mut Effects<Message>) {
        debug_assert_eq!(entry.index, self.last().next(), "a log has no holes");
        self.outline.put(&entry);
        self.write(now, Op::Put(entry), effects);
    }

    /// Removes every entry from `from` on.
    pub(crate) fn truncate_from(&mut self, now: Time, from: Index, effects: &mut Effects<Message>) {
        self.durable = self.durable.min(from.prev());
        if !mutated("raft/replaced-write-counts") {
            for pending in &mut self.pending {
                pending.last = pending.last.min(from.prev());
            }
        }
        self.replay_and_write(now, Op::TruncateFrom(from), effects);
    }

    /// Removes every entry up to `upto`, which is covered by a snapshot.
    pub(crate) fn compact(
        &mut self,
        now: Time,
        upto: Index,
        generation: Generation,
        effects: &mut Effects<Message>,
    ) {
        if upto > self.compacted() {
            self.replay_and_write(now, Op::Compact { upto, generation }, effects);
        }
    }

    pub(crate) fn mark_snapshot(&mut self, now: Time, mark: SnapshotMark, effects: &mut Effects<Message>) {
        self.replay_and_write(now, Op::SnapshotMark(mark), effects);
    }

    /// Writes term and vote, in one piece, and says when they are durable.
    pub(crate) fn write_hard_state(
        &mut self,
        now: Time,
        hard_state: HardState,
        effects: &mut Effects<Message>,
    ) -> WriteSeq {
        self.write(now, Op::HardState(hard_state.encode()), effects)
    }

    /// Everything written up to `seq` is durable.
    pub(crate) fn made_durable(&mut self, seq: WriteSeq) {
        while let Some(pending) = self.pending.front()
            && pending.seq <= seq
        {
            self.durable = self.durable.max(pending.last);
            self.pending.pop_front();
        }
    }

    fn replay_and_write(&mut self, now: Time, op: Op, effects: &mut Effects<Message>) {
        self.outline.replay(&op);
        self.write(now, op, effects);
    }

    fn write(&mut self, now: Time, op: Op, effects: &mut Effects<Message>) -> WriteSeq {
        let seq = effects.write(op);
        self.wrote = true;
        let last = self.last();
        match self.pending.back_mut() {
            Some(pending) if pending.seq == seq => pending.last = last,
            _ => self.pending.push_back(Pending { seq, last, since: Moment(now) }),
        }
        seq
    }
}

impl Hash for Log {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.outline.hash(state);
        self.durable.hash(state);
        self.pending.hash(state);
    }
}
