//! [`Disk`]: what was submitted, and what of it is durable.

use std::collections::VecDeque;

use consensus_api::{Batch, Entry, EntryRange, Index, WriteSeq};

use crate::simulator::Image;

/// A disk that forgets in a crash what it has not been told to keep.
#[derive(Clone, Default, Debug)]
pub struct Disk {
    durable: Image,
    /// Everything submitted.
    view: Image,
    pending: VecDeque<(WriteSeq, Batch)>,
    pub(super) durable_seq: WriteSeq,
}

impl Disk {
    pub(super) fn of(image: Image) -> Self {
        Self { view: image.clone(), durable: image, ..Self::default() }
    }

    pub(super) fn submit(&mut self, seq: WriteSeq, batch: Batch) {
        self.view.write(batch.clone());
        self.pending.push_back((seq, batch));
    }

    /// Makes the oldest write durable.
    pub(super) fn complete(&mut self) -> Option<WriteSeq> {
        let (seq, batch) = self.pending.pop_front()?;
        self.durable.write(batch);
        self.durable_seq = seq;
        Some(seq)
    }

    pub(super) fn crash(&mut self) {
        *self = Self::of(std::mem::take(&mut self.durable));
    }

    /// What survives a crash.
    pub fn durable(&self) -> &Image {
        &self.durable
    }

    /// Everything written, durable or not.
    pub fn view(&self) -> &Image {
        &self.view
    }

    /// The entries that go with a message: up to the first hole, or the limit.
    pub(super) fn read(&self, range: EntryRange) -> Vec<Entry> {
        let entries = self.view.read(range.first..range.last.next(), range.bytes_max);
        let follows = |(index, entry): &(Index, Entry)| entry.index == *index;
        let indices = (range.first.0..).map(Index);
        indices.zip(entries).take_while(follows).map(|(_, entry)| entry).collect()
    }
}
