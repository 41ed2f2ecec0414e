//! A full disk is no failure: what is submitted waits, in order, until there is room; what must get through does.

use std::path::Path;
use std::process::Command;
use std::task::Poll;
use std::time::Duration;

use consensus_api::{Batch, Generation, Index, LogStorage, NodeId, Op, Recovered, StorageError, WriteSeq};
use quorate_storage_file::faulty::FaultPlan;
use quorate_storage_file::simulated::{Faults, SimulatedDisk};
use quorate_storage_file::{FileLog, FileLogOptions};

use crate::harness::*;

fn open_limited(
    disk: &SimulatedDisk,
    plan: &FaultPlan,
    options: FileLogOptions,
) -> Result<(FileLog, Recovered), StorageError> {
    let mut log = FileLog::open_in(plan.over(disk.folder(FOLDER)), options)?;
    let recovered = log.attach(&identity())?;
    Ok((log, recovered))
}

fn one_entry(index: u64) -> Batch {
    put([entry(index, 1, 500)])
}

/// Submits entries until one is not durable at once. Returns how many are.
fn fill(log: &mut FileLog, from: u64) -> u64 {
    for index in from.. {
        log.submit(WriteSeq(index), one_entry(index)).unwrap();
        match poll(log) {
            Poll::Ready(durable) => assert_eq!(durable.unwrap(), WriteSeq(index)),
            Poll::Pending => return index - 1,
        }
    }
    unreachable!()
}

#[test]
fn what_finds_no_room_waits_in_order_and_is_written_once_there_is_some() {
    let disk = SimulatedDisk::new(1);
    let plan = FaultPlan::default();
    let (mut log, _) = open_limited(&disk, &plan, INLINE).unwrap();
    assert!(log.has_room());
    plan.set_room(Some(40_000));
    let durable = fill(&mut log, 1);
    assert!(durable > 20, "{durable}");
    assert!(!log.has_room());
    log.submit(WriteSeq(durable + 2), one_entry(durable + 2)).unwrap();
    assert!(poll(&mut log).is_pending());
    assert_eq!(read_all(&log).unwrap().len() as u64, durable, "readers see nothing of it yet");
    plan.set_room(None);
    assert!(matches!(poll(&mut log), Poll::Ready(Ok(seq)) if seq == WriteSeq(durable + 2)));
    assert!(log.has_room());
    drop(log);
    disk.crash();
    let (log, recovered) = open(&disk, INLINE).unwrap();
    assert_eq!((recovered.notes.len(), recovered.outline.last()), (0, Index(durable + 2)));
    assert_eq!(read_all(&log).unwrap().len() as u64, durable + 2);
}

/// It is told while there is still a segment to write to, so a node that stops proposing is never stuck.
#[test]
fn a_full_disk_is_told_early_enough_for_votes_and_compactions() {
    let disk = SimulatedDisk::new(2);
    let plan = FaultPlan::default();
    let (mut log, _) = open_limited(&disk, &plan, INLINE).unwrap();
    plan.set_room(Some(40_000));
    let mut last = 0;
    while log.has_room() {
        last += 1;
        log.submit(WriteSeq(last), one_entry(last)).unwrap();
        assert!(poll(&mut log).is_ready(), "nothing waits as long as there is room");
    }
    for round in 0..10 {
        log.submit(WriteSeq(last + 1 + round), [hard_state(round)].into_iter().collect()).unwrap();
        assert!(poll(&mut log).is_ready(), "{round}");
    }
    // What a compaction frees is used again, though the disk itself has no room.
    plan.set_room(Some(0));
    let compact = Op::Compact { upto: Index(last - 1), generation: Generation::new(1, NodeId(1)) };
    log.submit(WriteSeq(last + 20), [compact].into_iter().collect()).unwrap();
    assert!(poll(&mut log).is_ready());
    for more in 1..8 {
        log.submit(WriteSeq(last + 20 + more), one_entry(last + more)).unwrap();
        assert!(poll(&mut log).is_ready(), "{more}");
    }
    assert!(log.has_room());
    drop(log);
    let (_, recovered) = open(&disk, INLINE).unwrap();
    assert_eq!(recovered.outline.last(), Index(last + 7));
    assert_eq!(recovered.outline.hard_state.as_deref(), Some(&9_u64.to_le_bytes()[..]));
}

#[test]
fn the_threads_of_real_life_resume_by_themselves() {
    let disk = SimulatedDisk::new(3);
    let plan = FaultPlan::default();
    let (mut log, _) = open_limited(&disk, &plan, THREADED).unwrap();
    plan.set_room(Some(30_000));
    for index in 1..=200 {
        log.submit(WriteSeq(index), one_entry(index)).unwrap();
    }
    while log.has_room() {
        std::thread::sleep(Duration::from_millis(1));
    }
    plan.set_room(None);
    while durable(&mut log).unwrap() < WriteSeq(200) {}
    drop(log);
    disk.crash();
    assert_eq!(open(&disk, THREADED).unwrap().1.outline.last(), Index(200));
}

