//! Snapshots from other nodes: gone on with after a crash, and never with a wrong byte.

use bytes::Bytes;
use consensus_api::{Delivery, LogStorage, SnapshotWriter, StorageError, StoreId};
use quorate_storage_file::FileLog;
use quorate_storage_file::simulated::{Faults, SimulatedDisk};

use crate::harness::*;
use crate::snapshots::{content, latest, mark, read, snapshot_files};

const BLOCK: usize = 256 << 10;
/// Two blocks and a short one.
const LEN: usize = 2 * BLOCK + 1000;

fn delivery(index: u64, store: u128, len: usize) -> Delivery {
    Delivery { mark: mark(index), store: StoreId(store), len: len as u64 }
}

fn receive(log: &FileLog, delivery: &Delivery) -> Box<dyn SnapshotWriter> {
    block_on(log.snapshots().receive(delivery)).unwrap()
}

/// Appends the bytes from where the writer is, up to `upto`.
fn append(writer: &mut dyn SnapshotWriter, content: &[u8], upto: usize) -> Result<(), StorageError> {
    while (writer.len() as usize) < upto {
        let from = writer.len() as usize;
        let chunk = Bytes::copy_from_slice(&content[from..upto.min(from + 100_000)]);
        block_on(writer.append(chunk))?;
    }
    Ok(())
}

/// A disk on which so much of a delivery came before its log was closed.
fn received_in_part(seed: u64, delivery: &Delivery, content: &[u8], upto: usize) -> SimulatedDisk {
    let disk = SimulatedDisk::new(seed);
    let (log, _) = open(&disk, INLINE).unwrap();
    let mut writer = receive(&log, delivery);
    append(&mut *writer, content, upto).unwrap();
    drop((writer, log));
    disk
}

/// Receives what is lacking, and checks that the whole is what was sent. How much was there already.
fn receive_rest(log: &FileLog, delivery: &Delivery, content: &[u8]) -> usize {
    let mut writer = receive(log, delivery);
    let there = writer.len() as usize;
    append(&mut *writer, content, content.len()).unwrap();
    block_on(writer.finish()).unwrap();
    let reader = latest(log).unwrap().unwrap();
    assert_eq!(*reader.mark(), delivery.mark);
    assert!(read(&*reader).unwrap() == content, "{there} bytes were there, and the whole is wrong");
    there
}

#[test]
fn a_receiver_that_was_killed_goes_on_where_it_was() {
    let (bytes, delivery) = (content(9, LEN), delivery(9, 7, LEN));
    for (received, kept) in [(0, 0), (1000, 0), (BLOCK, BLOCK), (LEN - 1, 2 * BLOCK), (LEN, 2 * BLOCK)] {
        for options in [INLINE, THREADED] {
            let disk = SimulatedDisk::new(1);
            let (log, _) = open(&disk, options).unwrap();
            let mut writer = receive(&log, &delivery);
            append(&mut *writer, &bytes, received).unwrap();
            disk.kill();
            drop((writer, log));
            let (log, _) = open(&disk, options).unwrap();
            assert!(latest(&log).unwrap().is_none(), "what is not whole is not there");
            assert_eq!(receive_rest(&log, &delivery, &bytes), kept);
            assert_eq!(snapshot_files(&disk), 1);
        }
    }
}

#[test]
fn a_receiver_that_stops_in_order_goes_on_where_it_was() {
    let (bytes, delivery) = (content(9, LEN), delivery(9, 7, LEN));
    let disk = received_in_part(2, &delivery, &bytes, BLOCK + 5);
    let (log, _) = open(&disk, INLINE).unwrap();
    assert_eq!(receive_rest(&log, &delivery, &bytes), BLOCK);
}

/// Of one index, one disk and one length, but of another generation: other bytes.
#[test]
fn what_came_of_another_generation_is_not_gone_on_with() {
    let (bytes, other, mut newer) = (content(9, LEN), content(10, LEN), delivery(9, 7, LEN));
    let disk = received_in_part(4, &newer, &bytes, 2 * BLOCK);
    newer.mark.generation.round += 1;
    let (log, _) = open(&disk, INLINE).unwrap();
    assert_eq!(receive_rest(&log, &newer, &other), 0);
}

/// At every operation the power fails once, and then at some operation of going on; of what was not synced anything may be left.
#[test]
fn whatever_the_power_leaves_of_what_came_no_byte_is_wrong() {
    let (bytes, delivery) = (content(9, LEN), delivery(9, 7, LEN));
    let mut gone_on_with = 0;
    for seed in 0..6 {
        for power_off_at in 1.. {
            let disk = SimulatedDisk::new(seed << 32 | power_off_at);
            let (log, _) = open(&disk, INLINE).unwrap();
            let at = disk.counts().operations + power_off_at;
            disk.set_faults(Faults { power_off_at: Some(at), ..Faults::default() });
            let attempt = |log: &FileLog| {
                let mut writer = block_on(log.snapshots().receive(&delivery))?;
                append(&mut *writer, &bytes, LEN)?;
                block_on(writer.finish())
            };
            let done = attempt(&log).is_ok() && disk.counts().operations < at;
            disk.crash();
            drop(log);
            let (log, _) = open(&disk, INLINE).unwrap();
            let again = disk.counts().operations + 1 + seed;
            disk.set_faults(Faults { power_off_at: Some(again), ..Faults::default() });
            let _ = attempt(&log);
            disk.crash();
            drop(log);
            let (log, _) = open(&disk, INLINE).unwrap();
            match latest(&log).unwrap() {
                Some(whole) => assert!(read(&*whole).unwrap() == bytes),
                None => gone_on_with += usize::from(receive_rest(&log, &delivery, &bytes) > 0),
            }
            if done {
                break;
            }
        }
    }
    assert!(gone_on_with > 0, "in no case was anything left to go on with");
}

