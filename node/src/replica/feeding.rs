//! [`Feeding`]: committed entries on their way to the state machine, and when a snapshot is due.

use std::collections::VecDeque;

use consensus_api::{Entry, Index};

use crate::options::{CompactionPolicy, Options};

/// What the state machine was given, and what it has done.
#[derive(Debug)]
pub(super) struct Feeding {
    policy: CompactionPolicy,
    bytes_max: usize,
    /// The next entry to hand over.
    next: Index,
    applied: Index,
    /// Entries handed over and not applied yet, with their bytes.
    under_way: VecDeque<(Index, usize)>,
    bytes_under_way: usize,
    /// So many bytes may be handed over before they are durable here.
    ahead_bytes_max: usize,
    /// Entries handed over that are not durable here yet, with their bytes.
    ahead: VecDeque<(Index, usize)>,
    bytes_ahead: usize,
    /// Entries read from disk, from `next` on.
    loaded: VecDeque<Entry>,
    pub(super) loading: bool,
    /// Log applied since the newest snapshot.
    bytes_since: u64,
    entries_since: u64,
    snapshotting: bool,
    /// Somebody asked for a snapshot.
    wanted: bool,
    /// Where, in bytes of log, recent entries stand: one point every so often. Tells how far back to keep.
    points: VecDeque<(Index, u64)>,
    bytes_total: u64,
}

/// The largest and smallest distance between two points of the log whose place is remembered.
const POINT_BYTES_MAX: u64 = 256 << 10;
const POINT_BYTES_MIN: u64 = 512;

impl Feeding {
    pub(super) fn new(options: &Options, applied: Index) -> Self {
        Self {
            policy: options.compaction,
            bytes_max: options.apply_bytes_max,
            ahead_bytes_max: options.apply_ahead_bytes_max,
            ahead: VecDeque::new(),
            bytes_ahead: 0,
            next: applied.next(),
            applied,
            under_way: VecDeque::new(),
            bytes_under_way: 0,
            loaded: VecDeque::new(),
            loading: false,
            bytes_since: 0,
            entries_since: 0,
            snapshotting: false,
            wanted: false,
            points: VecDeque::new(),
            bytes_total: 0,
        }
    }

    pub(super) const fn next(&self) -> Index {
        self.next
    }

    pub(super) const fn applied(&self) -> Index {
        self.applied
    }

    /// Entries were read from disk, from `first` on.
    pub(super) fn load(&mut self, first: Index, entries: Vec<Entry>) {
        self.loading = false;
        if first == self.next {
            self.loaded = entries.into();
        }
    }

    /// Entry `next`, if it was read from disk.
    pub(super) fn take_loaded(&mut self) -> Option<Entry> {
        self.loaded.pop_front().filter(|entry| entry.index == self.next)
    }

    /// Whether the state machine can be given more.
    pub(super) const fn has_room(&self) -> bool {
        self.bytes_under_way < self.bytes_max
    }

    /// Whether entry `next` may be handed over before it is durable here. When a snapshot is due, it waits for the disk.
    pub(super) fn may_run_ahead(&self) -> bool {
        self.bytes_ahead < self.ahead_bytes_max && !self.is_snapshot_due()
    }

    /// Everything up to here is durable on this node.
    pub(super) fn durable_upto(&mut self, index: Index) {
        while self.ahead.front().is_some_and(|(handed, _)| *handed <= index) {
            self.bytes_ahead -= self.ahead.pop_front().map_or(0, |(_, bytes)| bytes);
        }
    }

    /// Entry `next` is handed over. Everything up to `durable` is durable on this node.
    pub(super) fn hand_over(&mut self, bytes: usize, durable: Index) {
        if self.next > durable {
            self.ahead.push_back((self.next, bytes));
            self.bytes_ahead += bytes;
        }
        self.under_way.push_back((self.next, bytes));
        self.bytes_under_way += bytes;
        self.bytes_total += bytes as u64;
        self.bytes_since += bytes as u64;
        self.entries_since += 1;
        let distance = (self.policy.keep_bytes / 16).clamp(POINT_BYTES_MIN, POINT_BYTES_MAX);
        if self.points.back().is_none_or(|(_, at)| self.bytes_total - at >= distance) {
            self.points.push_back((self.next, self.bytes_total));
            let reach = self.policy.keep_bytes.saturating_add(self.policy.snapshot_every_bytes);
            while self.points.front().is_some_and(|(_, at)| self.bytes_total - at > reach) {
                self.points.pop_front();
            }
        }
        self.next = self.next.next();
    }

