//! Members come and go: the membership chosen in a slot decides from a window further on.

use std::time::Duration;

use consensus_api::{
    Engine, EntryKind, Generation, Index, Membership, NodeId, Outcome, ReadRound, Refusal, Role,
};
use quorate_paxos::{Body, Options, Tidings};

use crate::multi::{Ballots, Cluster, ballot, is_nack, is_prepare, is_promise, timing};

fn voters(ids: impl IntoIterator<Item = u64>) -> Membership {
    Membership::of_voters(ids.into_iter().map(NodeId)).expect("a few members")
}

/// Voters 1 ..= `count`, which work in windows of so many slots.
fn windowed(count: u64, window: u64) -> Cluster {
    let mut options = Options::default();
    options.window_entries_max = window;
    Cluster::with_options(voters(1..=count), options, 1)
}

/// Voters 1, 2 and 3, led by 1, and learners 4 and 5, which know all there is.
fn with_learners(window: u64) -> Cluster {
    let mut cluster = windowed(3, window);
    cluster.join(4);
    cluster.join(5);
    cluster.elect(1);
    cluster.change(1, &[1, 2, 3], &[4, 5]);
    cluster.run(timing().heartbeat * 4);
    cluster
}

/// The slot in which a member holds its newest membership.
fn slot_of_membership(cluster: &Cluster, id: u64) -> u64 {
    let entries = cluster.member(id).disk.view().entries();
    let found = entries.values().rev().find(|entry| entry.kind == EntryKind::Membership);
    found.expect("there is one").index.0
}

/// Asks for other voters, and waits until that is done.
fn changed(cluster: &mut Cluster, leader: u64, ids: impl IntoIterator<Item = u64>) {
    let change = cluster.change_to(leader, voters(ids));
    cluster.run(timing().heartbeat * 8);
    assert!(cluster.is_completed(leader, change));
}

/// Asks for this membership, and is refused.
fn refusal(cluster: &mut Cluster, id: u64, membership: Membership) -> String {
    let change = cluster.change_to(id, membership);
    cluster.refusal(id, change)
}

/// Grows and shrinks, one member and several at a time, with writes in between.
#[test]
fn one_grows_to_five_and_back() {
    for window in [1, 4, 1024] {
        let mut cluster = windowed(1, window);
        (2..=5).for_each(|id| cluster.join(id));
        cluster.fire(1);
        cluster.settle();
        for ids in [&[1, 2, 3][..], &[1, 2, 3, 4, 5], &[1, 3, 5], &[1]] {
            cluster.propose(1);
            cluster.settle();
            changed(&mut cluster, 1, ids.iter().copied());
            assert_eq!(cluster.voters(1), ids);
            let before = cluster.commit(1);
            cluster.propose(1);
            cluster.settle();
            assert_eq!(cluster.commit(1), before + 1, "window {window}, {ids:?}");
        }
    }
}

/// frankenpaxos horizontal/Leader.scala:784: nothing is proposed where it is not known yet who decides, neither what
/// clients want nor what fills the window.
#[test]
fn nothing_is_proposed_beyond_the_window() {
    let mut cluster = windowed(3, 4);
    cluster.elect(1);
    let chosen = cluster.commit(1);
    let outcomes: Vec<Outcome> = (0..6)
        .map(|_| {
            let proposal = cluster.propose(1);
            cluster.outcomes(1, proposal)[0]
        })
        .collect();
    // What is refused could be overtaken by what the same member sent right behind it.
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Accepted(_))));
    assert!(!cluster.engine(1).takes_proposals(), "the node keeps what comes now");
    assert_eq!(cluster.last(1), chosen + 4);
    cluster.settle();
    assert!(cluster.engine(1).takes_proposals());
    assert_eq!(cluster.commit(1), chosen + 6);
}

