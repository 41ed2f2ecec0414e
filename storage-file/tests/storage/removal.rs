//! Compaction, the removal of segments, and reading across all of it.

use consensus_api::{Batch, Entry, Generation, Index, LogReader, LogStorage, NodeId, Op, WriteSeq};
use quorate_storage_file::simulated::{Faults, SimulatedDisk};
use quorate_storage_file::{FileLog, FileLogOptions};

use crate::harness::*;

fn segments(disk: &SimulatedDisk) -> Vec<u64> {
    let names = disk.names(FOLDER);
    names.iter().filter_map(|name| u64::from_str_radix(name.strip_suffix(".wal")?, 16).ok()).collect()
}

fn compact(upto: u64) -> Batch {
    let generation = Generation::new(1, NodeId(1));
    [Op::Compact { upto: Index(upto), generation }].into_iter().collect()
}

/// Entries `1 ..= count`, each in a batch of its own.
fn fill(log: &mut FileLog, count: u64) {
    for index in 1..=count {
        log.submit(WriteSeq(index), put([entry(index, 1, 500)])).unwrap();
        durable(log).unwrap();
    }
}

#[test]
fn segments_go_oldest_first_once_nothing_in_them_counts_and_never_come_back() {
    let disk = SimulatedDisk::new(1);
    let (mut log, _) = open(&disk, INLINE).unwrap();
    log.submit(WriteSeq(0), [hard_state(5)].into_iter().collect()).unwrap();
    fill(&mut log, 60);
    let all = segments(&disk);
    assert!(all.len() > 6);
    log.submit(WriteSeq(61), compact(30)).unwrap();
    durable(&mut log).unwrap();
    let left = segments(&disk);
    assert!(left[0] > all[3], "what is no longer needed went");
    assert!(left.windows(2).all(|pair| pair[0] + 1 == pair[1]), "and left no gap");
    let entries = read_all(&log).unwrap();
    assert_eq!(entries.first().map(|entry| entry.index), Some(Index(31)));
    assert_eq!(entries.len(), 30);
    log.submit(WriteSeq(62), compact(60)).unwrap();
    durable(&mut log).unwrap();
    let compacted_in = segments(&disk);
    assert!(compacted_in.len() <= 2);
    // Go on until the segment that holds the compaction is itself removed.
    for index in 61..=90 {
        log.submit(WriteSeq(index + 10), put([entry(index, 1, 500)])).unwrap();
        durable(&mut log).unwrap();
    }
    assert!(segments(&disk)[0] > compacted_in[0]);
    disk.crash();
    drop(log);
    let (log, recovered) = open(&disk, INLINE).unwrap();
    assert_eq!(recovered.outline.compacted, Index(60));
    assert_eq!(recovered.outline.compacted_generation, Generation::new(1, NodeId(1)));
    assert_eq!(
        recovered.outline.hard_state.as_deref(),
        Some(&5_u64.to_le_bytes()[..]),
        "repeated at each head"
    );
    assert_eq!(read_all(&log).unwrap().len(), 30);
}

/// The younger segment holds the truncation that keeps the older one's entries away: it must not go first.
#[test]
fn what_was_truncated_stays_away_whenever_the_power_fails_during_the_removal() {
    for power_off_at in 1..40 {
        for seed in 0..8 {
            let disk = SimulatedDisk::new(seed);
            let (mut log, _) = open(&disk, INLINE).unwrap();
            fill(&mut log, 30);
            let truncated: Batch = [Op::TruncateFrom(Index(3))].into_iter().collect();
            log.submit(WriteSeq(31), truncated).unwrap();
            for index in 3..=20 {
                log.submit(WriteSeq(index + 40), put([entry(index, 2, 500)])).unwrap();
            }
            durable(&mut log).unwrap();
            let at = disk.counts().operations + power_off_at;
            disk.set_faults(Faults { power_off_at: Some(at), ..Faults::default() });
            log.submit(WriteSeq(80), compact(18)).unwrap();
            let acked = matches!(poll(&mut log), std::task::Poll::Ready(Ok(_)));
            drop(log);
            disk.crash();
            let (log, recovered) = open(&disk, INLINE).unwrap();
            assert_eq!(recovered.outline.last(), Index(20));
            assert!(!acked || recovered.outline.compacted == Index(18));
            assert!(
                read_all(&log)
                    .unwrap()
                    .iter()
                    .all(|entry| entry.index < Index(3) || entry.generation.round == 2)
            );
        }
    }
}

