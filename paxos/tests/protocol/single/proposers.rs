//! How a value comes to be chosen, and what becomes of two that compete for a slot.

use std::collections::BTreeSet;
use std::time::Duration;

use consensus_api::{Engine, Generation, Index, Outcome, ProposalId, Refusal, Role};
use quorate_paxos::single::Body;

use super::{
    Cluster, Packet, Peers, ballot, is_accept, is_accepted, is_nack, is_prepare, is_promise, log_of, timing,
    value,
};

/// Where a proposal stands among what is chosen.
fn slots_of(cluster: &Cluster, proposal: ProposalId) -> Vec<u64> {
    let chosen = cluster.committed.iter().filter(|(_, entry)| entry.proposal == proposal);
    chosen.map(|(slot, _)| slot.0).collect()
}

/// Nobody leads, and nobody is missed: each of two members decides slots while the third is down.
#[test]
fn two_of_three_decide_without_a_leader() {
    let mut cluster = Cluster::met(3);
    cluster.crash(3);
    for (slot, id) in (1..).zip([1, 2, 2, 1]) {
        let proposal = cluster.propose(id);
        cluster.settle();
        cluster.run(timing().heartbeat);
        assert_eq!(slots_of(&cluster, proposal), [slot]);
        assert_eq!((cluster.role(1), cluster.role(2)), (Role::Peer, Role::Peer));
    }
    assert_eq!((cluster.shape(1).as_str(), cluster.shape(2).as_str()), ("CCCC", "CCCC"));
}

/// The promises stand for all slots: as long as nobody else asks for a ballot, each further value takes one round.
#[test]
fn a_winner_needs_no_further_phase_one_until_somebody_else_wants_to_write() {
    let mut cluster = Cluster::met(3);
    cluster.propose(1);
    assert_eq!(cluster.packets.iter().filter(|packet| is_accept(packet)).count(), 0);
    cluster.settle();
    for _ in 0..5 {
        cluster.propose(1);
        assert_eq!(cluster.packets.iter().filter(|packet| is_prepare(packet)).count(), 0);
        assert_eq!(cluster.packets.iter().filter(|packet| is_accept(packet)).count(), 2);
        cluster.settle();
    }
    assert_eq!((cluster.commit(1), cluster.engine(1).promised()), (6, ballot(1, 1)));
    cluster.propose(2);
    cluster.settle();
    assert_eq!((cluster.commit(1), cluster.engine(1).promised()), (7, ballot(2, 2)));
}

/// One after the other: what a member is given meanwhile is refused, for the node to hand in again.
#[test]
fn a_member_proposes_one_value_at_a_time() {
    let mut cluster = Cluster::met(3);
    let first = cluster.propose(1);
    let second = cluster.propose(1);
    assert!(!cluster.engine(1).takes_proposals());
    let outcomes =
        [(first, Outcome::Accepted(Generation::ZERO)), (second, Outcome::Refused(Refusal::NotLeader))];
    assert_eq!(cluster.member(1).proposals, outcomes);
    cluster.settle();
    assert!(cluster.engine(1).takes_proposals());
    assert!(slots_of(&cluster, second).is_empty());
}

/// frankenpaxos' CASPaxos leader takes the value of the *lowest* round, under a comment that says the largest.
#[test]
fn of_two_values_the_one_of_the_higher_ballot_is_taken_up_in_either_order() {
    for order in [[2, 3], [3, 2]] {
        let mut cluster = Cluster::new(5);
        let lower = cluster.placed(1, ballot(3, 2));
        let higher = cluster.placed(1, ballot(5, 3));
        cluster.add(2, log_of(ballot(5, 3), std::slice::from_ref(&lower)));
        cluster.add(3, log_of(ballot(5, 3), std::slice::from_ref(&higher)));
        cluster.greet();
        cluster.propose(1);
        cluster.complete_writes(1);
        cluster.take(is_nack);
        // Its first ballot is too low; the refusals say so. The next one asks everyone again.
        cluster.settle();
        let mut asked = false;
        while !asked {
            cluster.fire(1);
            cluster.complete_writes(1);
            asked = cluster.packets.iter().any(is_prepare);
        }
        for id in order {
            cluster.deliver_only(|packet| packet.to == id && is_prepare(packet));
            cluster.complete_writes(id);
            cluster.deliver_only(|packet| packet.from == id && is_promise(packet));
        }
        cluster.settle();
        assert_eq!(cluster.held(1, 1).map(value), Some(value(&higher)));
        assert_eq!(cluster.commit(1), 2, "and its own value goes into the next slot");
    }
}

