//! Single-decree Paxos, all of it: three acceptors, two proposers, two ballots and a crash, over the real acceptor and
//! proposer (those of a write-once register, [`quorate_paxos::register`]). Every order of deliveries, losses, repetitions and
//! crashes, also between a write and its end, is gone through, and there is nothing beyond.
//!
//! A third ballot takes a machine of its own:
//!
//! ```sh
//! QUORATE_BALLOTS=3 cargo test --profile proof -p quorate-paxos --test model -- --ignored --nocapture
//! ```

mod cluster;

use std::collections::HashSet;
use std::time::Instant;

use cluster::{Bounds, Cluster};

/// What a search saw.
struct Seen {
    states: usize,
    steps: usize,
    depth: usize,
    /// Values that were chosen in some state or other.
    chosen: HashSet<Vec<u8>>,
    ended: usize,
}

/// Goes through everything that may happen, breadth first. Panics when two values are chosen.
fn search(bounds: &Bounds) -> Seen {
    let start = Cluster::new(bounds);
    let mut known = HashSet::from([start.fingerprint()]);
    let mut seen = Seen { states: 1, steps: 0, depth: 0, chosen: HashSet::new(), ended: 0 };
    let mut level = vec![start];
    while !level.is_empty() {
        let mut next = Vec::new();
        for state in level {
            for choice in state.choices(bounds) {
                let mut after = state.clone();
                seen.steps += 1;
                if !after.choose(&choice, bounds) {
                    continue;
                }
                if known.insert(after.fingerprint()) {
                    after.check();
                    seen.chosen.extend(after.chosen().map(<[u8]>::to_vec));
                    seen.ended += usize::from(after.is_answered());
                    next.push(after);
                }
            }
        }
        seen.states = known.len();
        seen.depth += 1;
        if bound("QUORATE_TELL", 0) > 0 {
            eprintln!("{} away: {} states", seen.depth, seen.states);
        }
        level = next;
    }
    seen
}

fn bound(name: &str, unless: usize) -> usize {
    std::env::var(name).ok().and_then(|told| told.parse().ok()).unwrap_or(unless)
}

fn explore(bounds: &Bounds) {
    let begin = Instant::now();
    let seen = search(bounds);
    println!(
        "single-decree Paxos, {bounds:?}: {} states, {} steps, the farthest {} away, and there is nothing beyond; {} states in which a proposer was answered; {:.1} s",
        seen.states,
        seen.steps,
        seen.depth,
        seen.ended,
        begin.elapsed().as_secs_f64()
    );
    assert_eq!(seen.chosen.len(), bounds.proposers, "each proposer's value is chosen in some run");
    assert!(seen.ended > 0, "nobody was ever answered");
}

/// In every test run.
#[test]
fn one_ballot_and_a_crash_choose_one_value() {
    explore(&Bounds { acceptors: 3, proposers: 2, ballots: 1, crashes: 1 });
}

#[test]
#[ignore = "takes half a minute with optimisation: part of CI's proofs"]
fn two_ballots_of_two_proposers_and_a_crash_choose_one_value() {
    let (ballots, crashes) = (bound("QUORATE_BALLOTS", 2), bound("QUORATE_CRASHES", 1));
    explore(&Bounds { acceptors: 3, proposers: 2, ballots, crashes });
}
