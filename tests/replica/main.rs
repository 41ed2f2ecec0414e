//! Replicas driven by hand, two of three members of a cluster: what once went wrong between them, moment by moment.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[macro_use]
#[path = "../engines/mod.rs"]
mod engines;

mod ahead;
mod apart;
mod errands;
mod overwritten;
mod pair;
mod snapshots;
mod trio;
mod wiped;

use std::time::Duration;

use bytes::Bytes;
use node::ApplyWork;
use pair::{Pair, mark, member};
use quorate::{Arrival, Error, Incarnation, Index, LogTime, NodeId, Op, Outline, Role, Time};

/// A snapshot came from the leader and was finished on disk; then the node stopped, before its log said so.
#[test]
fn a_snapshot_newer_than_the_log_is_taken_up_at_start() {
    let replica = member(2, Incarnation(1), Some(mark(100)), Outline::default());
    assert_eq!((replica.applied_index(), replica.standing().commit), (Index(100), Index(100)));
}

/// The state machine was restored from a newer snapshot than the engine has heard of, and says so first.
#[test]
fn applied_further_than_the_engine_knows_is_no_harm() {
    let mut pair = Pair::elected();
    pair.leader.applied(pair.now, Index(200));
    assert!(pair.leader.stopped().is_none());
}

/// The leader's answer to a read is late. The node that asked restarts, and asks something else under the same number.
#[test]
fn a_late_answer_to_an_earlier_life_answers_no_read() {
    let mut pair = Pair::elected();
    pair.follower.read(pair.now, 7);
    let before = pair.leader.standing().commit;
    let late = pair.hold_back(|pair| pair.run(8), NodeId(2), 5);
    let late = late.into_iter().next().expect("the leader answers the read");

    pair.restart_follower();
    pair.leader.propose(pair.now, Bytes::from_static(b"w"), 1);
    pair.pass(Duration::from_millis(200));
    let commit = pair.leader.standing().commit;
    pair.follower.applied(pair.now, before);
    pair.reads.clear();
    pair.follower.read(pair.now, 8);
    let own = pair.hold_back(|pair| pair.run(8), NodeId(2), 5);
    pair.deliver_to_follower(late);
    assert!(pair.reads.is_empty(), "answered, though {commit} was committed before it was asked");
    own.into_iter().for_each(|frame| pair.deliver_to_follower(frame));
    pair.apply_all();
    pair.run(8);
    assert_eq!(pair.reads, [8], "its own answer does");
}

/// The bytes of a command are encoded once: what comes in a frame is what goes to the log, where it lies.
#[test]
fn what_arrives_goes_to_the_log_without_a_copy() {
    const OF_THE_ENGINE: u8 = 1;
    let mut pair = Pair::elected();
    pair.leader.propose(pair.now, Bytes::from(vec![7; 1 << 10]), 1);
    let frames = pair.hold_back(|pair| pair.run(1), NodeId(2), OF_THE_ENGINE);
    let frame = frames.into_iter().find(|frame| !frame.body.is_empty()).expect("entries are on their way");
    let (from, held) = (NodeId(1), frame.body.clone());
    pair.follower.arrival(pair.now, LogTime::ZERO, Arrival::Frame { from, frame });
    pair.follower.advance(pair.now, LogTime::ZERO);
    let (_, batch) = pair.follower.outputs().write.take().expect("they are written");
    let bodies: Vec<_> = batch
        .ops()
        .iter()
        .filter_map(|op| if let Op::Put(entry) = op { Some(&entry.body) } else { None })
        .collect();
    assert!(bodies.iter().any(|body| body.len() > 1 << 10));
    for body in bodies {
        assert!(held.as_ptr_range().contains(&body.as_ptr()), "a copy of {} bytes was made", body.len());
    }
}

/// A leader that has given way in its own term refuses what is forwarded, while its follower still believes in it.
#[test]
fn a_refused_proposal_goes_again_after_a_pause() {
    let mut pair = Pair::elected();
    pair.deaf = true;
    while pair.leader.standing().role == Role::Leader {
        pair.pass(Duration::from_millis(20));
    }
    pair.deaf = false;
    assert_eq!(pair.follower.standing().leader, Some(NodeId(1)), "the follower does not know yet");
    pair.follower.propose(pair.now, Bytes::from_static(b"w"), 1);
    pair.forwards = 0;
    pair.run(200);
    assert!((1..=2).contains(&pair.forwards), "forwarded {} times at one moment", pair.forwards);
}

