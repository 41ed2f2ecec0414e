//! Fuzzing of everything that reads bytes from a disk: the folders of the corpus, mutated by chance from a seed, so that
//! every run is the same. Any build does, no other compiler is needed.
//!
//! A short run is part of the tests. A long one: `QUORATE_FUZZ_SECONDS=600 cargo test --release -p
//! quorate-storage-file --test storage fuzz -- --nocapture`. A failure prints the number of the run: with
//! `QUORATE_FUZZ_FROM=<number>` the next begins there. The corpus is written anew by `QUORATE_WRITE_CORPUS=1`.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use consensus_api::{Generation, LogStorage, Membership, NodeId, SnapshotMark, StorageError, WriteSeq};
use crc32c::crc32c;
use quorate_storage_file::disk::Folder;
use quorate_storage_file::simulated::SimulatedDisk;

use crate::harness::*;

const SHORT_RUNS: u64 = 12_000;
const SNAPSHOTS: &str = "snapshots";

/// A folder of a log: its files, with the snapshots' among them.
type Files = BTreeMap<PathBuf, Vec<u8>>;

fn files(disk: &SimulatedDisk) -> Files {
    let of = |folder: PathBuf| disk.names(&folder).into_iter().map(move |name| folder.join(name));
    let paths = of(FOLDER.into()).chain(of(Path::new(FOLDER).join(SNAPSHOTS)));
    // These belong to a process, and to the place where the log was written.
    let paths = paths.filter(|path| !path.ends_with("LOCK") && !path.ends_with("PLACE"));
    paths.filter_map(|path| Some((path.clone(), disk.bytes(path)?))).collect()
}

fn disk_with(files: &Files) -> SimulatedDisk {
    let disk = SimulatedDisk::new(1);
    for (path, bytes) in files {
        let folder: std::sync::Arc<dyn Folder> = disk.folder(path.parent().unwrap());
        let file = folder.create(path.file_name().unwrap().to_str().unwrap()).unwrap();
        file.write_at(bytes, 0).unwrap();
        file.sync().unwrap();
        folder.sync().unwrap();
    }
    disk
}

/// A log with all there is in the format: `lives` times opened and written, and a snapshot at the end.
fn written(seed: u64, lives: usize) -> SimulatedDisk {
    let disk = SimulatedDisk::new(seed);
    for life in batches(seed, 12 * lives).chunks(12) {
        disk.kill();
        let (mut log, recovered) = open(&disk, INLINE).unwrap();
        for (seq, batch) in life.iter().enumerate() {
            log.submit(WriteSeq(seq as u64), batch.clone()).unwrap();
            let _ = poll(&mut log);
        }
        let membership = Membership::of_voters([NodeId(1), NodeId(2)]).unwrap();
        let mark = SnapshotMark {
            index: recovered.outline.compacted.next(),
            generation: Generation::new(1, NodeId(1)),
            membership,
        };
        let mut snapshot = block_on(log.snapshots().begin(&mark)).unwrap();
        block_on(snapshot.append(Bytes::from(vec![7; 999]))).unwrap();
        block_on(snapshot.finish()).unwrap();
        if life.len() % 2 == 0 {
            drop(log);
        }
    }
    disk
}

fn write_corpus(home: &Path) {
    let killed = SimulatedDisk::new(9);
    let (mut log, _) = open(&killed, INLINE).unwrap();
    for (seq, batch) in batches(9, 10).into_iter().enumerate() {
        log.submit(WriteSeq(seq as u64), batch).unwrap();
    }
    let _ = poll(&mut log);
    killed.kill();
    drop(log);
    let torn = SimulatedDisk::new(10);
    let (mut log, _) = open(&torn, INLINE).unwrap();
    for first in [1, 4] {
        log.submit(WriteSeq(first), put((first..first + 3).map(|index| entry(index, 1, 100)))).unwrap();
        let _ = poll(&mut log);
    }
    torn.kill();
    drop(log);
    torn.damage(Path::new(FOLDER).join("0000000000000002.wal"), |bytes| {
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        bytes[end - 100..=end].fill(0);
    });
    for (name, disk) in
        [("closed", written(5, 1)), ("compacted", written(77, 4)), ("killed", killed), ("torn", torn)]
    {
        for (path, bytes) in files(&disk) {
            let to = home.join(name).join(path.strip_prefix(FOLDER).unwrap());
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::write(to, bytes).unwrap();
        }
    }
}

