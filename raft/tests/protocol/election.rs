//! Who leads, and who must not.

use std::time::Duration;

use consensus_api::{Engine, Generation, Index, Membership, NodeId, ReadRound, Role, Time};
use quorate_raft::{Body, Candidacy, Term};
use testkit::protocol::{Image, timing};

use crate::Cluster;
use crate::logs::{hard_state, log_of};
use crate::packets::{inject, is_append, is_granted_vote, is_vote_request};

pub(crate) fn nodes(ids: impl IntoIterator<Item = u64>) -> Vec<NodeId> {
    ids.into_iter().map(NodeId).collect()
}

pub(crate) fn vote_request(pre: bool, last: u64, last_term: u64) -> Body {
    let candidacy = if pre { Candidacy::Pre } else { Candidacy::Open };
    Body::RequestVote { candidacy, last: Index(last), last_term: Term(last_term) }
}

pub(crate) fn granted(cluster: &mut Cluster, from: u64) -> bool {
    cluster.complete_writes(from);
    !cluster.take(|packet| packet.from == from && is_granted_vote(packet)).is_empty()
}

#[test]
fn a_cluster_of_one_leads_at_once() {
    let mut cluster = Cluster::new(1);
    cluster.fire(1);
    assert_eq!(cluster.member(1).now, Time(1_000_000_000), "there is nobody to wait for");
    assert_eq!(cluster.role(1), Role::Candidate);
    cluster.settle();
    assert_eq!((cluster.role(1), cluster.commit(1)), (Role::Leader, 1));
}

/// Thesis, section 3.4: randomised timeouts end split votes; exactly one leads, and nobody disturbs it.
#[test]
fn of_five_members_exactly_one_comes_to_lead_and_stays() {
    let mut cluster = Cluster::new(5);
    cluster.run_without(Duration::from_secs(8), &[]);
    let leader = cluster.leader().expect("someone leads");
    let term = cluster.round(leader);
    cluster.run_without(Duration::from_secs(20), &[]);
    assert_eq!((cluster.leader(), cluster.round(leader)), (Some(leader), term));
    for id in 1..=5 {
        assert_eq!(cluster.engine(id).standing().leader, Some(NodeId(leader)));
    }
}

/// etcd#8243: the grant of a pre-vote must bear the term asked about, or a voter in an earlier term is ignored.
#[test]
fn a_voter_left_behind_in_an_earlier_term_still_helps_to_elect() {
    let mut cluster = Cluster::new(3);
    let founders = cluster.founders.clone();
    cluster.add(1, log_of(0, 5, &[1, 5], &founders));
    cluster.add(2, log_of(0, 5, &[1, 5], &founders));
    cluster.add(3, log_of(0, 1, &[1], &founders));
    cluster.crash(2);
    cluster.run_without(Duration::from_secs(6), &[]);
    assert_eq!(cluster.leader(), Some(1));
}

/// etcd#8501: the long log catches up in terms by the refusal of the late term; the short log never wins.
#[test]
fn a_long_log_in_an_early_term_and_a_short_log_in_a_late_one_elect_a_leader() {
    let mut cluster = Cluster::new(3);
    let founders = cluster.founders.clone();
    cluster.add(1, log_of(0, 9, &[1], &founders));
    cluster.add(3, log_of(0, 1, &[1, 1, 1], &founders));
    cluster.crash(2);
    cluster.run_without(Duration::from_secs(8), &[]);
    assert_eq!(cluster.leader(), Some(3));
    assert!(cluster.round(3) > 9);
}

/// etcd#8334, raft-rs#83: who asks for pre-votes has given up the old leader, so two who ask at once do not block
/// each other.
#[test]
fn two_followers_that_lose_their_leader_at_once_elect_one_of_themselves() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.fire(2);
    cluster.fire(3);
    cluster.run_without(Duration::from_secs(8), &[1]);
    assert!(matches!(cluster.leader(), Some(2 | 3)));
}

