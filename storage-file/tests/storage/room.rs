//! The room of files that the log keeps for its next segments: whoever finds the disk full gets it.

use std::io::ErrorKind;
use std::task::Poll;

use consensus_api::{Batch, Generation, Index, LogStorage, NodeId, Op, StorageError, WriteSeq};
use quorate_storage_file::FileLog;
use quorate_storage_file::faulty::{Failure, FaultPlan, Operation};
use quorate_storage_file::simulated::{Faults, SimulatedDisk};

use crate::harness::*;
use crate::snapshots;

/// A log that keeps four files, on a disk that is full from then on.
struct Full {
    disk: SimulatedDisk,
    plan: FaultPlan,
    log: FileLog,
    batches: Vec<Batch>,
}

impl Full {
    fn new() -> Self {
        let mut full = Self::unfilled();
        (1..=60).for_each(|index| full.submit(put([entry(index, 1, 500)])));
        full.compact(59);
        assert_eq!(full.kept().len(), 4);
        full.plan.set_room(Some(0));
        full
    }

    fn unfilled() -> Self {
        let (disk, plan) = (SimulatedDisk::new(1), FaultPlan::default());
        let mut log = FileLog::open_in(plan.over(disk.folder(FOLDER)), INLINE).unwrap();
        log.attach(&identity()).unwrap();
        Self { disk, plan, log, batches: Vec::new() }
    }

    fn submit(&mut self, batch: Batch) {
        self.batches.push(batch.clone());
        let seq = WriteSeq(self.batches.len() as u64);
        self.log.submit(seq, batch).unwrap();
        while durable(&mut self.log).unwrap() < seq {}
    }

    fn compact(&mut self, upto: u64) {
        let op = Op::Compact { upto: Index(upto), generation: Generation::new(1, NodeId(1)) };
        self.submit([op].into_iter().collect());
    }

    /// The names of the files that are kept, oldest first.
    fn kept(&self) -> Vec<String> {
        self.disk.names(FOLDER).into_iter().filter(|name| name.ends_with(".recycled.new")).collect()
    }
}

#[test]
fn a_snapshot_gets_as_many_of_the_oldest_as_it_needs_each_removed_durably() {
    let mut full = Full::new();
    let (kept, syncs) = (full.kept(), full.plan.count(Operation::FolderSync));
    let content = snapshots::content(1, 20_000);
    snapshots::write(&full.log, 1, &content).unwrap();
    assert_eq!(full.kept(), kept[3..]);
    assert_eq!(full.plan.count(Operation::FolderSync) - syncs, 3 + 1, "the last one is the snapshot's");
    let reader = snapshots::latest(&full.log).unwrap().unwrap();
    assert_eq!(snapshots::read(&*reader).unwrap(), content);
    full.submit(put([entry(61, 1, 500)]));
    assert!(full.log.has_room());
}

#[test]
fn a_snapshot_too_large_for_all_of_it_fails_alone() {
    let mut full = Full::new();
    let failed = snapshots::write(&full.log, 1, &snapshots::content(1, 40_000));
    assert!(matches!(failed, Err(StorageError::Full { .. })), "{failed:?}");
    assert!(full.kept().is_empty() && snapshots::snapshot_files(&full.disk) == 0);
    snapshots::write(&full.log, 1, &snapshots::content(1, 30_000))
        .expect("the room is there for the next one");
    full.submit(put([entry(61, 1, 500)]));
}

#[test]
fn a_file_that_cannot_be_removed_is_kept_for_the_next_try() {
    let full = Full::new();
    let kept = full.kept();
    full.plan.fail(Operation::Name, 2, Failure::Error(ErrorKind::Other));
    let failed = snapshots::write(&full.log, 1, b"its creation is the first change of a name");
    assert!(matches!(failed, Err(StorageError::Full { .. })), "{failed:?}");
    assert_eq!(full.kept(), kept);
    snapshots::write(&full.log, 1, b"small").unwrap();
    assert_eq!(full.kept(), kept[1..]);
}

/// After a sync that failed nobody knows what is on disk.
#[test]
fn a_snapshot_whose_sync_finds_no_room_is_not_synced_again_but_the_next_one_has_the_room() {
    let full = Full::new();
    let (kept, syncs) = (full.kept(), full.plan.count(Operation::Sync));
    full.plan.fail(Operation::Sync, 1, Failure::Error(ErrorKind::StorageFull));
    full.plan.set_room(Some(1000));
    let failed = snapshots::write(&full.log, 1, b"small");
    assert!(matches!(failed, Err(StorageError::Full { .. })), "{failed:?}");
    assert_eq!((full.kept(), full.plan.count(Operation::Sync) - syncs), (kept[1..].to_vec(), 1));
    snapshots::write(&full.log, 1, &snapshots::content(1, 8000)).unwrap();
    assert_eq!(full.kept(), kept[1..]);
}

#[test]
fn whatever_operation_the_power_fails_at_while_room_is_given_back_the_log_is_whole() {
    for power_off_at in 1.. {
        let Full { disk, log, batches, .. } = Full::new();
        let at = disk.counts().operations + power_off_at;
        disk.set_faults(Faults { power_off_at: Some(at), ..Faults::default() });
        let finished = snapshots::write(&log, 1, &snapshots::content(1, 30_000)).is_ok();
        let done = disk.counts().operations < at;
        drop(log);
        disk.crash();
        let (log, recovered) = open(&disk, INLINE).unwrap_or_else(|error| panic!("{power_off_at}: {error}"));
        check(&log, &recovered, &batches, batches.len()).unwrap();
        assert!(!finished || snapshots::latest(&log).unwrap().is_some());
        if done {
            break;
        }
    }
}

/// It finds the next segment ready, so that nobody asks for room for that.
#[test]
fn a_batch_longer_than_a_segment_gets_it_too() {
    let mut full = Full::new();
    full.log.submit(WriteSeq(62), put([entry(61, 1, 20_000)])).unwrap();
    let polled: Vec<_> = (0..6).map(|_| poll(&mut full.log)).filter(Poll::is_ready).collect();
    assert!(matches!(polled[..], [Poll::Ready(Ok(WriteSeq(62)))]), "{polled:?} {:?}", full.kept());
}

#[test]
fn a_file_whose_new_name_finds_no_room_is_kept_and_tried_again() {
    let mut full = Full::new();
    let kept = full.kept();
    full.plan.fail(Operation::Name, 1, Failure::Error(ErrorKind::StorageFull));
    let mut last = 60;
    while full.log.has_room() {
        last += 1;
        full.submit(put([entry(last, 1, 500)]));
    }
    assert_eq!(full.kept(), kept);
    full.submit(put([entry(last + 1, 1, 500)]));
    assert!(full.log.has_room());
    assert_eq!(full.kept(), kept[..3]);
}

/// Its old name is gone, and nobody knows of the new one.
#[test]
fn a_file_whose_keeping_was_cut_short_is_given_back_at_the_next_compaction() {
    let mut full = Full::unfilled();
    (1..=60).for_each(|index| full.submit(put([entry(index, 1, 500)])));
    full.plan.fail(Operation::FolderSync, 1, Failure::Error(ErrorKind::Other));
    full.compact(30);
    let cut_short = full.kept();
    assert_eq!(cut_short.len(), 1);
    full.compact(50);
    let kept = full.kept();
    assert!(kept.len() == 4 && !kept.contains(&cut_short[0]), "{cut_short:?} {kept:?}");
}
