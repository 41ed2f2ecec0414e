//! Torn is not damaged: whatever happens to acknowledged data is refused by name, and nothing is changed; or it did no
//! harm and everything is there. Never is a part of it missing in silence.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use consensus_api::{Batch, Index, LogReader, LogStorage, StorageError, WriteSeq};
use quorate_storage_file::simulated::SimulatedDisk;

use crate::harness::*;

/// A log of some segments, closed in good order.
fn written() -> (SimulatedDisk, Vec<Batch>) {
    let batches = batches(11, 40);
    let disk = SimulatedDisk::new(11);
    let (mut log, _) = open(&disk, INLINE).unwrap();
    for (number, batch) in batches.iter().enumerate() {
        log.submit(WriteSeq(number as u64 + 1), batch.clone()).unwrap();
        let _ = poll(&mut log);
    }
    drop(log);
    assert!(files(&disk).keys().filter(|path| is_segment(path)).count() >= 4);
    (disk, batches)
}

fn files(disk: &SimulatedDisk) -> BTreeMap<PathBuf, Vec<u8>> {
    let paths = disk.names(FOLDER).into_iter().map(|name| Path::new(FOLDER).join(name));
    paths.map(|path| (path.clone(), disk.bytes(path).unwrap())).collect()
}

fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "wal")
}

enum Found {
    Everything,
    Refused { file: PathBuf, offset: u64 },
}

/// Opens a damaged copy: everything is there, or it is refused and nothing was changed.
fn open_damaged(
    disk: &SimulatedDisk,
    batches: &[Batch],
    file: &Path,
    how: impl FnOnce(&mut Vec<u8>),
) -> Found {
    let copy = disk.fork(1);
    copy.damage(file, how);
    open_copy(&copy, batches)
}

fn open_copy(copy: &SimulatedDisk, batches: &[Batch]) -> Found {
    let before = files(copy);
    match open(copy, INLINE) {
        Ok((log, recovered)) => {
            assert_eq!(check(&log, &recovered, batches, batches.len()), Ok(batches.len()));
            Found::Everything
        }
        Err(StorageError::Corrupt { file, offset, problem }) => {
            assert!(!problem.is_empty());
            assert!(files(copy) == before, "a refused log is not changed");
            Found::Refused { file, offset }
        }
        Err(error) => panic!("{error}"),
    }
}

/// The places to try: every byte, but only some of a run of equal ones, which is filling.
fn places(bytes: &[u8]) -> impl Iterator<Item = usize> + '_ {
    (0..bytes.len()).filter(|at| *at == 0 || bytes[*at] != bytes[at - 1] || at % 61 == 0)
}

#[test]
fn a_flipped_bit_at_any_byte_is_refused_or_harmless() {
    let (disk, batches) = written();
    let mut refused = 0;
    for (path, bytes) in files(&disk) {
        for at in places(&bytes) {
            let found = open_damaged(&disk, &batches, &path, |bytes| bytes[at] ^= 1 << (at % 8));
            if let Found::Refused { file, offset } = found {
                refused += 1;
                assert_eq!(file, path);
                assert!(offset <= at as u64);
            }
        }
    }
    assert!(refused > 1000, "{refused}");
}

#[test]
fn a_file_cut_at_any_byte_is_refused_or_lost_nothing() {
    let (disk, batches) = written();
    let mut refused = 0;
    for (path, bytes) in files(&disk) {
        for len in places(&bytes) {
            let found = open_damaged(&disk, &batches, &path, |bytes| bytes.truncate(len));
            refused += usize::from(matches!(found, Found::Refused { .. }));
        }
    }
    assert!(refused > 1000, "{refused}");
}

#[test]
fn a_sector_that_reads_as_zeros_is_refused_or_harmless() {
    let (disk, batches) = written();
    for (path, bytes) in files(&disk) {
        for start in (0..bytes.len()).step_by(512) {
            let end = bytes.len().min(start + 512);
            open_damaged(&disk, &batches, &path, |bytes| bytes[start..end].fill(0));
        }
    }
}

