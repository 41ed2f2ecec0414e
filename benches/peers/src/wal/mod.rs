//! Durable logs: how fast one writer gets batches synced, and what a damaged file costs.

pub mod damage;
pub mod okaywal;
pub mod ours;
pub mod raft_engine;
pub mod raw;

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::load::Failure;
use crate::rounds::Rounds;

/// A log on disk.
pub trait Log: Sized {
    /// Opens the log in this folder, and says what is in it: the payload of every entry, in order.
    fn open(dir: &Path) -> Result<(Self, Vec<Bytes>), Failure>;
    /// Appends these payloads as entries `first`, `first + 1` and so on, and returns once they are durable.
    fn append(&mut self, first: u64, payloads: &[Bytes]) -> Result<(), Failure>;
    /// Closes it in good order.
    fn close(self) -> Result<(), Failure>;
}

/// Bytes that do not compress, different for each index.
pub(crate) fn payload(index: u64) -> Bytes {
    let mut state = index.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let word = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..PAYLOAD / 8).flat_map(word).collect()
}

pub(crate) const PAYLOAD: usize = 256;
const BATCHES: [usize; 3] = [1, 16, 256];
/// Between one log and the next.
const REST: Duration = Duration::from_millis(200);
/// So many payloads are made beforehand.
const PAYLOADS: u64 = 256;

/// A log being measured, whatever its type.
struct Running {
    append: Box<dyn FnMut(usize) -> Result<(), Failure>>,
    /// How often it has synced, where several batches could share a sync: those that did count once.
    syncs: Option<Box<dyn Fn() -> u64>>,
}

impl Running {
    fn syncs(&self) -> u64 {
        self.syncs.as_ref().map_or(0, |syncs| syncs())
    }
}

fn running<L: Log + 'static>(dir: &Path) -> Result<Running, Failure> {
    let (mut log, _) = L::open(dir)?;
    let payloads: Vec<Bytes> = (0..PAYLOADS).map(payload).collect();
    let mut next = 1;
    let append = move |count: usize| {
        log.append(next, &payloads[..count])?;
        next += count as u64;
        Ok(())
    };
    Ok(Running { append: Box::new(append), syncs: None })
}

type Start = fn(&Path) -> Result<Running, Failure>;
const CONTESTANTS: [(&str, Start); 6] = [
    ("write + fdatasync, zero-filled file", running::<raw::Raw>),
    ("raft-engine 0.4.2", running::<raft_engine::Engine>),
    ("okaywal 0.3.1", running::<okaywal::Wal>),
    ("quorate storage-file", running::<ours::Files>),
    ("quorate storage-file, inline", running::<ours::Inline>),
    ("quorate storage-file, the next batch handed in meanwhile", ours::ahead),
];

/// Prints synced batches per second and the ratio to the raw file, in slices of `time` that take turns.
pub fn table(rounds: usize, time: Duration) -> Result<(), Failure> {
    println!(
        "\nSynced batches per second of one writer, entries of {PAYLOAD} bytes, one disk, slices of {time:?} in turn; \
         median of {rounds}, in brackets the ratio to the raw file of the same turn\n"
    );
    let titles = BATCHES.map(|batch| format!("batches of {batch}"));
    println!("| log | {} |\n|---|---|---|---|", titles.join(" | "));
    let names = CONTESTANTS.map(|(name, _)| name);
    let mut columns = Vec::new();
    for batch in BATCHES {
        let dir = tempfile::tempdir()?;
        let logs: Result<Vec<_>, Failure> = (0..)
            .zip(CONTESTANTS)
            .map(|(at, (_, start)): (u32, _)| start(&dir.path().join(at.to_string())))
            .collect();
        let mut logs = logs?;
        for log in &mut logs {
            (0..20).try_for_each(|_| (log.append)(batch))?;
        }
        columns.push(Rounds::run(&names, rounds, |contestant| {
            // What the one before has left to its threads and to the disk is not to be measured here.
            std::thread::sleep(REST);
            let log = &mut logs[contestant];
            let before = log.syncs();
            let (begin, mut count) = (Instant::now(), 0_u64);
            while begin.elapsed() < time {
                (log.append)(batch)?;
                count += 1;
            }
            let elapsed = begin.elapsed();
            if log.syncs.is_some() {
                count = count.min(log.syncs() - before);
            }
            Ok(count as f64 / elapsed.as_secs_f64())
        })?);
    }
    for (contestant, name) in names.iter().enumerate() {
        let cell = |column: &Rounds| {
            format!("{:.0} ({:.2})", column.median(contestant), column.ratio(contestant, &[0]))
        };
        println!("| {name} | {} |", columns.iter().map(cell).collect::<Vec<_>>().join(" | "));
    }
    for (contestant, name) in names.iter().enumerate().skip(3) {
        let cells = columns.iter().map(|column| format!("{:.2}", column.ratio(contestant, &[1, 2])));
        println!("| ratio: {name} / better peer | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
    Ok(())
}
