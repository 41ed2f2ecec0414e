//! What is acknowledged is on disk, at one sync per group.

use crate::harness::*;
use consensus_api::{Batch, Index, LogStorage, Op, StorageError, WriteSeq};
use quorate_storage_file::FileLogOptions;
use quorate_storage_file::simulated::{Faults, SimulatedDisk};
use std::io::ErrorKind;
use std::task::Poll;

/// Writes each batch by itself, and returns how many were acknowledged.
fn write_each(log: &mut quorate_storage_file::FileLog, batches: &[Batch]) -> usize {
    let mut acked = 0;
    for (number, batch) in batches.iter().enumerate() {
        if log.submit(WriteSeq(number as u64 + 1), batch.clone()).is_err() {
            break;
        }
        if let Poll::Ready(Ok(seq)) = poll(log) {
            acked = seq.0 as usize;
        }
    }
    acked
}

#[test]
fn a_log_reopened_after_every_prefix_of_its_batches_holds_that_prefix() {
    let batches = batches(1, 120);
    for count in 0..=batches.len() {
        let disk = SimulatedDisk::new(count as u64);
        let (mut log, _) = open(&disk, INLINE).unwrap();
        write_each(&mut log, &batches[..count]);
        drop(log);
        let (log, recovered) = open(&disk, INLINE).unwrap();
        assert_eq!(check(&log, &recovered, &batches[..count], count), Ok(count));
        assert_eq!(recovered.notes, Vec::<String>::new());
    }
}

#[test]
fn the_threads_of_real_life_write_the_same_log() {
    let batches = batches(2, 300);
    let disk = SimulatedDisk::new(2);
    let (mut log, _) = open(&disk, THREADED).unwrap();
    for (number, batch) in batches.iter().enumerate() {
        log.submit(WriteSeq(number as u64 + 1), batch.clone()).unwrap();
    }
    log.submit(WriteSeq(1000), [hard_state(9)].into_iter().collect()).unwrap();
    while durable(&mut log).unwrap() < WriteSeq(1000) {}
    let mut model = Model::of(&batches);
    model.replay(&hard_state(9));
    assert_eq!(read_all(&log).unwrap(), model.entries.values().cloned().collect::<Vec<_>>());
    disk.crash();
    drop(log);
    let (log, recovered) = open(&disk, THREADED).unwrap();
    assert_eq!(Model::recovered(&log, &recovered).unwrap(), model);
}

#[test]
fn an_acknowledged_group_costs_one_write_and_one_sync_however_many_batches_share_it() {
    let disk = SimulatedDisk::new(3);
    let (mut log, _) =
        open(&disk, FileLogOptions { segment_bytes: 64 << 10, inline: true, ..INLINE }).unwrap();
    for (group, size) in [1_u64, 1, 5, 20].into_iter().enumerate() {
        let before = disk.counts();
        let seq = |number: u64| WriteSeq(group as u64 * 100 + number);
        for number in 0..size {
            log.submit(seq(number), put([entry(number + 1, 1, 30)])).unwrap();
        }
        assert_eq!(disk.counts(), before, "submit does not touch the disk");
        assert_eq!(durable(&mut log).unwrap(), seq(size - 1));
        let after = disk.counts();
        assert_eq!((after.writes - before.writes, after.syncs - before.syncs), (1, 1));
        assert_eq!(after.folder_syncs, before.folder_syncs);
    }
}

#[test]
fn what_queues_up_goes_out_in_writes_of_a_few_mebibytes_in_order() {
    let disk = SimulatedDisk::new(9);
    let options = FileLogOptions { segment_bytes: 64 << 20, ..INLINE };
    let (mut log, _) = open(&disk, options).unwrap();
    // The first segment of a start is a short one.
    for seq in 1..=2 {
        log.submit(WriteSeq(seq), put([entry(seq, 1, 1 << 20)])).unwrap();
        assert_eq!(durable(&mut log).unwrap(), WriteSeq(seq));
    }
    let before = disk.counts();
    for seq in 3..=9 {
        log.submit(WriteSeq(seq), put([entry(seq, 1, 3 << 20)])).unwrap();
    }
    assert_eq!(durable(&mut log).unwrap(), WriteSeq(9));
    let after = disk.counts();
    assert_eq!(
        (after.writes - before.writes, after.syncs - before.syncs),
        (4, 4),
        "two batches, and the last alone"
    );
    drop(log);
    disk.crash();
    let (log, _) = open(&disk, options).unwrap();
    assert_eq!(read_all(&log).unwrap().len(), 9);
}

