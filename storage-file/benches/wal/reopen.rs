//! Opening a long log again, beside a plain read of its files; and what it keeps in memory then.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use consensus_api::{Batch, Index, LogStorage, Op, WriteSeq};
use quorate_storage_file::FileLog;
use stats_alloc::Region;

use crate::median;
use crate::writers::{batch_bytes_of, body, entry, identity, wait};

#[global_allocator]
static ALLOCATOR: &stats_alloc::StatsAlloc<std::alloc::System> = &stats_alloc::INSTRUMENTED_SYSTEM;

const BATCH: u64 = 1000;

/// Writes a log of about so many bytes, of entries with that payload, and opens it again and again.
pub(crate) fn measure(path: &Path, payload: usize, bytes: u64, rounds: usize) {
    let batches = bytes / batch_bytes_of(BATCH as usize, payload) as u64;
    let entries = batches * BATCH;
    write(path, payload, entries);
    for is_cold in [false, true] {
        let (mut reads, mut opens, mut ratios, mut kept) = (Vec::new(), Vec::new(), Vec::new(), 0);
        let mut read_bytes = 0;
        for round in 0..=rounds {
            let evict = || if is_cold { segments(path).iter().all(|file| forget(file)) } else { true };
            if !evict() {
                println!("| from the disk | the cache cannot be emptied here | | | |");
                break;
            }
            let begin = Instant::now();
            read_bytes = read_all(path);
            let read = begin.elapsed().as_secs_f64();
            evict();
            let region = Region::new(ALLOCATOR);
            let begin = Instant::now();
            let mut log = FileLog::open(path).unwrap();
            let recovered = log.attach(&identity()).unwrap();
            let open = begin.elapsed().as_secs_f64();
            let change = region.change();
            kept = change.bytes_allocated.saturating_sub(change.bytes_deallocated);
            assert!(recovered.outline.last() >= Index(entries));
            // The first is for warming up.
            if round > 0 {
                reads.push(read);
                opens.push(open);
                ratios.push(open / read);
            }
        }
        if !ratios.is_empty() {
            let place = if is_cold { "from the disk" } else { "from the cache" };
            println!(
                "| {} MiB, {entries} entries of {payload} bytes, {place} | {:.3} | {:.3} | {:.2} | {} KiB |",
                read_bytes >> 20,
                median(reads),
                median(opens),
                median(ratios),
                kept >> 10
            );
        }
    }
    std::fs::remove_dir_all(path).unwrap();
}

fn write(path: &Path, payload: usize, entries: u64) {
    let mut log = FileLog::open(path).unwrap();
    log.attach(&identity()).unwrap();
    let body = body(payload);
    for first in (1..=entries).step_by(BATCH as usize) {
        let batch: Batch = (first..first + BATCH).map(|index| Op::Put(entry(index, &body))).collect();
        log.submit(WriteSeq(first), batch).unwrap();
        if (first / BATCH).is_multiple_of(16) {
            while wait(&mut log) < WriteSeq(first) {}
        }
    }
}

fn segments(path: &Path) -> Vec<PathBuf> {
    let items = std::fs::read_dir(path).unwrap().map(|item| item.unwrap().path());
    items.filter(|path| path.extension().is_some_and(|extension| extension == "wal")).collect()
}

/// Has the system forget what it has cached of a file; `dd` can ask it to.
fn forget(file: &Path) -> bool {
    let mut dd = Command::new("dd");
    dd.arg(format!("of={}", file.display())).args(["oflag=nocache", "conv=notrunc,fdatasync", "count=0"]);
    dd.args(["if=/dev/null", "status=none"]).status().is_ok_and(|status| status.success())
}

/// Reads all segments through, as plainly as can be.
fn read_all(path: &Path) -> u64 {
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    for path in segments(path) {
        let mut file = File::open(path).unwrap();
        loop {
            let count = file.read(&mut buffer).unwrap();
            if count == 0 {
                break;
            }
            bytes += count as u64;
        }
    }
    bytes
}
