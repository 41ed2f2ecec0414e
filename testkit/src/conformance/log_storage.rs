//! The promises of [`LogStorage`], one function each; those of its reader are in [`log_reader`](super::log_reader).
//!
//! Each takes `fresh`, which makes a new, empty place and returns what opens the log there. Whatever a function opens it
//! drops before it opens again.

use bytes::Bytes;
use consensus_api::{
    Batch, ClusterName, EngineName, Identity, Incarnation, Index, LogStorage, NodeId, Op, Outline,
};

use super::driven_log::{Driven, Place};
use super::log_reader::{bytes_max, whole_batches};
use super::model::Model;
use super::workload::{batches, entry, generation, identity, mark, puts};
use super::{Broken, require};

pub(crate) const ATOMIC: &str = "LogStorage promise 1 (Atomic)";
pub(crate) const DURABLE: &str = "LogStorage promise 2 (Durable)";
pub(crate) const POISONED: &str = "LogStorage promise 3 (Poisoned)";
const ATTACHED: &str = "LogStorage promise 5 (Attached)";
pub(crate) const ORDERED: &str = "LogStorage promise 6 (Ordered)";
const HOLES: &str = "LogStorage promise 7 (Holes)";
const COMPACTED: &str = "LogStorage promise 8 (Compacted stays compacted)";
const LAZY: &str = "LogStorage::submit (a batch of hints may be put off)";

/// All promises that can be checked from outside, simple ones first, so that the message is about the cause.
///
/// # Errors
/// The first promise that is broken.
pub fn all<O: FnMut() -> S, S: LogStorage>(mut fresh: impl FnMut() -> O) -> Result<(), Broken> {
    let fresh = &mut fresh;
    durable(fresh)?;
    atomic(fresh)?;
    attached(fresh)?;
    live(fresh, true)?;
    lazy(fresh)?;
    any_sequence(fresh)
}

/// The promises that do not speak of opening the log again.
///
/// # Errors
/// The first promise that is broken.
pub fn all_volatile<S: LogStorage>(mut make: impl FnMut() -> S) -> Result<(), Broken> {
    let mut fresh = || {
        let mut log = Some(make());
        move || log.take().expect("a log that forgets is opened once")
    };
    live(&mut fresh, false)
}

fn live<O: FnMut() -> S, S: LogStorage>(fresh: &mut impl FnMut() -> O, reopens: bool) -> Result<(), Broken> {
    check_ordered(Place::new(fresh(), reopens, ORDERED))?;
    check_holes(Place::new(fresh(), reopens, HOLES))?;
    bytes_max(fresh)?;
    whole_batches(fresh)?;
    check_compacted(Place::new(fresh(), reopens, COMPACTED))
}

/// Promise 5: a new log is empty; another cluster, node or engine is refused and does no harm; the store keeps its number.
///
/// # Errors
/// How it is broken.
pub fn attached<O: FnMut() -> S, S: LogStorage>(fresh: &mut impl FnMut() -> O) -> Result<(), Broken> {
    let mut open = fresh();
    let mut log = Driven::attach(open(), ATTACHED)?;
    require_new(&log)?;
    let store = log.store;
    log.write(puts(1, 3, 1), &mut Model::default())?;
    log.settle()?;
    drop(log);
    let log = Driven::attach(open(), ATTACHED)?;
    let before = (log.outline.clone(), log.entries()?);
    drop(log);
    let (own, other) = (identity(), ClusterName::new("another").expect("a name of 7 bytes"));
    let strangers = [
        ("another cluster", Identity { cluster: other, ..own.clone() }),
        ("another node", Identity { node: NodeId(2), ..own.clone() }),
        ("another engine", Identity { engine: EngineName("another"), ..own }),
    ];
    for (who, stranger) in strangers {
        let refused = open().attach(&stranger).is_err();
        require(refused, ATTACHED, || format!("the log was attached for {who}"))?;
    }
    let mut log = open();
    let recovered = log.attach(&Identity { incarnation: Incarnation(77), store, ..identity() });
    let recovered = recovered.map_err(|error| {
        Broken::new(ATTACHED, format!("the next life of the same node cannot attach its log: {error}"))
    })?;
    require(recovered.store == store, ATTACHED, || {
        format!("the store's number was {store:?} and is {:?} after it was opened again", recovered.store)
    })?;
    drop(log);
    let log = Driven::attach(open(), ATTACHED)?;
    require((log.outline.clone(), log.entries()?) == before, ATTACHED, || {
        "after strangers were refused, the log holds something else than before".to_owned()
    })
}

