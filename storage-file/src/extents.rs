//! Where the entries are: the index in memory. One item per batch (or per [`EXTENT_BYTES_MAX`] of a large one), not one
//! per entry.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use consensus_api::{Index, Op, record};

use crate::operation;
use crate::segment::Segment;

/// The largest piece of a batch that is found as one, and so the most that is read in vain to get at an entry in it.
const EXTENT_BYTES_MAX: u64 = 64 << 10;

/// Entries that follow each other, and stand one behind the other in one batch.
#[derive(Clone)]
pub(crate) struct Extent {
    /// The first of them that counts.
    pub(crate) first: Index,
    /// The last of them that counts.
    pub(crate) last: Index,
    /// Where the operations that put them stand.
    pub(crate) segment: Arc<Segment>,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    /// Whether all the entries there count; otherwise some were truncated, overwritten or compacted.
    whole: bool,
}

impl Extent {
    /// At least this many bytes of records will come of reading it.
    fn record_bytes_min(&self) -> u64 {
        let count = self.last.since(self.first).saturating_add(1);
        let overhead = (operation::HEADER_BYTES as u64 + 7).saturating_mul(count);
        let certain = count.saturating_mul(record::HEADER_BYTES as u64);
        if self.whole { self.bytes.saturating_sub(overhead).max(certain) } else { certain }
    }
}

/// The entries that count, by their first index. No two overlap.
#[derive(Default)]
pub(crate) struct Extents {
    by_first: BTreeMap<Index, Extent>,
    compacted: Index,
}

impl fmt::Debug for Extents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extents").field("extents", &self.by_first.len()).finish_non_exhaustive()
    }
}

impl Extents {
    /// Takes one operation into account, which stands at that place.
    pub(crate) fn replay(&mut self, op: &Op, segment: &Arc<Segment>, offset: u64, bytes: u64) {
        match op {
            Op::Put(entry) if entry.index > self.compacted => self.put(entry.index, segment, offset, bytes),
            Op::TruncateFrom(from) => self.cut_out(*from, Index(u64::MAX)),
            Op::Compact { upto, .. } if *upto > self.compacted => {
                self.cut_out(Index::ZERO, *upto);
                self.compacted = *upto;
            }
            _ => {}
        }
    }

    fn put(&mut self, index: Index, segment: &Arc<Segment>, offset: u64, bytes: u64) {
        if let Some(mut last) = self.by_first.last_entry() {
            let last = last.get_mut();
            let adjoins = last.offset + last.bytes == offset && Arc::ptr_eq(&last.segment, segment);
            let fits = last.bytes + bytes <= EXTENT_BYTES_MAX;
            if adjoins && fits && last.whole && last.last < index && last.last.next() == index {
                last.last = index;
                last.bytes += bytes;
                return;
            }
        }
        self.cut_out(index, index);
        let segment = segment.clone();
        self.by_first
            .insert(index, Extent { first: index, last: index, segment, offset, bytes, whole: true });
    }

    /// Removes the entries `first ..= last`.
    fn cut_out(&mut self, first: Index, last: Index) {
        let below = self.by_first.range(..first).next_back().filter(|(_, extent)| extent.last >= first);
        let below = below.map(|(key, _)| *key);
        let within: Vec<Index> = self.by_first.range(first..=last).map(|(key, _)| *key).collect();
        for key in below.into_iter().chain(within) {
            let Some(extent) = self.by_first.remove(&key) else { continue };
            if extent.first < first {
                let kept = Extent { last: first.prev(), whole: false, ..extent.clone() };
                self.by_first.insert(kept.first, kept);
            }
            if extent.last > last {
                let kept = Extent { first: last.next(), whole: false, ..extent };
                self.by_first.insert(kept.first, kept);
            }
        }
    }

    /// What to read for the entries in `range`, in ascending order: enough for `bytes_max` bytes of records.
    pub(crate) fn find(&self, range: &Range<Index>, bytes_max: u64) -> Vec<Extent> {
        let mut found = Vec::new();
        if range.start >= range.end {
            return found;
        }
        let below = self.by_first.range(..range.start).next_back();
        let below = below.filter(|(_, extent)| extent.last >= range.start);
        let mut bytes = 0_u64;
        for (_, extent) in below.into_iter().chain(self.by_first.range(range.clone())) {
            if bytes >= bytes_max && !found.is_empty() {
                break;
            }
            let first = extent.first.max(range.start);
            let last = extent.last.min(range.end.prev());
            let whole = extent.whole && first == extent.first && last == extent.last;
            let part = Extent { first, last, whole, ..extent.clone() };
            bytes = bytes.saturating_add(part.record_bytes_min());
            found.push(part);
        }
        found
    }

    /// The oldest segment that holds an entry that counts.
    pub(crate) fn oldest_segment(&self) -> Option<u64> {
        self.by_first.values().map(|extent| extent.segment.header.seq).min()
    }
}
