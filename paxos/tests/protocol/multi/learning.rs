//! How members find out what is chosen.

use consensus_api::Index;
use quorate_paxos::Body;

use crate::multi::{Ballots, Cluster, Packet, is_accept, timing};

fn is_learn(packet: &Packet) -> bool {
    matches!(packet.message.body, Body::Learn { .. })
}

/// A follower that missed something asks for it, and gets it in frames.
#[test]
fn a_follower_that_was_away_asks_for_what_it_missed() {
    let mut cluster = Cluster::new(3);
    cluster.limits.frame_bytes_max = 300;
    cluster.ids().into_iter().for_each(|id| cluster.restart(id));
    cluster.elect(1);
    cluster.propose_many(1, 20);
    cluster.crash(3);
    cluster.run(timing().heartbeat * 3);
    cluster.restart(3);
    cluster.run(timing().heartbeat * 10);
    assert_eq!((cluster.commit(3), cluster.shape(3)), (21, cluster.shape(1)));
}

/// Without a leader members still learn from one another.
#[test]
fn chosen_values_spread_without_a_leader() {
    let mut cluster = Cluster::new(5);
    cluster.elect(1);
    cluster.propose_many(1, 5);
    cluster.settle_without(&[4, 5]);
    cluster.run_without(timing().heartbeat * 2, &[4, 5]);
    assert_eq!((cluster.commit(2), cluster.commit(4)), (6, 1));
    for id in [1, 3, 5] {
        cluster.crash(id);
    }
    cluster.run(timing().election_timeout_max * 3);
    assert_eq!((cluster.leader(), cluster.commit(4)), (None, 6));
}

/// A learner waits for what a leader that is heard has on its way to it, and no longer than it is heard. (Found as a sole
/// voter that did not know it: its leader had gone, and it waited for it for ever; simulator, seed 60.)
#[test]
fn a_learner_does_not_wait_for_a_leader_that_is_gone() {
    let mut cluster = Cluster::new(3);
    cluster.join(4);
    cluster.elect(1);
    cluster.change(1, &[1, 2, 3], &[4]);
    cluster.run(timing().heartbeat * 4);
    let before = cluster.commit(4);
    cluster.propose_many(1, 5);
    cluster.settle_without(&[4]);
    cluster.run_without(timing().heartbeat * 2, &[4]);
    assert_eq!((cluster.commit(3), cluster.commit(4)), (before + 5, before));
    [1, 2].into_iter().for_each(|id| cluster.crash(id));
    cluster.run(timing().election_timeout_max * 3);
    assert_eq!((cluster.leader(), cluster.commit(4)), (None, before + 5));
}

/// Whoever was asked may have forgotten in a crash what it knew to be chosen: then others are asked.
#[test]
fn a_teacher_that_forgot_is_replaced() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose_many(1, 9);
    cluster.settle_without(&[3]);
    cluster.run_without(timing().heartbeat * 2, &[3]);
    assert_eq!((cluster.commit(1), cluster.commit(2), cluster.commit(3)), (10, 10, 1));
    cluster.restart(1);
    assert_eq!(cluster.commit(1), 0, "no watermark was written yet");
    cluster.run(timing().election_timeout_max * 4);
    assert!(cluster.leader().is_some());
    assert_eq!((cluster.commit(1), cluster.commit(3)), (11, 11));
}

/// What is on its way need not be asked for: only an announcement that nothing follows for a heartbeat is looked into.
#[test]
fn an_announcement_that_overtakes_the_entries_causes_no_question() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.settle();
    cluster.propose(1);
    let late = cluster.take(|packet| is_accept(packet) && packet.to == 3);
    cluster.settle();
    assert_eq!(cluster.commit(1), 2);
    assert!(cluster.packets.iter().all(|packet| !matches!(packet.message.body, Body::Ask { .. })));
    late.iter().for_each(|packet| cluster.deliver(packet));
    assert_eq!(cluster.commit(3), 2, "the announcement counts once the entry is there");
}

/// A lesson from a ballot above one's own is proof of a successor.
#[test]
fn a_proposer_that_learns_from_a_higher_ballot_knows_that_it_was_succeeded() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.settle();
    cluster.propose(1);
    cluster.drop_all();
    cluster.elect_without(2, &[1]);
    cluster.propose(2);
    cluster.settle_without(&[1]);
    cluster.inject(1, 2, cluster.engine(1).promised(), Body::Ask { from: Index(2) }, &[]);
    let lesson = cluster.take(is_learn).remove(0);
    cluster.deliver(&lesson);
    assert_ne!(cluster.leader(), Some(1));
    assert_eq!(cluster.engine(1).promised(), cluster.engine(2).promised());
    assert_eq!((cluster.commit(1), cluster.shape(1).as_str()), (3, "nnC"));
}

/// How far slots are chosen is kept in memory. If everyone who knew has crashed since, a leader that was told so must not
/// wait for ever to be taught: it begins anew, and finds the values where they were accepted.
#[test]
fn what_everyone_forgot_to_be_chosen_is_found_again_by_a_new_ballot() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose_many(1, 3);
    cluster.settle_without(&[3]);
    assert_eq!((cluster.commit(1), cluster.commit(3)), (4, 1));
    cluster.crash(2);
    cluster.restart(2);
    cluster.wait_long();
    cluster.fire(3);
    // Node 1 promises, and says how far it knows; but no lesson arrives before it forgets.
    let carried = |packet: &Packet| packet.to != 2 && !matches!(packet.message.body, Body::Ask { .. });
    for _ in 0..5 {
        cluster.deliver_only(carried);
        cluster.complete_writes(1);
        cluster.complete_writes(3);
    }
    cluster.drop_all();
    cluster.restart(1);
    assert_eq!((cluster.commit(1), cluster.commit(2), cluster.shape(3).as_str()), (0, 0, "n...n"));
    cluster.run(timing().election_timeout_max * 6);
    let leader = cluster.leader().expect("there is a leader again");
    assert_eq!(&cluster.shape(leader)[..4], "nCCC");
    assert_eq!(cluster.commit(3), cluster.last(leader));
}
