//! Snapshots that somebody asks for, at a leader whose state machine does nothing until told.

use std::time::Duration;

use bytes::Bytes;
use node::ApplyWork;
use quorate::{Error, Incarnation, Index, Outline};

use super::pair::{Pair, mark, member};

/// How many snapshots the leader's state machine was told to take.
fn told(pair: &Pair) -> usize {
    pair.applying.iter().filter(|work| matches!(work, ApplyWork::Snapshot)).count()
}

/// The last entry that the leader's state machine was given.
fn given(pair: &Pair) -> Index {
    let index = |work: &ApplyWork<u32>| match work {
        ApplyWork::Entry { entry, .. } => Some(entry.index),
        _ => None,
    };
    pair.applying.iter().filter_map(index).max().unwrap_or_default()
}

fn write(pair: &mut Pair) {
    pair.leader.propose(pair.now, Bytes::from_static(b"w"), 0);
    pair.run(8);
}

#[test]
fn whoever_asks_is_told_once_a_snapshot_holds_all_there_was_by_then() {
    let mut pair = Pair::elected();
    write(&mut pair);
    let first = given(&pair);
    pair.leader.take_snapshot(1);
    pair.run(8);
    assert_eq!((told(&pair), &pair.snapshots[..]), (1, &[][..]), "it is being taken");
    // Asked again, behind more: one at a time, and the first is not enough.
    write(&mut pair);
    let second = given(&pair);
    assert!(second > first);
    pair.leader.take_snapshot(2);
    pair.leader.take_snapshot(3);
    pair.run(8);
    assert_eq!(told(&pair), 1);
    pair.leader.snapshot_taken(pair.now, Ok(mark(first.0)));
    pair.run(8);
    assert_eq!((told(&pair), &pair.snapshots[..]), (2, &[(1, Ok(first))][..]));
    pair.leader.snapshot_taken(pair.now, Ok(mark(second.0)));
    pair.run(8);
    assert_eq!(pair.snapshots[1..], [(2, Ok(second)), (3, Ok(second))], "one was enough for both");
    // There is one of everything: no other is taken, and nobody waits.
    pair.leader.take_snapshot(4);
    pair.pass(Duration::from_secs(1));
    assert_eq!((told(&pair), &pair.snapshots[3..]), (2, &[(4, Ok(second))][..]));
}

#[test]
fn a_snapshot_that_cannot_be_taken_is_told_with_the_cause() {
    let mut pair = Pair::elected();
    pair.leader.take_snapshot(1);
    pair.run(8);
    pair.leader.snapshot_taken(pair.now, Err("the disk is on fire".to_owned()));
    pair.pass(Duration::from_secs(1));
    let reason = "a snapshot could not be taken: the disk is on fire".to_owned();
    assert_eq!(pair.snapshots, [(1, Err(Error::Refused { reason }))]);
    assert_eq!(told(&pair), 1, "nobody wants one any more");
    pair.leader.take_snapshot(2);
    pair.run(8);
    assert_eq!(told(&pair), 2, "but may ask again");
    pair.leader.stop("it was told to".to_owned());
    pair.run(1);
    assert_eq!(pair.snapshots[1..], [(2, Err(Error::Stopped { cause: "it was told to".into() }))]);
}

#[test]
fn without_anything_applied_there_is_nothing_to_take_and_too_many_are_refused() {
    let mut alone = member(1, Incarnation(1), None, Outline::default());
    alone.take_snapshot(1);
    let answer = std::mem::take(&mut alone.outputs().snapshots);
    assert!(matches!(&answer[..], [(1, Err(Error::Refused { reason }))] if reason.contains("nothing yet")));
    let mut pair = Pair::elected();
    (0..65).for_each(|ticket| pair.leader.take_snapshot(ticket));
    let refused = &pair.leader.outputs().snapshots;
    assert!(
        matches!(&refused[..], [(64, Err(Error::Refused { reason }))] if reason.contains("ask again later"))
    );
}