    /// The state machine has applied everything up to here.
    pub(super) fn applied_upto(&mut self, index: Index) {
        while self.under_way.front().is_some_and(|(handed, _)| *handed <= index) {
            self.bytes_under_way -= self.under_way.pop_front().map_or(0, |(_, bytes)| bytes);
        }
        self.applied = self.applied.max(index);
    }

    /// A snapshot takes the place of everything up to `index`.
    pub(super) fn skip_to(&mut self, index: Index) {
        self.next = index.next();
        self.loaded.clear();
        self.bytes_since = 0;
        self.entries_since = 0;
    }

    fn is_snapshot_due(&self) -> bool {
        let says_policy = self.policy.snapshot_every_bytes > 0
            && (self.bytes_since >= self.policy.snapshot_every_bytes
                || self.entries_since >= self.policy.snapshot_every_entries);
        !self.snapshotting && (self.wanted || says_policy)
    }

    /// Whether somebody waits for a snapshot, whatever the policy says.
    pub(super) const fn want_snapshot(&mut self, wanted: bool) {
        self.wanted = wanted;
    }

    /// Whether a snapshot is due. It then counts as being taken.
    pub(super) fn snapshot_due(&mut self) -> bool {
        let due = self.is_snapshot_due();
        if due {
            self.snapshotting = true;
            self.bytes_since = 0;
            self.entries_since = 0;
        }
        due
    }

    /// A snapshot was taken, or failed.
    pub(super) fn snapshot_ended(&mut self) {
        self.snapshotting = false;
    }

    /// The first entry to keep behind a snapshot that covers the log up to `index`.
    pub(super) fn keep_from(&self, index: Index) -> Index {
        let upto = self.points.partition_point(|(at, _)| *at <= index);
        let Some((_, end)) = upto.checked_sub(1).map(|last| self.points[last]) else { return index.next() };
        let kept = self.points.range(..upto).find(|(_, at)| end - at <= self.policy.keep_bytes);
        kept.map_or(index.next(), |(first, _)| *first).min(index.next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DURABLE: Index = Index(u64::MAX);

    fn feeding(compaction: CompactionPolicy, apply_bytes_max: usize, applied: Index) -> Feeding {
        let options =
            Options { compaction, apply_bytes_max, apply_ahead_bytes_max: 100, ..Options::default() };
        Feeding::new(&options, applied)
    }

    #[test]
    fn a_snapshot_is_due_after_so_many_bytes_and_keeps_a_tail_behind_it() {
        let policy = CompactionPolicy {
            snapshot_every_bytes: 8 << 20,
            snapshot_every_entries: u64::MAX,
            keep_bytes: 2 << 20,
        };
        let mut feeding = feeding(policy, usize::MAX, Index::ZERO);
        (1..=7).for_each(|_| feeding.hand_over(1 << 20, DURABLE));
        assert!(!feeding.snapshot_due());
        feeding.hand_over(1 << 20, DURABLE);
        assert!(feeding.snapshot_due());
        assert!(!feeding.snapshot_due(), "one at a time");
        assert_eq!(feeding.keep_from(Index(8)), Index(6));
        feeding.snapshot_ended();
        assert!(!feeding.snapshot_due(), "counting begins anew");
    }

    #[test]
    fn the_state_machine_is_given_no_more_than_its_budget() {
        let mut feeding = feeding(CompactionPolicy::default(), 100, Index(4));
        assert_eq!(feeding.next(), Index(5));
        feeding.hand_over(60, DURABLE);
        assert!(feeding.has_room());
        feeding.hand_over(60, DURABLE);
        assert!(!feeding.has_room());
        feeding.applied_upto(Index(5));
        assert!(feeding.has_room());
        assert_eq!(feeding.applied(), Index(5));
    }
    #[test]
    fn the_state_machine_runs_ahead_of_the_disk_within_a_budget_and_not_when_a_snapshot_is_due() {
        let policy = CompactionPolicy { snapshot_every_entries: 4, ..CompactionPolicy::default() };
        let mut feeding = feeding(policy, usize::MAX, Index::ZERO);
        feeding.hand_over(60, Index(1));
        feeding.hand_over(60, Index(1));
        assert!(feeding.may_run_ahead());
        feeding.hand_over(60, Index(1));
        assert!(!feeding.may_run_ahead());
        feeding.durable_upto(Index(2));
        assert!(feeding.may_run_ahead());
        feeding.hand_over(1, Index(2));
        assert!(!feeding.may_run_ahead(), "a snapshot is due");
        assert!(feeding.snapshot_due());
        assert!(feeding.may_run_ahead());
    }
}
