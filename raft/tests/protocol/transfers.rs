//! Handing leadership over.

use std::time::Duration;

use consensus_api::Role;
use quorate_raft::{Body, Options, Raft};
use testkit::protocol::{handover, timing};

use crate::Cluster;
use crate::packets::{Packet, is_append, is_vote_request};

fn is_order(packet: &Packet) -> bool {
    matches!(packet.message.body, Body::TimeoutNow)
}

#[test]
fn leadership_moves_in_one_election_and_no_time() {
    handover::leadership_moves_in_one_election_and_no_time::<Raft>();
}

#[test]
fn a_transfer_that_fails_ends_within_an_election_timeout() {
    handover::a_transfer_that_fails_ends_within_an_election_timeout::<Raft>();
}

#[test]
fn a_hundred_transfers_under_load_lose_nothing() {
    handover::a_hundred_transfers_under_load_lose_nothing::<Raft>();
}

#[test]
fn what_cannot_be_handed_over_is_refused_in_its_own_words() {
    handover::what_cannot_be_handed_over_is_refused_in_its_own_words::<Raft>();
}

#[test]
fn the_successor_is_brought_up_to_date_first() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose_many(1, 20);
    cluster.settle_without(&[3]);
    let transfer = cluster.transfer(1, Some(3));
    assert!(cluster.packets.iter().all(|packet| !is_order(packet)), "its log is not complete");
    cluster.run_without(Duration::from_millis(300), &[]);
    assert_eq!(cluster.role(3), Role::Leader);
    assert!(cluster.is_completed(1, transfer));
    assert_eq!(cluster.commit(3), cluster.last(1));
}

/// An order that is lost is given again with the next heartbeat.
#[test]
fn an_order_to_stand_that_is_lost_is_repeated() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let transfer = cluster.transfer(1, Some(2));
    assert_eq!(cluster.take(is_order).len(), 1);
    cluster.settle();
    assert_eq!(cluster.role(1), Role::Leader);
    cluster.run_without(2 * timing().heartbeat, &[]);
    assert!(cluster.is_completed(1, transfer));
}

#[test]
fn leadership_is_not_handed_to_a_learner() {
    let mut cluster = Cluster::new(3);
    cluster.join(4);
    cluster.elect(1);
    cluster.change(1, &[1, 2, 3], &[4]);
    cluster.settle();
    let refused = cluster.transfer(1, Some(4));
    assert!(cluster.refusal(1, refused).contains("only a voter can lead"));
}

/// etcd#11417: the successor cannot lose its vote in the middle, for the two do not overlap.
#[test]
fn a_transfer_and_a_change_of_membership_refuse_each_other() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let change = cluster.change(1, &[1, 2], &[]);
    let refused = cluster.transfer(1, Some(3));
    assert!(cluster.refusal(1, refused).contains("a change of membership is under way"));
    cluster.settle();
    assert!(cluster.is_completed(1, change));
    cluster.transfer(1, Some(2));
    let refused = cluster.change(1, &[1], &[]);
    assert!(cluster.refusal(1, refused).contains("leadership is being handed over"));
    cluster.settle();
    let next = cluster.change(2, &[2], &[]);
    cluster.settle();
    assert!(cluster.is_completed(2, next), "and nothing stays blocked");
}

/// An order that comes late stands for an election like any other; one of an earlier term is void.
#[test]
fn a_late_order_to_stand_elects_and_one_of_an_earlier_term_does_not() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.transfer(1, Some(2));
    let orders = cluster.take(is_order);
    cluster.drop_all();
    cluster.run_without(2 * timing().election_timeout_min, &[2]);
    assert_eq!(cluster.role(1), Role::Leader);
    orders.iter().for_each(|packet| cluster.deliver(packet));
    cluster.settle();
    assert!(cluster.leader().is_some(), "whoever it is: a log that lags wins nothing");
    let term = cluster.round(2);
    orders.iter().for_each(|packet| cluster.deliver(packet));
    cluster.settle();
    assert_eq!(cluster.round(2), term);
}

/// A member whose disk hangs is no successor.
#[test]
fn a_member_whose_disk_hangs_does_not_take_over() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.hung.insert(2);
    let transfer = cluster.transfer(1, Some(2));
    cluster.settle();
    assert!(cluster.take(is_vote_request).is_empty(), "its own vote is not durable");
    cluster.run_without(3 * timing().election_timeout_max, &[]);
    let leader = cluster.leader().expect("one of the others leads");
    assert!(leader != 2 && !cluster.is_completed(1, transfer));
    cluster.propose(leader);
    cluster.settle();
    assert_eq!(cluster.commit(leader), cluster.last(leader));
}

/// Without a name the best placed voter takes over.
#[test]
fn the_best_placed_voter_takes_over_when_none_is_named() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose_many(1, 3);
    cluster.deliver_only(|packet| is_append(packet) && packet.to == 3);
    cluster.complete_all_writes();
    cluster.deliver_only(|packet| packet.to == 1);
    let transfer = cluster.transfer(1, None);
    cluster.settle();
    assert_eq!(cluster.leader(), Some(3));
    assert!(cluster.is_completed(1, transfer));
}

/// A leader gives way to a voter of higher priority, once that one has caught up; and not to one that lags.
#[test]
fn the_voter_of_the_highest_priority_comes_to_lead() {
    let mut cluster = Cluster::new(3);
    for (id, priority) in [(2, 5), (3, 9)] {
        let mut options = Options::default();
        options.priority = priority;
        cluster.options_of.insert(id, options);
        cluster.restart(id);
    }
    cluster.elect(1);
    cluster.run_without(Duration::from_secs(15), &[3]);
    assert_eq!(cluster.leader(), Some(2));
    cluster.run_without(Duration::from_secs(15), &[]);
    assert_eq!(cluster.leader(), Some(3));
    let term = cluster.round(3);
    cluster.run_without(Duration::from_secs(30), &[]);
    assert_eq!((cluster.leader(), cluster.round(3)), (Some(3), term), "and there it stays");
}
