//! Snapshots: whole or not there, the newest wins, damage is an error.

use bytes::Bytes;
use consensus_api::{
    Generation, Index, LogStorage, Membership, NodeId, SnapshotMark, SnapshotReader, StorageError,
};
use quorate_storage_file::FileLog;
use quorate_storage_file::simulated::{Faults, SimulatedDisk};

use crate::harness::*;

pub(crate) fn mark(index: u64) -> SnapshotMark {
    let membership =
        Membership::new([NodeId(1), NodeId(2)], [NodeId(3)], [NodeId(index)]).expect("a few members");
    SnapshotMark { index: Index(index), generation: Generation::new(index, NodeId(1)), membership }
}

/// Bytes that differ from place to place and from snapshot to snapshot.
pub(crate) fn content(index: u64, len: usize) -> Vec<u8> {
    let mut dice = Dice(index);
    (0..len).map(|_| dice.below(256) as u8).collect()
}

pub(crate) fn write(log: &FileLog, index: u64, content: &[u8]) -> Result<(), StorageError> {
    let snapshots = log.snapshots();
    let mut writer = block_on(snapshots.begin(&mark(index)))?;
    for chunk in content.chunks(100_000) {
        block_on(writer.append(Bytes::copy_from_slice(chunk)))?;
    }
    assert_eq!(writer.len(), content.len() as u64);
    block_on(writer.finish())
}

pub(crate) fn latest(log: &FileLog) -> Result<Option<Box<dyn SnapshotReader>>, StorageError> {
    block_on(log.snapshots().latest())
}

pub(crate) fn read(reader: &dyn SnapshotReader) -> Result<Vec<u8>, StorageError> {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < reader.len() {
        let piece = block_on(reader.read_at(bytes.len() as u64, 70_000))?;
        assert!(!piece.is_empty() && piece.len() <= 70_000);
        bytes.extend_from_slice(&piece);
    }
    assert!(block_on(reader.read_at(reader.len(), 1))?.is_empty());
    Ok(bytes)
}

#[test]
fn a_snapshot_comes_back_and_an_older_reader_stays_whole() {
    for options in [INLINE, THREADED] {
        let disk = SimulatedDisk::new(1);
        let (log, _) = open(&disk, options).unwrap();
        assert!(latest(&log).unwrap().is_none());
        for len in [0, 1, 100, 262_144, 600_000] {
            let index = len as u64 + 1;
            let before = latest(&log).unwrap();
            write(&log, index, &content(index, len)).unwrap();
            let reader = latest(&log).unwrap().unwrap();
            assert_eq!(*reader.mark(), mark(index));
            assert_eq!(read(&*reader).unwrap(), content(index, len));
            if let Some(before) = before {
                let index = before.mark().index.0;
                assert_eq!(read(&*before).unwrap(), content(index, before.len() as usize));
            }
        }
        write(&log, 5, b"an older one does not win").unwrap();
        assert_eq!(latest(&log).unwrap().unwrap().mark().index, Index(600_001));
        assert_eq!(snapshot_files(&disk), 1);
        let abandoned = block_on(log.snapshots().begin(&mark(1_000_000))).unwrap();
        drop(abandoned);
        assert_eq!(snapshot_files(&disk), 1);
    }
}

#[test]
fn whatever_operation_the_power_fails_at_the_snapshot_before_or_the_new_one_is_there_whole() {
    let (old, new) = (content(1, 1000), content(2, 300_000));
    for seed in 0..8 {
        for power_off_at in 1.. {
            let disk = SimulatedDisk::new(seed << 32 | power_off_at);
            let (log, _) = open(&disk, INLINE).unwrap();
            write(&log, 1, &old).unwrap();
            let at = disk.counts().operations + power_off_at;
            disk.set_faults(Faults { power_off_at: Some(at), ..Faults::default() });
            let finished = write(&log, 2, &new).is_ok();
            let done = disk.counts().operations < at;
            disk.crash();
            drop(log);
            let (log, _) = open(&disk, INLINE).unwrap();
            let reader = latest(&log).unwrap().unwrap();
            let found = read(&*reader).unwrap();
            match reader.mark().index.0 {
                1 => assert!(!finished && found == old),
                _ => assert!(found == new),
            }
            assert_eq!(snapshot_files(&disk), 1, "leftovers are removed");
            if done {
                break;
            }
        }
    }
}

#[test]
fn damage_to_a_snapshot_is_an_error_never_wrong_bytes() {
    let disk = SimulatedDisk::new(3);
    let (log, _) = open(&disk, INLINE).unwrap();
    let bytes = content(7, 400);
    write(&log, 7, &bytes).unwrap();
    let path = format!("{FOLDER}/snapshots/0000000000000007.snap");
    let len = disk.bytes(&path).unwrap().len();
    let check = || match latest(&log).and_then(|reader| read(&*reader.unwrap())) {
        Ok(read) => assert_eq!(read, bytes),
        Err(StorageError::Corrupt { file, .. }) => assert_eq!(file.to_str(), Some(&*path)),
        Err(error) => panic!("{error}"),
    };
    for at in 0..len {
        for bit in 0..8 {
            disk.damage(&path, |bytes| bytes[at] ^= 1 << bit);
            check();
            disk.damage(&path, |bytes| bytes[at] ^= 1 << bit);
        }
    }
    let whole = disk.bytes(&path).unwrap();
    for cut in 0..len {
        disk.damage(&path, |bytes| bytes.truncate(cut));
        assert!(latest(&log).is_err());
        disk.damage(&path, |bytes| bytes.clone_from(&whole));
    }
    check();
}

#[test]
fn a_failed_write_loses_only_the_snapshot() {
    let disk = SimulatedDisk::new(4);
    let (log, _) = open(&disk, INLINE).unwrap();
    write(&log, 1, b"first").unwrap();
    for after in 1..=7 {
        let at = disk.counts().operations + after;
        disk.set_faults(Faults { fail_at: Some((at, std::io::ErrorKind::StorageFull)), ..Faults::default() });
        let failed = write(&log, 2, b"second");
        assert!(matches!(failed, Err(StorageError::Full { .. })), "{failed:?}");
        assert_eq!(
            read(&*latest(&log).unwrap().unwrap()).unwrap(),
            if after < 7 { &b"first"[..] } else { b"second" }
        );
    }
    write(&log, 3, b"third").unwrap();
    assert_eq!(read(&*latest(&log).unwrap().unwrap()).unwrap(), b"third");
}

/// How many files there are beside the one that says whose snapshots they are.
pub(crate) fn snapshot_files(disk: &SimulatedDisk) -> usize {
    disk.names(format!("{FOLDER}/snapshots")).iter().filter(|name| *name != "IDENTITY").count()
}