/// A rival may have taken up one's value. Whoever proposed it anew in the next slot would have it chosen twice.
#[test]
fn a_value_that_a_rival_took_up_is_not_proposed_again() {
    let mut cluster = Cluster::met(3);
    let proposal = cluster.propose(1);
    cluster.complete_writes(1);
    cluster.deliver_only(is_prepare);
    cluster.complete_all_writes();
    cluster.deliver_only(is_promise);
    // It reaches node 3 only, and node 3's answer is lost.
    cluster.deliver_only(|packet| is_accept(packet) && packet.to == 3);
    cluster.complete_all_writes();
    cluster.drop_all();
    let theirs = cluster.propose(2);
    cluster.settle();
    cluster.run(timing().election_timeout_max * 2);
    assert_eq!((slots_of(&cluster, proposal), slots_of(&cluster, theirs)), (vec![1], vec![2]));
    assert!(cluster.ids().iter().all(|id| cluster.engine(*id).takes_proposals()));
}

/// Losing an attempt says nothing of the slot: it is proposed in the next one once this one is learnt to hold another.
#[test]
fn a_loser_goes_on_only_once_it_has_learnt_what_the_slot_holds() {
    let mut cluster = Cluster::met(3);
    let mine = cluster.propose(1);
    let theirs = cluster.propose(2);
    cluster.complete_all_writes();
    // Node 2's ballot is the higher one, and node 1 hears nothing of how it ends.
    for _ in 0..6 {
        cluster.deliver_only(|packet| packet.to != 1 && packet.from != 1);
        cluster.complete_writes(2);
        cluster.complete_writes(3);
    }
    assert_eq!((cluster.commit(2), slots_of(&cluster, theirs)), (1, vec![1]));
    cluster.drop_all();
    cluster.run_without(timing().election_timeout_max, &[1]);
    assert!(cluster.committed.keys().eq([&Index(1)]));
    assert!(slots_of(&cluster, mine).is_empty());
    cluster.run(timing().heartbeat * 10);
    assert_eq!((slots_of(&cluster, mine), slots_of(&cluster, theirs)), (vec![2], vec![1]));
}

/// phxpaxos #145; libpaxos gives every proposer the same first ballot for ever. Nothing leaves before the own promise is
/// durable, so a crash cannot make anyone begin the same ballot twice.
#[test]
fn a_ballot_is_begun_once_whatever_a_crash_takes() {
    let mut cluster = Cluster::met(3);
    cluster.propose(1);
    assert!(!cluster.packets.iter().any(is_prepare), "its own promise is not durable yet");
    cluster.complete_writes(1);
    cluster.deliver_only(is_prepare);
    cluster.complete_all_writes();
    let late = cluster.take(is_promise);
    assert_eq!((late.len(), cluster.engine(1).promised()), (2, ballot(1, 1)));
    cluster.restart(1);
    cluster.greet();
    cluster.propose(1);
    cluster.complete_writes(1);
    assert_eq!(cluster.engine(1).promised(), ballot(2, 1));
    cluster.drop_all();
    late.iter().for_each(|packet| cluster.deliver(packet));
    assert!(cluster.packets.is_empty(), "promises of the earlier ballot count for nothing");
}

/// Votes are members, not messages: what comes twice counts once.
#[test]
fn repeated_answers_make_no_quorum() {
    let mut cluster = Cluster::met(5);
    cluster.propose(1);
    cluster.complete_writes(1);
    let twice = |cluster: &mut Cluster, which: fn(&Packet) -> bool| {
        let answers = cluster.take(|packet| which(packet) && packet.from == 2);
        (0..4).for_each(|_| answers.iter().for_each(|answer| cluster.deliver(answer)));
    };
    cluster.deliver_only(|packet| packet.to == 2);
    cluster.complete_all_writes();
    twice(&mut cluster, is_promise);
    assert!(!cluster.packets.iter().any(is_accept), "two of five have promised");
    cluster.settle_without(&[4, 5]);
    assert_eq!(cluster.commit(1), 1);
    cluster.propose(1);
    cluster.deliver_only(|packet| packet.to == 2);
    cluster.complete_all_writes();
    twice(&mut cluster, is_accepted);
    assert_eq!(cluster.commit(1), 1, "two of five have accepted");
}

