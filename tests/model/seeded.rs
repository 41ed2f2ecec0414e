//! The search, proved: it finds seeded bugs, and the way to them is short.

use consensus_api::mutation::mutate;
use quorate::{NodeId, Raft, RaftOptions};
use testkit::workbench::{Search, Workbench, search};

use crate::{bounds, led};

#[test]
fn two_votes_in_a_term_are_found() {
    let mut start = Workbench::<Raft>::new(3, RaftOptions::default(), 1);
    start.sync_at_once = true;
    let plan = Search { bounds: bounds(&[1, 2], 1, 0), depth_max: 30, states_max: 2_000_000 };
    mutate(Some("raft/two-votes-in-a-term"));
    let found = search(&start, &plan);
    mutate(None);
    let (law, choices) = found.violation.expect("two leaders in a term");
    println!("{} states, {} choices: {law}", found.states, choices.len());
    assert!(choices.len() <= 14, "{choices:?}");
}

#[test]
fn an_entry_acknowledged_before_it_is_synced_is_found() {
    let mut start = led::<Raft>(RaftOptions::default());
    start.propose(NodeId(1), b"x");
    let plan = Search { bounds: bounds(&[], 1, 1), depth_max: 30, states_max: 2_000_000 };
    mutate(Some("raft/ack-before-sync"));
    let found = search(&start, &plan);
    mutate(None);
    let (law, choices) = found.violation.expect("something counted that no disk holds");
    println!("{} states, {} choices: {law}", found.states, choices.len());
}