/// Lamport, Malkhi, Zhou 2009: slots below are decided by the old voters, whatever the new ones accept; those above by the
/// new ones.
#[test]
fn old_voters_decide_below_and_new_ones_above() {
    let mut cluster = with_learners(8);
    let change = cluster.change_to(1, voters([1, 4, 5]));
    cluster.settle();
    cluster.run_without(timing().heartbeat * 4, &[2, 3]);
    let slot = slot_of_membership(&cluster, 1);
    let first = slot + 8;
    assert!(cluster.commit(1) >= slot, "{}", cluster.commit(1));
    cluster.run(timing().heartbeat * 4);
    assert!(cluster.commit(1) >= first);
    assert_eq!(cluster.outcomes(1, change)[1..], [Outcome::Completed]);
    cluster.propose(1);
    let before = cluster.commit(1);
    cluster.settle_without(&[4, 5]);
    assert_eq!(cluster.commit(1), before, "those who left decide nothing any more");
    cluster.run_without(timing().heartbeat * 3, &[2, 3]);
    assert_eq!(cluster.commit(1), before + 1);
}

/// The same, moment by moment: while the change waits to take effect, the new voters alone choose nothing below.
#[test]
fn a_change_is_not_in_force_before_its_slot() {
    let mut cluster = with_learners(8);
    cluster.change_to(1, voters([1, 4, 5]));
    let slot = cluster.last(1);
    while cluster.commit(1) < slot {
        cluster.deliver_only(|_| true);
        cluster.complete_all_writes();
    }
    cluster.settle_without(&[2, 3]);
    assert!(cluster.commit(1) < slot + 7, "only 1, 4 and 5 have accepted the slots below {}", slot + 8);
    let takes_part = |cluster: &Cluster| cluster.engine(1).membership().contains(NodeId(2));
    assert!(takes_part(&cluster), "whoever goes is known, with address and disk, until the change is over");
    cluster.run(timing().heartbeat * 4);
    assert!(cluster.commit(1) >= slot + 8 && !takes_part(&cluster));
}

/// scylladb #5251, Cassandra CEP-14: two of three are replaced while values are in flight, and the leader dies at every
/// moment of it. Whoever leads next, and whoever decides: what was chosen stays, and the cluster goes on.
#[test]
fn two_of_three_are_replaced_and_the_leader_dies_at_any_moment() {
    for window in [1, 3, 10] {
        for moment in 0..40 {
            let mut cluster = windowed(3, window);
            cluster.join(4);
            cluster.join(5);
            cluster.elect(1);
            cluster.propose_many(1, 3);
            cluster.change_to(1, voters([1, 4, 5]));
            cluster.run(timing().heartbeat * 2);
            for _ in 0..moment {
                cluster.propose(1);
                cluster.deliver_only(|_| true);
                cluster.complete_all_writes();
                cluster.pass(Duration::from_millis(10));
            }
            cluster.crash(1);
            cluster.run(timing().election_timeout_max * 6);
            let leader = cluster.leader().unwrap_or_else(|| panic!("nobody leads: {window}, {moment}"));
            cluster.restart(1);
            cluster.run(timing().election_timeout_max * 2);
            let before = cluster.committed.len();
            let leader = cluster.leader().unwrap_or(leader);
            cluster.propose(leader);
            cluster.run(timing().heartbeat * 4);
            assert!(cluster.committed.len() > before, "window {window}, moment {moment}");
        }
    }
}

/// A value that an earlier leader had chosen under the new voters is found by asking them, and not the old ones.
#[test]
fn new_voters_are_asked_before_a_slot_of_theirs_is_used() {
    let mut cluster = with_learners(4);
    // A higher ballot than the leader's is promised by one who is to vote.
    cluster.change_to(1, voters([1, 4, 5]));
    let prepares = |cluster: &mut Cluster| {
        let asked = cluster.take(is_prepare);
        asked.iter().for_each(|packet| cluster.deliver(packet));
        asked.iter().map(|packet| packet.to).collect::<Vec<_>>()
    };
    let mut asked = Vec::new();
    for _ in 0..40 {
        asked.extend(prepares(&mut cluster));
        cluster.deliver_only(|_| true);
        cluster.complete_all_writes();
    }
    asked.sort_unstable();
    asked.dedup();
    assert_eq!(asked, [4, 5], "they are asked by the ballot that leads, and nobody else is");
    cluster.run(timing().heartbeat * 4);
    assert_eq!((cluster.leader(), cluster.round(1)), (Some(1), 1), "one ballot");
}