#[test]
fn a_missing_or_exchanged_file_is_refused() {
    let (disk, batches) = written();
    let files = files(&disk);
    let spare = files.keys().rfind(|path| is_segment(path)).unwrap();
    let is_missed = |path: &&PathBuf| {
        *path != spare && !path.ends_with("PLACE") && path.extension().is_none_or(|it| it != "new")
    };
    for path in files.keys().filter(is_missed) {
        let copy = disk.fork(2);
        copy.folder(FOLDER).remove(path.file_name().unwrap().to_str().unwrap()).unwrap();
        match open_copy(&copy, &batches) {
            Found::Refused { file, .. } => assert_eq!(file, *path),
            Found::Everything => panic!("{}", path.display()),
        }
    }
    let segments: Vec<&PathBuf> = files.keys().filter(|path| is_segment(path)).collect();
    for pair in segments.windows(2) {
        let copy = disk.fork(3);
        copy.damage(pair[0], |bytes| bytes.clone_from(&files[pair[1]]));
        copy.damage(pair[1], |bytes| bytes.clone_from(&files[pair[0]]));
        assert!(matches!(open_copy(&copy, &batches), Found::Refused { .. }));
    }
}

#[test]
fn damage_names_the_entries_it_hit() {
    let disk = SimulatedDisk::new(12);
    let (mut log, _) = open(&disk, INLINE).unwrap();
    for first in [1, 4, 7] {
        log.submit(WriteSeq(first), put((first..first + 3).map(|index| entry(index, 1, 40)))).unwrap();
        durable(&mut log).unwrap();
    }
    drop(log);
    let path = Path::new(FOLDER).join("0000000000000002.wal");
    // Within the body of entry 5: its neighbours can still be recognised.
    let bytes = disk.bytes(&path).unwrap();
    let body = entry(5, 1, 40).body;
    let at = bytes.windows(body.len()).position(|window| window == &body[..]).unwrap();
    disk.damage(&path, |bytes| bytes[at] ^= 1);
    let error = open(&disk, INLINE).unwrap_err().to_string();
    assert!(error.contains("held entries 4 to 6"), "{error}");
    assert!(error.contains("reached entry 3"), "{error}");
}

#[test]
fn a_reader_refuses_what_was_damaged_under_it() {
    let disk = SimulatedDisk::new(13);
    let (mut log, _) = open(&disk, INLINE).unwrap();
    log.submit(WriteSeq(1), put((1..=3).map(|index| entry(index, 1, 40)))).unwrap();
    durable(&mut log).unwrap();
    let path = files(&disk).into_keys().rfind(|path| is_segment(path)).unwrap();
    let bytes = disk.bytes(&path).unwrap();
    let start = 4096 + 48;
    for at in (start..start + 3 * (16 + 72 + 44)).filter(|at| bytes[*at] != 0) {
        disk.damage(&path, |bytes| bytes[at] ^= 0x10);
        let read = block_on(log.reader().read(Index(1)..Index(4), usize::MAX));
        match read {
            Err(StorageError::Corrupt { file, offset, .. }) => {
                assert_eq!(file, path);
                assert!(offset <= at as u64);
            }
            read => panic!("{at}: {read:?}"),
        }
        disk.damage(&path, |bytes| bytes[at] ^= 0x10);
    }
    assert_eq!(read_all(&log).unwrap().len(), 3);
}

/// The one case that is left to doubt: nothing on disk says yet that the last group was synced.
#[test]
fn damage_to_the_last_group_is_told_from_a_tear_once_the_idle_log_has_marked_its_end() {
    for marked in [false, true] {
        let disk = SimulatedDisk::new(14);
        let (mut log, _) = open(&disk, if marked { THREADED } else { INLINE }).unwrap();
        log.submit(WriteSeq(1), put([entry(1, 1, 40)])).unwrap();
        durable(&mut log).unwrap();
        if marked {
            // The spare is prepared meanwhile, so that counting writes would not do.
            let path = Path::new(FOLDER).join("0000000000000002.wal");
            let written = |bytes: Vec<u8>| bytes.iter().rposition(|byte| *byte != 0);
            let end = written(disk.bytes(&path).unwrap());
            for _ in 0..1000 {
                if written(disk.bytes(&path).unwrap()) != end {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        }
        disk.kill();
        drop(log);
        let path = Path::new(FOLDER).join("0000000000000002.wal");
        disk.damage(&path, |bytes| bytes[4096 + 48 + 100] ^= 1);
        match open(&disk, INLINE) {
            Err(StorageError::Corrupt { .. }) => assert!(marked),
            Ok((_, recovered)) => {
                assert!(!marked);
                assert!(recovered.notes[0].contains("was never acknowledged"), "{:?}", recovered.notes);
            }
            Err(error) => panic!("{error}"),
        }
    }
}
