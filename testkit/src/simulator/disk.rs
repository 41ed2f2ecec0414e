//! [`Disk`]: a log and a snapshot that survive crashes, and writes that may not.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use consensus_api::{Batch, Entry, Index, Op, Outline, Recovered, SnapshotMark, StoreId, WriteSeq};

use crate::Random;

/// The disk of one simulated node.
#[derive(Debug, Default)]
pub struct Disk {
    outline: Outline,
    entries: BTreeMap<Index, Entry>,
    snapshot: Option<(SnapshotMark, Bytes)>,
    /// Hints, which are written with what comes next.
    put_off: Batch,
    /// The batch being written.
    writing: Option<(WriteSeq, Batch)>,
}

impl Disk {
    /// What a node finds when it starts.
    pub(crate) fn recover(&self, node: u64) -> Recovered {
        Recovered { store: StoreId(u128::from(node)), outline: self.outline.clone(), notes: Vec::new() }
    }

    /// Begins a write. Whether there is anything to wait for.
    pub(crate) fn begin(&mut self, seq: WriteSeq, batch: Batch) -> bool {
        assert!(self.writing.is_none(), "one write is under way at a time");
        let lazy = batch.is_lazy();
        self.put_off.merge(batch);
        if !lazy {
            self.writing = Some((seq, std::mem::take(&mut self.put_off)));
        }
        !lazy
    }

    /// The write under way is durable.
    pub(crate) fn finish(&mut self) -> Option<WriteSeq> {
        let (seq, batch) = self.writing.take()?;
        batch.into_ops().into_iter().for_each(|op| self.apply(op));
        Some(seq)
    }

    /// Power is lost: the write under way is there as a whole or not at all.
    pub(crate) fn crash(&mut self, random: &mut Random) {
        if random.one_in(2) {
            self.finish();
        }
        self.writing = None;
        self.put_off = Batch::new();
    }

    fn apply(&mut self, op: Op) {
        self.outline.replay(&op);
        match op {
            Op::Put(entry) => drop(self.entries.insert(entry.index, entry)),
            Op::TruncateFrom(from) => drop(self.entries.split_off(&from)),
            Op::Compact { upto, .. } => self.entries = self.entries.split_off(&upto.next()),
            Op::HardState(_) | Op::SnapshotMark(_) | Op::Watermark(_) => {}
        }
    }

    pub(crate) fn read(&self, range: Range<Index>, bytes_max: usize) -> Vec<Entry> {
        let mut bytes = 0;
        let fits = |(_, entry): &(&Index, &Entry)| {
            let first = bytes == 0;
            bytes += entry.record_len();
            first || bytes <= bytes_max
        };
        self.entries.range(range).take_while(fits).map(|(_, entry)| entry.clone()).collect()
    }

    /// Keeps a snapshot, if it is the newest.
    pub(crate) fn keep(&mut self, mark: SnapshotMark, bytes: Bytes) {
        if self.snapshot.as_ref().is_none_or(|(old, _)| old.index <= mark.index) {
            self.snapshot = Some((mark, bytes));
        }
    }

    pub(crate) const fn snapshot(&self) -> Option<&(SnapshotMark, Bytes)> {
        self.snapshot.as_ref()
    }

    /// The shape of what is durable.
    pub fn outline(&self) -> &Outline {
        &self.outline
    }

    /// The durable entries.
    pub fn entries(&self) -> &BTreeMap<Index, Entry> {
        &self.entries
    }
}
