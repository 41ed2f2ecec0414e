//! What is refused for good reason, and what whoever runs the node can say to that.

use std::path::Path;

use consensus_api::{Identity, LogStorage, Recovered, StorageError, StoreId, WriteSeq};
use quorate_storage_file::simulated::{Faults, SimulatedDisk};
use quorate_storage_file::{Confirmed, FileLog, FileLogOptions};

use crate::harness::*;

fn confirming(confirmed: Confirmed) -> FileLogOptions {
    FileLogOptions { confirmed, ..INLINE }
}

/// A log of several segments with a damaged one in the middle, and its store.
fn damaged(seed: u64) -> (SimulatedDisk, StoreId) {
    let disk = SimulatedDisk::new(seed);
    let (mut log, recovered) = open(&disk, INLINE).unwrap();
    for index in 1..=40 {
        log.submit(WriteSeq(index), put([entry(index, 1, 500)])).unwrap();
        durable(&mut log).unwrap();
    }
    drop(log);
    disk.damage(segment(4), |bytes| bytes[5000] ^= 1);
    (disk, recovered.store)
}

fn segment(seq: u64) -> std::path::PathBuf {
    Path::new(FOLDER).join(format!("{seq:016x}.wal"))
}

fn aside(disk: &SimulatedDisk) -> usize {
    disk.names(FOLDER).iter().filter(|name| name.strip_suffix(".aside").is_some()).count()
}

#[test]
fn a_damaged_log_is_set_aside_and_begun_anew_only_for_a_node_that_was_readmitted() {
    let (disk, store) = damaged(1);
    let refusal = open(&disk, INLINE).unwrap_err().to_string();
    assert!(refusal.contains(&store.to_string()) && refusal.contains("Confirmed::Readmitted"), "{refusal}");
    let another = open(&disk, confirming(Confirmed::Readmitted(StoreId(7)))).unwrap_err();
    assert!(matches!(another, StorageError::Corrupt { .. }), "another store was readmitted");
    assert_eq!(aside(&disk), 0);
    let (mut log, recovered) = open(&disk, confirming(Confirmed::Readmitted(store))).unwrap();
    assert_ne!(recovered.store, store);
    assert_eq!(recovered.outline, consensus_api::Outline::default());
    assert!(recovered.notes[0].contains("was set aside"), "{:?}", recovered.notes);
    assert!(aside(&disk) > 5, "nothing is deleted");
    log.submit(WriteSeq(1), put([entry(1, 9, 10)])).unwrap();
    durable(&mut log).unwrap();
    drop(log);
    // Left in place, it does no harm: not to a healthy log, and not after the next damage.
    let (log, recovered) = open(&disk, confirming(Confirmed::Readmitted(store))).unwrap();
    assert_eq!(recovered.outline.last(), consensus_api::Index(1));
    drop(log);
    disk.damage(segment(2), |bytes| bytes[4100] ^= 1);
    assert!(open(&disk, confirming(Confirmed::Readmitted(store))).is_err());
}

#[test]
fn whatever_operation_the_power_fails_at_a_log_is_set_aside_whole() {
    for power_off_at in 1..60 {
        let (disk, store) = damaged(power_off_at);
        let at = disk.counts().operations + power_off_at;
        disk.set_faults(Faults { power_off_at: Some(at), ..Faults::default() });
        drop(open(&disk, confirming(Confirmed::Readmitted(store))));
        disk.crash();
        match open(&disk, INLINE) {
            Ok((_, recovered)) => assert_ne!(recovered.store, store, "{power_off_at}"),
            Err(StorageError::Corrupt { .. }) => {
                let (_, recovered) = open(&disk, confirming(Confirmed::Readmitted(store))).unwrap();
                assert_ne!(recovered.store, store, "{power_off_at}");
            }
            Err(error) => panic!("{power_off_at}: {error}"),
        }
    }
}

#[test]
fn the_unsafe_cut_keeps_what_stands_before_the_damage_and_says_so() {
    for place in [50, 4100, 5200, 6000] {
        let (disk, store) = damaged(2);
        disk.damage(segment(4), |bytes| {
            bytes[place] ^= 1;
            // A header stands there twice.
            bytes[place % 2048 + 2048] ^= u8::from(place < 4096);
        });
        assert!(matches!(open(&disk, INLINE), Err(StorageError::Corrupt { .. })));
        let (log, recovered) = open(&disk, confirming(Confirmed::UnsafeCut(store))).unwrap();
        assert_eq!(recovered.store, store);
        assert!(recovered.notes.iter().any(|note| note.starts_with("UNSAFE")), "{:?}", recovered.notes);
        let last = recovered.outline.last().0;
        assert!((5..20).contains(&last), "{place}: {last}");
        assert_eq!(read_all(&log).unwrap().len() as u64, last);
        assert!(aside(&disk) > 0);
        drop(log);
        assert_eq!(open(&disk, INLINE).unwrap().1.outline.last().0, last);
    }
}

