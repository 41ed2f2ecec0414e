//! `Outline`: the shape it keeps is the shape of the log, whatever was written in whatever order.

use proptest::prelude::*;
use quorate_consensus_api::{Entry, EntryKind, Generation, Index, NodeId, Op, Outline, Run};

use crate::naive_log::{INDEX_END, NaiveLog, generations, indices, many_ops};

fn outline_of<'a>(ops: impl IntoIterator<Item = &'a Op>) -> Outline {
    let mut outline = Outline::default();
    ops.into_iter().for_each(|op| outline.replay(op));
    outline
}

/// The runs of a log, found by walking over its entries.
fn runs_of(log: &NaiveLog) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (&index, entry) in &log.entries {
        match runs.last_mut() {
            Some(run) if run.last.next() == index && run.generation == entry.generation => run.last = index,
            _ => runs.push(Run { first: index, last: index, generation: entry.generation }),
        }
    }
    runs
}

fn compare(outline: &Outline, log: &NaiveLog) -> Result<(), TestCaseError> {
    prop_assert_eq!(&outline.hard_state, &log.hard_state);
    prop_assert_eq!(&outline.snapshot, &log.snapshot);
    prop_assert_eq!(outline.compacted, log.compacted);
    prop_assert_eq!(outline.compacted_generation, log.compacted_generation);
    prop_assert_eq!(outline.watermark, log.watermark);
    prop_assert_eq!(outline.runs(), runs_of(log));

    let memberships = log.entries.values().filter(|entry| entry.kind == EntryKind::Membership);
    prop_assert!(outline.memberships().iter().eq(memberships));

    let last = log.entries.keys().last().copied().unwrap_or(log.compacted);
    prop_assert_eq!(outline.last(), last);
    prop_assert_eq!(Some(outline.last_generation()), log.generation_at(last));
    for index in (0..=INDEX_END).map(Index) {
        prop_assert_eq!(outline.generation_at(index), log.generation_at(index));
        let hole = (index.0..=INDEX_END).map(Index).find(|index| !log.entries.contains_key(index));
        prop_assert_eq!(Some(outline.first_hole(index)), hole);
    }
    Ok(())
}

proptest! {
    #[test]
    fn an_outline_is_the_shape_of_the_log(ops in many_ops(60)) {
        let (mut outline, mut log) = (Outline::default(), NaiveLog::default());
        for op in &ops {
            outline.replay(op);
            log.write(op);
            compare(&outline, &log)?;
        }
    }

    #[test]
    fn two_ways_to_the_same_log_give_the_same_outline(ops in many_ops(40)) {
        let log = NaiveLog::of(&ops);
        let marks = [
            log.hard_state.clone().map(Op::HardState),
            log.snapshot.clone().map(Op::SnapshotMark),
            Some(Op::Compact { upto: log.compacted, generation: log.compacted_generation }),
            Some(Op::Watermark(log.watermark)),
        ];
        let rewritten: Vec<Op> = marks.into_iter().flatten().chain(log.entries.into_values().map(Op::Put)).collect();
        prop_assert_eq!(outline_of(&ops), outline_of(&rewritten));
    }

    #[test]
    fn a_run_put_at_once_is_its_entries_one_by_one(
        ops in many_ops(40), first in indices(), count in 0..6_u64, generation in generations(),
    ) {
        let mut at_once = outline_of(&ops);
        let mut one_by_one = at_once.clone();
        let last = Index(first.0 + count);
        at_once.put_run(Run { first, last, generation });
        (first.0..=last.0).for_each(|index| one_by_one.put(&Entry::noop(generation, Index(index))));
        prop_assert_eq!(at_once, one_by_one);
    }
}

fn put(round: u64, index: u64) -> Op {
    Op::Put(Entry::noop(Generation::new(round, NodeId(1)), Index(index)))
}

fn run(round: u64, first: u64, last: u64) -> Run {
    Run { first: Index(first), last: Index(last), generation: Generation::new(round, NodeId(1)) }
}

#[test]
fn an_entry_over_the_middle_of_a_run_splits_it_and_its_twin_joins_it_again() {
    let mut outline = outline_of(&[put(1, 1), put(1, 2), put(1, 3)]);
    assert_eq!(outline.runs(), [run(1, 1, 3)]);
    outline.replay(&put(2, 2));
    assert_eq!(outline.runs(), [run(1, 1, 1), run(2, 2, 2), run(1, 3, 3)]);
    outline.replay(&put(1, 2));
    assert_eq!(outline.runs(), [run(1, 1, 3)]);
}

#[test]
fn a_filled_hole_joins_both_sides() {
    let mut outline = outline_of(&[put(1, 1), put(1, 3)]);
    assert_eq!(outline.first_hole(Index(1)), Index(2));
    outline.replay(&put(1, 2));
    assert_eq!(outline.runs(), [run(1, 1, 3)]);
    assert_eq!(outline.first_hole(Index(1)), Index(4));
}

#[test]
fn what_is_compacted_stays_compacted() {
    let compact = |upto| Op::Compact { upto: Index(upto), generation: Generation::new(1, NodeId(1)) };
    let outline = outline_of(&[put(1, 1), put(1, 2), compact(2), put(1, 1), compact(1)]);
    assert_eq!((outline.compacted, outline.last()), (Index(2), Index(2)));
    assert!(outline.runs().is_empty());
    assert_eq!(outline.generation_at(Index(1)), None);
}
