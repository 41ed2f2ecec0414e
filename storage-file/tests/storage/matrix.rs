//! The durability matrix: a log of three segments, damaged at every byte. Whatever was acknowledged and is covered by a
//! later mark is there, or its loss is refused by name. Nothing is lost in silence.
//!
//! `QUORATE_MATRIX=full` flips all eight bits of each byte instead of one.

use std::path::{Path, PathBuf};

use consensus_api::{Batch, LogStorage, StorageError, WriteSeq};
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

impl Subject {
    /// Three segments, of which the first two are full. `marked`: the log was closed in good order; otherwise the
    /// process was killed right after the last batch was acknowledged.
    fn new(marked: bool) -> Self {
        let disk = SimulatedDisk::new(31);
        let (mut log, _) = open(&disk, INLINE).unwrap();
        let (mut batches, mut dice) = (Vec::new(), Dice(3));
        while segments(&disk).len() < 5 {
            let first = batches.len() as u64 * 2 + 1;
            let mut batch =
                put([first, first + 1].map(|index| entry(index, 1, 20 + dice.below(300) as usize)));
            if batches.len() % 5 == 0 {
                batch.push(hard_state(first));
            }
            batches.push(batch.clone());
            log.submit(WriteSeq(batches.len() as u64), batch).unwrap();
            assert!(poll(&mut log).is_ready());
        }
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
fn run(marked: bool, step: usize, how: impl Fn(&mut Vec<u8>, usize)) -> Tally {
    let subject = Subject::new(marked);
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

#[test]
fn a_bit_flipped_at_any_byte() {
    let bits = if std::env::var("QUORATE_MATRIX").is_ok_and(|value| value == "full") { 0..8 } else { 0..1 };
    for bit in bits {
        let marked = run(true, 1, |bytes, at| bytes[at] ^= 1 << ((at + bit) % 8));
        assert!(marked.cut == 0 && marked.refused > 8000 && marked.whole > 8000, "{marked:?}");
        let unmarked = run(false, 1, |bytes, at| bytes[at] ^= 1 << ((at + bit) % 8));
        assert!(unmarked.cut > 100 && unmarked.refused > 7000, "{unmarked:?}");
        println!("bit {bit}: closed {marked:?}, killed {unmarked:?}");
    }
}

#[test]
fn a_file_cut_at_any_byte() {
    let marked = run(true, 1, Vec::truncate);
    assert!(marked.cut == 0 && marked.refused > 20_000, "{marked:?}");
    let unmarked = run(false, 1, Vec::truncate);
    assert!(unmarked.cut == 0 && unmarked.refused > 20_000, "{unmarked:?}");
    println!("closed {marked:?}, killed {unmarked:?}");
}

#[test]
fn a_sector_or_a_page_of_zeros_at_any_place() {
    for (bytes_zeroed, killed_too) in [(512, true), (4096, false)] {
        let zero = |bytes: &mut Vec<u8>, at: usize| {
            let end = bytes.len().min(at + bytes_zeroed);
            bytes[at..end].fill(0);
        };
        let marked = run(true, 512, zero);
        assert!(marked.cut == 0 && marked.refused > 15, "{marked:?}");
        println!("{bytes_zeroed} zeros: closed {marked:?}");
        // A page may hold the last batches together with all that speaks of them.
        if killed_too {
            println!("{bytes_zeroed} zeros: killed {:?}", run(false, 512, zero));
        }
    }
}