/// The folders of the corpus, by name.
fn corpus() -> Vec<(String, Files)> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    if std::env::var("QUORATE_WRITE_CORPUS").is_ok() {
        write_corpus(&home);
    }
    let mut names: Vec<PathBuf> = fs::read_dir(home).unwrap().map(|item| item.unwrap().path()).collect();
    names.sort();
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    names.iter().map(|path| (name(path), load(path, Path::new(FOLDER)))).collect()
}

fn load(from: &Path, to: &Path) -> Files {
    let mut files = Files::new();
    for item in fs::read_dir(from).unwrap().map(|item| item.unwrap().path()) {
        let to = to.join(item.file_name().unwrap());
        if item.is_dir() {
            files.extend(load(&item, &to));
        } else {
            files.insert(to, fs::read(item).unwrap());
        }
    }
    files
}

/// One change somewhere, most often where something stands.
fn mutate(bytes: &mut Vec<u8>, dice: &mut Dice) {
    const WORTHWHILE: [u64; 8] = [0, 1, 0x7f, 0xffff, 0x7fff_ffff, u32::MAX as u64, u64::MAX - 1, u64::MAX];
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(1, |at| at as u64 + 1);
    let bound = if dice.below(8) == 0 { bytes.len() as u64 } else { used };
    let at = dice.below(bound.max(1)) as usize;
    let rest = bytes.len().saturating_sub(at);
    match dice.below(7) {
        0 | 1 if rest > 0 => bytes[at] ^= 1 << dice.below(8),
        2 if rest > 0 => bytes[at] = dice.below(256) as u8,
        3 if rest >= 16 => {
            let (at, width) = (at.next_multiple_of(4), if dice.below(2) == 0 { 4 } else { 8 });
            let number = WORTHWHILE[dice.below(8) as usize].to_le_bytes();
            bytes[at..at + width].copy_from_slice(&number[..width]);
        }
        4 => bytes.truncate(at),
        5 => {
            let piece = bytes[at..at + rest.min(1 + dice.below(256) as usize)].to_vec();
            let to = dice.below(bytes.len().max(1) as u64) as usize / 8 * 8;
            let end = bytes.len().min(to + piece.len());
            bytes[to..end].copy_from_slice(&piece[..end - to]);
        }
        _ => {
            let end = bytes.len().min(at + 512);
            bytes[at..end].fill(0);
        }
    }
}

fn number(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..at + 4).map_or(0, |four| u32::from_le_bytes(four.try_into().unwrap()) as usize)
}

fn put_crc(bytes: &mut [u8], at: usize, covered: &[&[u8]]) {
    let checksum = crc32c(&covered.concat());
    bytes[at..at + 4].copy_from_slice(&checksum.to_le_bytes());
}

/// Makes the checksums of a segment right again, as far as batches can be told apart: so that what is behind them is
/// reached. What is written is what `docs/log-format.md` says.
fn seal(bytes: &mut [u8]) {
    // Anything else is a spare.
    if bytes.len() < 4096 || bytes[..4] != *b"QRMW" {
        return;
    }
    let copy = bytes[..88].to_vec();
    put_crc(bytes, 12, &[&copy[..12], &copy[16..]]);
    let (salt, mut at, mut prev) = (copy[40..48].to_vec(), 4096, bytes[12..16].to_vec());
    while matches!(bytes.get(at..at + 4), Some(b"QBAT" | b"QEND")) {
        let end = at + 48 + number(bytes, at + 8);
        if end > bytes.len() {
            return;
        }
        let (mut operation, mut headers) = (at + 48, Vec::new());
        for _ in 0..number(bytes, at + 12) {
            let len = number(bytes, operation + 4);
            let payload = operation + 16;
            if payload + len > end {
                break;
            }
            if bytes[operation] == 1 && len >= 72 {
                let copy = bytes[payload + 32..payload + len].to_vec();
                put_crc(bytes, payload + 4, &[&copy]);
            }
            let guarded = if bytes[operation] == 1 { len.min(72) } else { len };
            let copy = bytes[operation..payload + guarded].to_vec();
            put_crc(bytes, operation + 8, &[&salt, &copy[..8], &copy[16..]]);
            headers.extend_from_slice(&bytes[operation..payload]);
            operation = (payload + len).next_multiple_of(8);
        }
        put_crc(bytes, at + 16, &[&headers]);
        bytes[at + 40..at + 44].copy_from_slice(&prev);
        let copy = bytes[at + 8..at + 48].to_vec();
        put_crc(bytes, at + 4, &[&salt, &(at as u64).to_le_bytes(), &copy]);
        prev = bytes[at + 4..at + 8].to_vec();
        at = end;
    }
}

