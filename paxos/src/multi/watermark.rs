//! [`Watermark`]: how far the slots are chosen, by what this member's disk says: it will know so in its next life, too.

use std::collections::VecDeque;

use consensus_api::{Effects, Index, Op, WriteSeq};

use super::{Message, MultiPaxos};

/// How far the slots are chosen, by what was written down.
#[derive(Clone, Hash, Debug)]
pub(super) struct Watermark {
    written: Index,
    durable: Index,
    /// Written, and not durable yet.
    pending: VecDeque<(WriteSeq, Index)>,
}

/// The commit index is written down once it has moved this far, and something else is written anyway.
const EVERY: u64 = 64;

impl Watermark {
    pub(super) const fn new(index: Index) -> Self {
        Self { written: index, durable: index, pending: VecDeque::new() }
    }

    pub(super) const fn written(&self) -> Index {
        self.written
    }

    pub(super) const fn durable(&self) -> Index {
        self.durable
    }

    /// The write of this number says that everything up to `index` is chosen.
    pub(super) fn write(&mut self, seq: WriteSeq, index: Index) {
        if index > self.written {
            self.written = index;
            self.pending.push_back((seq, index));
        }
    }

    /// Everything written up to this number is durable.
    pub(super) fn made_durable(&mut self, seq: WriteSeq) {
        while let Some((_, index)) = self.pending.front().filter(|(written, _)| *written <= seq) {
            self.durable = *index;
            self.pending.pop_front();
        }
    }
}

impl MultiPaxos {
    /// Writes down how far the log is chosen, when something is written anyway. Every slot up to there is written by
    /// then, and none of them is ever overwritten: so whatever watermark a crash leaves, it is safe to start from.
    ///
    /// Once the voters have changed it is written at once, and forced to disk by the promise beside it: a cluster that
    /// loses its power must not need those who have gone in order to know what they decided.
    pub(super) fn write_watermark(&mut self, effects: &mut Effects<Message>) {
        let (commit, known) = (self.commit, self.watermark.written);
        let begins_at = self.configurations.begins_at();
        let is_owed = known < begins_at && begins_at <= commit;
        let is_far = self.log.take_wrote() && commit.since(known) >= EVERY;
        if is_owed {
            self.log.write(self.timers.now, Op::HardState(self.acceptor.promise_written()), effects);
        }
        if is_owed || is_far {
            let seq = effects.write(Op::Watermark(commit));
            self.watermark.write(seq, commit);
        }
    }
}
