//! The promises of [`LogStorage`] and [`LogReader`](consensus_api::LogReader), one function each.
//!
//! Each takes `fresh`, which makes a new, empty place and returns what opens the log there. Whatever a function opens it
//! drops before it opens again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bytes::Bytes;
use consensus_api::{Batch, ClusterName, EngineName, Entry, Identity, Incarnation, Index, LogStorage, NodeId, Op, Outline};

use super::driven_log::{Driven, Place, read};
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
const WHOLE_BATCHES: &str = "LogReader promise 1 (whole batches)";
const BYTES_MAX: &str = "LogReader::read (bytes_max)";

/// All promises that can be checked from outside, special ones first, so that the message is about the cause.
///
/// # Errors
/// The first promise that is broken.
pub fn all<O: FnMut() -> S, S: LogStorage>(mut fresh: impl FnMut() -> O) -> Result<(), Broken> {
    let fresh = &mut fresh;
    attached(fresh)?;
    live(fresh, true)?;
    lazy(fresh)?;
    durable(fresh)?;
    atomic(fresh)
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
    check_compacted(Place::new(fresh(), reopens, COMPACTED))?;
    bytes_max(fresh)?;
    whole_batches(fresh)
}

/// Promise 5: a new log is empty; another cluster, node or engine is refused and does no harm; the store keeps its number.
///
/// # Errors
/// How it is broken.
pub fn attached<O: FnMut() -> S, S: LogStorage>(fresh: &mut impl FnMut() -> O) -> Result<(), Broken> {
    let mut open = fresh();
    let mut log = Driven::attach(open(), ATTACHED)?;
    require(log.outline == Outline::default(), ATTACHED, || {
        format!("a new log is not empty: {:?}; does `fresh` make a new place each time?", log.outline)
    })?;
    let mut model = Model::default();
    let store = log.store;
    log.write(puts(1, 3, 1), &mut model)?;
    log.settle()?;
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
    let difference = model.difference(&log.outline, &log.entries()?);
    require(difference.is_none(), ATTACHED, || {
        format!("after strangers were refused, {}", difference.unwrap_or_default())
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
pub fn compacted_stays_compacted<O: FnMut() -> S, S: LogStorage>(fresh: &mut impl FnMut() -> O) -> Result<(), Broken> {
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

/// A read stops once its records reach the limit, returns at least one entry if there is any, and passes over holes.
///
/// # Errors
/// How it is broken.
pub fn bytes_max<O: FnMut() -> S, S: LogStorage>(fresh: &mut impl FnMut() -> O) -> Result<(), Broken> {
    let mut model = Model::default();
    let mut log = Driven::attach(fresh()(), BYTES_MAX)?;
    let there = [(1, 0), (2, 3_000), (3, 70_000), (4, 10), (7, 500), (8, 1 << 20), (9, 1), (12, 90)];
    log.write(there.map(|(index, bytes)| Op::Put(entry(index, 1, bytes))), &mut model)?;
    log.settle()?;
    for (first, end) in [(0, u64::MAX), (1, 5), (3, 4), (4, 8), (5, 7), (5, 13), (9, 9), (13, 20)] {
        for limit in [0, 1, 71, 200, 4_000, 100_000, 1 << 21, usize::MAX] {
            let found = log.read(first, end, limit)?;
            let expected: Vec<&Entry> = model.entries.range(Index(first)..Index(end)).map(|(_, entry)| entry).collect();
            check_read(&found, &expected, limit)
                .map_err(|what| Broken::new(BYTES_MAX, format!("a read of {first}..{end} with {limit} bytes: {what}")))?;
        }
    }
    Ok(())
}

fn check_read(found: &[Entry], expected: &[&Entry], limit: usize) -> Result<(), String> {
    let is_prefix = found.len() <= expected.len() && found.iter().zip(expected).all(|(found, expected)| found == *expected);
    if !is_prefix {
        return Err(format!("{found:?} is not how {expected:?} begins"));
    }
    if found.is_empty() && !expected.is_empty() {
        return Err("it returned nothing, though there is an entry".to_owned());
    }
    let bytes = |entries: &[Entry]| entries.iter().map(Entry::record_len).sum::<usize>();
    let before_last = bytes(&found[..found.len().saturating_sub(1)]);
    if found.len() > 1 && before_last >= limit {
        return Err(format!("{} entries were returned, where {before_last} bytes of fewer were enough", found.len()));
    }
    match expected.get(found.len()) {
        Some(next) if bytes(found) + next.record_len() <= limit => {
            Err(format!("it stopped before {next:?}, which fits"))
        }
        _ => Ok(()),
    }
}

/// Promise 1 of the reader: it sees batches whole or not at all, and all that were reported durable before.
///
/// # Errors
/// How it is broken.
pub fn whole_batches<O: FnMut() -> S, S: LogStorage>(fresh: &mut impl FnMut() -> O) -> Result<(), Broken> {
    const ROUNDS: u64 = 60;
    let mut log = Driven::attach(fresh()(), WHOLE_BATCHES)?;
    let (beside, ended) = (log.reader(), AtomicBool::new(false));
    thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut seen = 0;
            while !ended.load(Ordering::Acquire) {
                seen = round_of(&read(&beside, 0, 100, usize::MAX)?, seen)?;
                thread::yield_now();
            }
            Ok(())
        });
        let mut write = || {
            let mut seqs = Vec::new();
            for round in 1..=ROUNDS {
                let batch: Batch = puts(1, 4, round).collect();
                seqs.push((log.submit(batch)?, round));
                let known = seqs.iter().rfind(|(seq, _)| *seq <= log.durable()).map_or(0, |(_, round)| *round);
                let seen = round_of(&log.read(0, 100, usize::MAX)?, known);
                seen.map_err(|what| Broken::new(WHOLE_BATCHES, what))?;
                if round % 3 == 0 {
                    log.next_durable()?;
                }
            }
            log.settle()?;
            let seen = round_of(&log.read(0, 100, usize::MAX)?, ROUNDS);
            seen.map(drop).map_err(|what| Broken::new(WHOLE_BATCHES, what))
        };
        let written = write();
        ended.store(true, Ordering::Release);
        let read: Result<(), String> = reading.join().unwrap_or_else(|_| Err("a reader panicked".to_owned()));
        written.and(read.map_err(|what| Broken::new(WHOLE_BATCHES, what)))
    })
}