#[test]
fn a_removal_that_fails_stops_there_and_is_tried_again() {
    let disk = SimulatedDisk::new(2);
    let (mut log, _) = open(&disk, INLINE).unwrap();
    fill(&mut log, 60);
    let all = segments(&disk);
    // Four operations write the batch, and what is no longer needed; the fifth is the first removal.
    let at = disk.counts().operations + 5;
    disk.set_faults(Faults { fail_at: Some((at, std::io::ErrorKind::Other)), ..Faults::default() });
    log.submit(WriteSeq(61), compact(30)).unwrap();
    assert_eq!(durable(&mut log).unwrap(), WriteSeq(61), "the log itself is well");
    assert!(segments(&disk).starts_with(&all));
    log.submit(WriteSeq(62), compact(31)).unwrap();
    durable(&mut log).unwrap();
    assert!(segments(&disk)[0] > all[3]);
}

#[test]
fn reads_stop_at_their_limits_and_return_at_least_one() {
    let disk = SimulatedDisk::new(3);
    let (mut log, _) = open(&disk, INLINE).unwrap();
    fill(&mut log, 20);
    log.submit(WriteSeq(21), put((21..=40).map(|index| entry(index, 1, 10)))).unwrap();
    log.submit(WriteSeq(22), put([entry(25, 2, 20), entry(50, 2, 20)])).unwrap();
    durable(&mut log).unwrap();
    let indices = |entries: Vec<Entry>| entries.iter().map(|entry| entry.index.0).collect::<Vec<_>>();
    let get = |from: u64, to: u64, bytes_max| indices(read(&log, Index(from)..Index(to), bytes_max).unwrap());
    assert_eq!(get(1, 51, usize::MAX), (1..=40).chain([50]).collect::<Vec<_>>());
    assert_eq!(get(19, 24, usize::MAX), [19, 20, 21, 22, 23]);
    assert_eq!(get(24, 27, usize::MAX), [24, 25, 26]);
    assert_eq!(get(41, 50, usize::MAX), []);
    assert_eq!(get(41, 51, usize::MAX), [50]);
    assert_eq!(get(7, 7, usize::MAX), []);
    assert_eq!(get(0, 51, 0), [1]);
    for bytes_max in 1..3000 {
        let entries = read(&log, Index(15)..Index(51), bytes_max).unwrap();
        let before_last: usize = entries.iter().rev().skip(1).map(Entry::record_len).sum();
        let all: usize = entries.iter().map(Entry::record_len).sum();
        assert!(before_last < bytes_max && (all >= bytes_max || entries.len() == 27), "{bytes_max}");
    }
    let overwritten = read(&log, Index(25)..Index(26), 1).unwrap();
    assert_eq!(overwritten[0].generation.round, 2);
}

#[test]
fn a_batch_larger_than_a_segment_makes_its_segment_longer() {
    for options in [INLINE, THREADED] {
        let disk = SimulatedDisk::new(4);
        let (mut log, _) = open(&disk, options).unwrap();
        let large = [entry(1, 1, 10), entry(2, 1, 300_000), entry(3, 1, 10)];
        for (seq, entry) in large.iter().enumerate() {
            log.submit(WriteSeq(seq as u64), put([entry.clone()])).unwrap();
            durable(&mut log).unwrap();
        }
        disk.crash();
        drop(log);
        let (log, _) = open(&disk, options).unwrap();
        assert_eq!(read_all(&log).unwrap(), large);
    }
}

#[test]
fn a_reader_beside_the_writer_sees_whole_batches_and_all_that_was_reported() {
    let folder = tempfile::tempdir().unwrap();
    let options = FileLogOptions { segment_bytes: 32 << 10, ..FileLogOptions::default() };
    let mut log = FileLog::open_with(folder.path(), options).unwrap();
    log.attach(&identity()).unwrap();
    let reader = log.reader();
    let (told, reported) = std::sync::mpsc::sync_channel::<u64>(2);
    let reads = std::thread::spawn(move || {
        for last in reported {
            let entries =
                block_on(reader.read(Index(last.saturating_sub(20))..Index(last + 9), usize::MAX)).unwrap();
            let found = entries.last().map_or(0, |entry| entry.index.0);
            assert!(found >= last && found % 4 == 0);
            assert!(entries.windows(2).all(|pair| pair[0].index.next() == pair[1].index));
        }
    });
    for group in 0..100 {
        let first = group * 4 + 1;
        log.submit(WriteSeq(group), put((first..first + 4).map(|index| entry(index, 1, 200)))).unwrap();
        if group % 10 == 9 {
            log.submit(WriteSeq(group), compact(first - 36)).unwrap();
        }
        durable(&mut log).unwrap();
        told.send(first + 3).unwrap();
    }
    drop(told);
    reads.join().unwrap();
    drop(log);
    let mut log = FileLog::open_with(folder.path(), options).unwrap();
    assert_eq!(log.attach(&identity()).unwrap().outline.last(), Index(400));
}
