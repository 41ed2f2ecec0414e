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

    /// Where `first ..= last` is to be cut, so that the part before lies all within a range of at least `least` slots, or all
    /// outside any such; and whether it lies within.
    pub(super) fn cut(&self, (first, last): (Index, Index), least: u64) -> (Index, bool) {
        let at = self.ranges.partition_point(|(_, end)| *end < first);
        match self.ranges[at..].iter().find(|(start, end)| end.next().since(*start) >= least) {
            Some((start, end)) if *start <= first => (last.min(*end), true),
            Some((start, _)) => (last.min(start.prev()), false),
            None => (last, false),
        }
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
    fn a_cut_parts_long_ranges_from_all_else() {
        let mut slots = Slots::default();
        for (first, last) in [(3, 3), (6, 9), (12, 14)] {
            slots.insert(Index(first), Index(last));
        }
        let cut = |first, last, least| {
            let (upto, within) = slots.cut((Index(first), Index(last)), least);
            (upto.0, within)
        };
        assert_eq!(cut(1, 20, 1), (2, false));
        assert_eq!(cut(1, 20, 2), (5, false), "one slot is no range");
        assert_eq!((cut(6, 20, 4), cut(8, 20, 4), cut(9, 20, 4)), ((9, true), (9, true), (9, true)));
        assert_eq!(
            (cut(6, 8, 4), cut(10, 11, 1)),
            ((8, true), (11, false)),
            "never beyond what was asked for"
        );
        assert_eq!((cut(10, 20, 3), cut(10, 20, 4)), ((11, false), (20, false)));
        assert_eq!((cut(15, 20, 1), cut(6, 20, 5)), ((20, false), (20, false)));
        assert_eq!(Slots::default().cut((Index(1), Index(2)), 1), (Index(2), false));
    }

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
