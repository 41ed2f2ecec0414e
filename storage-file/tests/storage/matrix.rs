//! The durability matrix: a log of three segments, damaged at every byte. Whatever was acknowledged and is covered by a
//! later mark is there, or its loss is refused by name. Nothing is lost in silence. All of it twice: in new files, and in
//! files that still hold what an earlier use left there.
//!
//! `QUORATE_MATRIX=full` flips all eight bits of each byte instead of one.

use std::path::{Path, PathBuf};

use consensus_api::{Batch, Generation, Index, LogStorage, NodeId, Op, StorageError, WriteSeq};
use quorate_storage_file::FileLog;
use quorate_storage_file::simulated::SimulatedDisk;

use crate::harness::*;

/// What became of a damaged log.
#[derive(Default, Debug)]
struct Tally {
    whole: u64,
    refused: u64,
    /// The last batch was cut, and the cut reported.
    cut: u64,
}

struct Subject {
    disk: SimulatedDisk,
    batches: Vec<Batch>,
    /// So many batches are covered by a later mark.
    covered: usize,
}

/// What the files of a log held before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Files {
    New,
    Used,
}

/// Writes until there are that many segments.
fn grow(disk: &SimulatedDisk, log: &mut FileLog, batches: &mut Vec<Batch>, count: usize, dice: &mut Dice) {
    let mut first =
        batches.iter().flat_map(Batch::ops).filter(|op| matches!(op, Op::Put(_))).count() as u64 + 1;
    while segments(disk).len() < count {
        let mut batch = put([first, first + 1].map(|index| entry(index, 1, 20 + dice.below(300) as usize)));
        if batches.len().is_multiple_of(5) {
            batch.push(hard_state(first));
        }
        first += 2;
        submit(log, batches, batch);
    }
}

fn submit(log: &mut FileLog, batches: &mut Vec<Batch>, batch: Batch) {
    batches.push(batch.clone());
    log.submit(WriteSeq(batches.len() as u64), batch).unwrap();
    assert!(poll(log).is_ready());
}

impl Subject {
    /// Three segments, of which the first two are full. `marked`: the log was closed in good order; otherwise the
    /// process was killed right after the last batch was acknowledged.
    fn new(files: Files, marked: bool) -> Self {
        let disk = SimulatedDisk::new(31);
        let (mut log, _) = open(&disk, INLINE).unwrap();
        let (mut batches, mut dice) = (Vec::new(), Dice(3));
        if files == Files::Used {
            grow(&disk, &mut log, &mut batches, 8, &mut dice);
            let upto = Index(2 * batches.len() as u64);
            let compact = Op::Compact { upto, generation: Generation::new(1, NodeId(1)) };
            submit(&mut log, &mut batches, [compact].into_iter().collect());
        }
        grow(&disk, &mut log, &mut batches, 5, &mut dice);
        let segments = segments(&disk);
        let last = disk.bytes(&segments[segments.len() - 2]).unwrap();
        let has_leftovers = last.rchunks(2048).next().is_some_and(|end| end.iter().any(|byte| *byte != 0));
        assert_eq!(has_leftovers, files == Files::Used);
        let mut covered = batches.len();
        if marked {
            drop(log);
        } else {
            disk.kill();
            covered -= 1;
        }
        Self { disk, batches, covered }
    }

    fn damage(&self, file: &Path, how: impl FnOnce(&mut Vec<u8>), tally: &mut Tally) {
        let copy = self.disk.fork(1);
        copy.damage(file, how);
        match open(&copy, INLINE) {
            Ok((log, recovered)) => {
                let found = check(&log, &recovered, &self.batches, self.covered).unwrap();
                if found == self.batches.len() {
                    tally.whole += 1;
                } else {
                    assert_ne!(recovered.notes, Vec::<String>::new(), "a cut is reported");
                    tally.cut += 1;
                }
            }
            Err(StorageError::Corrupt { file: named, problem, .. }) => {
                // A segment that has lost its whole header is missed by the one before it.
                assert!(named <= file, "{} instead of {}", named.display(), file.display());
                assert!(!problem.is_empty());
                tally.refused += 1;
            }
            Err(error) => panic!("{}: {error}", file.display()),
        }
    }
}

/// All segments, the first one of the creation and the spare included.
fn segments(disk: &SimulatedDisk) -> Vec<PathBuf> {
    let names = disk.names(FOLDER).into_iter().filter(|name| name.strip_suffix(".wal").is_some());
    names.map(|name| Path::new(FOLDER).join(name)).collect()
}

