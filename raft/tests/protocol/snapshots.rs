//! Snapshots in place of a log's beginning.

use std::time::Duration;

use consensus_api::{Engine, Entry, Event, Generation, Index, Membership, NodeId, ReadRound, SnapshotMark};
use quorate_raft::Body;

use crate::Cluster;
use crate::logs::{leader_of, log_of};
use crate::packets::inject;

fn mark(index: u64, generation: Generation, membership: &Membership) -> SnapshotMark {
    SnapshotMark { index: Index(index), generation, membership: membership.clone() }
}

fn append(prev: u64, prev_generation: Generation) -> Body {
    Body::Append { prev: Index(prev), prev_generation, commit: Index::ZERO, round: ReadRound(0) }
}

/// hashicorp/raft#697, camunda#10202: a conflicting entry at the snapshot's own index goes, and what follows it.
#[test]
fn a_snapshot_replaces_a_log_that_disagrees_at_its_last_entry() {
    let mut cluster = Cluster::new(3);
    let founders = cluster.founders.clone();
    cluster.add(3, log_of(0, 3, &[1, 2, 2, 2, 2], &founders));
    let from = NodeId(1);
    cluster.step(3, Event::SnapshotReceived { from, mark: mark(3, leader_of(3), &founders) });
    assert_eq!((cluster.last(3), cluster.commit(3)), (3, 3));
    assert_eq!(cluster.member(3).restored.as_ref().map(|mark| mark.index), Some(Index(3)));
    let generation = Generation::new(4, from);
    inject(&mut cluster, 1, 3, 4, append(3, leader_of(3)), &[Entry::noop(generation, Index(4))]);
    assert_eq!(cluster.rounds(3), [4], "the next entry is taken at once");
    cluster.complete_writes(3);
    assert_eq!(cluster.member(3).disk.durable().outline().compacted, Index(3));
    cluster.restart(3);
    assert_eq!((cluster.last(3), cluster.commit(3)), (4, 3));
}

/// camunda#6092, etcd#1763: a snapshot that lies behind, or that the log agrees with, costs no entry behind it.
#[test]
fn a_late_snapshot_keeps_the_entries_behind_it() {
    let mut cluster = Cluster::new(3);
    let founders = cluster.founders.clone();
    cluster.add(3, log_of(0, 1, &[1; 9], &founders));
    let from = NodeId(1);
    cluster.step(3, Event::SnapshotReceived { from, mark: mark(5, leader_of(1), &founders) });
    assert_eq!((cluster.last(3), cluster.commit(3)), (9, 5));
    assert_eq!(cluster.rounds(3), [1; 4]);
    cluster.member_mut(3).restored = None;
    cluster.step(3, Event::SnapshotReceived { from, mark: mark(4, leader_of(1), &founders) });
    assert_eq!((cluster.last(3), cluster.commit(3)), (9, 5));
    assert_eq!(cluster.member(3).restored, None);
}

/// hashicorp/raft#86, RATIS-1241: an entry that follows the snapshot directly finds its predecessor in the mark.
#[test]
fn a_log_with_nothing_behind_its_snapshot_goes_on_after_a_restart() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose_many(1, 4);
    cluster.settle();
    for id in 1..=3 {
        cluster.snapshot(id, 0);
        cluster.complete_writes(id);
        cluster.restart(id);
        assert_eq!((cluster.last(id), cluster.commit(id)), (5, 5));
        assert!(cluster.rounds(id).is_empty());
    }
    cluster.elect(2);
    cluster.propose(2);
    cluster.settle();
    assert_eq!([1, 2, 3].map(|id| cluster.commit(id)), [7, 7, 7]);
    let prev_generation = Generation::new(1, NodeId(1));
    inject(&mut cluster, 2, 3, 2, append(2, prev_generation), &[]);
    let sent = cluster.take(|packet| packet.from == 3);
    let agrees = Body::Accepted { matched: Index(7), round: ReadRound(0) };
    assert_eq!(sent[0].message.body, agrees, "what is committed agrees, compacted or not");
}

/// etcd e515a67, raft-rs#416: a snapshot in the middle of a change keeps all three sets.
#[test]
fn a_snapshot_brings_its_membership_whole() {
    let ids = |ids: &[u64]| ids.iter().copied().map(NodeId).collect::<Vec<_>>();
    let joint = Membership::new(ids(&[1, 2, 4]), ids(&[1, 2, 3]), ids(&[5])).expect("a few members");
    let mut cluster = Cluster::new(3);
    cluster.step(3, Event::SnapshotReceived { from: NodeId(1), mark: mark(8, leader_of(2), &joint) });
    assert_eq!(cluster.round(3), 2, "the snapshot's term has begun, whoever said so");
    assert_eq!(cluster.engine(3).membership(), &joint);
}