#[test]
fn a_hint_alone_is_written_but_neither_synced_nor_reported() {
    let disk = SimulatedDisk::new(4);
    let (mut log, _) = open(&disk, INLINE).unwrap();
    let before = disk.counts();
    log.submit(WriteSeq(1), [Op::Watermark(Index(7))].into_iter().collect()).unwrap();
    assert!(poll(&mut log).is_pending());
    assert_eq!((disk.counts().writes - before.writes, disk.counts().syncs), (1, before.syncs));
    log.submit(WriteSeq(2), [hard_state(1)].into_iter().collect()).unwrap();
    assert_eq!(durable(&mut log).unwrap(), WriteSeq(2));
    drop(log);
    assert_eq!(open(&disk, INLINE).unwrap().1.outline.watermark, Index(7));
}

#[test]
fn an_empty_batch_is_acknowledged_without_touching_the_disk() {
    let disk = SimulatedDisk::new(5);
    let (mut log, _) = open(&disk, INLINE).unwrap();
    let before = disk.counts();
    log.submit(WriteSeq(1), Batch::new()).unwrap();
    assert_eq!(durable(&mut log).unwrap(), WriteSeq(1));
    assert_eq!(disk.counts(), before);
}

/// Writes, crashes and reopens; says whether everything acknowledged was still there.
fn survives_a_crash(faults: Faults, seed: u64) -> bool {
    let batches = batches(seed, 40);
    let disk = SimulatedDisk::new(seed);
    drop(open(&disk, INLINE).unwrap());
    let (mut log, _) = open(&disk, INLINE).unwrap();
    disk.set_faults(faults);
    let acked = write_each(&mut log, &batches);
    assert!(acked > 0);
    disk.crash();
    drop(log);
    match open(&disk, INLINE) {
        Ok((log, recovered)) => check(&log, &recovered, &batches, acked).is_ok(),
        Err(_) => false,
    }
}

#[test]
fn skipping_a_sync_is_noticed() {
    let honest = Faults::default();
    let no_syncs = Faults { skip_syncs: true, ..honest };
    let no_folder_syncs = Faults { skip_folder_syncs: true, ..honest };
    assert!((0..50).all(|seed| survives_a_crash(honest, seed)));
    assert!((0..50).filter(|seed| !survives_a_crash(no_syncs, *seed)).count() > 25);
    assert!((0..50).filter(|seed| !survives_a_crash(no_folder_syncs, *seed)).count() > 10);
}

#[test]
fn any_failed_write_or_sync_poisons_the_log_once_told_and_for_good() {
    let batches = batches(6, 40);
    let mut poisoned = 0;
    for (error, crashes) in
        [(ErrorKind::Other, true), (ErrorKind::StorageFull, true), (ErrorKind::Other, false)]
    {
        for after in 1.. {
            let disk = SimulatedDisk::new(after);
            let (mut log, _) = open(&disk, INLINE).unwrap();
            let number = disk.counts().operations + after;
            disk.set_faults(Faults { fail_at: Some((number, error)), ..Faults::default() });
            let mut acked = 0;
            let mut failure = None;
            for (number, batch) in batches.iter().enumerate() {
                log.submit(WriteSeq(number as u64 + 1), batch.clone()).unwrap();
                match poll(&mut log) {
                    Poll::Ready(Ok(seq)) => acked = seq.0 as usize,
                    Poll::Ready(Err(found)) => {
                        failure = Some(found);
                        break;
                    }
                    Poll::Pending => {}
                }
            }
            if disk.counts().operations < number {
                break;
            }
            if let Some(failure) = failure {
                poisoned += 1;
                assert_eq!(matches!(failure, StorageError::Full { .. }), error == ErrorKind::StorageFull);
                assert!(matches!(poll(&mut log), Poll::Ready(Err(StorageError::Poisoned))));
                let before = disk.counts();
                assert!(matches!(log.submit(WriteSeq(99), Batch::new()), Err(StorageError::Poisoned)));
                assert!(matches!(poll(&mut log), Poll::Ready(Err(StorageError::Poisoned))));
                drop(log);
                assert_eq!(disk.counts(), before, "nothing is tried again");
            } else {
                // It hit the removal of a segment, which is tried again later.
                drop(log);
            }
            // Whether the machine fails now or only later: what was acknowledged is there, and what recovery believes
            // is there for good, although the failed sync has left pages that are thought clean.
            if crashes {
                disk.crash();
            } else {
                disk.kill();
            }
            let (log, recovered) = open(&disk, INLINE).unwrap();
            let believed = check(&log, &recovered, &batches, acked).unwrap();
            disk.crash();
            drop(log);
            let (log, recovered) = open(&disk, INLINE).unwrap();
            check(&log, &recovered, &batches[..believed.max(acked)], believed).unwrap();
        }
    }
    assert!(poisoned > 50, "{poisoned}");
}
