//! Whose votes count, and from when.

use std::time::Duration;

use consensus_api::{
    Engine, Entry, EntryKind, Generation, Index, LogTime, Membership, NodeId, Op, ProposalId, ReadRound,
    Role, Time,
};
use quorate_raft::Body;
use testkit::protocol::{Image, timing};

use crate::Cluster;
use crate::election::{granted, nodes, vote_request};
use crate::logs::{leader_of, log_of};
use crate::packets::{inject, is_append};

fn membership_entry(generation: Generation, index: u64, membership: &Membership) -> Entry {
    let mut entry =
        Entry::new(EntryKind::Membership, 0, ProposalId::default(), LogTime::ZERO, membership.encode());
    (entry.generation, entry.index) = (generation, Index(index));
    entry
}

/// etcd#10998: a member that does not know of its promotion yet is a voter to whoever does.
#[test]
fn a_learner_that_is_asked_for_its_vote_gives_it() {
    let membership = Membership::new(nodes([1, 2]), [], nodes([3])).expect("a few members");
    let mut cluster = Cluster::founded(membership, 1);
    assert_eq!(cluster.role(3), Role::Learner);
    inject(&mut cluster, 2, 3, 1, vote_request(true, 0, 0), &[]);
    assert!(!cluster.packets.is_empty(), "the pre-vote too");
    inject(&mut cluster, 2, 3, 1, vote_request(false, 0, 0), &[]);
    assert!(granted(&mut cluster, 3));
}

/// hashicorp/raft#308, #483: learners fill no quorum, of whichever kind.
#[test]
fn learners_neither_elect_nor_commit_nor_confirm_reads_nor_campaign() {
    let membership = Membership::new(nodes([1, 2, 3]), [], nodes([4, 5])).expect("a few members");
    let mut cluster = Cluster::founded(membership, 1);
    assert_eq!(cluster.engine(4).deadline(), Time::MAX, "a learner never campaigns");
    cluster.elect(1);
    cluster.propose(1);
    cluster.settle();
    assert_eq!(cluster.commit(5), 2, "a learner receives the log");
    cluster.propose(1);
    cluster.read(1, 7);
    cluster.settle_without(&[2, 3]);
    assert_eq!(cluster.last(4), 3);
    assert_eq!((cluster.commit(1), cluster.answer(1, 7)), (2, None));
    cluster.run_without(Duration::from_secs(10), &[2, 3]);
    assert_eq!(cluster.leader(), None, "without a quorum of voters nobody leads");
}

/// NuRaft#67; thesis, section 4.1: a configuration counts from the moment it is appended.
#[test]
fn a_candidate_counts_votes_by_the_uncommitted_membership_it_holds() {
    let grown = Membership::new(nodes(1..=5), nodes(1..=3), []).expect("a few members");
    let mut cluster = Cluster::new(3);
    let mut image = log_of(0, 1, &[1], &cluster.founders);
    image.write([Op::Put(membership_entry(leader_of(1), 2, &grown))].into_iter().collect());
    cluster.add(1, image);
    cluster.add(4, Image::default());
    cluster.add(5, Image::default());
    cluster.fire(1);
    cluster.settle_without(&[3, 4, 5]);
    assert_eq!(cluster.role(1), Role::Candidate, "2 of 3 is not 3 of 5");
    cluster.fire(1);
    cluster.settle_without(&[2, 3, 5]);
    assert_eq!(cluster.role(1), Role::Candidate);
    cluster.fire(1);
    cluster.settle_without(&[3, 5]);
    assert_eq!(cluster.role(1), Role::Leader);
}

/// Thesis, section 4.3: under a joint membership both majorities must agree.
#[test]
fn a_joint_membership_elects_and_commits_by_both_majorities() {
    let joint = Membership::new(nodes([1, 4, 5]), nodes([1, 2, 3]), []).expect("a few members");
    let mut cluster = Cluster::founded(joint, 1);
    cluster.fire(1);
    cluster.settle_without(&[4, 5]);
    assert_eq!(cluster.role(1), Role::Candidate);
    cluster.fire(1);
    for _ in 0..4 {
        cluster.deliver_only(|packet| !is_append(packet) && packet.to != 3 && packet.to != 5);
        cluster.complete_all_writes();
    }
    assert_eq!(cluster.role(1), Role::Leader);
    cluster.settle_without(&[2, 3]);
    assert_eq!((cluster.last(4), cluster.commit(1)), (1, 0), "the old majority lacks the entry");
    cluster.run_without(Duration::from_millis(300), &[3, 5]);
    assert!(cluster.commit(1) >= 1);
}

/// Thesis, section 4.1: truncating the entry of a membership brings back the one before it.
#[test]
fn an_uncommitted_membership_that_is_truncated_is_in_force_no_longer() {
    let grown = Membership::new(nodes(1..=5), nodes(1..=3), []).expect("a few members");
    let mut cluster = Cluster::new(3);
    let mut image = log_of(0, 1, &[1], &cluster.founders);
    image.write([Op::Put(membership_entry(leader_of(1), 2, &grown))].into_iter().collect());
    cluster.add(3, image);
    assert_eq!(cluster.engine(3).membership(), &grown);
    for id in 1..=2 {
        let founders = cluster.founders.clone();
        cluster.add(id, log_of(0, 2, &[1, 2], &founders));
    }
    cluster.elect(1);
    assert_eq!(cluster.engine(3).membership(), &cluster.founders);
    assert_eq!(cluster.rounds(3), [1, 2, 3]);
}

/// raft-rs#226: a membership that is committed but not applied bars its holder from standing.
#[test]
fn nobody_campaigns_before_a_committed_membership_is_applied() {
    let mut cluster = Cluster::new(3);
    cluster.applying = false;
    let generation = Generation::new(1, NodeId(1));
    let entries = [Entry::noop(generation, Index(1)), membership_entry(generation, 2, &cluster.founders)];
    let append = Body::Append {
        prev: Index::ZERO,
        prev_generation: Generation::ZERO,
        commit: Index(2),
        round: ReadRound(0),
    };
    inject(&mut cluster, 1, 2, 1, append, &entries);
    cluster.complete_writes(2);
    cluster.drop_all();
    cluster.fire(2);
    assert!(cluster.packets.is_empty());
    assert_eq!(cluster.role(2), Role::Follower);
    cluster.applying = true;
    cluster.apply(2);
    cluster.fire(2);
    assert_eq!(cluster.role(2), Role::Candidate);
}

/// openraft#1796, etcd#12359: long logs in early terms and short logs in late terms, the long ones already under a
/// joint membership.
#[test]
fn cohorts_that_differ_in_terms_logs_and_membership_converge_on_a_leader() {
    let old = Membership::of_voters(nodes(1..=6)).expect("a few members");
    let joint = Membership::new(nodes(1..=5), nodes(1..=6), []).expect("a few members");
    for seed in 1..=5 {
        let mut cluster = Cluster::founded(old.clone(), seed);
        for id in 1..=3 {
            let mut image = log_of(0, id, &[1], &old);
            image.write([Op::Put(membership_entry(leader_of(1), 2, &joint))].into_iter().collect());
            cluster.add(id, image);
        }
        for id in 4..=6 {
            cluster.add(id, log_of(0, id + 10, &[1], &old));
        }
        cluster.run_without(4 * timing().election_timeout_max, &[]);
        assert!(cluster.leader().is_some(), "seed {seed}");
    }
}
