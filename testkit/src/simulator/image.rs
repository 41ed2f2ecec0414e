//! [`Image`]: what a log holds, entries and all, as a plain value.

use std::collections::BTreeMap;
use std::ops::Range;

use consensus_api::{Batch, Entry, Index, Op, Outline};

/// What a log holds.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Image {
    outline: Outline,
    entries: BTreeMap<Index, Entry>,
}

impl Image {
    /// What a storage reports.
    pub(crate) fn of(outline: Outline, entries: Vec<Entry>) -> Self {
        Self { outline, entries: entries.into_iter().map(|entry| (entry.index, entry)).collect() }
    }

    /// Takes a batch into account.
    pub fn write(&mut self, batch: Batch) {
        batch.into_ops().into_iter().for_each(|op| self.apply(op));
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

    /// Whether both hold the same, save for hints.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        let without_hints = |image: &Self| {
            let mut outline = image.outline.clone();
            outline.watermark = Index::ZERO;
            outline
        };
        self.entries == other.entries && without_hints(self) == without_hints(other)
    }

    /// Whether it holds this entry: in the log, or in a snapshot that covers it.
    pub(crate) fn covers(&self, index: Index, essence: (u32, u64)) -> bool {
        let in_log = self.entries.get(&index).is_some_and(|entry| super::essence(entry) == essence);
        in_log || self.outline.snapshot.as_ref().is_some_and(|mark| mark.index >= index)
    }

    /// Its shape.
    pub fn outline(&self) -> &Outline {
        &self.outline
    }

    /// Its entries.
    pub fn entries(&self) -> &BTreeMap<Index, Entry> {
        &self.entries
    }
}