fn attach(path: &Path, confirmed: Confirmed) -> Result<Recovered, StorageError> {
    let mut log = FileLog::open_with(path, confirming(confirmed))?;
    let recovered = log.attach(&identity())?;
    log.submit(WriteSeq(1), put([entry(recovered.outline.last().0 + 1, 1, 50)]))?;
    durable(&mut log)?;
    Ok(recovered)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for item in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(item.file_name());
        if item.path().is_dir() {
            copy(&item.path(), &target);
        } else {
            drop(std::fs::copy(item.path(), target));
        }
    }
}

#[test]
fn a_copied_folder_is_told_from_the_original() {
    let dir = tempfile::tempdir().unwrap();
    let (original, copied) = (dir.path().join("a"), dir.path().join("b"));
    attach(&original, Confirmed::Nothing).unwrap();
    copy(&original, &copied);
    attach(&original, Confirmed::Nothing).unwrap();
    let refused = attach(&copied, Confirmed::Nothing).unwrap_err();
    assert!(matches!(refused, StorageError::Foreign { field: "file number", .. }), "{refused}");
    assert!(refused.to_string().contains("copied or moved"), "{refused}");
    let moved = attach(&copied, Confirmed::Moved).unwrap();
    assert_eq!(moved.outline.last().0, 1);
    attach(&copied, Confirmed::Nothing).unwrap();
    // A folder that was renamed is still itself.
    std::fs::rename(&copied, dir.path().join("c")).unwrap();
    attach(&dir.path().join("c"), Confirmed::Nothing).unwrap();
}

/// What a simulation brings back as an older copy is refused, whatever was written since.
#[test]
fn an_older_copy_that_is_brought_back_is_refused() {
    let disk = SimulatedDisk::new(7);
    let (mut log, _) = open(&disk, INLINE).unwrap();
    log.submit(WriteSeq(1), put([entry(1, 1, 50)])).unwrap();
    durable(&mut log).unwrap();
    let older = disk.copied(8);
    log.submit(WriteSeq(2), put([entry(2, 1, 50)])).unwrap();
    durable(&mut log).unwrap();
    drop(log);
    assert_eq!(
        open(&disk.fork(9), INLINE).unwrap().1.outline.last().0,
        2,
        "an image of the disk is the disk"
    );
    let refused = open(&older, INLINE).unwrap_err();
    assert!(matches!(refused, StorageError::Foreign { field: "file number", .. }), "{refused}");
}

#[test]
fn a_log_that_was_removed_is_missed_by_its_snapshots() {
    let dir = tempfile::tempdir().unwrap();
    let store = attach(dir.path(), Confirmed::Nothing).unwrap().store;
    for item in std::fs::read_dir(dir.path()).unwrap().map(Result::unwrap) {
        if item.path().is_file() {
            std::fs::remove_file(item.path()).unwrap();
        }
    }
    let refused = attach(dir.path(), Confirmed::Nothing).unwrap_err().to_string();
    assert!(
        refused.contains("though the snapshots of store") && refused.contains(&store.to_string()),
        "{refused}"
    );
    let anew = attach(dir.path(), Confirmed::Readmitted(store)).unwrap();
    assert_ne!(anew.store, store);
    attach(dir.path(), Confirmed::Nothing).unwrap();
}

#[test]
fn nothing_confirmed_opens_the_log_of_somebody_else() {
    let disk = SimulatedDisk::new(5);
    let store = open(&disk, INLINE).unwrap().1.store;
    for confirmed in [Confirmed::Moved, Confirmed::Readmitted(store), Confirmed::UnsafeCut(store)] {
        let mut log = FileLog::open_in(disk.folder(FOLDER), confirming(confirmed)).unwrap();
        let another = Identity { node: consensus_api::NodeId(9), ..identity() };
        assert!(matches!(log.attach(&another), Err(StorageError::Foreign { field: "node", .. })));
    }
}
