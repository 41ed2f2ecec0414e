//! [`Shipping`]: entries on their way to peers: encoded once for all of them, read from disk for those that lag.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Bytes, BytesMut};
use consensus_api::{Entry, EntryRange, Index, NodeId, record};

use super::outputs::{Load, LoadPurpose};
use crate::cache::Cache;

/// Entries for peers.
#[derive(Debug, Default)]
pub(super) struct Shipping {
    /// The last block encoded: the next peer most likely wants the same.
    block: Option<(EntryRange, Block)>,
    /// What was read from disk for a peer that lags, until it is asked for.
    loaded: BTreeMap<NodeId, Vec<Entry>>,
    loading: BTreeSet<NodeId>,
    /// Counts truncations: what was read before one is void.
    epoch: u64,
    scratch: BytesMut,
}

/// Entries in their byte form.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) first: Index,
    pub(super) last: Index,
    pub(super) body: Bytes,
}

impl Shipping {
    /// The start of this range as a block. `Err` with what to read, if it is on disk only; `Err(None)` when that is
    /// being read already.
    pub(super) fn fill(
        &mut self,
        to: NodeId,
        range: EntryRange,
        cache: &Cache,
    ) -> Result<Block, Option<Load>> {
        if let Some((_, block)) = self.block.as_ref().filter(|(asked, _)| *asked == range) {
            return Ok(block.clone());
        }
        if cache.get(range.first).is_some() {
            let entries = (range.first.0..=range.last.0).map_while(|index| cache.get(Index(index)));
            let block = encode(&mut self.scratch, entries, range);
            self.block = Some((range, block.clone()));
            return Ok(block);
        }
        if let Some(loaded) = self.loaded.remove(&to).filter(|entries| entries[0].index == range.first) {
            let entries = loaded.iter().take_while(|entry| entry.index <= range.last);
            return Ok(encode(&mut self.scratch, entries, range));
        }
        Err(self.loading.insert(to).then(|| Load {
            purpose: LoadPurpose::Peer(to),
            range: range.first..range.last.next(),
            bytes_max: range.bytes_max,
            epoch: self.epoch,
        }))
    }

    /// Entries for a peer were read.
    pub(super) fn loaded(&mut self, to: NodeId, epoch: u64, entries: Vec<Entry>) {
        self.loading.remove(&to);
        if epoch == self.epoch && !entries.is_empty() {
            self.loaded.insert(to, entries);
        }
    }

    /// An entry was put: what was encoded of that place is void.
    pub(super) fn put(&mut self, index: Index) {
        if self.block.as_ref().is_some_and(|(_, block)| index <= block.last) {
            self.block = None;
        }
    }

    /// Entries were removed from the end of the log.
    pub(super) fn truncated(&mut self) {
        self.epoch += 1;
        self.block = None;
        self.loaded.clear();
    }

    pub(super) const fn epoch(&self) -> u64 {
        self.epoch
    }
}

/// Encodes entries that follow each other, as many as fit and at least one.
fn encode<'a>(out: &mut BytesMut, entries: impl Iterator<Item = &'a Entry>, range: EntryRange) -> Block {
    let mut last = range.first;
    for entry in entries {
        let fits = out.len() + entry.record_len() <= range.bytes_max;
        if !(fits || out.is_empty()) || (entry.index > last.next()) {
            break;
        }
        out.reserve(entry.record_len());
        record::encode(entry, out);
        last = entry.index;
    }
    Block { first: range.first, last, body: out.split().freeze() }
}
