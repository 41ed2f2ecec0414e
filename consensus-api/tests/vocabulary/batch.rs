//! `Batch`: merging is the same as writing one after the other.

use bytes::Bytes;
use proptest::prelude::*;
use quorate_consensus_api::{Batch, Entry, Generation, Index, NodeId, Op};

use crate::naive_log::{NaiveLog, entries, many_ops};

proptest! {
    #[test]
    fn a_merged_batch_does_what_both_did(before in many_ops(12), a in many_ops(16), b in many_ops(16)) {
        let one_by_one = NaiveLog::of(before.iter().chain(&a).chain(&b));
        let mut merged = Batch::from_iter(a);
        merged.merge(Batch::from_iter(b));
        prop_assert_eq!(NaiveLog::of(before.iter().chain(merged.ops())), one_by_one);
    }

    #[test]
    fn many_batches_merge_in_any_grouping(batches in prop::collection::vec(many_ops(6), 0..6)) {
        let one_by_one = NaiveLog::of(batches.iter().flatten());
        let batches: Vec<Batch> = batches.into_iter().map(Batch::from_iter).collect();
        let merge = |mut a: Batch, b: Batch| { a.merge(b); a };
        let from_the_left = batches.iter().cloned().fold(Batch::new(), merge);
        let from_the_right = batches.into_iter().rev().fold(Batch::new(), |later, batch| merge(batch, later));
        prop_assert_eq!(NaiveLog::of(from_the_left.ops()), one_by_one.clone());
        prop_assert_eq!(NaiveLog::of(from_the_right.ops()), one_by_one);
    }

    #[test]
    fn a_batch_holds_one_hard_state_and_one_watermark_at_most(ops in many_ops(40)) {
        let batch = Batch::from_iter(ops);
        let count = |wanted: fn(&Op) -> bool| batch.ops().iter().filter(|op| wanted(op)).count();
        prop_assert!(count(|op| matches!(op, Op::HardState(_))) <= 1);
        prop_assert!(count(|op| matches!(op, Op::Watermark(_))) <= 1);
    }

    #[test]
    fn the_bytes_of_a_batch_are_those_of_its_entries(entries in prop::collection::vec(entries(), 0..8)) {
        let batch = entries.iter().cloned().map(Op::Put).collect::<Batch>();
        prop_assert_eq!(batch.entry_bytes(), entries.iter().map(Entry::record_len).sum::<usize>());
    }
}

#[test]
fn a_watermark_never_falls() {
    let mut batch = Batch::from_iter([Op::Watermark(Index(9))]);
    batch.merge(Batch::from_iter([Op::Watermark(Index(4))]));
    assert_eq!(batch.ops(), [Op::Watermark(Index(9))]);
}

#[test]
fn what_a_truncation_removes_is_not_written_first() {
    let put = |index| Op::Put(Entry::noop(Generation::new(1, NodeId(1)), Index(index)));
    let batch = Batch::from_iter([put(3), put(4), put(5), Op::TruncateFrom(Index(4)), put(4)]);
    assert_eq!(batch.ops(), [put(3), Op::TruncateFrom(Index(4)), put(4)]);
}

#[test]
fn only_hints_are_lazy() {
    assert!(Batch::new().is_lazy() && Batch::new().is_empty());
    let mut batch = Batch::from_iter([Op::Watermark(Index(1))]);
    assert!(batch.is_lazy() && !batch.is_empty());
    batch.push(Op::HardState(Bytes::new()));
    assert!(!batch.is_lazy());
}
