//! Each checker, alone: with nobody else looking, it finds a bug that it is there for.

use consensus_api::mutation::mutate;
use quorate::{Engine, MultiPaxos, Raft};
use testkit::checkers::CHECKERS;
use testkit::simulator::{Plan, Run};

use crate::options;

/// A checker, a seeded bug, and what the checker says of it.
type Row = (&'static str, &'static str, &'static str);

#[rustfmt::skip] // a table
const ROWS: &[Row] = &[
    ("agreement", "paxos/nothing-adopted", "what is committed never changes"),
    ("answers", "node/forwarded-twice", "no command is applied twice"),
    ("bounds", "node/cache-never-shrinks", "memory keeps to its budget"),
    ("chosen", "paxos/nothing-adopted", "one value per slot"),
    ("completeness", "raft/vote-for-a-shorter-log", "a leader has what was committed before its term"),
    ("digests", "node/log-time-not-restored", "equal logs give equal states"),
    ("durability", "node/applied-before-durable", "applied only once durable"),
    ("invariants", "raft/own-disk-taken-for-granted", "an assertion"),
    ("leaders", "raft/elected-by-the-first-vote", "at most one leader per term"),
    ("levels", "node/stale-without-bound", "a read is no staler than it may be"),
    ("linearizability", "node/read-before-applied", "linearizable"),
    ("matching", "raft/conflict-kept", "an index and a generation name one entry"),
    ("memberships", "raft/change-without-joint", "quorums of successive memberships meet"),
    ("monotony", "raft/commit-goes-back", "round, commit and applied never go back"),
    ("order", "node/last-in-first-out", "first in, first out"),
    ("outsiders", "node/another-disk-takes-part", "a wiped disk takes no part until its node is added again"),
    ("sessions", "node/answers-not-remembered", "no numbered command is carried out twice"),
    ("speech", "raft/vote-before-sync", "votes are durable before they are cast"),
];

/// Events before faults stop, in each seed, and how many seeds there are.
const STEPS: u64 = 3000;
const SEEDS: u64 = 200;

/// The seed in which the checker says so, and what else was said before, if it does not.
fn alone<E: Engine>((checker, bug, property): Row) -> Result<u64, Vec<&'static str>> {
    let mut others = Vec::new();
    for seed in 0..SEEDS {
        let plan = Plan { seed, steps: STEPS, nodes: None, faults: None };
        mutate(Some(bug));
        let ran = Run::of(plan).watched_by(checker).go_with::<E>(options::of::<E>(&plan));
        mutate(None);
        match ran.err().map(|failed| failed.0.property) {
            Some(said) if said == property => return Ok(seed),
            said => others.extend(said),
        }
    }
    Err(others)
}

#[test]
fn each_checker_alone_finds_the_bug_it_is_there_for() {
    std::panic::set_hook(Box::new(|_| {})); // what is asserted is what is expected here
    let mut missed = Vec::new();
    for row in ROWS {
        let found = match row.1.split_once('/').expect("a name has two halves").0 {
            "raft" => alone::<Raft>(*row),
            "paxos" => alone::<MultiPaxos>(*row),
            _ => alone::<Raft>(*row).or_else(|_| alone::<MultiPaxos>(*row)),
        };
        println!("{}: {}: {found:?}", row.0, row.1);
        missed.extend(found.err().map(|others| (row, others)));
    }
    assert!(missed.is_empty(), "not found in {SEEDS} seeds: {missed:?}");
    let named: Vec<&str> = ROWS.iter().map(|row| row.0).collect();
    assert_eq!(named, CHECKERS, "each has a row");
}
