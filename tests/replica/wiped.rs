//! Disks that are wiped, and come back under the number of who had them.

use std::time::Duration;

use node::Errand;
use quorate::{Engine, Membership, NodeId};

use crate::trio::Trio;

const LONG: Duration = Duration::from_secs(60);

/// Entry 1 is on the disks of nodes 1 and 2, and was answered; node 3 was away. Then the disk of node 1 is lost. What is
/// left of the quorum, node 2, is away when node 3 and the new disk meet.
fn one_disk_of_two_is_lost<E: Engine>() -> Trio<E> {
    let mut trio = Trio::<E>::new(0);
    trio.decide(1, 100);
    trio.connect(&[1, 2]);
    trio.decide(1, 1);
    trio
}

/// Whatever happens without node 2 is not decided, and with it nothing is lost.
fn nothing_is_lost<E: Engine>(trio: &mut Trio<E>) {
    for id in [1, 3] {
        trio.propose(id, 2);
    }
    trio.pass(LONG);
    assert!(!trio.is_answered(2), "{}: two that do not know entry 1 have decided", E::NAME);
    trio.connect(&[1, 2, 3]);
    trio.decide(3, 3);
    for id in [2, 3] {
        let applied = trio.applied(id);
        assert!(applied.contains(&1) && applied.contains(&3), "{}: node {id} has {applied:?}", E::NAME);
    }
}

fn a_wiped_disk_takes_no_part_and_says_so<E: Engine>() {
    let mut trio = one_disk_of_two_is_lost::<E>();
    trio.start_anew(1);
    trio.connect(&[1, 3]);
    trio.pass(LONG);
    let refused = trio.replica(1).refused_stores();
    assert!(refused.iter().any(|refused| refused.node == NodeId(1)), "{}: {refused:?}", E::NAME);
    let notes = trio.replica(1).notes().join("\n");
    assert!(notes.contains("bring the old disk back, or remove node 1 and add it again"), "{notes}");
    trio.connect(&[1, 2, 3]);
    trio.pass(LONG);
    assert!(!trio.disk(1).is_founded(), "{}: it takes part all the same", E::NAME);
    trio.connect(&[1, 3]);
    nothing_is_lost(&mut trio);
}

/// The new disk took part in another founding, of a cluster of the same name and members.
fn a_disk_of_another_founding_is_not_believed<E: Engine>() {
    let mut other = Trio::<E>::new(1000);
    other.decide(1, 200);
    let foreign = other.disk(1).clone();
    let mut trio = one_disk_of_two_is_lost::<E>();
    trio.start(1, foreign);
    trio.connect(&[1, 3]);
    trio.pass(LONG);
    nothing_is_lost(&mut trio);
    let refused = trio.replica(3).refused_stores();
    assert!(refused.iter().any(|refused| refused.node == NodeId(1)), "{}: {refused:?}", E::NAME);
}

/// Node 3 has introduced itself, so that the others could begin, and has heard of nobody: to it and to the new disk all
/// looks like the beginning of a cluster of which node 2 was not started yet.
fn a_founder_that_was_deaf_does_not_begin_with_a_wiped_one<E: Engine>() {
    let mut trio = Trio::<E>::new(0);
    trio.deafen(3);
    trio.decide(1, 1);
    assert!(!trio.disk(3).is_founded());
    trio.start_anew(1);
    trio.connect(&[1, 3]);
    nothing_is_lost(&mut trio);
}

fn nothing_is_decided_until_all_founders_have_met<E: Engine>() {
    let mut trio = Trio::<E>::new(0);
    trio.connect(&[1, 2]);
    trio.propose(1, 1);
    trio.pass(LONG);
    assert!(!trio.is_answered(1) && !trio.disk(1).is_founded());
    let notes = trio.replica(1).notes().join("\n");
    assert!(notes.contains("node 3 has not answered; start it"), "{notes}");
    trio.connect(&[1, 2, 3]);
    trio.decide(1, 2);
}

