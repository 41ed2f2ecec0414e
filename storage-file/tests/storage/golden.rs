//! Data folders that earlier versions of this crate wrote, kept in `tests/golden`, are read as they were meant. If this
//! fails, people's logs can no longer be opened.
//!
//! A folder for a new format version is written by `QUORATE_WRITE_GOLDEN=v3 cargo test -p quorate-storage-file golden`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use consensus_api::{Entry, Generation, LogStorage, Membership, NodeId, Outline, SnapshotMark, WriteSeq};
use quorate_storage_file::{FileLog, FileLogOptions};

use crate::harness::*;

fn folder(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(version)
}

/// What a log holds, in words that no change of the code's types changes.
fn description(outline: &Outline, entries: &[Entry], snapshot: &[u8]) -> String {
    let mut text = String::new();
    let generation = |generation: Generation| format!("{}.{}", generation.round, generation.node.0);
    writeln!(text, "hard state {:?}", outline.hard_state.as_deref()).unwrap();
    writeln!(text, "compacted {} {}", outline.compacted, generation(outline.compacted_generation)).unwrap();
    writeln!(text, "watermark {}", outline.watermark).unwrap();
    let mark = outline.snapshot.as_ref().map(|mark| (mark.index.0, generation(mark.generation)));
    writeln!(text, "snapshot {mark:?} of {} bytes, {:08x}", snapshot.len(), crc32c::crc32c(snapshot))
        .unwrap();
    for entry in entries {
        let (kind, body) = (entry.kind as u8, crc32c::crc32c(&entry.body));
        let generation = generation(entry.generation);
        writeln!(text, "entry {} {generation} kind {kind} {body:08x}", entry.index).unwrap();
    }
    text
}

fn describe(path: &Path) -> String {
    let options = FileLogOptions { segment_bytes: 8 << 10, inline: true, ..INLINE };
    let mut log = FileLog::open_with(path, options).unwrap();
    let recovered = log.attach(&identity()).unwrap();
    assert_eq!(recovered.notes, Vec::<String>::new());
    let entries = read_all(&log).unwrap();
    let mut snapshot = Vec::new();
    if let Some(reader) = block_on(log.snapshots().latest()).unwrap() {
        while (snapshot.len() as u64) < reader.len() {
            snapshot.extend(block_on(reader.read_at(snapshot.len() as u64, 1 << 20)).unwrap());
        }
    }
    description(&recovered.outline, &entries, &snapshot)
}

/// Two lives of a log, with all there is in the format.
fn write(path: &Path) {
    let options = FileLogOptions { segment_bytes: 8 << 10, inline: true, ..INLINE };
    let mut batches = batches(77, 44);
    batches[30].push(hard_state(1234));
    for life in batches.chunks(22) {
        let mut log = FileLog::open_with(path, options).unwrap();
        let recovered = log.attach(&identity()).unwrap();
        for (seq, batch) in life.iter().enumerate() {
            log.submit(WriteSeq(seq as u64), batch.clone()).unwrap();
            let _ = poll(&mut log);
        }
        let index = recovered.outline.compacted.next();
        let membership = Membership::of_voters([NodeId(1), NodeId(2)]).unwrap();
        let mark = SnapshotMark { index, generation: Generation::new(1, NodeId(1)), membership };
        let mut snapshot = block_on(log.snapshots().begin(&mark)).unwrap();
        block_on(snapshot.append(Bytes::from(vec![7; 999 + index.0 as usize]))).unwrap();
        block_on(snapshot.finish()).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for item in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(item.file_name());
        if item.path().is_dir() {
            copy(&item.path(), &target);
        } else {
            std::fs::copy(item.path(), target).unwrap();
        }
    }
}

#[test]
fn golden_folders_of_every_version_are_read_as_they_were_meant() {
    if let Ok(version) = std::env::var("QUORATE_WRITE_GOLDEN") {
        write(&folder(&version));
        // These belong to the place where they were written.
        ["LOCK", "PLACE"].iter().for_each(|name| std::fs::remove_file(folder(&version).join(name)).unwrap());
        let scratch = tempfile::tempdir().unwrap();
        copy(&folder(&version), scratch.path());
        std::fs::write(folder(&version).with_extension("txt"), describe(scratch.path())).unwrap();
    }
    for version in ["v2", "v3"] {
        let scratch = tempfile::tempdir().unwrap();
        copy(&folder(version), scratch.path());
        let meant = std::fs::read_to_string(folder(version).with_extension("txt")).unwrap();
        // The first opening goes on in today's format, the second one reads that.
        for _ in 0..2 {
            assert_eq!(describe(scratch.path()), meant, "{version}");
        }
        assert!(meant.lines().count() > 20, "{version}");
    }
}
