//! How members find out what is chosen.

use consensus_api::{Engine, Index};
use quorate_paxos::single::{Body, Won};

use super::{Cluster, Packet, Peers, ballot, is_accept, is_chosen, timing};

fn is_learn(packet: &Packet) -> bool {
    matches!(packet.message.body, Body::Learn { .. })
}

/// The proposer's word is lost: a member that lacks something hears so from anyone, and asks.
#[test]
fn who_missed_the_announcement_learns_from_anyone() {
    let mut cluster = Cluster::met(3);
    cluster.propose(1);
    cluster.settle_without(&[3]);
    cluster.crash(1);
    assert_eq!((cluster.commit(2), cluster.commit(3)), (1, 0));
    cluster.run(timing().heartbeat * 3);
    assert_eq!((cluster.commit(3), cluster.shape(3).as_str()), (1, "C"));
}

/// After all of them have crashed nobody knows any more what is chosen: one finds out, slot after slot, without a pause
/// between them.
#[test]
fn what_an_earlier_life_left_is_taken_up_in_one_go() {
    let mut cluster = Cluster::met(3);
    for _ in 0..20 {
        cluster.propose(1);
        cluster.settle();
    }
    cluster.ids().into_iter().for_each(|id| cluster.crash(id));
    cluster.ids().into_iter().for_each(|id| cluster.restart(id));
    assert_eq!(cluster.commit(1), 0);
    cluster.run(timing().election_timeout_max * 2);
    assert!(cluster.ids().iter().all(|id| cluster.commit(*id) == 20));
}

/// Whoever was away gets what it missed in frames of bounded size.
#[test]
fn a_member_that_was_away_catches_up_in_frames() {
    let mut cluster = Cluster::met(3);
    cluster.limits.frame_bytes_max = 300;
    cluster.ids().into_iter().for_each(|id| cluster.restart(id));
    cluster.greet();
    cluster.crash(3);
    for _ in 0..20 {
        cluster.propose(1);
        cluster.settle();
    }
    cluster.restart(3);
    cluster.run(timing().heartbeat * 3);
    assert_eq!((cluster.commit(3), cluster.shape(3)), (20, "C".repeat(20)));
}

/// The value of an earlier ballot may not be what a later one chose: only the same ballot, or a higher one, counts.
#[test]
fn an_announcement_counts_for_values_of_its_ballot_only() {
    let mut cluster = Cluster::new(3);
    let old = cluster.placed(1, ballot(1, 2));
    cluster.say(2, 1, ballot(1, 2), Body::Accept { won: Won::default() }, &[old]);
    cluster.complete_writes(1);
    let won = Won { first: Index(1), last: Index(1) };
    cluster.say(3, 1, ballot(2, 3), Body::Chosen { won }, &[]);
    assert_eq!(cluster.commit(1), 0);
    cluster.say(3, 1, ballot(1, 2), Body::Chosen { won }, &[]);
    assert_eq!(cluster.commit(1), 0, "nobody speaks in another's name");
    cluster.say(2, 1, ballot(1, 2), Body::Chosen { won }, &[]);
    assert_eq!(cluster.commit(1), 1);
}

/// One announcement says all that a ballot has won: a lost one is made up for by the next.
#[test]
fn a_lost_announcement_is_made_up_for_by_the_next() {
    let mut cluster = Cluster::met(3);
    for _ in 0..3 {
        cluster.propose(1);
        cluster.settle_where(|_, to| to != 3);
    }
    assert_eq!((cluster.commit(1), cluster.commit(3)), (3, 0));
    let mut cluster = Cluster::met(3);
    for _ in 0..3 {
        cluster.propose(1);
        while cluster.commit(1) < cluster.last(1) || cluster.last(1) == 0 {
            cluster.complete_all_writes();
            cluster.deliver_only(|packet| !(is_chosen(packet) && packet.to == 3));
        }
        cluster.take(|packet| is_chosen(packet) && packet.to == 3);
        cluster.settle();
    }
    cluster.propose(1);
    cluster.deliver_only(is_accept);
    assert_eq!(cluster.commit(3), 3, "the next value brings it along");
    assert!(!cluster.packets.iter().any(is_learn));
}

/// What nobody's log holds any more comes as a snapshot. Whether one's own value is in it, nobody can tell: it is not
/// proposed again.
#[test]
fn a_value_that_may_be_in_a_snapshot_is_not_proposed_again() {
    let mut cluster = Cluster::met(3);
    let mine = cluster.propose(3);
    cluster.complete_writes(3);
    cluster.drop_all();
    for _ in 0..5 {
        cluster.propose(1);
        cluster.settle_without(&[3]);
    }
    cluster.snapshot(1, 0);
    cluster.complete_writes(1);
    cluster.crash(2);
    cluster.run(timing().heartbeat * 3);
    assert!(cluster.member(1).snapshots_needed.contains(&3));
    cluster.carry_snapshot(1, 3);
    assert_eq!((cluster.commit(3), cluster.engine(3).takes_proposals()), (5, true));
    cluster.run(timing().election_timeout_max * 2);
    assert!(cluster.committed.values().all(|entry| entry.proposal != mine));
}

/// TigerBeetle PR #364 cut a suffix that may have been chosen. A snapshot takes the place of what it covers, and no more.
#[test]
fn a_snapshot_leaves_what_was_accepted_above_it() {
    let mut cluster = Cluster::met(3);
    for _ in 0..4 {
        cluster.propose(1);
        cluster.settle_without(&[3]);
    }
    cluster.snapshot(1, 0);
    cluster.complete_writes(1);
    let above = cluster.placed(5, ballot(7, 2));
    cluster.say(2, 3, ballot(7, 2), Body::Accept { won: Won::default() }, &[above]);
    cluster.complete_writes(3);
    cluster.carry_snapshot(1, 3);
    cluster.complete_writes(3);
    cluster.restart(3);
    assert_eq!((cluster.commit(3), cluster.engine(3).accepted_at(Index(5))), (4, Some(ballot(7, 2))));
    assert_eq!(cluster.engine(3).promised(), ballot(7, 2), "and the promise");
}
