//! The power fails at every single operation, and any part of what was not synced is lost.

use std::task::Poll;

use consensus_api::{Batch, LogStorage, WriteSeq};
use quorate_storage_file::FileLog;
use quorate_storage_file::simulated::{Faults, SimulatedDisk};

use crate::harness::*;

/// Opens and writes in groups, until done or the power fails. Returns how many batches were acknowledged
/// in all, beginning with `acked`.
fn run(
    disk: &SimulatedDisk,
    batches: &[Batch],
    mut acked: usize,
    dice: &mut Dice,
) -> (usize, Option<FileLog>) {
    let Ok((mut log, recovered)) = open(disk, INLINE) else { return (acked, None) };
    let Ok(mut next) = check(&log, &recovered, batches, acked) else { return (acked, Some(log)) };
    // What was recovered was told to the engine: from here on it counts.
    acked = next;
    while next < batches.len() {
        // Now and then a group that goes over several segments.
        let most = if dice.below(4) == 0 { 40 } else { 4 };
        for _ in 0..=dice.below(most) {
            let Some(batch) = batches.get(next) else { break };
            next += 1;
            if log.submit(WriteSeq(next as u64), batch.clone()).is_err() {
                return (acked, Some(log));
            }
        }
        match poll(&mut log) {
            Poll::Ready(Ok(seq)) => acked = seq.0 as usize,
            Poll::Ready(Err(_)) => return (acked, Some(log)),
            Poll::Pending => {}
        }
    }
    (acked, Some(log))
}

#[test]
fn whatever_operation_the_power_fails_at_the_log_holds_a_prefix_with_all_that_was_acknowledged() {
    for seed in 0..6 {
        let batches = batches(seed, 60);
        for power_off_at in 1.. {
            let disk = SimulatedDisk::new(seed << 32 | power_off_at);
            let mut dice = Dice(power_off_at);
            disk.set_faults(Faults { power_off_at: Some(power_off_at), ..Faults::default() });
            let (acked, log) = run(&disk, &batches, 0, &mut dice);
            drop(log);
            let finished = disk.counts().operations < power_off_at;
            // Crash again, now while recovering: what one recovery believed, the next must find too.
            disk.crash();
            let second = disk.counts().operations + 1 + dice.below(30);
            disk.set_faults(Faults { power_off_at: Some(second), ..Faults::default() });
            let (acked, log) = run(&disk, &batches, acked, &mut dice);
            drop(log);
            disk.crash();
            let opened = open(&disk, INLINE);
            let (log, recovered) = opened
                .unwrap_or_else(|error| panic!("{seed} {power_off_at}: {error} {:?}", disk.names(FOLDER)));
            let found = check(&log, &recovered, &batches, acked);
            assert!(found.is_ok(), "{seed} {power_off_at}: {found:?}");
            if finished {
                break;
            }
        }
    }
}

/// A killed process leaves bytes and names that are readable but not on disk. What a start concludes from them must not
/// vanish afterwards.
#[test]
fn whatever_operation_the_process_is_killed_at_what_the_next_one_believes_outlives_the_power() {
    for seed in 0..4 {
        let batches = batches(seed + 100, 40);
        for killed_at in 1.. {
            let disk = SimulatedDisk::new(seed << 32 | killed_at);
            let mut dice = Dice(killed_at);
            disk.set_faults(Faults { power_off_at: Some(killed_at), ..Faults::default() });
            let (acked, log) = run(&disk, &batches, 0, &mut dice);
            drop(log);
            let finished = disk.counts().operations < killed_at;
            disk.kill();
            let (log, recovered) = open(&disk, INLINE).unwrap();
            let believed = check(&log, &recovered, &batches, acked).unwrap();
            let store = recovered.store;
            disk.crash();
            drop(log);
            let opened = open(&disk, INLINE);
            let (log, recovered) = opened.unwrap_or_else(|error| panic!("{seed} {killed_at}: {error}"));
            assert_eq!(recovered.store, store);
            let found = check(&log, &recovered, &batches[..believed], believed);
            assert!(found.is_ok(), "{seed} {killed_at}: {found:?}");
            if finished {
                break;
            }
        }
    }
}