/// The index is known, but the state machine never gets there.
#[test]
fn a_read_ends_at_its_deadline_though_the_state_machine_hangs() {
    let mut pair = Pair::elected();
    pair.leader.propose(pair.now, Bytes::from_static(b"w"), 1);
    pair.run(8);
    pair.leader.read(pair.now, 9);
    pair.run(8);
    assert!(pair.reads.is_empty(), "nothing was applied");
    for _ in 0..60 {
        pair.pass(Duration::from_millis(100));
    }
    assert!(matches!(pair.failed_reads[..], [(9, Error::NoLeader { .. })]), "{:?}", pair.failed_reads);
}

/// Entries that are durable leave memory, whether or not the state machine has come to them, and come back from disk.
#[test]
fn a_hanging_state_machine_costs_no_memory_beyond_the_budgets() {
    let mut pair = Pair::elected();
    for ticket in 0..100 {
        pair.leader.propose(pair.now, Bytes::from(vec![7; 1 << 20]), ticket);
        pair.run(8);
    }
    let handed = |work: &&ApplyWork<u32>| matches!(work, ApplyWork::Entry { .. });
    let handed = pair.applying.iter().filter(handed).count();
    assert!(
        (1..=18).contains(&handed),
        "{handed} entries of 1 MiB wait for the state machine, which may have 16 MiB"
    );
    assert!(pair.leader.cached_bytes() <= 65 << 20, "{} bytes are cached", pair.leader.cached_bytes());
    assert!(pair.leader.standing().commit >= Index(100));
    assert_eq!(pair.leader.applied_index(), Index(0));
    assert!(pair.now > Time::ZERO);
}

/// A full disk is told before it fails: what is not in the log yet did not happen, wherever it was proposed. Here the
/// follower never hears that it is to lead.
#[test]
fn a_leader_whose_disk_is_full_refuses_its_own_and_others_proposals_until_there_is_room() {
    const OF_THE_ENGINE: u8 = 1;
    let mut pair = Pair::elected();
    pair.leader.propose(pair.now, Bytes::from_static(b"before"), 1);
    pair.run(8);
    let before = pair.leader.standing().last;
    pair.leader.set_room(false);
    pair.leader.propose(pair.now, Bytes::from_static(b"here"), 2);
    pair.follower.propose(pair.now, Bytes::from_static(b"there"), 3);
    pair.hold_back(|pair| pair.run(8), NodeId(2), OF_THE_ENGINE);
    assert_eq!(pair.failed, [(2, Error::StorageFull), (3, Error::StorageFull)]);
    assert!(!Error::StorageFull.may_have_happened());
    assert_eq!(pair.leader.standing().last, before, "nothing new is in the log");
    assert!(pair.leader.stopped().is_none());
    pair.leader.set_room(true);
    // Until the offer of leadership has lapsed nothing is proposed.
    pair.pass(Duration::from_secs(2));
    let resumed = pair.leader.standing().last;
    pair.follower.propose(pair.now, Bytes::from_static(b"after"), 4);
    pair.run(8);
    assert_eq!((pair.failed.len(), pair.leader.standing().last), (2, resumed.next()));
    assert!(pair.leader.notes().iter().any(|note| note.contains("has room again")));
}

/// A member with room takes over, and what was proposed there goes into the log.
#[test]
fn a_leader_whose_disk_is_full_hands_leadership_on() {
    let mut pair = Pair::elected();
    pair.leader.propose(pair.now, Bytes::from_static(b"before"), 1);
    pair.run(8);
    let before = pair.follower.standing().last;
    pair.leader.set_room(false);
    pair.leader.propose(pair.now, Bytes::from_static(b"here"), 2);
    pair.follower.propose(pair.now, Bytes::from_static(b"there"), 3);
    pair.run(20);
    assert_eq!(pair.failed, [(2, Error::StorageFull)]);
    assert_eq!(pair.follower.standing().role, Role::Leader);
    assert_eq!(pair.leader.standing().leader, Some(NodeId(2)));
    // The start of the new term, and the proposal.
    assert_eq!(pair.follower.standing().last, before.next().next());
}
