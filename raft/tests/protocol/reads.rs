//! Reads that never see the past.

use std::time::Duration;

use consensus_api::{Refusal, Role};
use quorate_raft::Body;
use testkit::protocol::timing;

use crate::Cluster;
use crate::packets::{Packet, is_append, is_heartbeat};

fn is_answer_to_heartbeat(packet: &Packet) -> bool {
    matches!(packet.message.body, Body::Heard { .. })
}

#[test]
fn a_leader_answers_a_read_after_one_round_and_without_the_disk() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.hung.extend([1, 2, 3]);
    cluster.read(1, 1);
    assert_eq!(cluster.answer(1, 1), None);
    cluster.deliver_only(is_heartbeat);
    cluster.deliver_only(is_answer_to_heartbeat);
    assert_eq!(cluster.answer(1, 1), Some(Ok(1)));
}

#[test]
fn without_a_lease_a_lease_read_is_a_read() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.lease_read(1, 1);
    assert_eq!(cluster.answer(1, 1), None, "a quorum has yet to confirm");
    cluster.settle();
    assert_eq!(cluster.answer(1, 1), Some(Ok(1)));
    cluster.lease_read(2, 2);
    assert_eq!(cluster.answer(2, 2), Some(Err(Refusal::NotLeader)));
}

#[test]
fn a_follower_refuses_reads() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.read(2, 1);
    assert_eq!(cluster.answer(2, 1), Some(Err(Refusal::NotLeader)));
}

/// jraft#1109: alone, a restarted member answers at once, and with what it had committed.
#[test]
fn a_cluster_of_one_answers_at_once_also_after_a_restart() {
    let mut cluster = Cluster::new(1);
    cluster.fire(1);
    cluster.settle();
    cluster.propose(1);
    cluster.settle();
    cluster.read(1, 1);
    assert_eq!(cluster.answer(1, 1), Some(Ok(2)));
    cluster.restart(1);
    cluster.fire(1);
    cluster.complete_write(1);
    cluster.read(1, 2);
    assert_eq!(cluster.answer(1, 2), None, "its first entry is not durable yet");
    cluster.settle();
    assert_eq!(cluster.answer(1, 2), Some(Ok(3)));
}

/// etcd#7331; thesis, section 6.4: a new leader does not know the commit index before its first entry is committed.
#[test]
fn a_new_leader_answers_reads_once_its_first_entry_is_committed() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1);
    cluster.settle();
    let wait = timing().election_timeout_max;
    for id in 2..=3 {
        let now = cluster.member(id).now + wait;
        cluster.member_mut(id).now = now;
    }
    cluster.fire(2);
    for _ in 0..4 {
        cluster.deliver_only(|packet| packet.to != 1 && packet.from != 1 && !is_append(packet));
        cluster.complete_writes(2);
        cluster.complete_writes(3);
    }
    assert_eq!(cluster.role(2), Role::Leader);
    cluster.read(2, 1);
    for _ in 0..3 {
        cluster.deliver_only(|packet| is_heartbeat(packet) && packet.to == 3);
        cluster.deliver_only(is_answer_to_heartbeat);
    }
    assert_eq!(cluster.answer(2, 1), None, "confirmed, but not yet answered");
    cluster.settle_without(&[1]);
    assert_eq!(cluster.answer(2, 1), Some(Ok(3)));
}

/// etcd-io/raft#397, etcd#20418: answers to earlier messages confirm no later read.
#[test]
fn answers_that_were_on_their_way_before_a_read_began_do_not_confirm_it() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.read(1, 1);
    cluster.deliver_only(is_heartbeat);
    let answers = cluster.take(is_answer_to_heartbeat);
    assert_eq!(answers.len(), 2);
    // Meanwhile the others elect node 2, and write.
    for id in 2..=3 {
        let now = cluster.member(id).now + Duration::from_secs(3);
        cluster.member_mut(id).now = now;
    }
    cluster.fire(2);
    cluster.settle_without(&[1]);
    cluster.propose(2);
    cluster.settle_without(&[1]);
    assert_eq!(cluster.commit(2), 3);
    // The deposed leader begins another read; then the old answers arrive, repeated.
    cluster.read(1, 2);
    for _ in 0..3 {
        answers.iter().for_each(|packet| cluster.deliver(packet));
    }
    assert_eq!(cluster.answer(1, 1), Some(Ok(1)), "this one began before anything else was committed");
    assert_eq!(cluster.answer(1, 2), None);
    cluster.run_without(Duration::from_secs(1), &[]);
    assert_eq!(cluster.answer(1, 2), Some(Err(Refusal::NotLeader)));
}

/// One round of messages confirms every read that has gathered before it.
#[test]
fn reads_share_rounds() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    (1..=50).for_each(|read| cluster.read(1, read));
    let first = cluster.deliver_only(is_heartbeat);
    assert_eq!(first.len(), 2, "the first read starts a round; the others gather");
    cluster.deliver_only(is_answer_to_heartbeat);
    assert_eq!((cluster.answer(1, 1), cluster.answer(1, 2)), (Some(Ok(1)), None));
    let second = cluster.deliver_only(is_heartbeat);
    assert_eq!(second.len(), 2);
    cluster.deliver_only(is_answer_to_heartbeat);
    assert!((1..=50).all(|read| cluster.answer(1, read) == Some(Ok(1))));
    assert!(cluster.packets.is_empty());
}

/// A lost round is made good by the next heartbeat; entries and their acknowledgements confirm as well.
#[test]
fn a_read_whose_messages_are_lost_is_answered_with_the_next_heartbeat() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.read(1, 1);
    cluster.drop_all();
    cluster.fire(1);
    cluster.settle();
    assert_eq!(cluster.answer(1, 1), Some(Ok(1)));
    cluster.read(1, 2);
    cluster.drop_all();
    cluster.propose(1);
    cluster.settle();
    assert_eq!(cluster.answer(1, 2), Some(Ok(1)));
}

#[test]
fn a_leader_that_is_deposed_refuses_the_reads_it_holds() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.read(1, 1);
    cluster.drop_all();
    let now = cluster.member(2).now + Duration::from_secs(3);
    cluster.member_mut(2).now = now;
    cluster.member_mut(3).now = now;
    cluster.fire(2);
    cluster.settle_without(&[1]);
    cluster.fire(2);
    cluster.settle();
    assert_eq!(cluster.answer(1, 1), Some(Err(Refusal::NotLeader)));
}

/// Reads under write load: entries that are on their way anyway ask, and their acknowledgements answer.
#[test]
fn reads_cost_no_message_while_entries_flow() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let mut heartbeats = 0;
    cluster.propose(1);
    for read in 1..=100 {
        cluster.read(1, read);
        cluster.propose(1);
        let sent = cluster.deliver_only(|_| true);
        heartbeats += sent.iter().filter(|packet| is_heartbeat(packet)).count();
        cluster.complete_all_writes();
    }
    assert_eq!(heartbeats, 0);
    cluster.settle();
    assert!((1..=100).all(|read| matches!(cluster.answer(1, read), Some(Ok(_)))));
}

/// When nothing more is written, reads that waited for entries to carry them do not wait on.
#[test]
fn reads_that_waited_for_entries_go_by_themselves_when_there_are_none() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1);
    cluster.read(1, 1);
    assert!(cluster.packets.iter().all(|packet| !is_heartbeat(packet)), "entries are on their way");
    cluster.settle();
    assert_eq!(cluster.answer(1, 1), Some(Ok(1)), "no clock moved");
}
