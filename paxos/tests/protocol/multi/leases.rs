//! Reads out of a lease: at once, and never out of date. Members grant it: for a while they promise nobody else anything.

use std::time::Duration;

use consensus_api::{Event, Generation, Index, Membership, NodeId, ReadId, Refusal, Role};
use quorate_paxos::{Body, Options};

use crate::multi::{Ballots, Cluster, ballot, is_promise, timing};

/// So many voters with leases, led by node 1, which just heard from all.
fn leased(voters: u64) -> Cluster {
    let mut options = Options::default();
    options.lease_drift_ppm_max = Some(100_000); // a tenth
    let founders = Membership::of_voters((1..=voters).map(NodeId)).expect("a few members");
    let mut cluster = Cluster::with_options(founders, options, 1);
    cluster.elect(1);
    cluster.run(timing().heartbeat * 2);
    cluster
}

fn advance(cluster: &mut Cluster, id: u64, time: Duration) {
    let member = cluster.member_mut(id);
    member.now = member.now + time;
}

fn lease_read(cluster: &mut Cluster, id: u64, read: u64) -> Option<Result<u64, Refusal>> {
    cluster.step(id, Event::LeaseRead(ReadId(read)));
    cluster.answer(id, read)
}

fn prepare(after: Generation) -> Body {
    Body::Prepare { from: Index(1), after, window: 1024 }
}

#[test]
fn a_lease_answers_at_once_and_without_a_message() {
    let mut cluster = leased(3);
    cluster.propose(1);
    cluster.settle();
    assert_eq!(lease_read(&mut cluster, 1, 1), Some(Ok(2)));
    assert!(cluster.packets.is_empty());
    assert_eq!(lease_read(&mut cluster, 2, 2), Some(Err(Refusal::NotLeader)));
}

/// It runs from when the heartbeats left, shortened by the bound on drift; answers renew it.
#[test]
fn a_lease_ends_an_election_timeout_less_drift_after_its_round_began() {
    let mut cluster = leased(3);
    cluster.fire(1);
    cluster.settle();
    advance(&mut cluster, 1, timing().election_timeout_min * 899 / 1000);
    assert_eq!(lease_read(&mut cluster, 1, 1), Some(Ok(1)));
    advance(&mut cluster, 1, timing().election_timeout_min / 1000);
    assert_eq!(lease_read(&mut cluster, 1, 2), None, "it is a read like any other now");
    cluster.settle();
    assert_eq!(cluster.answer(1, 2), Some(Ok(1)));
    cluster.run(Duration::from_secs(5));
    assert_eq!(lease_read(&mut cluster, 1, 3), Some(Ok(1)), "heartbeats renew it");
}

/// tikv#964, jraft#24: an answer that comes late renews nothing, for the lease runs from when the question was asked.
#[test]
fn a_late_answer_does_not_prolong_a_lease() {
    let mut cluster = leased(3);
    cluster.fire(1);
    cluster.deliver_only(|packet| packet.to != 1);
    let answers = cluster.take(|packet| packet.to == 1);
    advance(&mut cluster, 1, timing().election_timeout_min);
    answers.iter().for_each(|packet| cluster.deliver(packet));
    assert_eq!(lease_read(&mut cluster, 1, 1), None);
}

/// tikv#964: a leader that stood still for twice its lease, and was succeeded, answers nothing out of it.
#[test]
fn a_paused_leader_finds_its_lease_ended() {
    let mut cluster = leased(3);
    (1..=3).for_each(|id| advance(&mut cluster, id, 2 * timing().election_timeout_max));
    cluster.fire(2);
    cluster.settle_without(&[1]);
    assert_eq!(cluster.role(2), Role::Leader);
    cluster.propose(2);
    cluster.settle_without(&[1]);
    assert_eq!(lease_read(&mut cluster, 1, 1), None);
    cluster.run(Duration::from_secs(1));
    assert_eq!(cluster.answer(1, 1), Some(Err(Refusal::NotLeader)));
}

/// What a lease rests on: whoever granted it promises nobody else, and does not agree to an election, until it has run out.
#[test]
fn whoever_granted_a_lease_promises_nobody_else_anything() {
    let mut cluster = leased(3);
    cluster.fire(1);
    cluster.settle();
    cluster.inject(3, 2, ballot(9, 3), prepare(Generation::ZERO), &[]);
    cluster.inject(3, 2, ballot(9, 3), Body::PreElect { commit: Index(1) }, &[]);
    cluster.settle();
    assert_eq!(cluster.engine(2).promised(), ballot(1, 1));
    advance(&mut cluster, 2, timing().election_timeout_min);
    cluster.inject(3, 2, ballot(9, 3), prepare(Generation::ZERO), &[]);
    assert_eq!(cluster.engine(2).promised(), ballot(9, 3), "it has run out");
}

/// yugabyte #16: a restart must not forget a grant. Nobody knows what was granted before it, so nothing is promised for as
/// long as a grant lasts, whoever hands over.
#[test]
fn a_member_that_restarts_keeps_what_it_granted() {
    let mut cluster = leased(3);
    cluster.restart(2);
    for after in [Generation::ZERO, ballot(1, 1)] {
        cluster.inject(3, 2, ballot(9, 3), prepare(after), &[]);
        cluster.inject(3, 2, ballot(9, 3), Body::PreElect { commit: Index(1) }, &[]);
    }
    cluster.settle();
    assert_eq!(cluster.engine(2).promised(), ballot(1, 1));
    assert!(cluster.take(is_promise).is_empty());
    assert_eq!(lease_read(&mut cluster, 1, 1), Some(Ok(1)));
}

/// Whoever hands over has no lease any more, and what was granted at its ballot is no obstacle to its successor.
#[test]
fn a_leader_that_hands_over_renounces_its_lease() {
    let mut cluster = leased(3);
    assert_eq!(lease_read(&mut cluster, 1, 1), Some(Ok(1)));
    cluster.transfer(1, Some(3));
    assert_eq!(lease_read(&mut cluster, 1, 2), None);
    cluster.settle();
    assert_eq!((cluster.leader(), cluster.round(3)), (Some(3), 2));
    cluster.transfer(3, Some(2));
    cluster.settle();
    assert_eq!((cluster.leader(), cluster.round(2)), (Some(2), 3), "and at once to the next");
}

/// A ballot that was begun by a hand-over, and comes to light only after somebody else has come to lead, does not end that
/// one's lease, though its number may be the higher one.
#[test]
fn a_hand_over_ends_only_the_lease_of_its_own_ballot() {
    let mut cluster = leased(3);
    cluster.transfer(1, Some(3));
    cluster.deliver_only(|packet| matches!(packet.message.body, Body::TakeOver));
    cluster.complete_writes(3);
    assert_eq!(cluster.engine(3).promised(), ballot(2, 3));
    let late = cluster.take(|packet| packet.from == 3);
    cluster.drop_all();
    cluster.wait_long();
    cluster.fire(2);
    cluster.settle_without(&[3]);
    cluster.run_without(timing().heartbeat * 2, &[3]);
    assert_eq!((cluster.leader(), cluster.round(2)), (Some(2), 2), "node 2 knows of no higher ballot");
    assert!(late.iter().any(|packet| packet.to == 1));
    late.iter().filter(|packet| packet.to == 1).for_each(|packet| cluster.deliver(packet));
    cluster.settle_without(&[3]);
    assert_eq!(cluster.engine(1).promised(), ballot(2, 2));
    assert!(matches!(lease_read(&mut cluster, 2, 7), Some(Ok(_))));
}