/// The cluster was founded and has grown, while one of its founders had met all but one. A member that was added since
/// answers that founder, too; it is none of those that it waits for.
fn the_word_of_a_newcomer_does_not_hinder_a_founder<E: Engine>() {
    let mut trio = Trio::<E>::new(0);
    trio.connect(&[1, 2]);
    trio.pass(LONG);
    trio.hear_from_a_newcomer(1);
    trio.pass(LONG);
    assert!(!trio.disk(1).is_founded(), "{}: node 3 has not answered", E::NAME);
    trio.connect(&[1, 2, 3]);
    trio.decide(1, 1);
    assert!(trio.disk(1).is_founded());
}

/// Node 3, which does not vote, was away while node 1 got a new disk, and was added again. Then node 1 leads: and node 3, which
/// knows it by the old disk, comes to where it stands in the log that this has changed.
fn who_was_away_follows_a_leader_whose_disk_is_new<E: Engine>() {
    if !E::CAPABILITIES.membership_change {
        return;
    }
    let mut trio = Trio::<E>::new(0);
    trio.decide(1, 1);
    let membership = Membership::new([1, 2].map(NodeId), [], [NodeId(3)]).unwrap();
    trio.carry_out(2, Errand::Replace { membership });
    trio.connect(&[1, 2]);
    trio.carry_out(2, Errand::Remove { node: NodeId(1) });
    trio.start_anew(1);
    trio.carry_out(2, Errand::AddLearner { node: NodeId(1), address: String::new() });
    trio.carry_out(2, Errand::Promote { node: NodeId(1) });
    trio.carry_out(2, Errand::Transfer { to: Some(NodeId(1)) });
    trio.decide(1, 2);
    trio.connect(&[1, 2, 3]);
    trio.pass(Duration::from_secs(10));
    assert_eq!(trio.replica(3).standing().leader, Some(NodeId(1)), "{}", E::NAME);
    assert!(trio.applied(3).contains(&2), "{}: {:?}", E::NAME, trio.replica(3).notes());
    assert_eq!(trio.replica(3).refused_stores(), []);
}

macro_rules! all {
    ($name:ident, $engine:ty) => {
        mod $name {
            #[test]
            fn a_wiped_disk_takes_no_part_and_says_so() {
                super::a_wiped_disk_takes_no_part_and_says_so::<$engine>();
            }

            #[test]
            fn a_disk_of_another_founding_is_not_believed() {
                super::a_disk_of_another_founding_is_not_believed::<$engine>();
            }

            #[test]
            fn a_founder_that_was_deaf_does_not_begin_with_a_wiped_one() {
                super::a_founder_that_was_deaf_does_not_begin_with_a_wiped_one::<$engine>();
            }

            #[test]
            fn nothing_is_decided_until_all_founders_have_met() {
                super::nothing_is_decided_until_all_founders_have_met::<$engine>();
            }

            #[test]
            fn who_was_away_follows_a_leader_whose_disk_is_new() {
                super::who_was_away_follows_a_leader_whose_disk_is_new::<$engine>();
            }

            #[test]
            fn the_word_of_a_newcomer_does_not_hinder_a_founder() {
                super::the_word_of_a_newcomer_does_not_hinder_a_founder::<$engine>();
            }
        }
    };
}

on_every_engine!(all);

/// Only Raft has members that wait.
#[cfg(feature = "raft")]
#[test]
fn who_waits_to_be_added_refuses_no_founder() {
    let mut trio = Trio::<quorate::Raft>::new(0);
    trio.connect(&[1, 2, 4]);
    trio.meet_one_that_waits(1);
    trio.pass(LONG);
    assert_eq!(trio.replica(1).refused_stores(), []);
    let notes = trio.replica(1).notes().join("\n");
    assert!(notes.contains("node 3 has not answered; start it"), "{notes}");
}