#[test]
fn a_leader_that_is_removed_sees_it_through_and_hands_over() {
    let mut cluster = windowed(3, 16);
    cluster.elect(1);
    cluster.propose(1);
    cluster.settle();
    changed(&mut cluster, 1, [2, 3]);
    cluster.run(timing().heartbeat * 4);
    let leader = cluster.leader().expect("another leads");
    assert!(leader != 1 && cluster.role(1) == Role::Learner);
    let round = cluster.round(leader);
    cluster.run(timing().election_timeout_max * 4);
    assert_eq!((cluster.leader(), cluster.round(leader)), (Some(leader), round), "and is not disturbed");
}

/// The values below the change may be on the disks of those who leave alone, and how far slots are chosen is kept in memory,
/// save for what is written down. Whoever left may be gone the moment the change is done, and the others lose their power.
#[test]
fn once_a_change_is_done_the_new_voters_need_nobody_who_left() {
    let mut cluster = windowed(1, 8);
    (2..=4).for_each(|id| cluster.join(id));
    cluster.fire(1);
    cluster.settle();
    cluster.propose_many(1, 5);
    cluster.settle();
    let change = cluster.change_to(1, voters([2, 3, 4]));
    for _ in 0..200 {
        cluster.pass(Duration::from_millis(5));
        cluster.deliver_only(|_| true);
        cluster.complete_all_writes();
        if cluster.outcomes(1, change).contains(&Outcome::Completed) {
            break;
        }
    }
    assert_eq!(cluster.outcomes(1, change)[1..], [Outcome::Completed]);
    let done = cluster.commit(1);
    cluster.crash(1);
    (2..=4).for_each(|id| cluster.restart(id));
    cluster.run_without(timing().election_timeout_max * 6, &[1]);
    let leader = cluster.leader().expect("the new voters need nobody else");
    assert!(cluster.commit(leader) >= done);
}

/// What a dead leader left somewhere may yet be taken up. If that were a membership, another one further up would name the
/// wrong predecessors: so it waits until all below is chosen, and whatever comes meanwhile waits behind it.
#[test]
fn a_membership_waits_until_all_below_it_is_chosen() {
    let mut cluster = windowed(3, 16);
    cluster.elect(1);
    cluster.run(timing().heartbeat * 2);
    cluster.change_to(1, voters([1, 2]));
    let slot = cluster.last(1);
    cluster.deliver_only(|packet| packet.to == 3);
    cluster.complete_writes(3);
    cluster.crash(1);
    cluster.drop_all();
    cluster.restart(1);
    assert!(
        cluster.held(1, slot).is_none() && cluster.held(3, slot).is_some(),
        "only node 3 has heard of it"
    );

    cluster.begin_ballot(2);
    cluster.deliver_only(|packet| is_prepare(packet) && packet.to == 1);
    cluster.complete_writes(1);
    cluster.deliver_only(is_promise);
    cluster.drop_all();
    assert_eq!((cluster.role(2), cluster.last(2)), (Role::Leader, slot), "a no-op stands there, undecided");
    let change = cluster.change_to(2, voters([2, 3]));
    cluster.propose(2);
    assert_eq!(cluster.last(2), slot, "neither goes further up yet");
    cluster.run(timing().heartbeat * 8);
    assert_eq!(slot_of_membership(&cluster, 2), slot + 1);
    assert_eq!(cluster.outcomes(2, change)[1..], [Outcome::Completed]);
    assert_eq!((cluster.voters(2), cluster.voters(3)), (vec![2, 3], vec![2, 3]));
}

/// A leader that finds a change done by another begins no new one, and calls none done, before the new voters know for good
/// what the old ones decided.
#[test]
fn a_successor_sees_a_change_through_before_it_says_that_it_is_done() {
    let mut cluster = windowed(3, 4);
    cluster.elect(1);
    cluster.run(timing().heartbeat * 2);
    cluster.change_to(1, voters([1, 2]));
    // The new voters hear that the window is filled, and cannot write it down.
    while cluster.commit(1) < slot_of_membership(&cluster, 1) + 4 {
        cluster.deliver_only(|_| true);
        cluster.complete_all_writes();
    }
    cluster.complete_writes(1);
    cluster.hung.insert(2);
    let again = cluster.change_to(1, voters([1, 2]));
    assert_ne!(cluster.outcomes(1, again).last(), Some(&Outcome::Completed));
    cluster.hung.clear();
    cluster.run(timing().heartbeat * 4);
    let again = cluster.change_to(1, voters([1, 2]));
    assert_eq!(cluster.outcomes(1, again)[1..], [Outcome::Completed]);
}

