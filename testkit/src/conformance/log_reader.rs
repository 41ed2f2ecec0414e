//! The promises of [`LogReader`](consensus_api::LogReader), one function each. They take `fresh` as those for the log do.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use consensus_api::{Batch, Entry, Index, LogStorage, Op};

use super::Broken;
use super::driven_log::{Driven, read};
use super::model::Model;
use super::workload::{entry, puts};

const WHOLE_BATCHES: &str = "LogReader promise 1 (whole batches)";
const BYTES_MAX: &str = "LogReader::read (bytes_max)";

/// A read stops once its records reach the limit, returns at least one entry if there is any, and passes over holes.
///
/// # Errors
/// How it is broken.
pub fn bytes_max<O: FnMut() -> S, S: LogStorage>(fresh: &mut impl FnMut() -> O) -> Result<(), Broken> {
    let mut model = Model::default();
    let mut open = fresh();
    let mut log = Driven::attach(open(), BYTES_MAX)?;
    let there = [(1, 0), (2, 3_000), (3, 70_000), (4, 10), (7, 500), (8, 1 << 20), (9, 1), (12, 90)];
    log.write(there.map(|(index, bytes)| Op::Put(entry(index, 1, bytes))), &mut model)?;
    log.settle()?;
    for (first, end) in [(0, u64::MAX), (1, 5), (3, 4), (4, 8), (5, 7), (5, 13), (9, 9), (13, 20)] {
        for limit in [0, 1, 71, 200, 4_000, 100_000, 1 << 21, usize::MAX] {
            let found = log.read(first, end, limit)?;
            let expected: Vec<&Entry> =
                model.entries.range(Index(first)..Index(end)).map(|(_, entry)| entry).collect();
            check_read(&found, &expected, limit).map_err(|what| {
                Broken::new(BYTES_MAX, format!("a read of {first}..{end} with {limit} bytes: {what}"))
            })?;
        }
    }
    Ok(())
}

fn check_read(found: &[Entry], expected: &[&Entry], limit: usize) -> Result<(), String> {
    let is_prefix = found.len() <= expected.len()
        && found.iter().zip(expected).all(|(found, expected)| found == *expected);
    if !is_prefix {
        return Err(format!("{found:?} is not how {expected:?} begins"));
    }
    if found.is_empty() && !expected.is_empty() {
        return Err("it returned nothing, though there is an entry".to_owned());
    }
    let bytes = |entries: &[Entry]| entries.iter().map(Entry::record_len).sum::<usize>();
    let before_last = bytes(&found[..found.len().saturating_sub(1)]);
    if found.len() > 1 && before_last >= limit {
        return Err(format!(
            "{} entries were returned, where {before_last} bytes of fewer were enough",
            found.len()
        ));
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
    let mut open = fresh();
    let mut log = Driven::attach(open(), WHOLE_BATCHES)?;
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
                let known =
                    seqs.iter().rfind(|(seq, _)| *seq <= log.durable()).map_or(0, |(_, round)| *round);
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
