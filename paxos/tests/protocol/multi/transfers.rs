//! Handing leadership over.

use std::time::Duration;

use quorate_paxos::{Body, MultiPaxos};
use testkit::protocol::handover;

use crate::multi::{Cluster, Packet, timing};

fn is_order(packet: &Packet) -> bool {
    matches!(packet.message.body, Body::TakeOver)
}

#[test]
fn leadership_moves_in_one_ballot_and_no_time() {
    handover::leadership_moves_in_one_election_and_no_time::<MultiPaxos>();
}

#[test]
fn a_transfer_that_fails_ends_within_an_election_timeout() {
    handover::a_transfer_that_fails_ends_within_an_election_timeout::<MultiPaxos>();
}

#[test]
fn a_hundred_transfers_under_load_lose_nothing() {
    handover::a_hundred_transfers_under_load_lose_nothing::<MultiPaxos>();
}

#[test]
fn what_cannot_be_handed_over_is_refused_in_its_own_words() {
    handover::what_cannot_be_handed_over_is_refused_in_its_own_words::<MultiPaxos>();
}

#[test]
fn the_successor_is_sent_first_what_it_lacks() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose_many(1, 20);
    cluster.settle_without(&[3]);
    let transfer = cluster.transfer(1, Some(3));
    assert!(!cluster.packets.iter().any(is_order), "nothing of it has arrived");
    cluster.run(timing().heartbeat * 4);
    assert_eq!((cluster.leader(), cluster.commit(3)), (Some(3), cluster.last(1)));
    assert!(cluster.is_completed(1, transfer));
}

/// Without a name the best placed takes over: one that was heard lately, and holds most.
#[test]
fn the_best_placed_is_asked_when_nobody_is_named() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose_many(1, 5);
    cluster.settle_without(&[2]);
    let transfer = cluster.transfer(1, None);
    cluster.settle();
    assert_eq!(cluster.leader(), Some(3));
    assert!(cluster.is_completed(1, transfer));
}

/// Nobody was heard for long: there is nobody to name.
#[test]
fn a_leader_that_hears_nobody_knows_no_successor() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.wait_long();
    let transfer = cluster.transfer(1, None);
    assert!(cluster.refusal(1, transfer).contains("no other voter was heard"));
}

/// A request that comes late, or twice, is of a ballot that nobody obeys any more.
#[test]
fn a_request_to_take_over_that_comes_late_starts_nothing() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.transfer(1, Some(3));
    let orders = cluster.take(is_order);
    cluster.run_without(timing().election_timeout_min + Duration::from_millis(20), &[3]);
    cluster.transfer(1, Some(2));
    cluster.settle();
    assert_eq!((cluster.leader(), cluster.round(2)), (Some(2), 2));
    orders.iter().for_each(|packet| cluster.deliver(packet));
    cluster.settle();
    assert_eq!((cluster.leader(), cluster.round(3)), (Some(2), 2));
}