/// The only voter that is left lacks the very entry that makes it one, and everything before it is decided elsewhere. Whoever
/// left has no vote, so neither would begin anything.
#[test]
fn a_sole_voter_that_does_not_know_it_asks_around() {
    let mut cluster = windowed(1, 4);
    cluster.join(2);
    cluster.fire(1);
    cluster.settle();
    cluster.change(1, &[1], &[2]);
    cluster.run(timing().heartbeat * 4);
    cluster.change(1, &[2], &[]);
    let slot = cluster.last(1);
    cluster.take(|packet| packet.to == 2); // the membership is lost on its way
    while cluster.commit(1) < slot + 4 {
        cluster.complete_all_writes();
        cluster.deliver_only(|packet| !matches!(packet.message.body, Body::Ask { .. }));
    }
    cluster.complete_all_writes();
    cluster.drop_all();
    [1, 2].into_iter().for_each(|id| cluster.crash(id));
    [1, 2].into_iter().for_each(|id| cluster.restart(id));
    assert!(cluster.commit(2) < slot && cluster.engine(2).standing().role == Role::Learner);
    cluster.run(timing().election_timeout_max * 6);
    assert_eq!(cluster.leader(), Some(2));
    assert!(cluster.commit(2) >= slot + 4);
}

/// A learner that knew of the change was told nothing more, and took it to be under way for ever.
#[test]
fn a_learner_that_goes_by_a_change_hears_of_its_end() {
    let mut cluster = windowed(3, 8);
    cluster.join(4);
    cluster.elect(1);
    cluster.change_to(1, Membership::new([1, 2, 3].map(NodeId), [], [NodeId(4)]).expect("a few"));
    cluster.run(timing().heartbeat * 4);
    // The slots below are decided by 1 and 3. The first one above waits for node 2, whose disk takes a while.
    cluster.hung.insert(2);
    cluster.change_to(1, voters([1, 2]));
    cluster.run(timing().heartbeat * 4);
    assert!(cluster.engine(4).membership().is_joint(), "it knows of the change");
    cluster.hung.clear();
    cluster.run(timing().heartbeat * 4);
    assert!(cluster.engine(4).membership().has_same_members(&voters([1, 2])), "and of its end");
}

#[test]
fn what_cannot_be_is_refused() {
    let mut cluster = windowed(3, 16);
    cluster.join(4);
    assert!(refusal(&mut cluster, 2, voters([1])).contains("does not lead"));
    cluster.elect(1);
    assert!(refusal(&mut cluster, 1, Membership::default()).contains("without voters"));
    let joint = Membership::new([NodeId(1)], [NodeId(2)], []).expect("two members");
    assert!(refusal(&mut cluster, 1, joint).contains("outgoing"));
    let same = cluster.change_to(1, voters([1, 2, 3]));
    assert_eq!(cluster.outcomes(1, same)[1..], [Outcome::Completed]);
    cluster.change_to(1, voters([1, 2, 3, 4]));
    assert!(refusal(&mut cluster, 1, voters([1, 2])).contains("under way"));
    cluster.run(timing().heartbeat * 8);
    assert_eq!(cluster.voters(2), [1, 2, 3, 4]);

    let mut options = Options::default();
    (options.phase_1_quorum, options.phase_2_quorum) = (Some(2), Some(2));
    let mut cluster = Cluster::with_options(voters(1..=3), options, 1);
    cluster.join(4);
    cluster.elect(1);
    assert!(
        refusal(&mut cluster, 1, voters([1, 2, 3, 4])).contains("sizes of quorums"),
        "two and two of four"
    );
}

