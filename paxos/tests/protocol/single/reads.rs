//! Linearizable reads, without a leader and without writing.

use consensus_api::{Engine, Refusal};
use quorate_paxos::single::Body;

use super::{Cluster, Packet, Peers, is_accept, is_prepare, is_promise, timing};

fn is_poll(packet: &Packet) -> bool {
    matches!(packet.message.body, Body::Poll { .. })
}

fn is_polled(packet: &Packet) -> bool {
    matches!(packet.message.body, Body::Polled { .. })
}

/// A value of node 1 that node 1 and the others given have accepted; nobody knows whether it is chosen.
fn half_done(cluster: &mut Cluster, others: &[u64]) {
    cluster.propose(1);
    cluster.complete_writes(1);
    cluster.deliver_only(is_prepare);
    cluster.complete_all_writes();
    cluster.deliver_only(is_promise);
    cluster.deliver_only(|packet| is_accept(packet) && others.contains(&packet.to));
    cluster.complete_all_writes();
    cluster.drop_all();
}

#[test]
fn any_member_reads_what_was_answered_at_any_other() {
    let mut cluster = Cluster::met(3);
    for (round, (writer, reader)) in (1..).zip([(1, 2), (2, 3), (3, 1)]) {
        cluster.propose(writer);
        cluster.settle_without(&[6 - writer - reader]);
        cluster.read(reader, round);
        cluster.settle();
        assert_eq!(cluster.answer(reader, round), Some(Ok(round)));
    }
}

#[test]
fn a_read_needs_answers_of_a_quorum_that_were_given_after_it_began() {
    let mut cluster = Cluster::met(3);
    cluster.read(2, 1);
    cluster.deliver_only(is_poll);
    let earlier = cluster.take(is_polled);
    cluster.settle();
    cluster.run(timing().heartbeat * 2);
    assert_eq!(cluster.answer(2, 1), Some(Ok(0)));
    cluster.read(2, 2);
    cluster.drop_all();
    earlier.iter().for_each(|packet| cluster.deliver(packet));
    assert_eq!(cluster.answer(2, 2), None, "these are answers to an earlier question");
    cluster.run(timing().heartbeat * 2);
    assert_eq!(cluster.answer(2, 2), Some(Ok(0)));
}

/// tsoracle #224: numbers that begin anew after a restart let an earlier life's answers through.
#[test]
fn answers_to_an_earlier_life_answer_nothing() {
    let mut cluster = Cluster::met(3);
    cluster.read(2, 1);
    cluster.deliver_only(is_poll);
    let earlier = cluster.take(is_polled);
    cluster.restart(2);
    cluster.propose(1);
    cluster.settle_without(&[2]);
    cluster.read(2, 2);
    cluster.drop_all();
    earlier.iter().for_each(|packet| cluster.deliver(packet));
    assert_eq!(cluster.answer(2, 2), None);
    cluster.run(timing().heartbeat * 3);
    assert_eq!(cluster.answer(2, 2), Some(Ok(1)));
}

/// CASSANDRA-12126; scylladb #6299: a read that saw the value, then one that did not. Whatever the first reader's quorum
/// says, the second agrees with it.
#[test]
fn a_read_finishes_what_is_half_done_before_it_answers() {
    let mut cluster = Cluster::met(3);
    half_done(&mut cluster, &[]);
    // A read at {2, 3} sees nothing of it, and need not.
    cluster.read(2, 1);
    cluster.settle_without(&[1]);
    assert_eq!(cluster.answer(2, 1), Some(Ok(0)));
    // One at {1, 2} sees it. It is answered once it is chosen, and from then on everyone sees it.
    cluster.read(2, 2);
    cluster.settle_without(&[3]);
    cluster.run_without(timing().election_timeout_max, &[3]);
    assert_eq!(cluster.answer(2, 2), Some(Ok(1)));
    cluster.crash(1);
    cluster.read(3, 3);
    cluster.run(timing().heartbeat * 3);
    assert_eq!(cluster.answer(3, 3), Some(Ok(1)));
}

/// The same when the proposer is gone, and the one that read it goes too.
#[test]
fn a_reader_finishes_for_a_proposer_that_is_gone() {
    let mut cluster = Cluster::met(3);
    half_done(&mut cluster, &[3]);
    cluster.crash(1);
    cluster.read(2, 1);
    cluster.run(timing().heartbeat * 4);
    assert_eq!(cluster.answer(2, 1), Some(Ok(1)), "node 3 had accepted it");
    cluster.crash(3);
    cluster.restart(1);
    cluster.read(1, 2);
    cluster.run(timing().heartbeat * 4);
    assert_eq!(cluster.answer(1, 2), Some(Ok(1)));
}

/// omnipaxos before 0.2.4: whoever was cut off answered from what it had.
#[test]
fn a_member_that_is_cut_off_answers_nothing() {
    let mut cluster = Cluster::met(3);
    cluster.propose(2);
    cluster.settle();
    cluster.read(1, 1);
    cluster.propose(2);
    cluster.run_without(timing().election_timeout_max + timing().heartbeat, &[1]);
    assert_eq!(cluster.answer(1, 1), Some(Err(Refusal::NotLeader)), "the node asks again");
    assert_eq!(cluster.commit(2), 2);
}

/// One question serves all reads that have gathered.
#[test]
fn many_reads_share_a_question() {
    let mut cluster = Cluster::met(3);
    (1..=50).for_each(|read| cluster.read(1, read));
    assert_eq!(cluster.packets.iter().filter(|packet| is_poll(packet)).count(), 2);
    cluster.deliver_only(is_poll);
    cluster.deliver_only(is_polled);
    assert_eq!(cluster.packets.iter().filter(|packet| is_poll(packet)).count(), 2);
    cluster.settle();
    assert!((1..=50).all(|read| cluster.answer(1, read) == Some(Ok(0))));
}

/// Alone one is a quorum.
#[test]
fn one_member_is_a_cluster() {
    let mut cluster = Cluster::met(1);
    cluster.propose(1);
    cluster.settle();
    cluster.read(1, 1);
    assert_eq!((cluster.answer(1, 1), cluster.commit(1)), (Some(Ok(1)), 1));
    assert!(cluster.engine(1).takes_proposals());
}