#[test]
fn damage_to_what_came_costs_what_is_behind_it_and_no_byte_is_wrong() {
    let (bytes, delivery) = (content(9, LEN), delivery(9, 7, LEN));
    let disk = received_in_part(3, &delivery, &bytes, LEN);
    let name = disk.names(format!("{FOLDER}/snapshots")).into_iter().find(|name| name.contains(".part"));
    let path = format!("{FOLDER}/snapshots/{}", name.unwrap());
    let (size, header) =
        (disk.bytes(&path).unwrap().len(), disk.bytes(&path).unwrap().len() - 2 * (BLOCK + 8));
    let places = (0..header + 16).chain([header + BLOCK, header + BLOCK + 8, size - 1]);
    for at in places {
        let damaged = disk.fork(at as u64);
        damaged.damage(&path, |bytes| bytes[at] ^= 1 << (at % 8));
        let (log, _) = open(&damaged, INLINE).unwrap();
        let there = receive_rest(&log, &delivery, &bytes);
        // The salt tells all blocks; what the header says is checked as a whole.
        let sound = if at < header { 0 } else { (at - header) / (BLOCK + 8) * BLOCK };
        assert_eq!(there, sound, "damaged at {at}");
    }
    for (cut, sound) in [(0, 0), (header - 1, 0), (header + BLOCK + 7, 0), (header + BLOCK + 8, BLOCK)] {
        let damaged = disk.fork(cut as u64);
        damaged.damage(&path, |bytes| bytes.truncate(cut));
        let (log, _) = open(&damaged, INLINE).unwrap();
        assert_eq!(receive_rest(&log, &delivery, &bytes), sound, "cut at {cut}");
    }
    let longer = disk.fork(1);
    longer.damage(&path, |bytes| bytes.resize(bytes.len() + (1 << 20), 7));
    let (log, _) = open(&longer, INLINE).unwrap();
    assert_eq!(receive_rest(&log, &delivery, &bytes), 2 * BLOCK, "what stands behind is cut off");
}

#[test]
fn another_snapshot_is_begun_anew_and_what_came_of_the_one_before_goes() {
    let bytes = content(9, LEN);
    let others = [delivery(10, 7, LEN), delivery(9, 7, LEN - 1), delivery(8, 7, LEN)];
    for other in others {
        let disk = SimulatedDisk::new(4);
        let (log, _) = open(&disk, INLINE).unwrap();
        append(&mut *receive(&log, &delivery(9, 7, LEN)), &bytes, BLOCK).unwrap();
        assert_eq!(snapshot_files(&disk), 1, "it stays");
        assert_eq!(receive_rest(&log, &other, &content(5, other.len as usize)), 0);
        assert_eq!(snapshot_files(&disk), 1);
    }
    // Of two disks two come beside each other; the bytes of the one are of no use for the other.
    let disk = SimulatedDisk::new(5);
    let (log, _) = open(&disk, INLINE).unwrap();
    append(&mut *receive(&log, &delivery(9, 7, LEN)), &bytes, BLOCK).unwrap();
    let mut second = receive(&log, &delivery(9, 8, LEN));
    assert_eq!(second.len(), 0);
    append(&mut *second, &content(5, LEN), BLOCK).unwrap();
    assert_eq!(snapshot_files(&disk), 2);
    drop(second);
    assert_eq!(receive_rest(&log, &delivery(9, 7, LEN), &bytes), BLOCK);
    drop(log);
    let (_log, _) = open(&disk, INLINE).unwrap();
    assert_eq!(snapshot_files(&disk), 1, "what is no news any more goes at a start");
}

#[test]
fn what_could_not_be_written_is_not_gone_on_with() {
    let (bytes, delivery) = (content(9, LEN), delivery(9, 7, LEN));
    for after in 1..6 {
        let disk = SimulatedDisk::new(6);
        let (log, _) = open(&disk, INLINE).unwrap();
        let at = disk.counts().operations + after;
        disk.set_faults(Faults { fail_at: Some((at, std::io::ErrorKind::Other)), ..Faults::default() });
        let attempt = || {
            let mut writer = block_on(log.snapshots().receive(&delivery))?;
            append(&mut *writer, &bytes, LEN)?;
            block_on(writer.finish())
        };
        assert!(attempt().is_err(), "operation {after}");
        disk.set_faults(Faults::default());
        assert_eq!(receive_rest(&log, &delivery, &bytes), 0, "operation {after}");
        disk.crash();
        drop(log);
        let (log, _) = open(&disk, INLINE).unwrap();
        assert!(read(&*latest(&log).unwrap().unwrap()).unwrap() == bytes);
    }
}

/// Else a receiver that has a part of the first would be sent the rest of the second.
#[test]
fn of_two_snapshots_of_one_mark_the_first_stays() {
    let disk = SimulatedDisk::new(7);
    let (log, _) = open(&disk, INLINE).unwrap();
    crate::snapshots::write(&log, 9, b"first").unwrap();
    crate::snapshots::write(&log, 9, b"second").unwrap();
    assert_eq!(read(&*latest(&log).unwrap().unwrap()).unwrap(), b"first");
    assert_eq!(snapshot_files(&disk), 1);
}