/// Promise 6: batches that overlap take effect in the order of submission, and are reported in that order.
///
/// # Errors
/// How it is broken.
pub fn ordered<O: FnMut() -> S, S: LogStorage>(fresh: &mut impl FnMut() -> O) -> Result<(), Broken> {
    check_ordered(Place::new(fresh(), true, ORDERED))
}

fn check_ordered<O: FnMut() -> S, S: LogStorage>(mut place: Place<O>) -> Result<(), Broken> {
    let mut model = Model::default();
    let mut log = place.open()?;
    for round in 1..=8 {
        log.write(puts(round, round + 4, round), &mut model)?;
        log.write([Op::HardState(Bytes::from(vec![round as u8]))], &mut model)?;
        if round % 3 == 0 {
            log.write([Op::TruncateFrom(Index(round + 2))], &mut model)?;
        }
        if round % 4 == 0 {
            log.settle()?;
        }
    }
    let mut log = place.confirm(log, &model)?;
    log.write([Op::TruncateFrom(Index(2))], &mut model)?;
    log.write(puts(2, 2, 9), &mut model)?;
    place.confirm(log, &model).map(drop)
}

/// Promise 7: an entry is put wherever it is put, and removes nothing else.
///
/// # Errors
/// How it is broken.
pub fn holes<O: FnMut() -> S, S: LogStorage>(fresh: &mut impl FnMut() -> O) -> Result<(), Broken> {
    check_holes(Place::new(fresh(), true, HOLES))
}

fn check_holes<O: FnMut() -> S, S: LogStorage>(mut place: Place<O>) -> Result<(), Broken> {
    let mut model = Model::default();
    let mut log = place.open()?;
    log.write(puts(3, 4, 1).chain(puts(9, 9, 1)), &mut model)?;
    log = place.confirm(log, &model)?;
    for (first, last, round) in [(6, 6, 2), (1, 1, 2), (4, 4, 3), (2, 2, 1), (8, 10, 4)] {
        log.write(puts(first, last, round), &mut model)?;
        log = place.confirm(log, &model)?;
    }
    log.write([Op::TruncateFrom(Index(5))], &mut model)?;
    log = place.confirm(log, &model)?;
    log.write(puts(7, 7, 5), &mut model)?;
    place.confirm(log, &model).map(drop)
}

/// Promise 8: what was compacted stays away, whatever is put, truncated or compacted afterwards.
///
/// # Errors
/// How it is broken.
pub fn compacted_stays_compacted<O: FnMut() -> S, S: LogStorage>(
    fresh: &mut impl FnMut() -> O,
) -> Result<(), Broken> {
    check_compacted(Place::new(fresh(), true, COMPACTED))
}

fn check_compacted<O: FnMut() -> S, S: LogStorage>(mut place: Place<O>) -> Result<(), Broken> {
    let compact = |upto| Op::Compact { upto: Index(upto), generation: generation(1) };
    let mut model = Model::default();
    let mut log = place.open()?;
    log.write(puts(1, 10, 1), &mut model)?;
    log.write([Op::SnapshotMark(mark(5, 1)), compact(5)], &mut model)?;
    log = place.confirm(log, &model)?;
    let late = [
        vec![Op::Put(entry(3, 2, 24))],
        vec![compact(2)],
        vec![Op::Put(entry(5, 2, 24)), Op::Put(entry(6, 2, 24))],
        vec![Op::TruncateFrom(Index(2))],
        vec![Op::Put(entry(6, 3, 24))],
        vec![Op::SnapshotMark(mark(9, 3)), compact(9)],
        vec![Op::Put(entry(8, 4, 24)), Op::Put(entry(10, 4, 24))],
    ];
    for ops in late {
        log.write(ops, &mut model)?;
        log = place.confirm(log, &model)?;
    }
    Ok(())
}

/// A batch of hints may be put off, but holds nothing up, and is there after the log was closed in peace.
///
/// # Errors
/// How it is broken.
pub fn lazy<O: FnMut() -> S, S: LogStorage>(fresh: &mut impl FnMut() -> O) -> Result<(), Broken> {
    let mut place = Place::new(fresh(), true, LAZY);
    let mut model = Model::default();
    let mut log = place.open()?;
    log.write(puts(1, 4, 1), &mut model)?;
    log.write([Op::Watermark(Index(2))], &mut model)?;
    log.write(puts(5, 6, 1), &mut model)?;
    log = place.confirm(log, &model)?;
    log.write([Op::Watermark(Index(5))], &mut model)?;
    log.settle_with_hints()?;
    // A lower one says nothing.
    log.write([Op::Watermark(Index(3))], &mut model)?;
    log.settle_with_hints()?;
    log = place.again(log)?;
    let difference = model.difference(&log.outline, &log.entries()?);
    require(difference.is_none(), LAZY, || {
        format!("after the log was closed and opened again, {}", difference.unwrap_or_default())
    })
}

