//! Counts allocations: `cargo run --release --bin allocations`. A binary of its own, because counting costs time.

use std::alloc::System;

use quorate_peers::engines;
use quorate_peers::load::Failure;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn count() -> usize {
    let stats = COUNTING.stats();
    stats.allocations + stats.reallocations
}

fn main() -> Result<(), Failure> {
    engines::allocations(count)
}
