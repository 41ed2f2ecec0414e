//! What a hostile reading of this crate found, each with the test that would have caught it.

use std::path::Path;

use consensus_api::{LogStorage, StorageError, WriteSeq};
use quorate_storage_file::FileLogOptions;
use quorate_storage_file::simulated::SimulatedDisk;

use crate::harness::*;

fn segment(seq: u64) -> std::path::PathBuf {
    Path::new(FOLDER).join(format!("{seq:016x}.wal"))
}

/// A log whose first life wrote `count` entries to segment 2 and was closed.
fn one_life(disk: &SimulatedDisk, options: FileLogOptions, count: u64, bytes: usize) {
    let (mut log, _) = open(disk, options).unwrap();
    for index in 1..=count {
        log.submit(WriteSeq(index), put([entry(index, 1, bytes)])).unwrap();
        durable(&mut log).unwrap();
    }
}

/// A disk writes pages of 4096 bytes, and may lose one. The header's two copies stand in one page: what is left looked
/// like a spare, and was removed.
#[test]
fn a_segment_whose_whole_header_page_is_lost_is_refused() {
    let disk = SimulatedDisk::new(1);
    one_life(&disk, INLINE, 3, 40);
    disk.damage(segment(2), |bytes| bytes[..4096].fill(0));
    let error = open(&disk, INLINE).unwrap_err();
    assert!(matches!(&error, StorageError::Corrupt { file, .. } if *file == segment(2)), "{error}");
    assert!(error.to_string().contains("its header is gone"), "{error}");
}

/// No manifest says how many segments there are, so nothing spoke of the last one.
#[test]
fn a_missing_last_segment_is_refused() {
    let disk = SimulatedDisk::new(2);
    one_life(&disk, INLINE, 30, 500);
    let names = disk.names(FOLDER);
    let segments: Vec<&String> = names.iter().filter(|name| name.strip_suffix(".wal").is_some()).collect();
    let [.., last, spare] = segments[..] else { panic!("{names:?}") };
    disk.folder(FOLDER).remove(spare).unwrap();
    disk.folder(FOLDER).remove(last).unwrap();
    let error = open(&disk, INLINE).unwrap_err();
    assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
}

/// Only the length a segment was made with was written down, not what it grew to.
#[test]
fn a_segment_cut_anywhere_in_what_it_grew_by_is_refused() {
    let disk = SimulatedDisk::new(3);
    // No entry of this size fits into a segment, so each makes its segment longer.
    one_life(&disk, INLINE, 1, 20_000);
    let path = segment(2);
    let len = disk.bytes(&path).unwrap().len();
    assert!(len > 24_000);
    for len in (4096..len).step_by(101) {
        let copy = disk.fork(len as u64);
        copy.damage(&path, |bytes| bytes.truncate(len));
        let error = open(&copy, INLINE).unwrap_err();
        assert!(matches!(&error, StorageError::Corrupt { file, .. } if *file == path), "{len}: {error}");
    }
}

/// A start wrote the whole last segment once more: 64 MiB, of which all but the end was known to be durable.
#[test]
fn a_start_writes_again_only_what_may_not_be_durable() {
    let disk = SimulatedDisk::new(4);
    let options = FileLogOptions { segment_bytes: 1 << 20, inline: true, ..INLINE };
    let (mut log, _) = open(&disk, options).unwrap();
    for index in 1..=100 {
        log.submit(WriteSeq(index), put([entry(index, 1, 1000)])).unwrap();
        durable(&mut log).unwrap();
    }
    disk.kill();
    drop(log);
    let path = segment(2);
    let before = disk.written_bytes(&path);
    let (log, recovered) = open(&disk, options).unwrap();
    assert_eq!(recovered.notes, Vec::<String>::new());
    assert_eq!(read_all(&log).unwrap().len(), 100);
    let again = disk.written_bytes(&path) - before;
    assert!((1000..3000).contains(&again), "{again}");
}
