//! [`Durability`]: what is written, what is being written, and what waits for it.
//!
//! One write is under way at a time; what the engine writes meanwhile is merged and goes next. That is the group
//! commit: one sync serves all that queued.

use std::collections::VecDeque;

use consensus_api::{Batch, Index, Outgoing, WriteSeq};

/// Writes of one node, and the messages that wait for them.
#[derive(Debug)]
pub(super) struct Durability<M> {
    queued: Batch,
    queued_seq: WriteSeq,
    writing: Option<WriteSeq>,
    durable: WriteSeq,
    /// The lowest index put by each write that is not durable, reduced to those that still matter: both halves ascend.
    undurable: VecDeque<(WriteSeq, Index)>,
    held: VecDeque<(WriteSeq, Outgoing<M>)>,
}

impl<M> Durability<M> {
    pub(super) const fn new() -> Self {
        Self {
            queued: Batch::new(),
            queued_seq: WriteSeq(0),
            writing: None,
            durable: WriteSeq(0),
            undurable: VecDeque::new(),
            held: VecDeque::new(),
        }
    }

    /// The engine put an entry under that number.
    pub(super) fn put(&mut self, seq: WriteSeq, index: Index) {
        while self.undurable.back().is_some_and(|(_, lowest)| *lowest >= index) {
            self.undurable.pop_back();
        }
        self.undurable.push_back((seq, index));
    }

    /// Queues a batch behind all others.
    pub(super) fn queue(&mut self, seq: WriteSeq, batch: Batch) {
        assert!(seq > self.queued_seq, "writes are numbered upwards");
        self.queued.merge(batch);
        self.queued_seq = seq;
    }

    /// The next batch to write, unless one is being written.
    pub(super) fn next_write(&mut self) -> Option<(WriteSeq, Batch)> {
        if self.writing.is_some() || self.queued.is_empty() {
            return None;
        }
        // A storage may put off hints, and tells of them only with what comes next: nothing waits for them.
        if self.queued.is_lazy() {
            self.durable = self.queued_seq;
        } else {
            self.writing = Some(self.queued_seq);
        }
        Some((self.queued_seq, std::mem::take(&mut self.queued)))
    }

    /// All writes up to that number are durable.
    pub(super) fn durable(&mut self, seq: WriteSeq) {
        assert!(seq <= self.queued_seq, "the storage reports durable only what it was given");
        self.durable = self.durable.max(seq);
        if self.writing.is_some_and(|writing| writing <= seq) {
            self.writing = None;
        }
        while self.undurable.front().is_some_and(|(write, _)| *write <= seq) {
            self.undurable.pop_front();
        }
    }

    pub(super) fn is_durable(&self, seq: WriteSeq) -> bool {
        seq <= self.durable
    }

    /// Whether a write is under way whose end is still to be told.
    pub(super) const fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// Whether nothing is queued and nothing being written.
    pub(super) fn is_idle(&self) -> bool {
        self.writing.is_none() && self.queued.is_empty()
    }

    /// Every entry below this index is durable.
    pub(super) fn first_undurable(&self) -> Index {
        self.undurable.front().map_or(Index(u64::MAX), |(_, lowest)| *lowest)
    }

    /// Holds a message back until that write is durable.
    pub(super) fn hold(&mut self, seq: WriteSeq, message: Outgoing<M>) {
        self.held.push_back((seq, message));
    }

    /// A message whose write is durable by now.
    pub(super) fn release(&mut self) -> Option<Outgoing<M>> {
        let (seq, _) = self.held.front()?;
        if *seq > self.durable {
            return None;
        }
        self.held.pop_front().map(|(_, message)| message)
    }
}

#[cfg(test)]
mod tests {
    use consensus_api::Op;

    use super::*;

    #[test]
    fn one_write_at_a_time_and_the_next_takes_all_that_queued() {
        let mut writes = Durability::<()>::new();
        let batch =
            |mark: u64| [Op::Watermark(Index(mark)), Op::TruncateFrom(Index(mark))].into_iter().collect();
        (1..=3).for_each(|seq| writes.queue(WriteSeq(seq), batch(seq)));
        let (seq, first) = writes.next_write().unwrap();
        assert_eq!((seq, first.ops().len()), (WriteSeq(3), 4));
        writes.queue(WriteSeq(4), batch(4));
        assert!(writes.next_write().is_none());
        writes.durable(WriteSeq(3));
        assert_eq!(writes.next_write().unwrap().0, WriteSeq(4));
        assert!(!writes.is_idle());
        writes.durable(WriteSeq(4));
        assert!(writes.is_idle());
    }

    #[test]
    fn nothing_waits_for_a_hint() {
        let mut writes = Durability::<()>::new();
        writes.queue(WriteSeq(1), [Op::Watermark(Index(1))].into_iter().collect());
        assert_eq!(writes.next_write().unwrap().0, WriteSeq(1));
        assert!(writes.is_idle());
        writes.queue(WriteSeq(2), [Op::TruncateFrom(Index(1))].into_iter().collect());
        assert_eq!(writes.next_write().unwrap().0, WriteSeq(2));
    }

    #[test]
    fn the_first_undurable_entry_is_the_lowest_of_all_writes_under_way() {
        let mut writes = Durability::<()>::new();
        for (seq, index) in [(1, 5), (2, 6), (3, 4), (4, 5)] {
            writes.put(WriteSeq(seq), Index(index));
            writes.queue(WriteSeq(seq), Batch::new());
        }
        assert_eq!(writes.first_undurable(), Index(4));
        writes.durable(WriteSeq(2));
        assert_eq!(writes.first_undurable(), Index(4));
        writes.durable(WriteSeq(3));
        assert_eq!(writes.first_undurable(), Index(5));
        writes.durable(WriteSeq(4));
        assert_eq!(writes.first_undurable(), Index(u64::MAX));
    }
}
