//! Every kind of failure at every operation: what was acknowledged is there afterwards, nothing is acknowledged after a
//! failure, and a failed read is an error, never a wrong answer.

use std::io::ErrorKind;
use std::task::Poll;

use consensus_api::{Batch, Index, LogStorage, StorageError, WriteSeq};
use quorate_storage_file::FileLog;
use quorate_storage_file::faulty::{Failure, FaultPlan, Operation};
use quorate_storage_file::simulated::SimulatedDisk;

use crate::harness::*;

fn open_faulty(
    disk: &SimulatedDisk,
    plan: &FaultPlan,
) -> Result<(FileLog, consensus_api::Recovered), StorageError> {
    let mut log = FileLog::open_in(plan.over(disk.folder(FOLDER)), INLINE)?;
    let recovered = log.attach(&identity())?;
    Ok((log, recovered))
}

/// Writes until the log fails. Returns how many batches were acknowledged, and the failure.
fn write(log: &mut FileLog, batches: &[Batch]) -> (usize, Option<StorageError>) {
    let mut acked = 0;
    for (number, batch) in batches.iter().enumerate() {
        if let Err(error) = log.submit(WriteSeq(number as u64 + 1), batch.clone()) {
            return (acked, Some(error));
        }
        match poll(log) {
            Poll::Ready(Ok(seq)) => acked = seq.0 as usize,
            Poll::Ready(Err(error)) => return (acked, Some(error)),
            Poll::Pending => {}
        }
    }
    (acked, None)
}

/// Lets the n-th operation of a kind fail, for every n, and has the process or the power fail afterwards. Returns how
/// often the log failed.
fn fail_everywhere(operation: Operation, failure: Failure, power_fails: bool) -> u64 {
    let batches = batches(21, 60);
    let mut failed = 0;
    for nth in 1.. {
        let disk = SimulatedDisk::new(nth);
        let plan = FaultPlan::default();
        plan.fail(operation, nth, failure);
        let mut acked = 0;
        if let Ok((mut log, _)) = open_faulty(&disk, &plan) {
            let written = write(&mut log, &batches);
            acked = written.0;
            if written.1.is_some() {
                failed += 1;
                let refused = log.submit(WriteSeq(999), put([entry(999, 9, 9)]));
                assert!(matches!(refused, Err(StorageError::Poisoned)), "{nth}");
                assert!(matches!(poll(&mut log), Poll::Ready(Err(StorageError::Poisoned))), "{nth}");
            }
        } else {
            failed += 1;
        }
        let finished = plan.count(operation) < nth;
        if power_fails {
            disk.crash();
        } else {
            disk.kill();
        }
        let (log, recovered) = open(&disk, INLINE).unwrap_or_else(|error| panic!("{nth}: {error}"));
        check(&log, &recovered, &batches, acked).unwrap_or_else(|error| panic!("{nth}: {error}"));
        if finished {
            return failed;
        }
    }
    unreachable!()
}

#[test]
fn a_failed_write_sync_or_name_at_any_place_loses_nothing_that_was_acknowledged() {
    for power_fails in [false, true] {
        for (operation, failure, least) in [
            (Operation::Write, Failure::Error(ErrorKind::Other), 30),
            (Operation::Write, Failure::ShortWrite(ErrorKind::Other), 30),
            (Operation::Write, Failure::ShortWrite(ErrorKind::StorageFull), 20),
            (Operation::Sync, Failure::Error(ErrorKind::Other), 30),
            (Operation::Sync, Failure::Error(ErrorKind::StorageFull), 20),
            (Operation::FolderSync, Failure::Error(ErrorKind::Other), 5),
            (Operation::Name, Failure::Error(ErrorKind::Other), 5),
        ] {
            let failed = fail_everywhere(operation, failure, power_fails);
            assert!(failed >= least, "{operation:?} {failure:?}: {failed}");
        }
    }
}

#[test]
fn a_failed_read_is_an_error_and_changes_nothing() {
    let batches = batches(22, 40);
    let disk = SimulatedDisk::new(22);
    let (mut log, _) = open(&disk, INLINE).unwrap();
    let (acked, failure) = write(&mut log, &batches);
    assert!(failure.is_none());
    drop(log);
    for nth in 1.. {
        let disk = disk.fork(nth);
        let plan = FaultPlan::default();
        plan.fail(Operation::Read, nth, Failure::Error(ErrorKind::Other));
        let opened = open_faulty(&disk, &plan);
        if plan.count(Operation::Read) < nth {
            assert!(opened.is_ok());
            assert!(nth > 15, "{nth}");
            break;
        }
        assert!(matches!(opened, Err(StorageError::Io { .. })), "{nth}: {opened:?}");
        let (log, recovered) = open(&disk, INLINE).unwrap();
        assert_eq!(check(&log, &recovered, &batches, acked), Ok(batches.len()));
    }
}

#[test]
fn a_bit_flipped_on_its_way_from_the_disk_is_noticed_by_open_and_by_readers() {
    let batches = batches(23, 40);
    let disk = SimulatedDisk::new(23);
    let (mut log, _) = open(&disk, INLINE).unwrap();
    let (acked, _) = write(&mut log, &batches);
    drop(log);
    let mut refused = 0;
    for nth in 1..30 {
        for bit in (0..64 << 10).step_by(1999) {
            let disk = disk.fork(nth);
            let plan = FaultPlan::default();
            plan.fail(Operation::Read, nth, Failure::FlippedBit(bit));
            match open_faulty(&disk, &plan) {
                Ok((log, recovered)) => {
                    match check(&log, &recovered, &batches, acked) {
                        Ok(found) => assert_eq!(found, batches.len()),
                        // It hit the reading of entries: refused as well.
                        Err(error) => assert!(error.contains("is damaged at byte"), "{error}"),
                    }
                }
                Err(StorageError::Corrupt { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn a_reader_hands_on_the_errors_of_the_disk() {
    let disk = SimulatedDisk::new(24);
    let plan = FaultPlan::default();
    let (mut log, _) = open_faulty(&disk, &plan).unwrap();
    assert!(write(&mut log, &[put([entry(1, 1, 50)])]).1.is_none());
    plan.fail(Operation::Read, 1, Failure::Error(ErrorKind::Other));
    let failed = read(&log, Index(1)..Index(2), 1);
    assert!(matches!(failed, Err(StorageError::Io { .. })), "{failed:?}");
    assert_eq!(read(&log, Index(1)..Index(2), 1).unwrap().len(), 1);
}
