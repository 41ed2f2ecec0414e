//! Whose log it is, and who has it open.

use consensus_api::{Batch, ClusterName, EngineName, Identity, LogStorage, NodeId, StorageError, WriteSeq};
use quorate_storage_file::FileLog;
use quorate_storage_file::simulated::{Faults, SimulatedDisk};

use crate::harness::*;

fn refusal(disk: &SimulatedDisk, change: impl FnOnce(&mut Identity)) -> StorageError {
    let mut identity = identity();
    change(&mut identity);
    let mut log = FileLog::open_in(disk.folder(FOLDER), INLINE).unwrap();
    log.attach(&identity).unwrap_err()
}

#[test]
fn a_log_of_another_cluster_node_or_engine_is_refused_with_a_remedy() {
    let disk = SimulatedDisk::new(1);
    drop(open(&disk, INLINE).unwrap());
    let before = disk.counts();
    let errors = [
        ("cluster", refusal(&disk, |identity| identity.cluster = ClusterName::new("other").unwrap())),
        ("node", refusal(&disk, |identity| identity.node = NodeId(2))),
        ("engine", refusal(&disk, |identity| identity.engine = EngineName("multi-paxos"))),
    ];
    for (expected, error) in errors {
        let StorageError::Foreign { field, remedy, .. } = &error else { panic!("{error}") };
        assert_eq!(*field, expected);
        assert!(!remedy.is_empty());
    }
    assert_eq!(disk.counts(), before, "a refused log is not touched");
    open(&disk, INLINE).unwrap();
}

#[test]
fn the_store_keeps_its_number_and_another_store_has_another() {
    let disk = SimulatedDisk::new(2);
    let store = open(&disk, INLINE).unwrap().1.store;
    assert_eq!(open(&disk, INLINE).unwrap().1.store, store);
    assert_ne!(open(&SimulatedDisk::new(3), INLINE).unwrap().1.store, store);
}

#[test]
fn a_segment_of_another_store_is_refused() {
    let (ours, theirs) = (SimulatedDisk::new(4), SimulatedDisk::new(5));
    drop(open(&ours, INLINE).unwrap());
    drop(open(&theirs, INLINE).unwrap());
    let path = format!("{FOLDER}/0000000000000002.wal");
    let bytes = theirs.bytes(&path).unwrap();
    ours.damage(&path, |ours| *ours = bytes);
    let error = open(&ours, INLINE).unwrap_err();
    assert!(matches!(error, StorageError::Foreign { field: "store", .. }), "{error}");
}

#[test]
fn a_second_opener_is_kept_out_until_the_first_has_gone() {
    let folder = tempfile::tempdir().unwrap();
    let log = FileLog::open(folder.path()).unwrap();
    assert!(matches!(FileLog::open(folder.path()), Err(StorageError::Locked { .. })));
    drop(log);
    let mut log = FileLog::open(folder.path()).unwrap();
    log.attach(&identity()).unwrap();
    assert!(matches!(FileLog::open(folder.path()), Err(StorageError::Locked { .. })));
    let reader = log.reader();
    drop(log);
    FileLog::open(folder.path()).unwrap();
    drop(reader);
}

#[test]
fn nothing_is_written_before_attach_and_attach_is_called_once() {
    let disk = SimulatedDisk::new(6);
    let mut log = FileLog::open_in(disk.folder(FOLDER), INLINE).unwrap();
    assert!(matches!(log.submit(WriteSeq(1), Batch::new()), Err(StorageError::Unsupported { .. })));
    assert_eq!(disk.counts().operations, 0);
    log.attach(&identity()).unwrap();
    assert!(matches!(log.attach(&identity()), Err(StorageError::Unsupported { .. })));
}

#[test]
fn a_creation_that_the_power_cut_short_begins_anew() {
    for power_off_at in 1..20 {
        let disk = SimulatedDisk::new(power_off_at);
        disk.set_faults(Faults { power_off_at: Some(power_off_at), ..Faults::default() });
        drop(open(&disk, INLINE));
        disk.crash();
        let (_, recovered) = open(&disk, INLINE).unwrap();
        assert_eq!(recovered.outline, consensus_api::Outline::default());
    }
}

#[test]
fn a_newer_format_is_refused_as_such() {
    let disk = SimulatedDisk::new(7);
    drop(open(&disk, INLINE).unwrap());
    disk.damage(format!("{FOLDER}/0000000000000002.wal"), |bytes| {
        for header in [0, 2048] {
            bytes[header + 10] = 4;
            let covered = [&bytes[header..header + 12], &bytes[header + 16..header + 88]].concat();
            let checksum = crc32c::crc32c(&covered);
            bytes[header + 12..header + 16].copy_from_slice(&checksum.to_le_bytes());
        }
    });
    let error = open(&disk, INLINE).unwrap_err();
    assert!(matches!(error, StorageError::Version { found: 4, supported: 3, .. }), "{error}");
}
