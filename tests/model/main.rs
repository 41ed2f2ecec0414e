//! Model checking of the real engines: everything that may happen, breadth first, up to a bound. After every choice all
//! invariants of the engine are evaluated, and that what is committed never changes.
//!
//! The bounds here take seconds. `QUORATE_STATES=5000000 cargo test --profile proof --all-features --test model --
//! --nocapture` goes further; each test prints how far it came.

#![cfg(feature = "__engine")]

#[macro_use]
#[path = "../engines/mod.rs"]
mod engines;
#[cfg(all(feature = "raft", feature = "__mutations"))]
mod seeded;

use std::time::Instant;

use quorate::{Engine, NodeId};
use testkit::workbench::{Bounds, Choice, Search, Workbench, search};

/// States that a search may see: small enough for an ordinary test run, unless told otherwise.
fn states_max() -> usize {
    let told = std::env::var("QUORATE_STATES").ok().and_then(|states| states.parse().ok());
    told.unwrap_or(12_000)
}

fn bounds(candidates: &[u64], rounds_max: u64, crashes_max: u64) -> Bounds {
    Bounds {
        timeouts: candidates.iter().copied().map(NodeId).collect(),
        rounds_max,
        proposals_max: 1,
        reads_max: 0,
        crashes_max,
        repeats: false,
        packets_max: 8,
    }
}

/// Searches from a start, prints how far it came, and fails with the choices that led to a violation.
fn explore<E: Engine>(what: &str, start: &Workbench<E>, bounds: Bounds) {
    let begin = Instant::now();
    let plan = Search { bounds, depth_max: 200, states_max: states_max() };
    let found = search(start, &plan);
    println!(
        "engine {}, {what}: {} states, all within {} choices{}, {} invariants evaluated, {:.1} s",
        E::NAME,
        found.states,
        found.depth,
        if found.exhausted { ", and there is nothing beyond" } else { "" },
        found.checks,
        begin.elapsed().as_secs_f64(),
    );
    if let Some((law, choices)) = found.violation {
        panic!("{law}\nby these choices: {choices:#?}");
    }
    assert!(found.states > 1000, "it has seen next to nothing");
}

/// A cluster in which node 1 leads, and everyone knows.
fn led<E: Engine>(options: E::Options) -> Workbench<E> {
    let mut bench = Workbench::<E>::new(3, options, 1);
    bench.choose(&Choice::Timeout(NodeId(1)));
    bench.settle_without(|_, _| false, 10_000);
    bench
}

fn elections_from_the_beginning<E: Engine>(options: E::Options) {
    let mut start = Workbench::<E>::new(3, options, 1);
    start.sync_at_once = true;
    explore("two candidates from the beginning", &start, bounds(&[1, 2], 2, 0));
}

/// With a disk that loses what was not synced.
fn a_proposal_under_a_leader_and_a_crash<E: Engine>(options: E::Options) {
    explore("a proposal, a rival and a crash", &led::<E>(options), bounds(&[2], 3, 1));
}

macro_rules! mount {
    ($name:ident, $engine:ty) => {
        mod $name {
            #[test]
            fn elections_from_the_beginning() {
                super::elections_from_the_beginning::<$engine>(
                    <$engine as quorate::Engine>::Options::default(),
                );
            }

            #[test]
            fn a_proposal_under_a_leader_and_a_crash() {
                super::a_proposal_under_a_leader_and_a_crash::<$engine>(
                    <$engine as quorate::Engine>::Options::default(),
                );
            }
        }
    };
}

on_every_engine!(mount);
