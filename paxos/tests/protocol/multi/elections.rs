//! Who leads, and who is left alone.

use std::time::Duration;

use consensus_api::{
    Engine, FlowLimits, Generation, Index, Membership, NodeId, Role, Setup, StartError, Time,
};
use quorate_paxos::{Body, MultiPaxos, Options};

use crate::multi::{Ballots, Cluster, ballot, is_prepare, timing};

const LONG: Duration = Duration::from_secs(20);

/// caspaxos-kv PR #11 took equal ballots for higher ones. Here a ballot bears its owner's number, so two are never equal.
#[test]
fn of_two_candidates_in_one_round_one_wins() {
    let mut cluster = Cluster::new(3);
    cluster.wait_long();
    cluster.fire(1);
    cluster.fire(3);
    cluster.deliver_only(|packet| matches!(packet.message.body, Body::PreElect { .. }));
    cluster.deliver_only(|packet| matches!(packet.message.body, Body::PreElectAck { .. }));
    cluster.complete_all_writes();
    assert_eq!((cluster.engine(1).promised(), cluster.engine(3).promised()), (ballot(1, 1), ballot(1, 3)));
    cluster.settle();
    let leaders: Vec<u64> = (1..=3).filter(|id| cluster.role(*id) == Role::Leader).collect();
    assert_eq!(leaders, [3], "the higher number wins the round");
}

/// Lamport 2001, section 2.4: two proposers may duel for ever. A random wait after each defeat ends it; phxpaxos waits,
/// too, frankenpaxos asks again at once.
#[test]
fn duelling_candidates_come_to_an_end() {
    let mut slow = 0;
    for seed in 0..200 {
        let mut cluster = Cluster::with_options(
            Membership::of_voters([1, 2, 3].map(NodeId)).expect("a few members"),
            Options::default(),
            seed,
        );
        let mut rounds = 0;
        while cluster.leader().is_none() {
            rounds += 1;
            cluster.run(timing().election_timeout_max);
            assert!(rounds < 20, "seed {seed} duels for ever");
        }
        slow += u32::from(rounds > 2);
    }
    assert!(slow <= 2, "{slow} of 200 took longer than two timeouts");
}

/// A follower that promised higher is no reason to raise one's ballot and go on: that skips phase 1 (trex `TrexNode`).
#[test]
fn a_leader_that_meets_a_higher_ballot_steps_down_and_begins_anew() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.inject(
        3,
        2,
        ballot(9, 3),
        Body::Prepare { from: Index(1), after: Generation::ZERO, window: 1024 },
        &[],
    );
    cluster.propose(1);
    cluster.settle();
    assert_eq!(cluster.role(1), Role::Follower);
    assert_eq!(cluster.engine(1).promised(), ballot(1, 1), "a refusal is no promise");
    cluster.wait_long();
    cluster.fire(1);
    cluster.settle();
    assert_eq!((cluster.role(1), cluster.round(1)), (Role::Leader, 10));
}

/// omnipaxos #1: ballots that spread by gossip depose healthy leaders. A and C hear B, but not each other.
#[test]
fn in_a_chain_the_leader_at_its_end_stays_and_the_other_end_keeps_up() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let carries = |from: u64, to: u64| from.abs_diff(to) != 2;
    for _ in 0..10 {
        cluster.propose(1);
        cluster.run_where(timing().election_timeout_max, carries);
    }
    assert_eq!((cluster.leader(), cluster.round(1), cluster.round(2)), (Some(1), 1, 1));
    assert!(cluster.commit(3) >= 8, "node 3 learns from node 2 what node 1 has had chosen");
}

/// Quorum loss: only the hub reaches a quorum, and the old leader is not the hub.
#[test]
fn the_hub_takes_over_when_it_alone_reaches_a_quorum() {
    let mut cluster = Cluster::new(5);
    cluster.elect(1);
    cluster.propose(1);
    cluster.settle();
    cluster.run_where(LONG, |from, to| from == 3 || to == 3);
    assert_eq!(cluster.leader(), Some(3));
    assert_eq!(cluster.role(1), Role::Follower, "a leader without a quorum does not stay one");
    let before = cluster.commit(3);
    cluster.propose(3);
    cluster.run_where(timing().heartbeat * 2, |from, to| from == 3 || to == 3);
    assert_eq!(cluster.commit(3), before + 1);
}