/// hashicorp/raft#609, RATIS-2008: neither a pre-vote nor a vote that is refused puts off the election.
#[test]
fn a_flood_of_hopeless_requests_does_not_delay_the_next_election() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1);
    cluster.settle();
    cluster.crash(1);
    let deadline = cluster.engine(2).deadline();
    cluster.member_mut(2).now = Time(deadline.0 - 1);
    for term in 2..50 {
        inject(&mut cluster, 3, 2, term, vote_request(true, 1, 1), &[]);
        inject(&mut cluster, 3, 2, term, vote_request(false, 1, 1), &[]);
        assert_eq!(cluster.engine(2).deadline(), deadline);
    }
    cluster.drop_all();
    cluster.complete_writes(2);
    cluster.fire(2);
    cluster.member_mut(3).now = cluster.member(2).now;
    cluster.settle();
    assert_eq!(cluster.role(2), Role::Leader);
}

/// redpanda#30817: a follower that refuses entries has a leader all the same.
#[test]
fn a_follower_far_behind_under_a_live_leader_holds_no_elections() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let append = Body::Append {
        prev: Index(100),
        prev_generation: Generation::new(1, NodeId(1)),
        commit: Index(100),
        round: ReadRound(0),
    };
    for _ in 0..20 {
        cluster.member_mut(3).now = Time(cluster.engine(3).deadline().0 - 1);
        inject(&mut cluster, 1, 3, 1, append, &[]);
        assert!(cluster.engine(3).deadline() > cluster.member(3).now);
    }
    assert_eq!((cluster.role(3), cluster.round(3), cluster.commit(3)), (Role::Follower, 1, 1));
}

/// hashicorp/raft#477, jraft 1.2.4; thesis, section 4.2.3.
#[test]
fn a_stranger_with_a_high_term_disturbs_nobody() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    for to in 1..=3 {
        inject(&mut cluster, 9, to, 50, vote_request(true, 99, 49), &[]);
        inject(&mut cluster, 9, to, 50, vote_request(false, 99, 49), &[]);
        inject(&mut cluster, 9, to, 50, Body::Heard { round: ReadRound(0), priority: 0 }, &[]);
        inject(&mut cluster, 9, to, 50, Body::Vote { pre: false, granted: false }, &[]);
    }
    assert!(cluster.packets.is_empty(), "it is not even answered");
    assert_eq!(
        (cluster.role(1), cluster.round(1), cluster.round(2), cluster.round(3)),
        (Role::Leader, 1, 1, 1)
    );
}

/// hashicorp/raft#503, #683: heartbeats alone do not make a leader.
#[test]
fn a_leader_whose_disk_hangs_is_succeeded() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.hung.insert(1);
    cluster.propose(1);
    cluster.run_without(2 * timing().election_timeout_max, &[]);
    assert!(matches!(cluster.leader(), Some(2 | 3)));
    let term = cluster.round(cluster.leader().expect("just seen"));
    cluster.run_without(Duration::from_secs(10), &[]);
    let leader = cluster.leader().expect("still");
    assert_eq!(cluster.round(leader), term, "and does not disturb its successor");
}

/// NuRaft#531: two leaders in one term mean that a promise was broken; the engine stops rather than choose.
#[test]
fn a_second_leader_in_the_same_term_is_fatal_and_no_panic() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let heartbeat =
        Body::Heartbeat { commit: Index::ZERO, commit_generation: Generation::ZERO, round: ReadRound(0) };
    for to in 1..=2 {
        assert_eq!(cluster.member(to).fatal, None);
        inject(&mut cluster, 3, to, 1, heartbeat, &[]);
        let fatal = cluster.member(to).fatal.clone().expect("it is told");
        assert!(fatal.contains("both claim to lead in term 1"), "{fatal}");
    }
}

