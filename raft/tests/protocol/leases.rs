//! Reads out of a lease: at once, and never out of date.

use std::time::Duration;

use consensus_api::{Refusal, Role};
use quorate_raft::{Body, Options};
use testkit::protocol::timing;

use crate::Cluster;
use crate::election::{granted, vote_request};
use crate::packets::inject;

/// So many voters with leases, led by node 1, which just heard from all.
fn leased(voters: u64) -> Cluster {
    let mut cluster = Cluster::new(voters);
    for id in 1..=voters {
        let mut options = Options::default();
        options.lease_drift_ppm_max = Some(100_000); // a tenth
        cluster.options_of.insert(id, options);
        cluster.restart(id);
    }
    cluster.elect(1);
    cluster
}

fn advance(cluster: &mut Cluster, id: u64, time: Duration) {
    let member = cluster.member_mut(id);
    member.now = member.now + time;
}

#[test]
fn a_lease_answers_at_once_and_without_a_message() {
    let mut cluster = leased(3);
    cluster.propose(1);
    cluster.settle();
    cluster.lease_read(1, 1);
    assert_eq!(cluster.answer(1, 1), Some(Ok(2)));
    assert!(cluster.packets.is_empty());
    cluster.lease_read(2, 2);
    assert_eq!(cluster.answer(2, 2), Some(Err(Refusal::NotLeader)));
}

/// Thesis, section 6.4.1: it runs from when the heartbeats left, shortened by the bound on drift; renewed by answers.
#[test]
fn a_lease_ends_an_election_timeout_less_drift_after_its_round_began() {
    let mut cluster = leased(3);
    let nearly = timing().election_timeout_min * 899 / 1000;
    advance(&mut cluster, 1, nearly);
    cluster.lease_read(1, 1);
    assert_eq!(cluster.answer(1, 1), Some(Ok(1)));
    advance(&mut cluster, 1, timing().election_timeout_min / 1000);
    cluster.lease_read(1, 2);
    assert_eq!(cluster.answer(1, 2), None, "it is a read like any other now");
    cluster.settle();
    assert_eq!(cluster.answer(1, 2), Some(Ok(1)));
    cluster.run_without(Duration::from_secs(5), &[]);
    cluster.lease_read(1, 3);
    assert_eq!(cluster.answer(1, 3), Some(Ok(1)), "heartbeats renew it");
}

/// tikv#964, jraft#24: an answer that comes late renews nothing, for the lease runs from when the question was asked.
#[test]
fn a_late_answer_does_not_prolong_a_lease() {
    let mut cluster = leased(3);
    cluster.fire(1);
    let answers = {
        cluster.deliver_only(|packet| packet.to != 1);
        cluster.take(|packet| packet.to == 1)
    };
    advance(&mut cluster, 1, timing().election_timeout_min);
    answers.iter().for_each(|packet| cluster.deliver(packet));
    cluster.lease_read(1, 1);
    assert_eq!(cluster.answer(1, 1), None);
}

/// tikv#964: a leader that stood still for twice its lease, and was succeeded, answers nothing out of it.
#[test]
fn a_paused_leader_finds_its_lease_ended() {
    let mut cluster = leased(3);
    let pause = 2 * timing().election_timeout_max;
    for id in 1..=3 {
        advance(&mut cluster, id, pause);
    }
    cluster.fire(2);
    cluster.settle_without(&[1]);
    assert_eq!(cluster.role(2), Role::Leader);
    cluster.propose(2);
    cluster.settle_without(&[1]);
    cluster.lease_read(1, 1);
    assert_eq!(cluster.answer(1, 1), None);
    cluster.run_without(Duration::from_secs(1), &[]);
    assert_eq!(cluster.answer(1, 1), Some(Err(Refusal::NotLeader)));
}

/// raft-rs#234, tikv#1593, etcd#12704: the order to stand may arrive at any later time, and its vote asks nobody's lease.
#[test]
fn a_leader_that_began_to_hand_over_holds_no_lease_any_more() {
    let mut cluster = leased(3);
    let transfer = cluster.transfer(1, Some(3));
    let orders = cluster.take(|packet| matches!(packet.message.body, Body::TimeoutNow));
    cluster.run_without(2 * timing().election_timeout_min, &[3]);
    assert!(cluster.refusal(1, transfer).contains("did not take over"));
    cluster.drop_all();
    orders.iter().for_each(|packet| cluster.deliver(packet));
    cluster.settle_without(&[1]);
    assert_eq!((cluster.role(1), cluster.role(3)), (Role::Leader, Role::Leader));
    cluster.propose(3);
    cluster.settle_without(&[1]);
    cluster.lease_read(1, 1);
    assert_eq!(cluster.answer(1, 1), None, "another leads meanwhile");
}

#[test]
fn a_new_leader_holds_no_lease_before_its_first_commit() {
    let mut cluster = leased(3);
    for id in 2..=3 {
        advance(&mut cluster, id, 2 * timing().election_timeout_max);
    }
    cluster.fire(2);
    for _ in 0..6 {
        cluster.deliver_only(|packet| {
            let acknowledges = matches!(packet.message.body, Body::Accepted { .. });
            packet.to != 1 && packet.from != 1 && !acknowledges
        });
        cluster.complete_all_writes();
    }
    assert_eq!((cluster.role(2), cluster.commit(2)), (Role::Leader, 1));
    cluster.lease_read(2, 1);
    assert_eq!(cluster.answer(2, 1), None);
}

/// A voter that restarts has forgotten whom it promised to wait for: it waits for everyone.
#[test]
fn a_voter_that_restarted_gives_no_vote_for_an_election_timeout() {
    let mut cluster = leased(3);
    cluster.restart(2);
    for pre in [true, false] {
        inject(&mut cluster, 3, 2, 9, vote_request(pre, 9, 9), &[]);
    }
    cluster.complete_writes(2);
    assert!(cluster.take(|packet| packet.from == 2).is_empty());
    assert_eq!(cluster.round(2), 1);
    advance(&mut cluster, 2, timing().election_timeout_min);
    inject(&mut cluster, 3, 2, 9, vote_request(false, 9, 9), &[]);
    assert!(granted(&mut cluster, 2));
}

/// Learners fill no quorum, of a lease neither.
#[test]
fn learners_renew_no_lease() {
    let mut cluster = leased(3);
    cluster.join(4);
    cluster.change(1, &[1, 2, 3], &[4]);
    cluster.settle();
    cluster.run_without(timing().election_timeout_min * 95 / 100, &[2, 3]);
    assert_eq!(cluster.role(1), Role::Leader);
    cluster.lease_read(1, 1);
    assert_eq!(cluster.answer(1, 1), None);
}

#[test]
fn a_cluster_of_one_is_its_own_lease() {
    let mut cluster = leased(1);
    cluster.lease_read(1, 1);
    assert_eq!(cluster.answer(1, 1), Some(Ok(1)));
}

/// Without the option a restarted voter votes at once, as always.
#[test]
fn without_leases_nobody_waits_before_voting() {
    let mut cluster = Cluster::new(3);
    inject(&mut cluster, 3, 2, 9, vote_request(false, 9, 9), &[]);
    assert!(granted(&mut cluster, 2));
}