/// A proposer dies half way. What it began is finished by others, though none of them wants anything.
#[test]
fn what_a_dead_proposer_left_is_finished() {
    let mut cluster = Cluster::met(3);
    let proposal = cluster.propose(1);
    cluster.complete_writes(1);
    cluster.deliver_only(is_prepare);
    cluster.complete_all_writes();
    cluster.deliver_only(is_promise);
    cluster.deliver_only(|packet| is_accept(packet) && packet.to == 3);
    cluster.complete_all_writes();
    cluster.crash(1);
    cluster.drop_all();
    cluster.run(timing().election_timeout_max * 2);
    assert_eq!((cluster.commit(2), cluster.commit(3)), (1, 1));
    assert_eq!(slots_of(&cluster, proposal), [1]);
}

/// Whoever holds the value is gone after its promise: the others may do without it, at a ballot of their own.
#[test]
fn a_value_that_nobody_hands_over_is_not_waited_for() {
    let mut cluster = Cluster::new(3);
    let entry = cluster.placed(1, ballot(1, 3));
    cluster.add(3, log_of(ballot(1, 3), &[entry]));
    cluster.greet();
    let mine = cluster.propose(1);
    cluster.complete_writes(1);
    cluster.settle_without(&[2]);
    cluster.drop_all();
    // The first ballot was too low. With the next one node 3 promises, and dies.
    while !cluster.packets.iter().any(is_promise) {
        cluster.fire(1);
        cluster.complete_writes(1);
        cluster.deliver_only(|packet| packet.to == 3);
        cluster.complete_writes(3);
    }
    cluster.deliver_only(|packet| packet.to == 1);
    cluster.crash(3);
    cluster.drop_all();
    cluster.run(timing().election_timeout_max);
    assert_eq!(slots_of(&cluster, mine), [1], "node 3 alone had accepted the other value");
    cluster.restart(3);
    cluster.run(timing().heartbeat * 3);
    assert_eq!((cluster.commit(3), cluster.shape(3).as_str()), (1, "C"));
}

/// Lamport 2001, section 2.4: two that take turns could go on for ever. Random waits that grow end it.
#[test]
fn duels_end() {
    let (mut slowest, mut lost) = (Duration::ZERO, 0);
    let duels = 300;
    for seed in 0..duels {
        let founders =
            consensus_api::Membership::of_voters((1..=3).map(consensus_api::NodeId)).expect("a few members");
        let mut cluster = Cluster::founded(founders, seed);
        cluster.greet();
        let all: BTreeSet<ProposalId> = [1, 2, 3].map(|id| cluster.propose(id)).into();
        // Symmetric: each message and each write takes one millisecond.
        let mut passed = Duration::ZERO;
        while cluster.committed.values().filter(|entry| all.contains(&entry.proposal)).count() < 3 {
            let before = cluster.packets.len();
            cluster.complete_all_writes();
            let packets: Vec<Packet> = cluster.packets.drain(..before).collect();
            packets.iter().for_each(|packet| cluster.deliver(packet));
            cluster.pass(Duration::from_millis(1));
            passed += Duration::from_millis(1);
            assert!(passed < Duration::from_secs(20), "seed {seed}: nothing is decided");
        }
        lost += u32::from(passed > Duration::from_millis(250));
        slowest = slowest.max(passed);
    }
    println!("{duels} duels of three: the slowest took {slowest:?}, {lost} took more than 250 ms");
    assert!(lost <= 3, "{lost} of {duels} duels of three took more than 250 ms");
}

/// A disk that went back in time (atlasdb #1504 ran into this with wiped nodes): the node finds out, and stops.
#[test]
fn a_node_that_forgot_its_own_ballot_stops() {
    let mut cluster = Cluster::met(3);
    cluster.propose(1);
    cluster.settle();
    cluster.add(1, testkit::protocol::Image::default());
    cluster.say(2, 1, ballot(0, 1), Body::Nack { promised: ballot(1, 1) }, &[]);
    let cause = cluster.member(1).fatal.clone().expect("it stops");
    assert!(cause.contains("does not remember"), "{cause}");
}

/// Alone with nobody to ask: what is handed in is refused, rather than left to happen some day.
#[test]
fn without_a_quorum_near_nothing_is_taken() {
    let mut cluster = Cluster::met(3);
    cluster.run_without(timing().election_timeout_min * 2, &[1]);
    let proposal = cluster.propose(1);
    assert_eq!(cluster.member(1).proposals, [(proposal, Outcome::Refused(Refusal::NotLeader))]);
    cluster.run(timing().heartbeat * 2);
    assert!(cluster.engine(1).takes_proposals());
}
