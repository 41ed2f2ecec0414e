//! What a newer leadership replaces, and what becomes of what rested on it.

use std::time::Duration;

use quorate::Role;

use crate::apart::Apart;

/// An acknowledgement waits for its write. Meanwhile another term begins: what the acknowledgement asserts may be replaced
/// before it is durable, so it is never said.
#[test]
fn what_waited_for_its_write_is_not_said_in_another_term() {
    let mut trio = Apart::elected();
    trio.slow = Some(1);
    trio.propose(0, 10);
    let entry = trio.members[0].standing().last;
    assert!([1, 2].iter().all(|at| trio.members[*at].standing().last == entry));
    trio.alone = Some(0);
    let term = trio.members[1].standing().generation.round;
    trio.pass_until(|trio| trio.members[1].standing().generation.round > term);
    let told = trio.end_write();
    assert!(!told.contains(&0), "it acknowledges to the leader of a term that is over");
}

/// The other half: as long as its term lasts, it is said.
#[test]
fn what_waited_for_its_write_is_said_once_that_is_durable() {
    let mut trio = Apart::elected();
    trio.slow = Some(1);
    trio.propose(0, 10);
    let told = trio.end_write();
    assert!(told.contains(&0), "the leader is told: {told:?}");
}

/// A leader that is cut off goes on putting entries into its log. Its successor removes them, and they leave memory, too.
#[test]
fn entries_that_a_successor_removes_leave_memory() {
    let mut trio = Apart::elected();
    trio.alone = Some(0);
    trio.propose(0, 64 << 10);
    trio.propose(0, 64 << 10);
    assert!(trio.members[0].cached_bytes() > 128 << 10);
    let leads = |trio: &Apart, at: usize| trio.members[at].standing().role == Role::Leader;
    trio.pass_until(|trio| leads(trio, 1) || leads(trio, 2));
    // What did not happen would be proposed again, as long as somebody waits for it.
    let nobody_waits = trio.now + Duration::from_secs(6);
    trio.pass_until(|trio| trio.now > nobody_waits);
    trio.alone = None;
    trio.pass_until(|trio| {
        let (one, two) = (trio.members[0].standing(), trio.members[1].standing());
        one.generation == two.generation && one.last == two.last && one.commit == two.commit
    });
    let cached = trio.members[0].cached_bytes();
    assert!(cached < 64 << 10, "{cached} bytes are cached of a log of no-ops");
}
