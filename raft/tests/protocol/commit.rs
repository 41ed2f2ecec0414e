//! When an entry is committed, and who may think so.

use std::time::Duration;

use consensus_api::{Entry, Generation, Index, NodeId, ReadRound, Role};
use quorate_raft::Body;

use crate::Cluster;
use crate::logs::{leader_of, log_of};
use crate::packets::{inject, is_append};

/// Thesis, figure 3.7; logcabin#44: an entry of an earlier term on a majority is not committed by counting.
#[test]
fn an_entry_of_an_earlier_term_is_committed_only_along_with_one_of_the_leaders_own() {
    let mut cluster = Cluster::new(5);
    let founders = cluster.founders.clone();
    cluster.add(1, log_of(0, 3, &[1, 2], &founders));
    cluster.add(2, log_of(0, 3, &[1, 2], &founders));
    for id in 3..=4 {
        cluster.add(id, log_of(0, 3, &[1], &founders));
    }
    cluster.add(5, log_of(0, 3, &[1, 3], &founders));
    // Node 1 leads again, in term 4, by the votes of 2, 3 and 4. Its own entry reaches nobody.
    cluster.fire(1);
    for _ in 0..2 {
        cluster.deliver_only(|packet| packet.to != 5);
        cluster.complete_all_writes();
    }
    cluster.deliver_only(|packet| packet.to != 5 && !is_append(packet));
    cluster.complete_all_writes();
    cluster.deliver_only(|packet| packet.to == 1);
    assert_eq!((cluster.role(1), cluster.round(1)), (Role::Leader, 4));
    cluster.complete_writes(1);
    cluster.drop_all();
    // It brings its entry of term 2 to node 3, so that a majority has it.
    let append = Body::Append {
        prev: Index(1),
        prev_generation: leader_of(1),
        commit: Index::ZERO,
        round: ReadRound(0),
    };
    inject(&mut cluster, 1, 3, 4, append, &[Entry::noop(leader_of(2), Index(2))]);
    cluster.complete_writes(3);
    inject(&mut cluster, 1, 2, 4, append, &[Entry::noop(leader_of(2), Index(2))]);
    cluster.complete_writes(2);
    cluster.deliver_only(|packet| packet.to == 1);
    let holders = [1, 2, 3].map(|id| cluster.rounds(id).get(1).copied());
    assert_eq!(holders, [Some(2); 3]);
    assert_eq!(cluster.commit(1), 0, "three of five hold the entry of term 2, and it is not committed");
    // With an entry of term 4 on a majority, both are.
    cluster.run_without(Duration::from_millis(500), &[5]);
    assert_eq!(cluster.commit(1), 3);
}

/// MicroRaft e34e831 and others: the median of four is not a majority.
#[test]
fn four_members_commit_with_three() {
    let mut cluster = Cluster::new(4);
    cluster.elect(1);
    cluster.propose(1);
    cluster.settle_without(&[3, 4]);
    assert_eq!(cluster.commit(1), 1);
    cluster.run_without(Duration::from_millis(300), &[4]);
    assert_eq!(cluster.commit(1), 2);
}

/// NuRaft#57: what a follower has not seen to agree with the leader's log it does not take for committed.
#[test]
fn a_stale_tail_is_not_committed_by_an_empty_message() {
    let mut cluster = Cluster::new(3);
    let founders = cluster.founders.clone();
    cluster.add(3, log_of(0, 2, &[1, 1, 1, 2, 2, 2, 2, 2, 2], &founders));
    let generation = Generation::new(3, NodeId(1));
    let (commit, round) = (Index(9), ReadRound(0));
    let append = Body::Append { prev: Index(3), prev_generation: leader_of(1), commit, round };
    inject(&mut cluster, 1, 3, 3, append, &[]);
    assert_eq!(cluster.commit(3), 3, "the message vouches for entries up to 3");
    inject(&mut cluster, 1, 3, 3, Body::Heartbeat { commit, commit_generation: generation, round }, &[]);
    inject(&mut cluster, 1, 3, 3, Body::Commit { commit, commit_generation: generation }, &[]);
    assert_eq!(cluster.commit(3), 3, "its entry 9 is not the one that is committed");
    inject(&mut cluster, 1, 3, 3, Body::Heartbeat { commit, commit_generation: leader_of(2), round }, &[]);
    assert_eq!(cluster.commit(3), 9);
}

/// An acknowledgement covers what was sent, not whatever else the follower's log holds behind it.
#[test]
fn an_acknowledgement_never_covers_a_tail_that_was_not_sent() {
    let mut cluster = Cluster::new(3);
    let founders = cluster.founders.clone();
    cluster.add(3, log_of(0, 2, &[1, 1, 2, 2, 2], &founders));
    let append =
        Body::Append { prev: Index(1), prev_generation: leader_of(1), commit: Index(1), round: ReadRound(0) };
    inject(&mut cluster, 1, 3, 3, append, &[Entry::noop(leader_of(1), Index(2))]);
    cluster.complete_writes(3);
    let sent = cluster.take(|packet| packet.from == 3);
    assert!(matches!(sent[0].message.body, Body::Accepted { matched: Index(2), .. }));
    assert_eq!(cluster.last(3), 5, "and what does not conflict stays");
}

/// Followers hear of a commit at once, with the next entries or, without any, in a message of its own.
#[test]
fn the_others_hear_of_a_commit_without_waiting_for_a_heartbeat() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1);
    cluster.settle();
    assert_eq!([1, 2, 3].map(|id| cluster.commit(id)), [2, 2, 2]);
}

/// A leader that contradicts a committed entry cannot be: the engine says so and takes nothing from it.
#[test]
fn a_leader_that_contradicts_a_committed_entry_is_fatal() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let stranger = Generation::new(9, NodeId(2));
    let append = |prev, prev_generation| Body::Append {
        prev: Index(prev),
        prev_generation,
        commit: Index(1),
        round: ReadRound(0),
    };
    inject(&mut cluster, 2, 3, 9, append(0, Generation::ZERO), &[Entry::noop(stranger, Index(1))]);
    let fatal = cluster.member(3).fatal.clone().expect("it is told");
    assert!(fatal.contains("another entry 1 than the one committed here"), "{fatal}");
    assert_eq!(cluster.rounds(3), [1]);
}
