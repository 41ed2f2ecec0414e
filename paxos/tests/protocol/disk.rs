//! A disk in memory: what was submitted, and what of it is durable.

use std::collections::{BTreeMap, VecDeque};

use consensus_api::{Batch, Entry, EntryRange, Index, Op, Outline, WriteSeq};

/// What a log holds.
#[derive(Clone, Default, Debug)]
pub(crate) struct Image {
    pub(crate) outline: Outline,
    pub(crate) entries: BTreeMap<Index, Entry>,
}

impl Image {
    pub(crate) fn apply(&mut self, op: &Op) {
        match op {
            Op::Put(entry) => drop(self.entries.insert(entry.index, entry.clone())),
            Op::TruncateFrom(_) => panic!("Paxos never truncates"),
            Op::Compact { upto, .. } => self.entries = self.entries.split_off(&upto.next()),
            Op::HardState(_) | Op::SnapshotMark(_) | Op::Watermark(_) => {}
        }
        self.outline.replay(op);
    }
}

/// A disk that forgets in a crash what it has not been told to keep.
#[derive(Clone, Default, Debug)]
pub(crate) struct Disk {
    durable: Image,
    /// Everything submitted.
    view: Image,
    pending: VecDeque<(WriteSeq, Batch)>,
    pub(crate) durable_seq: WriteSeq,
}

impl Disk {
    pub(crate) fn of(image: Image) -> Self {
        Self { view: image.clone(), durable: image, ..Self::default() }
    }

    pub(crate) fn submit(&mut self, seq: WriteSeq, batch: Batch) {
        batch.ops().iter().for_each(|op| self.view.apply(op));
        self.pending.push_back((seq, batch));
    }

    /// Makes the oldest write durable.
    pub(crate) fn complete(&mut self) -> Option<WriteSeq> {
        let (seq, batch) = self.pending.pop_front()?;
        batch.ops().iter().for_each(|op| self.durable.apply(op));
        self.durable_seq = seq;
        Some(seq)
    }

    pub(crate) fn crash(&mut self) {
        *self = Self::of(self.durable.clone());
    }

    pub(crate) fn durable(&self) -> &Image {
        &self.durable
    }

    pub(crate) fn view(&self) -> &Image {
        &self.view
    }

    /// The entries that go with a message: up to the first hole, or the limit.
    pub(crate) fn read(&self, range: EntryRange) -> Vec<Entry> {
        let (mut bytes, mut next) = (0, range.first);
        let fits = |entry: &&Entry| {
            let first = bytes == 0;
            bytes += entry.record_len();
            let follows = entry.index == next;
            next = next.next();
            follows && (first || bytes <= range.bytes_max)
        };
        self.view
            .entries
            .range(range.first..=range.last)
            .map(|(_, entry)| entry)
            .take_while(fits)
            .cloned()
            .collect()
    }
}