/// hashicorp/raft#94: terms are compared before indices.
#[test]
fn a_vote_goes_to_logs_at_least_as_new() {
    // The voter's log ends with entry 5 of term 3.
    let cases = [
        ((3, 5), true),
        ((3, 6), true),
        ((3, 4), false),
        ((4, 1), true),
        ((4, 9), true),
        ((2, 9), false),
        ((2, 5), false),
        ((0, 0), false),
    ];
    for ((last_term, last), wanted) in cases {
        for pre in [true, false] {
            let mut cluster = Cluster::new(3);
            let founders = cluster.founders.clone();
            cluster.add(2, log_of(0, 3, &[1, 1, 3, 3, 3], &founders));
            inject(&mut cluster, 1, 2, 9, vote_request(pre, last, last_term), &[]);
            cluster.complete_writes(2);
            let body = Body::Vote { pre, granted: wanted };
            assert_eq!(cluster.packets[0].message.body, body, "term {last_term}, entry {last}");
            assert_eq!(cluster.round(2), if pre { 3 } else { 9 }, "a pre-vote changes nothing");
        }
    }
}

/// hashicorp/raft#50: members that are given equal seeds still draw different timeouts.
#[test]
fn equal_seeds_do_not_make_equal_timeouts() {
    let cluster = Cluster::founded(Membership::of_voters(nodes(1..=20)).expect("a few members"), 0);
    let mut deadlines: Vec<Time> =
        cluster.ids().into_iter().map(|id| cluster.engine(id).deadline()).collect();
    deadlines.sort_unstable();
    deadlines.dedup();
    assert!(deadlines.len() >= 19);
    let start = Time(1_000_000_000);
    let (soonest, latest) = (start + timing().election_timeout_min, start + timing().election_timeout_max);
    assert!(deadlines.iter().all(|deadline| *deadline >= soonest && *deadline <= latest));
}

/// MicroRaft e34e831: the largest term is the end, not the beginning again.
#[test]
fn a_term_at_the_largest_number_stops_the_engine_and_never_wraps() {
    let mut cluster = Cluster::new(3);
    let mut image = Image::default();
    image.write([hard_state(u64::MAX, None)].into_iter().collect());
    cluster.add(1, image);
    cluster.fire(1);
    assert!(cluster.member(1).fatal.as_ref().is_some_and(|cause| cause.contains("exhausted")));
    let huge = Body::Append {
        prev: Index(u64::MAX),
        prev_generation: Generation::new(u64::MAX, NodeId(u64::MAX)),
        commit: Index(u64::MAX),
        round: ReadRound(u64::MAX),
    };
    inject(&mut cluster, 2, 3, u64::MAX, huge, &[]);
    assert_eq!(cluster.commit(3), 0);
}

/// CCF#8094: a candidate that yields within its term has still voted in it.
#[test]
fn a_candidate_that_steps_down_keeps_its_vote() {
    let mut cluster = Cluster::new(3);
    cluster.fire(1);
    let requests = cluster.take(|packet| packet.from == 1);
    for packet in &requests {
        cluster.deliver(packet);
    }
    let grants = cluster.take(|_| true);
    grants.iter().for_each(|packet| cluster.deliver(packet));
    cluster.complete_writes(1);
    assert_eq!((cluster.role(1), cluster.round(1)), (Role::Candidate, 1));
    let heartbeat =
        Body::Heartbeat { commit: Index::ZERO, commit_generation: Generation::ZERO, round: ReadRound(0) };
    inject(&mut cluster, 2, 1, 1, heartbeat, &[]);
    assert_eq!(cluster.role(1), Role::Follower);
    cluster.drop_all();
    inject(&mut cluster, 3, 1, 1, vote_request(false, 9, 1), &[]);
    assert!(!granted(&mut cluster, 1));
}

/// Repeated votes of one member count once.
#[test]
fn a_vote_that_arrives_twice_counts_once() {
    let mut cluster = Cluster::new(5);
    cluster.fire(1);
    for _ in 0..3 {
        inject(&mut cluster, 2, 1, 1, Body::Vote { pre: true, granted: true }, &[]);
    }
    assert_eq!(cluster.round(1), 0);
    inject(&mut cluster, 3, 1, 1, Body::Vote { pre: true, granted: true }, &[]);
    cluster.complete_writes(1);
    assert!(!cluster.take(is_vote_request).is_empty());
    for _ in 0..3 {
        inject(&mut cluster, 2, 1, 1, Body::Vote { pre: false, granted: true }, &[]);
    }
    assert_eq!(cluster.role(1), Role::Candidate);
    assert!(cluster.take(is_append).is_empty());
}
