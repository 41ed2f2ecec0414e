//! Linearizable reads by read index.

use consensus_api::{Event, ReadId, Refusal, Role};
use quorate_paxos::Body;

use crate::multi::{Cluster, Packet, is_accept, timing};

fn is_heartbeat(packet: &Packet) -> bool {
    matches!(packet.message.body, Body::Heartbeat(_))
}

fn is_heard(packet: &Packet) -> bool {
    matches!(packet.message.body, Body::Heard { .. })
}

#[test]
fn a_read_is_answered_once_a_quorum_has_answered_after_it_began() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1);
    cluster.settle();
    cluster.fire(1);
    cluster.deliver_only(is_heartbeat);
    let earlier = cluster.take(is_heard);
    cluster.read(1, 1);
    earlier.iter().for_each(|packet| cluster.deliver(packet));
    assert_eq!(cluster.answer(1, 1), None, "answers to what left before say nothing");
    cluster.settle_without(&[3]);
    assert_eq!(cluster.answer(1, 1), Some(Ok(2)));
    cluster.read(2, 2);
    assert_eq!(cluster.answer(2, 2), Some(Err(Refusal::NotLeader)));
}

#[test]
fn without_a_lease_a_lease_read_is_a_read() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1);
    cluster.settle();
    cluster.step(1, Event::LeaseRead(ReadId(1)));
    assert_eq!(cluster.answer(1, 1), None, "a quorum has yet to confirm");
    cluster.settle();
    assert_eq!(cluster.answer(1, 1), Some(Ok(2)));
    cluster.step(2, Event::LeaseRead(ReadId(2)));
    assert_eq!(cluster.answer(2, 2), Some(Err(Refusal::NotLeader)));
}

/// One round confirms all reads that have gathered.
#[test]
fn many_reads_share_a_round() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.settle();
    (1..=50).for_each(|read| cluster.read(1, read));
    assert_eq!(cluster.packets.iter().filter(|packet| is_heartbeat(packet)).count(), 2);
    cluster.deliver_only(is_heartbeat);
    cluster.deliver_only(is_heard);
    assert_eq!(cluster.packets.iter().filter(|packet| is_heartbeat(packet)).count(), 2);
    cluster.settle();
    assert!((1..=50).all(|read| cluster.answer(1, read) == Some(Ok(1))));
}

/// omnipaxos before 0.2.4: a leader that was cut off answered from what it had.
#[test]
fn a_leader_that_was_cut_off_answers_nothing() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1);
    cluster.settle();
    cluster.run_without(timing().election_timeout_min / 2, &[1]);
    cluster.read(1, 1);
    cluster.wait_long();
    cluster.fire(2);
    cluster.settle_without(&[1]);
    assert_eq!(cluster.role(2), Role::Leader);
    cluster.propose(2);
    cluster.settle_without(&[1]);
    cluster.run_without(timing().election_timeout_max * 2, &[1]);
    assert_eq!(cluster.answer(1, 1), Some(Err(Refusal::NotLeader)));
}

/// tsoracle #209, #224: a read must wait for the barrier of its own leader, not for anyone's.
#[test]
fn a_read_waits_until_the_barrier_is_chosen() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1);
    cluster.settle();
    cluster.crash(1);
    cluster.wait_long();
    cluster.fire(2);
    for _ in 0..20 {
        cluster.deliver_only(|packet| packet.to != 1 && !is_accept(packet));
        cluster.complete_all_writes();
    }
    assert_eq!((cluster.role(2), cluster.last(2)), (Role::Leader, 3));
    cluster.read(2, 1);
    for _ in 0..5 {
        cluster.deliver_only(|packet| packet.to != 1 && !is_accept(packet));
    }
    assert_eq!(cluster.answer(2, 1), None, "the quorum has answered, and the barrier is not chosen");
    cluster.settle_without(&[1]);
    assert_eq!(cluster.answer(2, 1), Some(Ok(3)));
}