/// Constrained election: the hub is the one whose log lags. What it lacks it learns; a test of freshness would keep the
/// cluster down.
#[test]
fn a_hub_that_lags_takes_over_and_learns_what_it_lacks() {
    let mut cluster = Cluster::new(5);
    cluster.elect(1);
    cluster.propose_many(1, 30);
    cluster.settle_without(&[3]);
    assert_eq!((cluster.commit(1), cluster.last(3)), (31, 1));
    cluster.run_where(LONG, |from, to| from == 3 || to == 3);
    assert_eq!(cluster.leader(), Some(3));
    assert!(cluster.commit(3) >= 32);
    assert_eq!(cluster.shape(3)[..31], cluster.shape(1)[..31]);
}

/// Whoever cannot win is not heard of: an isolated member raises nobody's ballot when it comes back.
#[test]
fn an_isolated_member_disturbs_nobody_when_it_returns() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.run_without(LONG, &[3]);
    assert_eq!(cluster.role(3), Role::Candidate);
    cluster.run(LONG);
    assert_eq!((cluster.leader(), cluster.round(1), cluster.role(3)), (Some(1), 1, Role::Follower));
}

/// frankenpaxos #20 and others: quorums that may miss each other are refused before anything runs.
#[test]
fn quorums_that_may_miss_each_other_are_refused() {
    for members in 1..=7_usize {
        for (first, second) in (0..=8).flat_map(|first| (0..=8).map(move |second| (first, second))) {
            let mut options = Options::default();
            (options.phase_1_quorum, options.phase_2_quorum) = (Some(first), Some(second));
            let setup = Setup {
                node: NodeId(1),
                founders: Membership::of_voters((1..=members as u64).map(NodeId)).expect("a few members"),
                now: Time::ZERO,
                seed: 1,
                timing: timing(),
                flow: FlowLimits::default(),
                options,
            };
            let started = MultiPaxos::recover(setup, &consensus_api::Outline::default());
            let meet = (1..=members).contains(&first) && (1..=members).contains(&second);
            let meet = meet && first + second > members;
            assert_eq!(started.is_ok(), meet, "{first} and {second} of {members}");
            let named = matches!(started, Err(StartError::Options { field: "phase_1_quorum", .. }));
            assert_eq!(named, !meet);
        }
    }
}

/// Howard, Malkhi, Spiegelman 2016: with small quorums of acceptances, more must promise.
#[test]
fn flexible_quorums_choose_with_two_of_five_and_elect_with_four() {
    let mut options = Options::default();
    (options.phase_1_quorum, options.phase_2_quorum) = (Some(4), Some(2));
    let mut cluster =
        Cluster::with_options(Membership::of_voters((1..=5).map(NodeId)).expect("a few members"), options, 1);
    cluster.elect(1);
    cluster.propose(1);
    cluster.settle_without(&[3, 4, 5]);
    assert_eq!(cluster.commit(1), 2, "two of five accept");
    cluster.crash(1);
    cluster.run_without(LONG, &[5]);
    assert_eq!(cluster.leader(), None, "three of five do not elect");
    cluster.run(LONG);
    let leader = cluster.leader().expect("four of five elect");
    assert!(cluster.commit(leader) >= 2);
}

/// Nothing here takes a node's number for a place in a list.
#[test]
fn node_numbers_may_be_far_apart() {
    let founders = Membership::of_voters([1, 2, 1 << 40].map(NodeId)).expect("a few members");
    let mut cluster = Cluster::founded(founders, 1);
    cluster.elect(1 << 40);
    cluster.propose_many(1 << 40, 3);
    cluster.settle();
    assert_eq!(cluster.commit(1 << 40), 4);
}

/// A member alone is its own quorum, and is served at once.
#[test]
fn a_single_member_leads_by_its_own_promise() {
    let mut cluster = Cluster::new(1);
    cluster.fire(1);
    assert_eq!(cluster.role(1), Role::Candidate, "its promise is not durable");
    cluster.settle();
    cluster.propose(1);
    cluster.settle();
    assert_eq!((cluster.role(1), cluster.commit(1)), (Role::Leader, 2));
    cluster.restart(1);
    cluster.run(timing().heartbeat * 3);
    assert_eq!((cluster.shape(1).as_str(), cluster.commit(1)), ("nCn", 3));
    assert!(cluster.take(is_prepare).is_empty());
}

/// A hung disk makes no promise durable and no value: whoever has one lets others lead.
#[test]
fn a_leader_whose_disk_hangs_steps_down() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.hung.insert(1);
    cluster.propose(1);
    cluster.run(timing().election_timeout_max * 4);
    assert_ne!(cluster.leader(), Some(1));
    assert!(cluster.leader().is_some());
}