/// What came of a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Came {
    Opened,
    Refused,
}

/// Opens a log as a node would, and reads all of it. A log that is refused is not changed, and one that is not is found
/// the same by the next.
fn read(disk: &SimulatedDisk) -> Came {
    let before = files(disk);
    let (log, recovered) = match open(disk, INLINE) {
        Ok(opened) => opened,
        Err(StorageError::Corrupt { .. } | StorageError::Version { .. } | StorageError::Foreign { .. }) => {
            assert!(files(disk) == before, "a log that is refused is left as it is");
            return Came::Refused;
        }
        Err(error) => panic!("{error:?}"),
    };
    let entries = read_all(&log);
    assert!(matches!(entries, Ok(_) | Err(StorageError::Corrupt { .. })), "{entries:?}");
    if let Ok(Some(snapshot)) = block_on(log.snapshots().latest()) {
        let _ = block_on(snapshot.read_at(0, usize::MAX >> 1));
    }
    drop(log);
    let (log, again) = open(disk, INLINE).unwrap();
    assert_eq!(again.outline, recovered.outline, "what was believed once is believed again");
    assert_eq!(read_all(&log).ok(), entries.ok());
    Came::Opened
}

#[test]
fn the_corpus_is_read_as_it_was_meant() {
    let read: Vec<_> = corpus().iter().map(|(name, files)| (name.clone(), read(&disk_with(files)))).collect();
    let names = ["closed", "compacted", "killed", "torn"];
    assert_eq!(read, names.map(|name| (name.to_owned(), Came::Opened)));
    let (_, torn) = &corpus()[3];
    assert_eq!(open(&disk_with(torn), INLINE).unwrap().1.notes.len(), 1);
}

#[test]
fn no_mutation_of_the_corpus_does_harm() {
    let corpus = corpus();
    let disks: Vec<_> = corpus.iter().map(|(_, files)| disk_with(files)).collect();
    let variable = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let long = variable("QUORATE_FUZZ_SECONDS").map(Duration::from_secs);
    let from = variable("QUORATE_FUZZ_FROM").unwrap_or(0);
    let (begin, mut run, mut opened) = (Instant::now(), from, 0_u64);
    while long.map_or(run - from < SHORT_RUNS, |long| begin.elapsed() < long) {
        // So that a run is known by its number.
        let mut dice = Dice(run);
        let which = dice.below(corpus.len() as u64) as usize;
        let disk = disks[which].fork(run);
        for _ in 0..=dice.below(3) {
            let paths = &corpus[which].1;
            let path = paths.keys().nth(dice.below(paths.len() as u64) as usize).unwrap();
            let sealed = dice.below(4) > 0;
            disk.damage(path, |bytes| {
                (0..=dice.below(3)).for_each(|_| mutate(bytes, &mut dice));
                if sealed && path.extension().is_some_and(|extension| extension == "wal") {
                    seal(bytes);
                }
            });
        }
        match catch_unwind(AssertUnwindSafe(|| read(&disk))) {
            Ok(came) => opened += u64::from(came == Came::Opened),
            Err(panic) => {
                println!("run {run}, of {}", corpus[which].0);
                resume_unwind(panic);
            }
        }
        run += 1;
    }
    let runs = run - from;
    println!("{runs} runs, {opened} logs opened, {} s", begin.elapsed().as_secs());
    assert!(opened > runs / 8 && opened < runs, "mutations of one outcome test little: {opened} of {runs}");
}

#[test]
fn a_sound_log_that_is_sealed_again_is_read_as_before() {
    for (name, files) in &corpus()[..3] {
        let disk = disk_with(files);
        let (_, recovered) = open(&disk.fork(1), INLINE).unwrap();
        for path in files.keys().filter(|path| path.extension().is_some_and(|it| it == "wal")) {
            disk.damage(path, |bytes| seal(bytes));
        }
        let (log, again) = open(&disk, INLINE).unwrap();
        assert_eq!(again.outline, recovered.outline, "{name}");
        assert!(read_all(&log).is_ok());
    }
}
