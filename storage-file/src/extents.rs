//! Where the entries are: the index in memory. One item per [`EXTENT_BYTES_MAX`] of the log, or per batch where batches
//! are larger; never one per entry.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use consensus_api::{Index, Op, record};

use crate::parts::Part;
use crate::segment::Segment;

/// The largest piece of the log that is found as one, and so the most that is read in vain to get at an entry in it.
pub(crate) const EXTENT_BYTES_MAX: u64 = 16 << 10;

/// Where entries stand that follow each other, in the log and on disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) first: Index,
    pub(crate) last: Index,
    /// Where the first operation begins, and how many bytes there are to the end of the last.
    pub(crate) offset: u64,
    pub(crate) bytes: u32,
    /// The bytes of their records.
    pub(crate) record_bytes: u32,
}

impl Span {
    /// Takes in what stands right behind it in the log, and near enough on disk. `false` if that does not follow.
    pub(crate) fn join(&mut self, next: &Self) -> bool {
        let bytes = next.offset + u64::from(next.bytes) - self.offset;
        let follows = self.last < next.first && self.last.next() == next.first && bytes <= EXTENT_BYTES_MAX;
        if follows {
            self.last = next.last;
            self.bytes = bytes as u32;
            self.record_bytes += next.record_bytes;
        }
        follows
    }
}

/// Entries that follow each other in the log, and on disk too: between them stand at most headers of batches, and
/// operations that put nothing.
#[derive(Clone)]
pub(crate) struct Extent {
    /// The first of them that counts.
    pub(crate) first: Index,
    /// The last of them that counts.
    pub(crate) last: Index,
    /// Where the operations that put them stand.
    pub(crate) segment: Arc<Segment>,
    pub(crate) offset: u64,
    pub(crate) bytes: u32,
    /// The bytes of their records, while all the entries there count; 0 once some were truncated, overwritten or
    /// compacted.
    record_bytes: u32,
}

impl Extent {
    /// Where the last of them ends.
    const fn end(&self) -> u64 {
        self.offset + self.bytes as u64
    }

    const fn is_whole(&self) -> bool {
        self.record_bytes > 0
    }

    /// At least this many bytes of records will come of reading it.
    fn record_bytes_min(&self) -> u64 {
        let count = self.last.since(self.first).saturating_add(1);
        count.saturating_mul(record::HEADER_BYTES as u64).max(self.record_bytes.into())
    }
}

/// The entries that count, by their first index. No two overlap.
#[derive(Default)]
pub(crate) struct Extents {
    by_first: BTreeMap<Index, Extent>,
    /// How many extents each segment has.
    by_segment: BTreeMap<u64, u32>,
    compacted: Index,
    /// Where the entry put last ends, whether it still counts or not.
    last_put: Option<(u64, u64)>,
}

impl fmt::Debug for Extents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extents").field("extents", &self.by_first.len()).finish_non_exhaustive()
    }
}

impl Extents {
    /// Takes into account a part of a batch whose body begins at `body_at`.
    pub(crate) fn take(&mut self, part: &Part, body_at: u64, segment: &Arc<Segment>) {
        match part {
            Part::Entries(span, _) | Part::Membership(span, _) => {
                self.put(&Span { offset: body_at + span.offset, ..*span }, segment);
            }
            Part::Other(op) => self.replay(op),
        }
    }

    /// Takes an operation into account that puts nothing.
    pub(crate) fn replay(&mut self, op: &Op) {
        match op {
            Op::TruncateFrom(from) => self.cut_out(*from, Index(u64::MAX)),
            Op::Compact { upto, .. } if *upto > self.compacted => {
                self.cut_out(Index::ZERO, *upto);
                self.compacted = *upto;
            }
            _ => {}
        }
    }

    /// Takes entries into account that were put, in the order of their indices, over whatever stood there.
    pub(crate) fn put(&mut self, span: &Span, segment: &Arc<Segment>) {
        if span.last > self.compacted {
            self.lay(span, segment);
        }
        self.last_put = Some((segment.header.seq, span.offset + u64::from(span.bytes)));
    }

    fn lay(&mut self, span: &Span, segment: &Arc<Segment>) {
        let Span { first, last, offset, bytes, record_bytes } = *span;
        let is_whole = first > self.compacted;
        if let Some(mut newest) = self.by_first.last_entry() {
            let newest = newest.get_mut();
            // No other entry, dead by now, may stand between the two: a reader could not tell it from these.
            let adjoins = self.last_put == Some((newest.segment.header.seq, newest.end()))
                && Arc::ptr_eq(&newest.segment, segment)
                && offset >= newest.end();
            let fits = adjoins && offset + u64::from(bytes) - newest.offset <= EXTENT_BYTES_MAX;
            let follows = newest.last < first && newest.last.next() == first;
            if fits && is_whole && newest.is_whole() && follows {
                newest.last = last;
                newest.bytes = (offset + u64::from(bytes) - newest.offset) as u32;
                newest.record_bytes += record_bytes;
                return;
            }
        }
        let first = first.max(self.compacted.next());
        self.cut_out(first, last);
        let record_bytes = if is_whole { record_bytes } else { 0 };
        self.insert(Extent { first, last, segment: segment.clone(), offset, bytes, record_bytes });
    }

    fn insert(&mut self, extent: Extent) {
        *self.by_segment.entry(extent.segment.header.seq).or_default() += 1;
        self.by_first.insert(extent.first, extent);
    }

    fn remove(&mut self, first: Index) -> Option<Extent> {
        let extent = self.by_first.remove(&first)?;
        let seq = extent.segment.header.seq;
        if let Some(count) = self.by_segment.get_mut(&seq) {
            *count -= 1;
            if *count == 0 {
                self.by_segment.remove(&seq);
            }
        }
        Some(extent)
    }

    /// Removes the entries `first ..= last`.
    fn cut_out(&mut self, first: Index, last: Index) {
        let below = self.by_first.range(..first).next_back().filter(|(_, extent)| extent.last >= first);
        let below = below.map(|(key, _)| *key);
        let within: Vec<Index> = self.by_first.range(first..=last).map(|(key, _)| *key).collect();
        for key in below.into_iter().chain(within) {
            let Some(extent) = self.remove(key) else { continue };
            if extent.first < first {
                self.insert(Extent { last: first.prev(), record_bytes: 0, ..extent.clone() });
            }
            if extent.last > last {
                self.insert(Extent { first: last.next(), record_bytes: 0, ..extent });
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
            let whole = first == extent.first && last == extent.last;
            let record_bytes = if whole { extent.record_bytes } else { 0 };
            let part = Extent { first, last, record_bytes, ..extent.clone() };
            bytes = bytes.saturating_add(part.record_bytes_min());
            found.push(part);
        }
        found
    }

    /// The oldest segment that holds an entry that counts.
    pub(crate) fn oldest_segment(&self) -> Option<u64> {
        self.by_segment.keys().next().copied()
    }
}

#[cfg(test)]
pub(crate) mod tests;