/// etcd-io/raft, slow_follower_after_compaction: what is compacted comes as a snapshot, and then the log goes on.
#[test]
fn a_follower_that_lacks_what_is_compacted_is_sent_a_snapshot() {
    let mut cluster = Cluster::new(3);
    cluster.limits.inflight_frames_max = 2;
    let founders = cluster.founders.clone();
    (1..=3).for_each(|id| cluster.add(id, log_of(10, 1, &[], &founders)));
    cluster.elect(1);
    cluster.propose_many(1, 3);
    cluster.settle();
    cluster.propose_many(1, 4);
    cluster.settle_without(&[3]);
    assert_eq!([1, 2, 3].map(|id| cluster.commit(id)), [18, 18, 14]);
    cluster.snapshot(1, 1);
    cluster.fire(1);
    cluster.settle();
    assert_eq!(cluster.member(1).snapshots_needed, [3]);
    assert!(cluster.progress(1, 3).needs_snapshot);
    cluster.fire(1);
    cluster.settle();
    assert_eq!(cluster.member(1).snapshots_needed, [3], "one is asked for, not two");
    cluster.carry_snapshot(1, 3);
    cluster.settle();
    assert_eq!(cluster.member(3).restored.as_ref().map(|mark| mark.index), Some(Index(18)));
    for peer in 2..=3 {
        let progress = cluster.progress(1, peer);
        assert_eq!((progress.matched, progress.needs_snapshot), (Index(18), false));
    }
    cluster.propose(1);
    cluster.settle();
    assert_eq!(cluster.commit(3), 19);
}

/// etcd#10308, etcd-io/raft#110: a transfer that fails is tried again, but not at once.
#[test]
fn a_snapshot_that_could_not_be_sent_is_asked_for_again_after_a_sign_of_life() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.crash(3);
    cluster.propose_many(1, 5);
    cluster.settle();
    cluster.snapshot(1, 0);
    cluster.restart(3);
    cluster.run_without(Duration::from_millis(200), &[]);
    assert_eq!(cluster.member(1).snapshots_needed, [3]);
    cluster.step(1, Event::SnapshotSent { to: NodeId(3), upto: None });
    assert_eq!(cluster.member(1).snapshots_needed, [3]);
    cluster.run_without(Duration::from_millis(200), &[]);
    assert_eq!(cluster.member(1).snapshots_needed, [3, 3]);
    cluster.carry_snapshot(1, 3);
    cluster.settle();
    assert_eq!(cluster.progress(1, 3).matched, Index(6));
}

/// raft-rs#417: of two snapshots on their way the older comes last, and its acknowledgement too.
#[test]
fn an_older_snapshot_after_a_newer_one_changes_nothing() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.crash(3);
    cluster.propose_many(1, 3);
    cluster.settle();
    cluster.snapshot(1, 0);
    let older = cluster.member(1).disk.view().outline().snapshot.clone().expect("just taken");
    cluster.propose_many(1, 3);
    cluster.settle();
    cluster.snapshot(1, 0);
    cluster.restart(3);
    cluster.run_without(Duration::from_millis(200), &[]);
    cluster.carry_snapshot(1, 3);
    cluster.step(3, Event::SnapshotReceived { from: NodeId(1), mark: older.clone() });
    cluster.step(1, Event::SnapshotSent { to: NodeId(3), upto: Some(older.index) });
    cluster.settle();
    assert_eq!((cluster.commit(3), cluster.progress(1, 3).matched), (7, Index(7)));
}

/// That a snapshot has reached a peer is no acknowledgement: the peer may lose it yet.
#[test]
fn a_snapshot_that_was_sent_counts_for_nothing_before_the_peer_says_so() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.crash(3);
    cluster.propose_many(1, 3);
    cluster.settle();
    cluster.snapshot(1, 0);
    cluster.restart(3);
    cluster.run_without(Duration::from_millis(200), &[]);
    cluster.step(1, Event::SnapshotSent { to: NodeId(3), upto: Some(Index(4)) });
    assert_eq!(cluster.progress(1, 3).matched, Index(1));
    cluster.settle();
    assert_eq!(cluster.progress(1, 3).matched, Index(1), "it never arrived");
    assert_eq!(cluster.member(1).snapshots_needed, [3, 3], "and is asked for again");
}

/// A snapshot is not durable in the log before the write is: until then nothing is acknowledged.
#[test]
fn a_snapshot_is_acknowledged_once_its_mark_is_durable() {
    let mut cluster = Cluster::new(3);
    let founders = cluster.founders.clone();
    let generation = Generation::new(1, NodeId(1));
    cluster.step(3, Event::SnapshotReceived { from: NodeId(1), mark: mark(9, generation, &founders) });
    assert!(cluster.packets.is_empty());
    cluster.crash(3);
    cluster.restart(3);
    assert_eq!(cluster.commit(3), 0, "the crash took mark and compaction together");
}
