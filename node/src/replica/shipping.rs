//! [`Shipping`]: entries on their way to peers: encoded once for all of them, read from disk for those that lag.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Bytes, BytesMut};
use consensus_api::mutation::mutated;
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
        let overwritten = self.block.as_ref().is_some_and(|(_, block)| index <= block.last);
        if overwritten && !mutated("node/stale-block-shipped") {
            self.block = None;
        }
    }

    /// Entries were removed from the end of the log.
    pub(super) fn truncated(&mut self) {
        self.epoch += 1;
        if !mutated("node/stale-block-shipped") {
            self.block = None;
        }
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

#[cfg(test)]
mod tests {
    use consensus_api::{EntryKind, LogTime, ProposalId};

    use super::*;

    fn entry(index: u64, body: &'static [u8]) -> Entry {
        let (proposal, body) = (ProposalId::default(), Bytes::from_static(body));
        let mut entry = Entry::new(EntryKind::Commands, 1, proposal, LogTime::ZERO, body);
        entry.index = Index(index);
        entry
    }

    fn shipped(shipping: &mut Shipping, cache: &Cache) -> Bytes {
        let range = EntryRange { first: Index(1), last: Index(2), bytes_max: 1 << 20 };
        shipping.fill(NodeId(2), range, cache).expect("all of it is in memory").body
    }

    fn encoded(entries: [Entry; 2]) -> Bytes {
        let mut out = BytesMut::new();
        entries.iter().for_each(|entry| record::encode(entry, &mut out));
        out.freeze()
    }

    #[test]
    fn what_was_encoded_once_is_void_when_an_entry_in_it_is_replaced() {
        let (mut shipping, mut cache) = (Shipping::default(), Cache::new(1 << 20));
        [entry(1, b"a"), entry(2, b"b")].into_iter().for_each(|entry| cache.put(entry));
        assert_eq!(shipped(&mut shipping, &cache), encoded([entry(1, b"a"), entry(2, b"b")]));
        cache.put(entry(2, b"c"));
        shipping.put(Index(2));
        assert_eq!(shipped(&mut shipping, &cache), encoded([entry(1, b"a"), entry(2, b"c")]));
        cache.truncate_from(Index(2));
        shipping.truncated();
        cache.put(entry(2, b"d"));
        assert_eq!(shipped(&mut shipping, &cache), encoded([entry(1, b"a"), entry(2, b"d")]));
    }

    #[test]
    fn what_was_read_from_disk_before_a_truncation_is_void() {
        let (mut shipping, cache) = (Shipping::default(), Cache::new(1 << 20));
        let range = EntryRange { first: Index(1), last: Index(1), bytes_max: 1 << 20 };
        let load = shipping.fill(NodeId(2), range, &cache).unwrap_err().expect("it is on disk only");
        shipping.truncated();
        shipping.loaded(NodeId(2), load.epoch, vec![entry(1, b"a")]);
        assert!(shipping.fill(NodeId(2), range, &cache).is_err(), "it is read again");
    }
}