/// Promise 2: whatever was reported durable is there when the log is opened again; here, batches of one operation.
///
/// # Errors
/// How it is broken.
pub fn durable<O: FnMut() -> S, S: LogStorage>(fresh: &mut impl FnMut() -> O) -> Result<(), Broken> {
    let appends = puts(1, 6, 1).chain([Op::HardState(Bytes::from_static(b"a vote"))]);
    let ops = appends.chain(puts(7, 8, 2)).chain([Op::SnapshotMark(mark(4, 1)), Op::TruncateFrom(Index(8))]);
    let batches: Vec<Batch> = ops.chain(puts(8, 8, 3)).map(|op| Batch::from_iter([op])).collect();
    reopen_after_each(&mut Place::new(fresh(), true, DURABLE), &batches)
}

/// Promise 1: a batch is there whole; here, one after the other, as an engine appends.
///
/// # Errors
/// How it is broken.
pub fn atomic<O: FnMut() -> S, S: LogStorage>(fresh: &mut impl FnMut() -> O) -> Result<(), Broken> {
    let vote = |round: u64| Op::HardState(Bytes::from(vec![round as u8; 17]));
    let batch = |at: u64| puts(3 * at + 1, 3 * at + 3, at).chain([vote(at)]).collect();
    let batches: Vec<Batch> = (0..6).map(batch).collect();
    reopen_after_each(&mut Place::new(fresh(), true, ATOMIC), &batches)
}

/// Promises 1, 2, 6, 7 and 8 at once: whatever engines may write, in long sequences, opened again after each prefix:
/// written with a pause after each batch, and written without any.
///
/// # Errors
/// How one of them is broken.
pub fn any_sequence<O: FnMut() -> S, S: LogStorage>(fresh: &mut impl FnMut() -> O) -> Result<(), Broken> {
    reopen_after_each(&mut Place::new(fresh(), true, DURABLE), &batches(1, 40))?;
    let batches = batches(2, 20);
    for count in 0..=batches.len() {
        let mut place = Place::new(fresh(), true, ATOMIC);
        let mut log = place.open()?;
        for batch in &batches[..count] {
            log.submit(batch.clone())?;
        }
        log.settle_with_hints()?;
        let log = place.again(log)?;
        diagnose(&log, &batches[..count], count)?;
    }
    Ok(())
}

fn reopen_after_each<O: FnMut() -> S, S: LogStorage>(
    place: &mut Place<O>,
    batches: &[Batch],
) -> Result<(), Broken> {
    let mut log = place.open()?;
    require_new(&log)?;
    for (at, batch) in batches.iter().enumerate() {
        log.submit(batch.clone())?;
        log.settle_with_hints()?;
        log = place.again(log)?;
        diagnose(&log, &batches[..=at], at + 1)?;
    }
    Ok(())
}

fn require_new<S: LogStorage>(log: &Driven<S>) -> Result<(), Broken> {
    require(log.outline == Outline::default(), ATTACHED, || {
        format!("a new log is not empty: {:?}; does `fresh` make a new place each time?", log.outline)
    })
}

/// The log must hold the first so many of the batches, and at least `durable`: else says which promise that breaks.
pub(crate) fn diagnose<S: LogStorage>(
    log: &Driven<S>,
    batches: &[Batch],
    durable: usize,
) -> Result<usize, Broken> {
    let (outline, entries) = (&log.outline, log.entries()?);
    let holds = |count: &usize| Model::of(&batches[..*count]).difference(outline, &entries).is_none();
    if let Some(count) = (durable..=batches.len()).find(holds) {
        return Ok(count);
    }
    if let Some(count) = (0..durable).rev().find(holds) {
        let (missing, of) = (count + 1, batches.len());
        let what = format!(
            "batch {missing} of {of} was reported durable and is not there when the log is opened again"
        );
        return Err(Broken::new(DURABLE, what));
    }
    let difference = Model::of(&batches[..durable]).difference(outline, &entries).unwrap_or_default();
    let what = format!(
        "what is there when the log is opened again is no sequence of whole batches: with {durable} of them, {difference}"
    );
    Err(Broken::new(ATOMIC, what))
}
