//! What the log costs in memory: nothing per entry while it is written, and next to nothing per entry that it keeps.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::alloc::System;
use std::future::poll_fn;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use consensus_api::{
    Batch, ClusterName, Commands, EngineName, Entry, EntryKind, Generation, Identity, Incarnation, Index,
    LogStorage, LogTime, NodeId, Op, ProposalId, StoreId, WriteSeq,
};
use quorate_storage_file::{FileLog, FileLogOptions};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, Stats, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// One test at a time, or they count each other's.
static ALONE: Mutex<()> = Mutex::new(());

fn identity() -> Identity {
    Identity {
        cluster: ClusterName::new("memory").unwrap(),
        node: NodeId(1),
        engine: EngineName("raft"),
        store: StoreId::default(),
        incarnation: Incarnation(1),
    }
}

fn body(bytes: usize) -> Bytes {
    let mut body = BytesMut::new();
    Commands::push(&mut body, &vec![7; bytes]).unwrap();
    body.freeze()
}

fn entry(index: u64, body: &Bytes) -> Entry {
    let mut entry = Entry::new(EntryKind::Commands, 1, ProposalId::default(), LogTime(index), body.clone());
    entry.index = Index(index);
    entry.generation = Generation::new(1, NodeId(1));
    entry
}

/// Batches of that many entries each, of 128 bytes, from `first` on.
fn batches(first: u64, count: u64, entries: u64) -> Vec<Batch> {
    let body = body(128);
    let batch = |at: u64| {
        let first = first + at * entries;
        (first..first + entries).map(|index| Op::Put(entry(index, &body))).collect()
    };
    (0..count).map(batch).collect()
}

/// Writes each batch by itself. Returns what was allocated meanwhile, by all threads.
fn write(log: &mut FileLog, seq: &mut u64, batches: Vec<Batch>) -> Stats {
    let region = Region::new(ALLOCATOR);
    for batch in batches {
        *seq += 1;
        log.submit(WriteSeq(*seq), batch).unwrap();
        while futures::executor::block_on(poll_fn(|cx| log.poll_durable(cx))).unwrap() < WriteSeq(*seq) {}
    }
    region.change()
}

#[test]
fn appending_allocates_for_batches_never_for_entries() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let mut log = FileLog::open(folder.path()).unwrap();
    log.attach(&identity()).unwrap();
    let (mut seq, mut first) = (0, 1);
    // What is kept for reuse is allocated once.
    for (count, entries) in [(20, 256), (200, 1)] {
        write(&mut log, &mut seq, batches(first, count, entries));
        first += count * entries;
    }
    // A few for each batch: for the queue, for waking up, for the index. However many entries are in it.
    for (count, entries) in [(40, 1024), (40, 256), (1000, 1)] {
        let batches = batches(first, count, entries);
        let made = write(&mut log, &mut seq, batches);
        first += count * entries;
        println!("{count} batches of {entries}: {made:?}");
        let index = count * entries / 250;
        let most = (4 * count + index) as usize;
        assert!(
            made.allocations + made.reallocations < most,
            "batches of {entries}: {made:?}, at most {most}"
        );
    }
}

/// Opens the log, and returns the bytes that it then keeps.
fn kept_by(path: &Path) -> usize {
    let region = Region::new(ALLOCATOR);
    // Without threads: what one of them works with would count as kept.
    let options = FileLogOptions { inline: true, ..FileLogOptions::default() };
    let mut log = FileLog::open_with(path, options).unwrap();
    log.attach(&identity()).unwrap();
    let change = region.change();
    change.bytes_allocated.saturating_sub(change.bytes_deallocated)
}

#[test]
fn ten_million_small_commands_are_kept_in_32_mib() {
    const ENTRIES: u64 = 100_000;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let body = body(16);
    let mut kept = Vec::new();
    for part in 0..3 {
        let mut log = FileLog::open(folder.path()).unwrap();
        log.attach(&identity()).unwrap();
        for first in (part * ENTRIES + 1..=(part + 1) * ENTRIES).step_by(500) {
            let batch: Batch = (first..first + 500).map(|index| Op::Put(entry(index, &body))).collect();
            log.submit(WriteSeq(first), batch).unwrap();
        }
        drop(log);
        kept.push(kept_by(folder.path()));
    }
    println!("{kept:?} bytes for 1, 2 and 3 times {ENTRIES} entries");
    // What is the same for every log, such as buffers, is in all three. What grows is what counts.
    let per_part = (kept[2] - kept[0]) / 2;
    assert!(per_part > 0, "{kept:?}: an index that weighs nothing was not measured");
    let parts_of_ten_million = 10_000_000 / ENTRIES as usize;
    let all = kept[0] + (parts_of_ten_million - 1) * per_part;
    assert!(all < 32 << 20, "{all} bytes for ten million");
}