/// A newcomer that never answers does not become a voter, and is no member any more.
#[test]
fn a_newcomer_that_does_not_catch_up_changes_nothing() {
    let mut cluster = windowed(3, 16);
    cluster.elect(1);
    let change = cluster.change_to(1, voters([1, 2, 3, 9]));
    cluster.run(timing().election_timeout_max * 6);
    assert_eq!(cluster.outcomes(1, change)[1..], [Outcome::Refused(Refusal::NotCaughtUp(NodeId(9)))]);
    cluster.run(timing().heartbeat * 2);
    assert!(cluster.engine(2).membership().has_same_members(&voters([1, 2, 3])));
}

/// pikiwidb-raft #385, omnipaxos PR #58: a snapshot taken while a change waits to take effect knows both memberships, and
/// from where on the new one decides.
#[test]
fn a_snapshot_between_a_change_and_its_effect_knows_both() {
    let mut cluster = windowed(3, 4);
    let both = voters([3, 4]).succeeding([1, 2, 3].map(NodeId), Index(11)).expect("a few");
    let mark = consensus_api::SnapshotMark { index: Index(8), generation: ballot(1, 2), membership: both };
    cluster.step(3, consensus_api::Event::SnapshotReceived { from: NodeId(2), mark });
    cluster.complete_writes(3);
    for _ in 0..2 {
        assert_eq!(cluster.voters(3), [3, 4]);
        cluster.wait_long();
        cluster.drop_all();
        cluster.fire(3);
        let mut asked: Vec<u64> = cluster.take(|_| true).iter().map(|packet| packet.to).collect();
        asked.sort_unstable();
        assert_eq!(asked, [1, 2, 4], "the old voters decide about slots 9 and 10, the new ones from 11 on");
        cluster.restart(3);
    }
}

/// On the window rests who decides. A member that was given another promises nothing, and stops when it hears a leader; one
/// that was given another than before does not start.
#[test]
fn a_member_with_another_window_takes_no_part() {
    let mut cluster = windowed(3, 16);
    let prepare = Body::Prepare { from: Index(1), after: Generation::ZERO, window: 8 };
    cluster.inject(2, 1, ballot(1, 2), prepare, &[]);
    cluster.settle();
    assert!(cluster.take(|packet| is_promise(packet) || is_nack(packet)).is_empty());
    assert_eq!(cluster.engine(1).promised(), Generation::ZERO);
    let (commit, barrier, round) = (Index(0), Index(1), ReadRound(0));
    let tidings = Tidings { commit, barrier, round, window: 8 };
    cluster.inject(2, 1, ballot(1, 2), Body::Heartbeat(tidings), &[]);
    let cause = cluster.member(1).fatal.clone().expect("it stops");
    assert!(cause.contains("give all members the same"), "{cause}");

    let mut cluster = windowed(3, 16);
    cluster.elect(1);
    let outline = cluster.member(1).disk.durable().outline().clone();
    let mut options = Options::default();
    options.window_entries_max = 8;
    let setup = consensus_api::Setup {
        node: NodeId(1),
        founders: voters(1..=3),
        now: consensus_api::Time::ZERO,
        seed: 1,
        timing: timing(),
        flow: consensus_api::FlowLimits::default(),
        options,
    };
    let refused = quorate_paxos::MultiPaxos::recover(setup, &outline).expect_err("it does not start");
    assert!(refused.to_string().contains("window_entries_max"), "{refused}");
}

/// A read that began under the old voters is not confirmed by answers of the new ones to what left before they decided.
#[test]
fn reads_begin_anew_when_others_decide() {
    let mut cluster = with_learners(2);
    cluster.change_to(1, voters([1, 4, 5]));
    cluster.read(1, 1);
    let began = cluster.commit(1);
    // Those who decide now are only heard by answers to what left before the read began; those who will decide, by others.
    for _ in 0..100 {
        for mut packet in cluster.take(|packet| [2, 3].contains(&packet.from)) {
            if let Body::Accepted { round, .. } | Body::Heard { round, .. } = &mut packet.message.body {
                *round = ReadRound(0);
            }
            cluster.deliver(&packet);
        }
        cluster.deliver_only(|_| true);
        cluster.complete_all_writes();
        cluster.pass(Duration::from_millis(10));
    }
    let answer = cluster.answer(1, 1).expect("it is answered").expect("by this leader");
    assert!(answer > slot_of_membership(&cluster, 1), "{answer}: at an index that the new voters confirmed");
    assert!(answer > began);
}
