//! Whole replicas on the simulator: every seed another network, other disks, other crashes; every step checked, every
//! history linearizable, every replica alike in the end.

use std::collections::BTreeMap;

use consensus_api::Engine;
use quorate_paxos::MultiPaxos;
use testkit::simulator::{Plan, run};

/// `QUORATE_SEEDS=1000..2000` runs a longer campaign, `QUORATE_SEEDS=7..8` one seed again.
const SEEDS: std::ops::Range<u64> = 0..60;

#[test]
fn whole_replicas_keep_every_promise_while_everything_goes_wrong() {
    let steps = std::env::var("QUORATE_STEPS").map_or(3000, |steps| steps.parse().expect("a number"));
    let (mut total, mut checks) = (0, 0);
    let mut counts = BTreeMap::<&str, u64>::new();
    for seed in seeds() {
        match run::<MultiPaxos>(Plan { seed, steps, nodes: None, faults: None }) {
            Ok(report) => {
                (total, checks) = (total + report.steps, checks + report.checks);
                report.counts.iter().for_each(|(what, count)| *counts.entry(what).or_default() += count);
            }
            Err(failed) => panic!("seed {seed}: {:?}", failed.0),
        }
    }
    println!(
        "engine {}, seeds {:?}: {total} steps, {checks} laws held, {counts:?}",
        MultiPaxos::NAME,
        seeds()
    );
    assert!(counts["writes answered"] > 0 && counts["reads answered"] > 0, "nothing was put to the test");
}

fn seeds() -> std::ops::Range<u64> {
    let Ok(range) = std::env::var("QUORATE_SEEDS") else { return SEEDS };
    let (from, to) = range.split_once("..").expect("a range of seeds, such as 7..8");
    from.parse().expect("a number")..to.parse().expect("a number")
}
