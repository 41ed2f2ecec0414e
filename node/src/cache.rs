//! [`Cache`]: the recent part of the log, in memory. What it lacks is read from the storage.

use std::collections::VecDeque;

use consensus_api::{Entry, Index};

/// Recent entries by index, within a budget in bytes. An entry that is not durable yet is never evicted: nobody else
/// has it.
#[derive(Debug)]
pub(crate) struct Cache {
    /// The entry at `base + i` is `slots[i]`; `None` is a hole.
    slots: VecDeque<Option<Entry>>,
    base: Index,
    bytes: usize,
    bytes_max: usize,
}

impl Cache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { slots: VecDeque::new(), base: Index(1), bytes: 0, bytes_max }
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn put(&mut self, entry: Entry) {
        if self.slots.is_empty() {
            self.base = entry.index;
        }
        if entry.index < self.base {
            // A hole below is filled, or what was evicted is put again: until it is durable, nobody else has it.
            if self.base.since(entry.index) as usize > HOLE_MAX {
                return;
            }
            (entry.index.0..self.base.0).for_each(|_| self.slots.push_front(None));
            self.base = entry.index;
        }
        let at = entry.index.since(self.base) as usize;
        if at > self.slots.len() && at - self.slots.len() > HOLE_MAX {
            self.clear();
            return self.put(entry);
        }
        while self.slots.len() <= at {
            self.slots.push_back(None);
        }
        self.bytes += entry.record_len();
        if let Some(old) = self.slots[at].replace(entry) {
            self.bytes -= old.record_len();
        }
    }

    pub(crate) fn truncate_from(&mut self, from: Index) {
        let keep = from.0.saturating_sub(self.base.0) as usize;
        while self.slots.len() > keep {
            self.drop_last();
        }
    }

    pub(crate) fn compact(&mut self, upto: Index) {
        while !self.slots.is_empty() && self.base <= upto {
            self.drop_first();
        }
    }

    /// Evicts the oldest entries beyond the budget, but none from `keep_from` on.
    pub(crate) fn shrink(&mut self, keep_from: Index) {
        while self.bytes > self.bytes_max && self.base < keep_from && !self.slots.is_empty() {
            self.drop_first();
        }
    }

    pub(crate) fn get(&self, index: Index) -> Option<&Entry> {
        if index < self.base {
            return None;
        }
        self.slots.get(index.since(self.base) as usize)?.as_ref()
    }

    fn clear(&mut self) {
        self.slots.clear();
        self.bytes = 0;
    }

    fn drop_first(&mut self) {
        if let Some(Some(entry)) = self.slots.pop_front() {
            self.bytes -= entry.record_len();
        }
        self.base = self.base.next();
    }

    fn drop_last(&mut self) {
        if let Some(Some(entry)) = self.slots.pop_back() {
            self.bytes -= entry.record_len();
        }
    }
}

/// A hole longer than this, in entries, is not bridged: the cache starts anew behind it.
const HOLE_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use consensus_api::{EntryKind, LogTime, ProposalId, record::HEADER_BYTES};

    use super::*;

    fn entry(index: u64, body: usize) -> Entry {
        let body = Bytes::from(vec![0; body]);
        let mut entry = Entry::new(EntryKind::Commands, 1, ProposalId::default(), LogTime::ZERO, body);
        entry.index = Index(index);
        entry
    }

    fn held(cache: &Cache) -> Vec<u64> {
        (0..100).filter(|index| cache.get(Index(*index)).is_some()).collect()
    }

    #[test]
    fn keeps_the_newest_within_its_budget_and_what_is_not_durable_beyond_it() {
        let mut cache = Cache::new(3 * (HEADER_BYTES + 10));
        (1..=6).for_each(|index| cache.put(entry(index, 10)));
        cache.shrink(Index(2));
        assert_eq!(held(&cache), [2, 3, 4, 5, 6]);
        cache.shrink(Index(7));
        assert_eq!(held(&cache), [4, 5, 6]);
    }

    #[test]
    fn holes_overwrites_truncation_and_compaction() {
        let mut cache = Cache::new(1 << 20);
        [5, 7, 9, 7].into_iter().for_each(|index| cache.put(entry(index, 10)));
        assert_eq!(held(&cache), [5, 7, 9]);
        assert_eq!(cache.bytes, 3 * (HEADER_BYTES + 10));
        cache.truncate_from(Index(8));
        cache.compact(Index(5));
        assert_eq!(held(&cache), [7]);
        cache.truncate_from(Index(1));
        assert_eq!((held(&cache), cache.bytes), (vec![], 0));
        cache.put(entry(50, 10));
        assert_eq!(held(&cache), [50]);
        cache.put(entry(47, 10));
        assert_eq!((held(&cache), cache.base), (vec![47, 50], Index(47)));
    }
}
