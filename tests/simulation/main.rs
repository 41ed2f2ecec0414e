//! A sample of simulations per engine: whole clusters in imagined time, on networks, disks and clocks that go wrong. Half of
//! them on the real log of files, over a disk that loses what was not synced.
//!
//! `cargo run --release --example simulate` runs as many as you like; a seed that fails there is added to
//! `regressions`. docs/debugging-a-seed.md tells how to get from a seed to its cause.

#[macro_use]
#[path = "../engines/mod.rs"]
mod engines;
mod files;
mod options;
#[cfg(any(feature = "raft", feature = "multi-paxos"))]
mod regressions;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use quorate::Engine;
use testkit::simulator::{Faults, Plan, Report, Run, absent};

/// At least this many seeds, and more while time is left.
const SEEDS_MIN: u64 = 100;
/// So many at most, while something that must happen has not: some kinds of event are rare in runs this short.
const SEEDS_MAX: u64 = 500;

/// What the sample of one engine may take: 20 s, unless `QUORATE_SECONDS` says otherwise.
fn time() -> Duration {
    let seconds = std::env::var("QUORATE_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(20))
}

fn in_model<E: Engine>(plan: &Plan) -> Report {
    finish::<E>(Run::of(*plan), plan, "")
}

fn on_files<E: Engine>(plan: &Plan) -> Report {
    finish::<E>(Run::of(*plan).on(|_, seed| files::Files::new(seed)), plan, " --files")
}

fn finish<E: Engine>(mut run: Run, plan: &Plan, option: &str) -> Report {
    run.go_with::<E>(options::of::<E>(plan)).unwrap_or_else(|failed| {
        panic!(
            "{plan:?} on {}: {}: {}\nagain, unless it has faults of its own: cargo run --release --example simulate --all-features -- --engine {} --from {} --seeds 1 --steps {}{option}",
            E::NAME, failed.0.property, failed.0.what, E::NAME, plan.seed, plan.steps
        )
    })
}

fn plan(seed: u64, steps: u64) -> Plan {
    Plan { seed, steps, nodes: None, faults: None }
}

/// Samples run on two cores beside each other: the count of seeds is what is promised, the rest is what time allows.
fn sample<E: Engine>() {
    let begin = Instant::now();
    let (mut seeds, mut steps, mut checks, mut simulated) = (0, 0, 0, Duration::ZERO);
    let mut counts = BTreeMap::new();
    let lacks = |counts: &_| absent(counts, E::CAPABILITIES, cfg!(feature = "file"));
    while seeds < SEEDS_MIN || begin.elapsed() < time() || (seeds < SEEDS_MAX && !lacks(&counts).is_empty()) {
        let mut plan = plan(seeds, 3000);
        // In runs this short disks rot and get lost too rarely.
        let faults = plan.faults();
        plan.faults = match seeds % 20 {
            9 => Some(Faults { disk_damage_every_ms: 1000, ..faults }),
            15 => Some(Faults {
                disk_damage_every_ms: 1000,
                change_every_ms: 0,
                crash_every_ms: 1000,
                ..faults
            }),
            // An empty disk is soon there, and there is time to add its node again.
            19 => Some(Faults { disk_wipe_every_ms: 500, change_every_ms: 0, down_max_ms: 200, ..faults }),
            _ => None,
        };
        let report = if seeds % 2 == 0 { in_model::<E>(&plan) } else { on_files::<E>(&plan) };
        seeds += 1;
        steps += report.steps;
        checks += report.checks;
        simulated += report.simulated;
        report.counts.iter().for_each(|(what, count)| *counts.entry(*what).or_default() += count);
    }
    let hours = simulated.as_secs_f64() / 3600.0;
    println!(
        "engine {}: {seeds} seeds, {steps} steps, {hours:.1} h simulated, {checks} checks, {counts:?}",
        E::NAME
    );
    let absent = lacks(&counts);
    assert!(absent.is_empty(), "never happened, so nothing was shown of it: {absent:?}");
}

fn same_seed_same_run<E: Engine>() {
    for seed in 0..10 {
        let (one, two) = (in_model::<E>(&plan(seed, 2000)), in_model::<E>(&plan(seed, 2000)));
        assert_eq!((one.trace, one.steps, one.checks), (two.trace, two.steps, two.checks), "seed {seed}");
        let (one, two) = (on_files::<E>(&plan(seed, 500)), on_files::<E>(&plan(seed, 500)));
        assert_eq!((one.trace, one.steps, one.checks), (two.trace, two.steps, two.checks), "seed {seed}");
    }
}

/// Long absences, eager compaction: nodes that come back need snapshots.
fn snapshots_reach_those_who_were_away<E: Engine>() {
    let faults = Faults {
        snapshot_every_entries: 5,
        crash_every_ms: 3000,
        down_max_ms: 20_000,
        partition_every_ms: 5000,
        partition_max_ms: 10_000,
        ..Faults::none()
    };
    let restored = |seed| {
        let report = in_model::<E>(&Plan { seed, steps: 6000, nodes: Some(3), faults: Some(faults) });
        report.counts.get("snapshots restored").copied().unwrap_or_default()
    };
    assert!((0..15).map(restored).sum::<u64>() > 0, "no snapshot was ever needed: the test shows nothing");
}

/// Disks that fail and rot: what is damaged after an orderly end is refused, also where a failure was on its way.
fn damage_after_an_orderly_end_is_refused<E: Engine>() {
    let faults = Faults { disk_error_every_ms: 300, disk_damage_every_ms: 1000, ..Faults::none() };
    let refused = |seed| {
        let report = on_files::<E>(&Plan { seed, steps: 1500, nodes: Some(3), faults: Some(faults) });
        report.counts.get("damaged disks refused").copied().unwrap_or_default()
    };
    assert!((0..20).map(refused).sum::<u64>() > 0, "nothing was ever refused: the test shows nothing");
}

macro_rules! mount {
    ($name:ident, $engine:ty) => {
        mod $name {
            #[test]
            fn sample() {
                super::sample::<$engine>();
            }

            #[test]
            fn same_seed_same_run() {
                super::same_seed_same_run::<$engine>();
            }

            #[test]
            fn snapshots_reach_those_who_were_away() {
                super::snapshots_reach_those_who_were_away::<$engine>();
            }

            #[test]
            fn damage_after_an_orderly_end_is_refused() {
                super::damage_after_an_orderly_end_is_refused::<$engine>();
            }
        }
    };
}

on_every_engine!(mount);
