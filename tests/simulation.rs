//! A sample of simulations per engine: whole clusters in imagined time, on networks, disks and clocks that go wrong.
//!
//! `cargo run --release --example simulate` runs as many as you like; a seed that fails there is added to the named ones
//! here.

#[macro_use]
mod engines;

use std::time::{Duration, Instant};

use quorate::Engine;
use testkit::simulator::{Faults, Plan, Report, run};

/// At least this many seeds, and more while time is left.
const SEEDS_MIN: u64 = 100;
const TIME: Duration = Duration::from_secs(20);

fn one<E: Engine>(plan: Plan) -> Report {
    match run::<E>(plan) {
        Ok(report) => report,
        Err(failed) => panic!("seed {} on {}: {:?}", plan.seed, E::NAME, failed.0),
    }
}

fn plan(seed: u64, steps: u64) -> Plan {
    Plan { seed, steps, nodes: None, faults: None }
}

fn sample<E: Engine>() {
    let begin = Instant::now();
    let (mut seeds, mut steps, mut checks, mut simulated) = (0, 0, 0, Duration::ZERO);
    while seeds < SEEDS_MIN || begin.elapsed() < TIME {
        let report = one::<E>(plan(seeds, 1500));
        seeds += 1;
        steps += report.steps;
        checks += report.checks;
        simulated += report.simulated;
    }
    println!("engine {}: {seeds} seeds, {steps} steps, {simulated:?} simulated, {checks} checks", E::NAME);
}

fn same_seed_same_run<E: Engine>() {
    for seed in 0..10 {
        let (one, two) = (one::<E>(plan(seed, 2000)), one::<E>(plan(seed, 2000)));
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
        let report = one::<E>(Plan { seed, steps: 6000, nodes: Some(3), faults: Some(faults) });
        report.counts.get("snapshots restored").copied().unwrap_or_default()
    };
    assert!((0..15).map(restored).sum::<u64>() > 0, "no snapshot was ever needed: the test shows nothing");
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
        }
    };
}

on_every_engine!(mount);

/// Seeds that failed once. Each stays, under the name of what it showed.
#[cfg(feature = "raft")]
mod regressions {
    use quorate::Raft;

    use super::{one, plan};

    #[test]
    fn a_retried_proposal_does_not_overtake_a_later_one() {
        one::<Raft>(plan(2, 5000));
    }

    #[test]
    fn reads_queued_without_a_leader_do_not_wake_the_node_without_end() {
        assert!(one::<Raft>(plan(3, 5000)).steps < 100_000);
    }

    #[test]
    fn a_received_snapshot_leaves_committed_entries_alone() {
        one::<Raft>(plan(105, 5000));
    }
}

/// The same for Multi-Paxos.
#[cfg(feature = "multi-paxos")]
mod multi_paxos_regressions {
    use quorate::MultiPaxos;

    use super::{one, plan};

    #[test]
    fn two_that_send_a_snapshot_to_one_do_not_undo_each_others_work() {
        one::<MultiPaxos>(plan(16419, 3000));
    }
}
