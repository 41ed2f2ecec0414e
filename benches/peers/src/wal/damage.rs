//! What becomes of acknowledged entries when a closed log is damaged: a bit flips, a sector turns to zeros, the file is
//! cut, anywhere from the first entry to the last of each of its segments. A log may refuse to open, or come back with
//! everything; what it may not do is come back with less, or with something else, and say nothing.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{Log, okaywal, ours, payload, raft_engine};
use crate::load::Failure;

/// Acknowledged entries, each synced by itself: three segments of a log, where it has such.
const ENTRIES: u64 = 96;
const SECTOR: u64 = 512;

#[derive(Clone, Copy)]
enum Damage {
    Bit,
    Sector,
    Cut,
}

impl Damage {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Bit, "a bit flipped"), (Self::Sector, "a sector zeroed"), (Self::Cut, "the file cut")];

    fn inflict(self, path: &Path, place: u64) -> Result<(), Failure> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        match self {
            Self::Bit => {
                let mut byte = [0];
                file.read_exact_at(&mut byte, place)?;
                file.write_all_at(&[byte[0] ^ (1 << (place % 8))], place)?;
            }
            Self::Sector => {
                let begin = place / SECTOR * SECTOR;
                let end = (begin + SECTOR).min(file.metadata()?.len());
                file.write_all_at(&vec![0; (end - begin) as usize], begin)?;
            }
            Self::Cut => file.set_len(place)?,
        }
        Ok(())
    }
}

/// How often what came of it.
#[derive(Default)]
struct Tally {
    trials: u64,
    whole: u64,
    refused: u64,
    lost: u64,
    lost_entries: u64,
    altered: u64,
}

impl Tally {
    fn count(&mut self, found: Result<Vec<Bytes>, Failure>) {
        self.trials += 1;
        let Ok(found) = found else {
            self.refused += 1;
            return;
        };
        let missing = ENTRIES.saturating_sub(found.len() as u64);
        self.lost += u64::from(missing > 0);
        self.lost_entries += missing;
        let altered = (0..ENTRIES).zip(&found).any(|(index, found)| payload(index) != *found);
        self.altered += u64::from(altered || found.len() as u64 > ENTRIES);
        self.whole += u64::from(missing == 0 && !altered);
    }
}

/// Opens a log; a panic is a refusal too.
fn open<L: Log>(dir: &Path) -> Result<Vec<Bytes>, Failure> {
    let opened = catch_unwind(AssertUnwindSafe(|| -> Result<Vec<Bytes>, Failure> {
        let (log, found) = L::open(dir)?;
        log.close()?;
        Ok(found)
    }));
    opened.unwrap_or_else(|_| Err("it panicked".into()))
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::create_dir_all(to)?;
    for file in fs::read_dir(from)? {
        let file = file?;
        let to = to.join(file.file_name());
        if file.file_type()?.is_dir() {
            copy(&file.path(), &to)?;
        } else {
            fs::copy(file.path(), to)?;
        }
    }
    Ok(())
}

/// A file that holds entries, and where in it the first of them begins and the last ends.
struct Extent {
    name: PathBuf,
    begin: u64,
    end: u64,
}

fn extents(dir: &Path) -> Result<Vec<Extent>, Failure> {
    let mut found = Vec::new();
    for file in fs::read_dir(dir)? {
        let path = file?.path();
        let bytes = if path.is_file() { fs::read(&path)? } else { Vec::new() };
        let find = |index| {
            let wanted = payload(index);
            bytes.windows(wanted.len()).position(|found| found == wanted).map(|at| (at, at + wanted.len()))
        };
        let places: Vec<_> = (0..ENTRIES).filter_map(find).collect();
        let (begin, end) = (places.iter().map(|it| it.0).min(), places.iter().map(|it| it.1).max());
        if let (Some(begin), Some(end), Some(name)) = (begin, end, path.file_name()) {
            found.push(Extent { name: name.into(), begin: begin as u64, end: end as u64 });
        }
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    if found.is_empty() { Err("no file holds the entries".into()) } else { Ok(found) }
}

/// What became of it, and how many files held entries.
fn tallies<L: Log>(step: u64) -> Result<([Tally; 3], usize), Failure> {
    let home = tempfile::tempdir()?;
    let sound = home.path().join("sound");
    fs::create_dir(&sound)?;
    let (mut log, _) = L::open(&sound)?;
    for index in 0..ENTRIES {
        log.append(index + 1, &[payload(index)])?;
    }
    log.close()?;
    let extents = extents(&sound)?;
    let mut tallies = <[Tally; 3]>::default();
    for ((damage, _), tally) in Damage::ALL.iter().zip(&mut tallies) {
        let step = if matches!(damage, Damage::Sector) { SECTOR } else { step };
        for Extent { name, begin, end } in &extents {
            for place in (*begin..*end).step_by(usize::try_from(step)?) {
                let dir = home.path().join("trial");
                copy(&sound, &dir)?;
                damage.inflict(&dir.join(name), place)?;
                tally.count(open::<L>(&dir));
                fs::remove_dir_all(&dir)?;
            }
        }
    }
    Ok((tallies, extents.len()))
}

type Contestant = (&'static str, fn(u64) -> Result<([Tally; 3], usize), Failure>);
const CONTESTANTS: [Contestant; 4] = [
    ("raft-engine 0.4.2, as by default", tallies::<raft_engine::Small>),
    ("raft-engine 0.4.2, absolute consistency", tallies::<raft_engine::Strict>),
    ("okaywal 0.3.1", tallies::<okaywal::Wal>),
    ("quorate storage-file", tallies::<ours::Small>),
];

/// Prints what became of the entries, with a bit flipped or the file cut at every `step`-th byte, and every sector zeroed.
pub fn table(step: u64) -> Result<(), Failure> {
    std::panic::set_hook(Box::new(|_| {}));
    println!(
        "\nA closed log of {ENTRIES} acknowledged entries, damaged at one place between the first entry and the last of \
         each of its files (each sector; each {step}th byte), and opened again\n"
    );
    println!(
        "| log | files | damage | trials | all there | refused | entries lost in silence: trials (entries) | altered |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (name, tallies) in CONTESTANTS {
        let (tallies, files) = tallies(step.max(1)).map_err(|error| format!("{name}: {error}"))?;
        for ((_, damage), tally) in Damage::ALL.iter().zip(tallies) {
            let Tally { trials, whole, refused, lost, lost_entries, altered } = tally;
            println!(
                "| {name} | {files} | {damage} | {trials} | {whole} | {refused} | {lost} ({lost_entries}) | {altered} |"
            );
        }
    }
    Ok(())
}
