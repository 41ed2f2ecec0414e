//! What snapshots take the place of, and what they leave alone.

use consensus_api::{Engine, Generation, Index, ReadRound, SnapshotMark};
use quorate_paxos::{Body, Tidings};

use crate::multi::{Ballots, Cluster, ballot, timing};

/// TigerBeetle PR #364; Raft cuts off what lies behind a snapshot that does not agree. Here it may be chosen.
#[test]
fn a_snapshot_keeps_the_promise_and_all_that_was_accepted_above_it() {
    let mut cluster = Cluster::new(3);
    let tidings = Tidings { commit: Index(0), barrier: Index(0), round: ReadRound(0), window: 1024 };
    for slot in [2, 4, 5, 9] {
        let entry = cluster.placed(slot, ballot(1, 2));
        cluster.inject(2, 1, ballot(1, 2), Body::Accept(tidings), &[entry]);
    }
    cluster.inject(
        3,
        1,
        ballot(7, 3),
        Body::Prepare { from: Index(1), after: Generation::ZERO, window: 1024 },
        &[],
    );
    let membership = cluster.founders.clone();
    let mark = SnapshotMark { index: Index(4), generation: ballot(3, 2), membership };
    cluster.step(1, consensus_api::Event::SnapshotReceived { from: consensus_api::NodeId(2), mark });
    cluster.complete_writes(1);
    cluster.restart(1);
    let engine = cluster.engine(1);
    assert_eq!((engine.promised(), cluster.commit(1), cluster.last(1)), (ballot(7, 3), 4, 9));
    assert_eq!(engine.accepted_at(Index(2)), None);
    assert_eq!(engine.accepted_at(Index(5)), Some(ballot(1, 2)));
    assert_eq!(engine.accepted_at(Index(9)), Some(ballot(1, 2)));
}

/// Whoever lacks what all others have compacted is sent a snapshot, and goes on from there.
#[test]
fn a_member_that_lacks_what_is_compacted_gets_a_snapshot() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.crash(3);
    cluster.propose_many(1, 9);
    cluster.run(timing().heartbeat * 2);
    cluster.snapshot(1, 2);
    cluster.snapshot(2, 0);
    cluster.settle();
    cluster.restart(3);
    cluster.propose(1);
    cluster.run(timing().heartbeat * 4);
    assert!(cluster.member(1).snapshots_needed.contains(&3));
    cluster.carry_snapshot(1, 3);
    cluster.run(timing().heartbeat * 3);
    assert_eq!((cluster.commit(3), cluster.commit(1)), (11, 11));
    assert_eq!(cluster.member(3).restored.as_ref().map(|mark| mark.index), Some(Index(10)));
}

/// An old snapshot, or one that comes twice, says nothing new.
#[test]
fn a_snapshot_below_the_chosen_prefix_changes_nothing() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose_many(1, 4);
    cluster.settle();
    cluster.snapshot(1, 0);
    cluster.run(timing().heartbeat * 2);
    cluster.carry_snapshot(1, 2);
    assert_eq!((cluster.commit(2), cluster.shape(2).as_str()), (5, "nCCCC"));
    assert!(cluster.member(2).restored.is_none());
    cluster.propose(1);
    cluster.settle();
    assert_eq!((cluster.commit(1), cluster.engine(1).accepted_at(Index(5))), (6, None));
}

/// A restart finds the membership where it was written: in the snapshot, or in an entry that is chosen.
#[test]
fn a_restart_takes_the_membership_from_the_snapshot() {
    let mut cluster = Cluster::new(3);
    let membership = consensus_api::Membership::of_voters([1, 2, 3, 4, 5].map(consensus_api::NodeId))
        .expect("a few members");
    let mark = SnapshotMark { index: Index(8), generation: ballot(1, 2), membership: membership.clone() };
    cluster.step(1, consensus_api::Event::SnapshotReceived { from: consensus_api::NodeId(2), mark });
    assert_eq!(cluster.engine(1).membership(), &membership);
    cluster.complete_writes(1);
    cluster.restart(1);
    assert_eq!(cluster.engine(1).membership(), &membership);
    assert_eq!(cluster.engine(1).promised(), Generation::ZERO);
}