/// Damages the log in one way at every byte, and says what became of it.
fn run(files: Files, marked: bool, step: usize, how: impl Fn(&mut Vec<u8>, usize)) -> Tally {
    let subject = Subject::new(files, marked);
    let mut tally = Tally::default();
    let spare = segments(&subject.disk).len() - 1;
    for path in &segments(&subject.disk)[..spare] {
        let len = subject.disk.bytes(path).unwrap().len();
        for at in (0..len).step_by(step) {
            subject.damage(path, |bytes| how(bytes, at), &mut tally);
        }
    }
    tally
}

fn flip_bits(files: Files) {
    let bits = if std::env::var("QUORATE_MATRIX").is_ok_and(|value| value == "full") { 0..8 } else { 0..1 };
    for bit in bits {
        let flip = |bytes: &mut Vec<u8>, at: usize| bytes[at] ^= 1 << ((at + bit) % 8);
        let marked = run(files, true, 1, flip);
        assert!(marked.cut == 0 && marked.refused > 8000 && marked.whole > 8000, "{marked:?}");
        let unmarked = run(files, false, 1, flip);
        assert!(unmarked.cut > 100 && unmarked.refused > 7000, "{unmarked:?}");
        println!("bit {bit}, {files:?}: closed {marked:?}, killed {unmarked:?}");
    }
}

#[test]
fn a_bit_flipped_at_any_byte() {
    flip_bits(Files::New);
}

#[test]
fn a_bit_flipped_at_any_byte_of_files_used_before() {
    flip_bits(Files::Used);
}

#[test]
fn a_file_cut_at_any_byte() {
    for files in [Files::New, Files::Used] {
        let marked = run(files, true, 1, Vec::truncate);
        assert!(marked.cut == 0 && marked.refused > 20_000, "{marked:?}");
        let unmarked = run(files, false, 1, Vec::truncate);
        assert!(unmarked.cut == 0 && unmarked.refused > 20_000, "{unmarked:?}");
        println!("{files:?}: closed {marked:?}, killed {unmarked:?}");
    }
}

#[test]
fn a_sector_or_a_page_of_zeros_at_any_place() {
    for files in [Files::New, Files::Used] {
        for (bytes_zeroed, killed_too) in [(512, true), (4096, false)] {
            let zero = |bytes: &mut Vec<u8>, at: usize| {
                let end = bytes.len().min(at + bytes_zeroed);
                bytes[at..end].fill(0);
            };
            let marked = run(files, true, 512, zero);
            assert!(marked.cut == 0 && marked.refused > 15, "{marked:?}");
            println!("{bytes_zeroed} zeros, {files:?}: closed {marked:?}");
            // A page may hold the last batches together with all that speaks of them.
            if killed_too {
                println!("{bytes_zeroed} zeros, {files:?}: killed {:?}", run(files, false, 512, zero));
            }
        }
    }
}

/// What stands behind the end of a log that was closed is of an earlier use; of one that was not, it may be what is left of
/// a batch that nobody was told of. Which of the two is only said where it can be seen.
#[test]
fn what_may_have_been_cut_from_a_file_used_before_is_reported() {
    for (marked, said) in [(true, None), (false, Some("was not closed in good order; its log ends at entry"))]
    {
        let subject = Subject::new(Files::Used, marked);
        let (log, recovered) = open(&subject.disk, INLINE).unwrap();
        assert_eq!(
            check(&log, &recovered, &subject.batches, subject.batches.len()),
            Ok(subject.batches.len())
        );
        let said: Vec<_> = said.into_iter().collect();
        assert_eq!(recovered.notes.len(), said.len(), "{:?}", recovered.notes);
        assert!(
            recovered.notes.iter().zip(said).all(|(note, said)| note.contains(said)),
            "{:?}",
            recovered.notes
        );
    }
    // One whose beginning is there is told as what it is.
    let subject = Subject::new(Files::Used, false);
    let segments = segments(&subject.disk);
    let last = &segments[segments.len() - 2];
    subject.disk.damage(last, |bytes| {
        let headers = (4096..bytes.len() - 48).step_by(8).filter(|at| bytes[*at..at + 4] == *b"QBAT");
        let first = bytes.get(12..16).unwrap().to_vec();
        let of_now = headers.into_iter().scan(first, |prev, at| {
            let follows = bytes[at + 40..at + 44] == prev[..];
            *prev = if follows { bytes[at + 4..at + 8].to_vec() } else { prev.clone() };
            Some(follows.then_some(at))
        });
        let last = of_now.flatten().last().unwrap();
        bytes[last + 48 + 4] ^= 1;
    });
    let (_, recovered) = open(&subject.disk, INLINE).unwrap();
    assert!(recovered.notes[0].contains("was being written when the node stopped"), "{:?}", recovered.notes);
}
