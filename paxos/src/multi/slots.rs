//! [`Slots`]: a set of slots, kept as ranges. Acknowledgements are such sets: of slots, never of prefixes.

use consensus_api::Index;

/// A set of slots.
#[derive(Clone, Hash, Default, Debug)]
pub(super) struct Slots {
    /// First and last of each range; ascending, and never touching.
    ranges: Vec<(Index, Index)>,
}

impl Slots {
    /// Adds `first ..= last`.
    pub(super) fn insert(&mut self, first: Index, last: Index) {
        if first > last {
            return;
        }
        let from = self.ranges.partition_point(|(_, end)| end.next() < first);
        let upto = self.ranges.partition_point(|(start, _)| *start <= last.next());
        let joined = self.ranges[from..upto]
            .iter()
            .fold((first, last), |(start, end), range| (start.min(range.0), end.max(range.1)));
        self.ranges.splice(from..upto, [joined]);
    }

    /// The last of the slots that follow `after` without a gap; `after` itself if the next one is not there.
    pub(super) fn reach(&self, after: Index) -> Index {
        let at = self.ranges.partition_point(|(_, end)| *end <= after);
        self.ranges.get(at).filter(|(start, _)| *start <= after.next()).map_or(after, |(_, end)| *end)
    }

    pub(super) fn contains(&self, slot: Index) -> bool {
        slot > Index::ZERO && self.reach(slot.prev()) >= slot
    }

    /// Forgets everything up to `upto`.
    pub(super) fn drop_upto(&mut self, upto: Index) {
        self.ranges.retain(|(_, end)| *end > upto);
        if let Some(first) = self.ranges.first_mut() {
            first.0 = first.0.max(upto.next());
        }
    }

    /// First and last of each range, ascending.
    pub(super) fn ranges(&self) -> &[(Index, Index)] {
        &self.ranges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_join_where_they_meet_and_a_gap_stays_a_gap() {
        let mut slots = Slots::default();
        slots.insert(Index(4), Index(5));
        slots.insert(Index(8), Index(9));
        assert_eq!((slots.reach(Index(3)), slots.reach(Index(2))), (Index(5), Index(2)));
        assert_eq!(slots.reach(Index(4)), Index(5));
        assert_eq!(slots.reach(Index(5)), Index(5));
        slots.insert(Index(6), Index(6));
        slots.insert(Index(6), Index(7));
        assert_eq!(slots.ranges(), [(Index(4), Index(9))]);
        slots.drop_upto(Index(6));
        assert_eq!(slots.ranges(), [(Index(7), Index(9))]);
        assert!(slots.contains(Index(7)) && !slots.contains(Index(6)) && !slots.contains(Index(10)));
        slots.insert(Index(3), Index(2));
        assert_eq!(slots.ranges().len(), 1, "an empty range adds nothing");
        slots.drop_upto(Index(9));
        assert_eq!(slots.reach(Index(9)), Index(9));
    }
}
