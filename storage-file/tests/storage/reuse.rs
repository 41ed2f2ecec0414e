//! Files that are used again: a log that is compacted all the time writes over its own past, while the power fails again
//! and again. Nothing of an earlier use is ever taken for today's.
//!
//! A longer run: `QUORATE_REUSE_SEEDS=100 cargo test -p quorate-storage-file --test storage reuse`.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;

use consensus_api::{
    Batch, Entry, Generation, Index, LogReader, LogStorage, NodeId, Op, StorageError, WriteSeq,
};
use quorate_storage_file::simulated::{Faults, SimulatedDisk};
use quorate_storage_file::{FileLog, FileLogOptions};

use crate::harness::*;

fn seeds() -> u64 {
    std::env::var("QUORATE_REUSE_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(1)
}

fn compact(upto: u64, round: u64) -> Op {
    Op::Compact { upto: Index(upto), generation: Generation::new(round, NodeId(1)) }
}

/// Batches of an engine that compacts what it wrote a moment ago, so that each segment is soon written over.
fn steady(seed: u64, count: usize) -> Vec<Batch> {
    let mut dice = Dice(seed);
    let (mut last, mut round, mut compacted) = (0, 1, 0);
    let mut batch_of = |_| {
        let mut batch = Batch::new();
        match dice.below(8) {
            0 if last > compacted + 1 => {
                last -= dice.below(last - compacted).min(3);
                round += 1;
                batch.push(Op::TruncateFrom(Index(last + 1)));
                batch.push(hard_state(round));
            }
            1 | 2 if last > compacted + 4 => {
                compacted = last - dice.below(4);
                batch.push(compact(compacted, round));
            }
            3 => batch.push(Op::Watermark(Index(last))),
            _ => {}
        }
        for _ in 0..dice.below(4) {
            last += 1;
            batch.push(Op::Put(entry(last, round, dice.below(900) as usize)));
        }
        batch
    };
    (0..count).map(&mut batch_of).collect()
}

/// What the lives of one log have shown.
#[derive(Default, Debug)]
struct Seen {
    /// How many batches are acknowledged.
    acked: usize,
    /// Whether a file waited for its next use.
    recycled: bool,
}

/// Opens and writes in groups, until done or the power fails. A log that was not damaged is never refused.
fn live(disk: &SimulatedDisk, batches: &[Batch], seen: &mut Seen, dice: &mut Dice) -> Option<FileLog> {
    let (mut log, recovered) = match open(disk, INLINE) {
        Ok(opened) => opened,
        Err(error @ StorageError::Corrupt { .. }) => panic!("{error} {:?}", disk.names(FOLDER)),
        Err(_) => return None,
    };
    let mut next = check(&log, &recovered, batches, seen.acked).unwrap_or(seen.acked);
    seen.acked = next;
    while next < batches.len() {
        let most = if dice.below(4) == 0 { 30 } else { 3 };
        for _ in 0..=dice.below(most) {
            let Some(batch) = batches.get(next) else { break };
            next += 1;
            if log.submit(WriteSeq(next as u64), batch.clone()).is_err() {
                return Some(log);
            }
        }
        let polled = poll(&mut log);
        seen.recycled |= disk.names(FOLDER).iter().any(|name| name.ends_with(".recycled.new"));
        match polled {
            Poll::Ready(Ok(seq)) => seen.acked = seq.0 as usize,
            Poll::Ready(Err(_)) => return Some(log),
            Poll::Pending => {}
        }
    }
    Some(log)
}

/// Several lives, each ended by a failure of the power or by a kill, the first one at that operation.
fn lives(seed: u64, batches: &[Batch], first_ends_at: u64, with_errors: bool) -> Seen {
    const ERRORS: [ErrorKind; 2] = [ErrorKind::Other, ErrorKind::StorageFull];
    let disk = SimulatedDisk::new(seed << 32 | first_ends_at);
    let mut dice = Dice(seed ^ first_ends_at << 8);
    let mut seen = Seen::default();
    for life in 0..4 {
        let began = disk.counts().operations;
        let ends_at = if life == 0 { first_ends_at } else { began + 1 + dice.below(300) };
        let error = ERRORS[dice.below(2) as usize];
        // Now and then one operation fails not long before.
        let fails_at = ends_at.saturating_sub(1 + dice.below(12)).max(began + 1);
        let fail_at = (with_errors && dice.below(3) > 0).then_some((fails_at, error));
        disk.set_faults(Faults { power_off_at: Some(ends_at), fail_at, ..Faults::default() });
        drop(live(&disk, batches, &mut seen, &mut dice));
        if life < 3 && dice.below(4) == 0 {
            disk.kill();
        } else {
            disk.crash();
        }
    }
    let opened = open(&disk, INLINE);
    let (log, recovered) = opened.unwrap_or_else(|error| panic!("{error} {:?}", disk.names(FOLDER)));
    let found = check(&log, &recovered, batches, seen.acked);
    assert!(found.is_ok(), "{found:?}");
    seen
}

fn power_fails_everywhere(with_errors: bool, step: u64) {
    let mut recycled = 0;
    for seed in 0..seeds() {
        let batches = steady(seed, 110);
        let whole = SimulatedDisk::new(seed);
        drop(live(&whole, &batches, &mut Seen::default(), &mut Dice(seed)));
        for ends_at in (1 + seed % step..whole.counts().operations).step_by(step as usize) {
            println!("seed {seed}, the first life ends at {ends_at}");
            recycled += u64::from(lives(seed, &batches, ends_at, with_errors).recycled);
        }
    }
    assert!(recycled > 20, "{recycled}");
}

#[test]
fn whatever_operation_the_power_fails_at_nothing_of_an_earlier_use_of_a_file_comes_back() {
    power_fails_everywhere(false, 5);
}

#[test]
fn neither_does_it_where_an_operation_fails_before_the_power_does() {
    power_fails_everywhere(true, 5);
}

/// A removal whose folder could not be synced may be undone by the next failure of the power. So the file may still be a
/// segment, and must not be written over; nor may the next one go before it is certain that the first is gone.
#[test]
fn a_file_whose_removal_may_be_undone_is_not_written_over() {
    let compacted_at = 40;
    let prepared = |seed| {
        let disk = SimulatedDisk::new(seed);
        let (mut log, _) = open(&disk, INLINE).unwrap();
        for index in 1..=compacted_at {
            log.submit(WriteSeq(index), put([entry(index, 1, 500)])).unwrap();
            durable(&mut log).unwrap();
        }
        (disk, log)
    };
    for failed in 1..30 {
        for power_off in 1..40 {
            let (disk, mut log) = prepared(failed << 8 | power_off);
            let began = disk.counts().operations;
            let fail_at = Some((began + failed, ErrorKind::Other));
            let power_off_at = Some(began + failed + power_off);
            disk.set_faults(Faults { fail_at, power_off_at, ..Faults::default() });
            let mut acked = compacted_at as usize;
            let mut batches: Vec<Batch> =
                (1..=compacted_at).map(|index| put([entry(index, 1, 500)])).collect();
            for index in compacted_at + 1..compacted_at + 40 {
                let mut batch = put([entry(index, 1, 500)]);
                if index % 10 == 1 {
                    batch.push(compact(index - 10, 1));
                }
                batches.push(batch.clone());
                if log.submit(WriteSeq(index), batch).is_err() {
                    break;
                }
                match poll(&mut log) {
                    Poll::Ready(Ok(seq)) => acked = seq.0 as usize,
                    Poll::Ready(Err(_)) => break,
                    Poll::Pending => {}
                }
            }
            drop(log);
            disk.crash();
            let opened = open(&disk, INLINE);
            let (log, recovered) = opened.unwrap_or_else(|error| {
                panic!("failed {failed}, power {power_off}: {error} {:?}", disk.names(FOLDER))
            });
            check(&log, &recovered, &batches, acked).unwrap();
        }
    }
}

/// A log of a few segments in files that were used before, what these files held then, and what the log holds now.
struct Reused {
    disk: SimulatedDisk,
    batches: Vec<Batch>,
    earlier: Vec<Vec<u8>>,
}

impl Reused {
    fn new(is_closed: bool) -> Self {
        let disk = SimulatedDisk::new(8);
        let (mut log, _) = open(&disk, INLINE).unwrap();
        let (mut batches, mut earlier): (Vec<Batch>, Vec<_>) = (Vec::new(), Vec::new());
        let mut submit = |log: &mut FileLog, batch: Batch| {
            batches.push(batch.clone());
            log.submit(WriteSeq(batches.len() as u64), batch).unwrap();
            assert!(poll(log).is_ready());
        };
        for index in 1..=60 {
            submit(&mut log, put([entry(index, 1, 300 + index as usize)]));
        }
        earlier.extend(segments(&disk).iter().skip(2).map(|path| disk.bytes(path).unwrap()));
        submit(&mut log, [compact(59, 1)].into_iter().collect());
        for index in 61..=80 {
            submit(&mut log, put([entry(index, 1, 300)]));
        }
        if is_closed {
            drop(log);
        } else {
            disk.kill();
        }
        Self { disk, batches, earlier }
    }
}

/// Its segments are long enough for the end to be marked where an earlier use still stands behind it.
#[test]
fn a_log_that_was_closed_is_opened_without_a_word_and_one_that_was_killed_is_not() {
    let options = FileLogOptions { segment_bytes: 32 << 10, ..INLINE };
    for is_closed in [true, false] {
        let disk = SimulatedDisk::new(9);
        let (mut log, _) = open(&disk, options).unwrap();
        for index in 1..=440 {
            let mut batch = put([entry(index, 1, 500)]);
            if index == 300 {
                batch.push(compact(299, 1));
            }
            log.submit(WriteSeq(index), batch).unwrap();
            assert!(poll(&mut log).is_ready());
        }
        if is_closed {
            drop(log);
        } else {
            disk.kill();
        }
        let (_, recovered) = open(&disk, options).unwrap();
        assert_eq!(recovered.notes.is_empty(), is_closed, "{:?}", recovered.notes);
    }
}

fn segments(disk: &SimulatedDisk) -> Vec<PathBuf> {
    let names = disk.names(FOLDER).into_iter().filter(|name| name.strip_suffix(".wal").is_some());
    names.map(|name| Path::new(FOLDER).join(name)).collect()
}

/// A disk may say that it has written what it has not. What then stands there is of an earlier use, or the mark of a spare.
#[test]
fn a_write_that_never_reached_the_disk_is_refused_though_an_earlier_use_stands_there() {
    for (is_closed, step) in [(true, 512), (true, 4096), (false, 512)] {
        let subject = Reused::new(is_closed);
        let (mut refused, mut whole, mut reverted) = (0, 0, 0);
        for (path, before) in segments(&subject.disk).into_iter().zip(&subject.earlier) {
            let len = subject.disk.bytes(&path).unwrap().len();
            let mut before = before.clone();
            if before.len() != len {
                continue;
            }
            before[..4096].fill(0);
            for at in [0, 2048] {
                before[at..at + 16].copy_from_slice(b"QRM SPARE FILE\r\n");
            }
            reverted += 1;
            for at in (0..len).step_by(step) {
                let copy = subject.disk.fork(at as u64);
                copy.damage(&path, |bytes| bytes[at..at + step].copy_from_slice(&before[at..at + step]));
                match open(&copy, INLINE) {
                    Ok((log, recovered)) => {
                        let all = subject.batches.len();
                        // Of a log that was killed nothing speaks of the last batch, and of the one before only its header.
                        let covered = if is_closed { all } else { all - 2 };
                        let found = check(&log, &recovered, &subject.batches, covered);
                        assert!(found.is_ok(), "{} at {at}: {found:?}", path.display());
                        assert!(found == Ok(all) || !recovered.notes.is_empty());
                        whole += 1;
                    }
                    Err(StorageError::Corrupt { .. }) => refused += 1,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        println!("closed {is_closed}, {step}: {reverted} files, {refused} refused, {whole} whole");
        assert!(reverted > 1 && refused >= reverted, "{reverted} {refused} {whole}");
    }
}

/// Entries whose content follows from where they stand, so that whoever reads one knows whether it is the right one.
fn told_by_its_place(index: u64, round: u64) -> Entry {
    entry(index, round, ((index * 37 + round * 11) % 800) as usize)
}

#[test]
fn readers_beside_a_log_whose_files_are_used_again_and_again_read_what_was_written() {
    let disk = SimulatedDisk::new(12);
    let (mut log, _) = open(&disk, THREADED).unwrap();
    let ended = Arc::new(AtomicBool::new(false));
    let newest = Arc::new(AtomicU64::new(0));
    let readers: Vec<_> = (0..3)
        .map(|number| {
            let (reader, ended, newest) = (log.reader(), ended.clone(), newest.clone());
            std::thread::spawn(move || {
                let (mut dice, mut count) = (Dice(number), 0);
                while !ended.load(Ordering::SeqCst) {
                    let from = newest.load(Ordering::SeqCst).saturating_sub(dice.below(60));
                    let range = Index(from)..Index(from + 1 + dice.below(40));
                    let entries = block_on(reader.read(range.clone(), usize::MAX)).unwrap();
                    assert!(entries.windows(2).all(|pair| pair[0].index.next() == pair[1].index));
                    for found in &entries {
                        assert!(range.contains(&found.index));
                        assert_eq!(*found, told_by_its_place(found.index.0, found.generation.round));
                    }
                    count += entries.len();
                }
                count
            })
        })
        .collect();
    let (mut last, mut round, mut dice, mut recycled) = (0_u64, 1, Dice(9), 0);
    for seq in 1..=600 {
        let mut batch = Batch::new();
        if dice.below(9) == 0 && last > 20 {
            last -= 1 + dice.below(2);
            round += 1;
            batch.push(Op::TruncateFrom(Index(last + 1)));
        }
        for _ in 0..=dice.below(4) {
            last += 1;
            batch.push(Op::Put(told_by_its_place(last, round)));
        }
        if dice.below(4) == 0 && last > 40 {
            batch.push(compact(last - 10 - dice.below(30), round));
        }
        log.submit(WriteSeq(seq), batch).unwrap();
        while durable(&mut log).unwrap() < WriteSeq(seq) {}
        newest.store(last, Ordering::SeqCst);
        recycled += u64::from(disk.names(FOLDER).iter().any(|name| name.ends_with(".recycled.new")));
    }
    ended.store(true, Ordering::SeqCst);
    assert!(readers.into_iter().map(|reader| reader.join().unwrap()).sum::<usize>() > 0);
    assert!(recycled > 0);
}