#[test]
fn whatever_operation_the_power_fails_at_on_a_full_disk_the_log_holds_a_prefix() {
    let batches: Vec<Batch> = (1..=60).map(one_entry).collect();
    let mut waited = 0;
    for power_off_at in 1.. {
        let disk = SimulatedDisk::new(power_off_at);
        let plan = FaultPlan::default();
        disk.set_faults(Faults { power_off_at: Some(power_off_at), ..Faults::default() });
        let mut acked = 0;
        if let Ok((mut log, _)) = open_limited(&disk, &plan, INLINE) {
            plan.set_room(Some(20_000));
            for (number, batch) in batches.iter().enumerate() {
                if log.submit(WriteSeq(number as u64 + 1), batch.clone()).is_err() {
                    break;
                }
                if number == 50 {
                    plan.set_room(None);
                }
                match poll(&mut log) {
                    Poll::Ready(Ok(seq)) => acked = seq.0 as usize,
                    Poll::Ready(Err(_)) => break,
                    Poll::Pending => waited += 1,
                }
            }
        }
        let finished = disk.counts().operations < power_off_at;
        disk.crash();
        let (log, recovered) = open(&disk, INLINE).unwrap_or_else(|error| panic!("{power_off_at}: {error}"));
        check(&log, &recovered, &batches, acked).unwrap_or_else(|error| panic!("{power_off_at}: {error}"));
        if finished {
            assert!(acked == 60 && waited > 100, "{acked} {waited}");
            break;
        }
    }
}

/// Its segment must grow, for which files that wait for their next use are of no help; and the next segment is ready, so
/// that nobody asks for room for that.
#[test]
fn a_batch_longer_than_a_segment_is_written_by_itself_once_there_is_room() {
    for options in [THREADED, INLINE] {
        let disk = SimulatedDisk::new(5);
        let plan = FaultPlan::default();
        let (mut log, _) = open_limited(&disk, &plan, options).unwrap();
        for index in 1..=60 {
            log.submit(WriteSeq(index), one_entry(index)).unwrap();
            while durable(&mut log).unwrap() < WriteSeq(index) {}
        }
        let compact = Op::Compact { upto: Index(60), generation: Generation::new(1, NodeId(1)) };
        log.submit(WriteSeq(61), [compact].into_iter().collect()).unwrap();
        while durable(&mut log).unwrap() < WriteSeq(61) {}
        plan.set_room(Some(0));
        log.submit(WriteSeq(62), put([entry(61, 1, 100_000)])).unwrap();
        assert!(poll(&mut log).is_pending());
        // Long enough for the log's thread to find out, and to mark its end.
        std::thread::sleep(Duration::from_millis(200));
        plan.set_room(None);
        let mut told = None;
        for _ in 0..1000 {
            if let Poll::Ready(seq) = poll(&mut log) {
                told = Some(seq.unwrap());
            }
            if told.is_some() && log.has_room() {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!((told, log.has_room()), (Some(WriteSeq(62)), true), "inline: {}", options.inline);
    }
}

/// A file system in memory of 2 MiB, if this process may mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=2m", "quorate-test"]).arg(folder.path());
        match mount.output() {
            Ok(output) if output.status.success() => Some(Self(folder)),
            refused => {
                println!("skipped: a small file system cannot be mounted here: {refused:?}");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(self.0.path()).output());
    }
}

/// Whether what was submitted is durable; `false` if it waits for room instead.
fn durable_or_full(log: &mut FileLog) -> bool {
    const SETTLED: usize = 400;
    let mut without_room = 0;
    while poll(log).map(Result::unwrap).is_pending() {
        without_room += usize::from(!log.has_room());
        if without_room > SETTLED {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

#[test]
fn a_real_disk_that_is_full_is_waited_out() {
    let Some(disk) = SmallDisk::mount() else { return };
    let folder = disk.0.path().join("log");
    let options = FileLogOptions { segment_bytes: 64 << 10, ..FileLogOptions::default() };
    let mut log = FileLog::open_with(&folder, options).unwrap();
    log.attach(&identity()).unwrap();
    let ballast = disk.0.path().join("ballast");
    std::fs::write(&ballast, vec![1; 1 << 20]).unwrap();
    let (mut last, mut waits) = (0, false);
    while log.has_room() {
        last += 1;
        log.submit(WriteSeq(last), one_entry(last)).unwrap();
        waits = !durable_or_full(&mut log);
    }
    assert!(Path::new(&ballast).exists() && last > 100, "{last}");
    log.submit(WriteSeq(last + 1), [hard_state(7)].into_iter().collect()).unwrap();
    // The next segment is made ready beside: an entry may come to its end before it is known that there will be none,
    // and then waits for room, with all that comes behind it.
    if !waits {
        assert_eq!(durable(&mut log).unwrap(), WriteSeq(last + 1), "votes get through");
    }
    std::fs::remove_file(&ballast).unwrap();
    while waits && durable(&mut log).unwrap() < WriteSeq(last + 1) {}
    while !log.has_room() {
        std::thread::sleep(Duration::from_millis(5));
    }
    for index in last + 1..last + 400 {
        log.submit(WriteSeq(index + 1), one_entry(index)).unwrap();
        durable(&mut log).unwrap();
    }
    drop(log);
    let mut log = FileLog::open_with(&folder, options).unwrap();
    assert_eq!(log.attach(&identity()).unwrap().outline.last(), Index(last + 399));
}