/// The round in which the four entries were written, which is at least `known`.
fn round_of(entries: &[Entry], known: u64) -> Result<u64, String> {
    let rounds: Vec<u64> = entries.iter().map(|entry| entry.generation.round).collect();
    let round = rounds.first().copied().unwrap_or(0);
    if (round > 0 && rounds.len() != 4) || rounds.iter().any(|other| *other != round) {
        return Err(format!("a read saw part of a batch: entries 1 to 4 are of the rounds {rounds:?}"));
    }
    if round < known {
        return Err(format!("a read saw round {round}, though round {known} was durable or seen before"));
    }
    Ok(round)
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
    log.settle_in_the_background()?;
    // A lower one says nothing.
    log.write([Op::Watermark(Index(3))], &mut model)?;
    log.settle_in_the_background()?;
    log = place.again(log)?;
    let difference = model.difference(&log.outline, &log.entries()?);
    require(difference.is_none(), LAZY, || {
        format!("after the log was closed and opened again, {}", difference.unwrap_or_default())
    })
}

/// Promise 2: whatever was reported durable is there when the log is opened again, after each batch of a long sequence.
///
/// # Errors
/// How it is broken.
pub fn durable<O: FnMut() -> S, S: LogStorage>(fresh: &mut impl FnMut() -> O) -> Result<(), Broken> {
    let batches = batches(1, 40);
    let mut place = Place::new(fresh(), true, DURABLE);
    let mut log = place.open()?;
    for count in 1..=batches.len() {
        log.submit(batches[count - 1].clone())?;
        log.settle()?;
        log = place.again(log)?;
        diagnose(&log, &batches[..count], count)?;
    }
    Ok(())
}

/// Promise 1: after every prefix of a sequence, written without a pause, the log holds exactly these batches, each whole.
///
/// # Errors
/// How it is broken.
pub fn atomic<O: FnMut() -> S, S: LogStorage>(fresh: &mut impl FnMut() -> O) -> Result<(), Broken> {
    let batches = batches(2, 20);
    for count in 0..=batches.len() {
        let mut place = Place::new(fresh(), true, ATOMIC);
        let mut log = place.open()?;
        for batch in &batches[..count] {
            log.submit(batch.clone())?;
        }
        log.settle()?;
        let log = place.again(log)?;
        diagnose(&log, &batches[..count], count)?;
    }
    Ok(())
}

/// The log must hold the first so many of the batches, and at least `durable`: else says which promise that breaks.
pub(crate) fn diagnose<S: LogStorage>(log: &Driven<S>, batches: &[Batch], durable: usize) -> Result<usize, Broken> {
    let (outline, entries) = (&log.outline, log.entries()?);
    let holds = |count: &usize| Model::of(&batches[..*count]).difference(outline, &entries).is_none();
    if let Some(count) = (durable..=batches.len()).find(holds) {
        return Ok(count);
    }
    if let Some(count) = (0..durable).rev().find(holds) {
        let (missing, of) = (count + 1, batches.len());
        let what = format!("batch {missing} of {of} was reported durable and is not there when the log is opened again");
        return Err(Broken::new(DURABLE, what));
    }
    let difference = Model::of(&batches[..durable]).difference(outline, &entries).unwrap_or_default();
    let what = format!("what is there when the log is opened again is no sequence of whole batches: with {durable} of them, {difference}");
    Err(Broken::new(ATOMIC, what))
}
