//! What the store of `examples/kv` takes in memory, as whoever copies it will find it: restored from a snapshot, and while a
//! snapshot of it is being written.

#[allow(dead_code, unreachable_pub, reason = "the store is all of it; what serves it is not")]
#[path = "../examples/kv/command.rs"]
mod command;
#[allow(dead_code, unreachable_pub, reason = "as above")]
#[path = "../examples/kv/expiry.rs"]
mod expiry;
#[allow(dead_code, unreachable_pub, reason = "as above")]
#[path = "../examples/kv/glob.rs"]
mod glob;
#[allow(dead_code, unreachable_pub, reason = "as above")]
#[path = "../examples/kv/integer.rs"]
mod integer;
#[allow(dead_code, unreachable_pub, reason = "as above")]
#[path = "../examples/kv/keyspace.rs"]
mod keyspace;
#[allow(dead_code, unreachable_pub, reason = "as above")]
#[path = "../examples/kv/snapshot.rs"]
mod snapshot;
#[allow(dead_code, unreachable_pub, reason = "as above")]
#[path = "../examples/kv/store.rs"]
mod store;

use std::alloc::System;
use std::io;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use quorate::{Applied, Index, LogTime, Snapshot, StateMachine};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use command::Command;
use store::Store;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What is measured is the whole process's: one at a time. The tests of the store's own parts take next to nothing.
static ALONE: Mutex<()> = Mutex::new(());

const KEYS: u64 = 100_000;
const KEY_BYTES: usize = 12;
/// No power of two, so that no room for growth is left over by chance.
const VALUE_BYTES: usize = 300;
/// The pointers to a key and its value, their lengths, counts, version and end.
const PAIR_BYTES: usize = 104;

/// What the process has asked for and not given back.
fn held_bytes() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// Keys are written in an order of their own, as clients do.
fn filled() -> Store {
    let mut store = Store::default();
    (0..KEYS).for_each(|number| put(&mut store, number * 7_919));
    store
}

fn put(store: &mut Store, number: u64) {
    let key = format!("key:{:08}", number % KEYS);
    assert_eq!(key.len(), KEY_BYTES);
    let value = Bytes::from(vec![number as u8; VALUE_BYTES]);
    let at = Applied { index: Index(1), offset: 0, time: LogTime(1) };
    store.apply(at, Command::SetMany(vec![(key.into(), value)]));
}

#[test]
fn a_restored_store_takes_what_its_pairs_take_and_little_beside() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut bytes = Vec::new();
    filled().snapshot().write_to(&mut bytes).unwrap();
    let before = held_bytes();
    let mut store = Store::default();
    store.restore(&mut &bytes[..]).unwrap();
    assert_eq!(store.keys.len() as u64, KEYS);
    let per_key = (held_bytes() - before) / KEYS as usize;
    let tree = per_key - (PAIR_BYTES + KEY_BYTES + VALUE_BYTES);
    // A place has 16 bytes. In leaves that are half empty it would have 32.
    assert!(tree <= 24, "a key takes {tree} bytes beside its pair");
}

#[test]
fn a_snapshot_copies_little_more_than_what_is_overwritten_beside_it() {
    const OVERWRITTEN: u64 = 2_000;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut store = filled();
    let before = held_bytes();
    let snapshot = store.snapshot();
    assert!(held_bytes() - before < 1024, "a snapshot is taken by sharing");
    (0..OVERWRITTEN).for_each(|number| put(&mut store, number * 49));
    let beside = (held_bytes() - before) / OVERWRITTEN as usize - (PAIR_BYTES + KEY_BYTES + VALUE_BYTES);
    assert!(beside <= 640, "each value that is overwritten costs {beside} bytes beside itself");
    let while_writing = held_bytes();
    snapshot.write_to(&mut io::sink()).unwrap();
    assert!(held_bytes() < while_writing, "what was kept for the snapshot goes with it");
    assert!(held_bytes() - before < 64 * OVERWRITTEN as usize, "and nothing else stays");
}
