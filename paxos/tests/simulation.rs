//! Whole replicas on the simulator: every seed another network, other disks, other crashes; every step checked, every
//! history linearizable, every replica alike in the end.

use std::collections::BTreeMap;

use consensus_api::Engine;
use quorate_paxos::{MultiPaxos, Paxos};
use testkit::simulator::{Faults, Plan, run};

/// `QUORATE_SEEDS=1000..2000` runs a longer campaign, `QUORATE_SEEDS=7..8` one seed again.
const SEEDS: std::ops::Range<u64> = 0..60;

fn keeps_every_promise<E: Engine>() {
    let steps = std::env::var("QUORATE_STEPS").map_or(3000, |steps| steps.parse().expect("a number"));
    let (mut total, mut checks) = (0, 0);
    let mut counts = BTreeMap::<&str, u64>::new();
    for seed in seeds() {
        match run::<E>(Plan { seed, steps, nodes: None, faults: None }) {
            Ok(report) => {
                (total, checks) = (total + report.steps, checks + report.checks);
                report.counts.iter().for_each(|(what, count)| *counts.entry(what).or_default() += count);
            }
            Err(failed) => panic!("seed {seed}: {:?}", failed.0),
        }
    }
    println!("engine {}, seeds {:?}: {total} steps, {checks} laws held, {counts:?}", E::NAME, seeds());
    assert!(counts["writes answered"] > 0 && counts["reads answered"] > 0, "nothing was put to the test");
}

fn seeds() -> std::ops::Range<u64> {
    let Ok(range) = std::env::var("QUORATE_SEEDS") else { return SEEDS };
    let (from, to) = range.split_once("..").expect("a range of seeds, such as 7..8");
    from.parse().expect("a number")..to.parse().expect("a number")
}

/// Without faults nobody is left in doubt.
fn leaves_nobody_in_doubt<E: Engine>() {
    for seed in 0..8 {
        let mut faults = Faults::none();
        faults.network.delay_max_us = faults.network.delay_min_us; // forwarded requests keep their order
        let plan = Plan { seed, steps: 4000, nodes: None, faults: Some(faults) };
        let report = run::<E>(plan).unwrap_or_else(|failed| panic!("seed {seed}: {:?}", failed.0));
        assert_eq!(report.counts.get("outcomes unknown"), None, "seed {seed}: {:?}", report.counts);
        assert!(report.counts["writes answered"] > 100);
    }
}

/// The same seed gives the same run, to the last byte.
fn repeats_exactly<E: Engine>() {
    for seed in 0..6 {
        let plan = Plan { seed, steps: 2000, nodes: None, faults: None };
        let [one, two] = [(); 2].map(|()| run::<E>(plan).map(|report| report.trace).ok());
        assert!(one.is_some() && one == two, "seed {seed}");
    }
}

macro_rules! mount {
    ($name:ident, $engine:ty) => {
        mod $name {
            use super::*;

            #[test]
            fn whole_replicas_keep_every_promise_while_everything_goes_wrong() {
                keeps_every_promise::<$engine>();
            }

            #[test]
            fn on_a_healthy_cluster_no_outcome_is_unknown() {
                leaves_nobody_in_doubt::<$engine>();
            }

            #[test]
            fn a_run_repeats_exactly() {
                repeats_exactly::<$engine>();
            }
        }
    };
}

mount!(multi_paxos, MultiPaxos);
mount!(paxos, Paxos);
