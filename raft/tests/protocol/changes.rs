//! Changes of membership: by whom, in which steps, and what may come between.

use std::time::Duration;

use consensus_api::{Engine, EntryKind, Index, Membership, NodeId, Outcome, Refusal, Role, StoreId, Time};
use testkit::protocol::timing;

use crate::Cluster;
use crate::election::{nodes, vote_request};
use crate::packets::{inject, is_append};

const LONG: Duration = Duration::from_secs(3);

/// The memberships that were committed, in order.
fn committed_memberships(cluster: &Cluster) -> Vec<Membership> {
    let entries = cluster.committed.values().filter(|entry| entry.kind == EntryKind::Membership);
    entries.map(|entry| Membership::decode(&entry.body).expect("it is one")).collect()
}

/// Node 1 leads so many voters, and so many more wait to be added.
fn grown(voters: u64, joining: u64) -> Cluster {
    let mut cluster = Cluster::new(voters);
    (voters + 1..=voters + joining).for_each(|id| cluster.join(id));
    cluster.elect(1);
    cluster
}

/// Thesis, chapter 4: from one member to three to five and back, while entries are committed.
#[test]
fn a_cluster_grows_from_one_to_five_and_shrinks_again() {
    let mut cluster = grown(1, 4);
    for voters in [&[1, 2, 3][..], &[1, 2, 3, 4, 5], &[1, 3, 5], &[1]] {
        let change = cluster.change(1, voters, &[]);
        for _ in 0..10 {
            cluster.propose(1);
            cluster.run_without(Duration::from_millis(100), &[]);
        }
        assert!(cluster.is_completed(1, change), "{voters:?}: {:?}", cluster.outcomes(1, change));
        for id in voters {
            assert_eq!((&cluster.voters(*id)[..], cluster.commit(*id)), (voters, cluster.last(1)));
        }
    }
    let committed = committed_memberships(&cluster);
    let joint = committed.iter().filter(|membership| membership.is_joint()).count();
    assert_eq!(
        (joint, committed.len()),
        (4, 10),
        "newcomers learn first, and every change of voters is joint"
    );
}

/// Thesis, section 4.2.1: a newcomer that cannot keep up holds nobody up; in the end the change is undone.
#[test]
fn a_newcomer_that_never_catches_up_does_not_become_a_voter() {
    let mut cluster = grown(1, 1);
    let change = cluster.change(1, &[1, 2], &[]);
    cluster.propose(1);
    cluster.run_without(LONG, &[2]);
    assert_eq!(cluster.commit(1), cluster.last(1), "one of one decides");
    assert_eq!((cluster.voters(1), cluster.engine(1).membership().learners()), (vec![1], &nodes([2])[..]));
    cluster.run_without(6 * timing().election_timeout_max, &[2]);
    assert_eq!(cluster.outcomes(1, change).last(), Some(&Outcome::Refused(Refusal::NotCaughtUp(NodeId(2)))));
    assert_eq!(cluster.engine(1).membership(), &cluster.founders, "it is no learner any more either");
    let again = cluster.change(1, &[1, 2], &[]);
    cluster.run_without(LONG, &[]);
    assert!(cluster.is_completed(1, again));
}

/// One that answers but gets nowhere is given as long as the option says.
#[test]
fn a_newcomer_that_is_alive_has_as_long_as_the_option_says() {
    let mut cluster = Cluster::new(1);
    let mut options = quorate_raft::Options::default();
    options.catch_up_timeout = Duration::from_secs(60);
    cluster.options_of.insert(1, options);
    cluster.restart(1);
    cluster.join(2);
    cluster.elect(1);
    cluster.hung.insert(2); // it hears, and can acknowledge nothing
    let change = cluster.change(1, &[1, 2], &[]);
    cluster.run_without(Duration::from_secs(58), &[]);
    assert_eq!(cluster.outcomes(1, change).len(), 1);
    cluster.run_without(Duration::from_secs(4), &[]);
    assert!(cluster.refusal(1, change).contains("node 2 did not catch up"));
}

#[test]
fn what_cannot_be_is_refused_in_its_own_words() {
    let mut cluster = grown(3, 2);
    let refusal = |cluster: &mut Cluster, id: u64, membership: &Membership| {
        let change = cluster.change_to(id, membership.clone());
        cluster.refusal(id, change)
    };
    let larger = Membership::of_voters(nodes(1..=5)).expect("a few");
    let joint = Membership::new(nodes(1..=5), nodes(1..=3), []).expect("a few");
    let nobody = Membership::new([], [], nodes(1..=3)).expect("a few");
    assert!(refusal(&mut cluster, 2, &larger).contains("does not lead"));
    assert!(refusal(&mut cluster, 1, &nobody).contains("without voters"));
    assert!(refusal(&mut cluster, 1, &joint).contains("without outgoing voters"));
    let change = cluster.change_to(1, larger.clone());
    assert!(refusal(&mut cluster, 1, &larger).contains("another change of membership is under way"));
    cluster.run_without(LONG, &[]);
    assert!(cluster.is_completed(1, change));
    let same = cluster.change_to(1, larger);
    assert!(cluster.is_completed(1, same), "what is so already is done");
}

/// raft-dev t4xj6dJTP6E, hashicorp raft.go:658: a leader that has committed nothing in its term may change nothing; and
/// what an earlier leader appended counts for nothing once another's entry took its place.
#[test]
fn no_change_before_the_first_commit_of_the_term() {
    let mut cluster = Cluster::new(4);
    cluster.join(5);
    cluster.elect(1);
    // The leader of term 1 appends a change that reaches nobody.
    let lost = cluster.change(1, &[1, 2, 3, 4, 5], &[]);
    cluster.complete_writes(1);
    cluster.drop_all();
    cluster.crash(1);
    for id in 2..=4 {
        let now = cluster.member(id).now + timing().election_timeout_max;
        cluster.member_mut(id).now = now;
    }
    cluster.fire(2);
    for _ in 0..4 {
        cluster.deliver_only(|packet| !is_append(packet));
        cluster.complete_all_writes();
    }
    assert_eq!(cluster.role(2), Role::Leader);
    let early = cluster.change(2, &[2, 3, 4], &[]);
    assert!(cluster.refusal(2, early).contains("yet to commit the first entry of its term"));
    cluster.run_without(LONG, &[]);
    let removal = cluster.change(2, &[2, 3, 4], &[]);
    cluster.run_without(LONG, &[]);
    assert!(cluster.is_completed(2, removal));
    cluster.restart(1);
    assert!(cluster.engine(1).membership().contains(NodeId(5)), "it still holds its own");
    cluster.run_without(LONG, &[]);
    assert!(!cluster.is_completed(2, lost));
    let never = committed_memberships(&cluster).iter().all(|membership| !membership.contains(NodeId(5)));
    assert!(never, "the change of term 1 must never be committed");
}

/// raft-rs#83, etcd-io/raft#83; thesis, section 4.2.2: a leader that removes itself sees the change through, counts
/// itself no longer, hands over, and is heard of no more.
#[test]
fn a_leader_that_removes_itself_hands_over_and_never_leads_again() {
    let mut cluster = grown(3, 0);
    let change = cluster.change(1, &[2, 3], &[]);
    let before: Vec<Time> = cluster.ids().into_iter().map(|id| cluster.member(id).now).collect();
    cluster.settle();
    assert!(cluster.is_completed(1, change));
    let leader = cluster.leader().expect("nobody waited for a timeout");
    assert_ne!(leader, 1);
    let after: Vec<Time> = cluster.ids().into_iter().map(|id| cluster.member(id).now).collect();
    assert_eq!(before, after);
    assert_eq!((cluster.role(1), cluster.engine(1).deadline()), (Role::Learner, Time::MAX));
    let term = cluster.round(leader);
    cluster.run_without(Duration::from_secs(10), &[]);
    assert_eq!((cluster.leader(), cluster.round(leader)), (Some(leader), term));
}

/// If nobody can take over at once, the removed leader steps down all the same.
#[test]
fn a_removed_leader_without_an_heir_steps_down() {
    let mut cluster = grown(3, 0);
    let change = cluster.change(1, &[2, 3], &[]);
    // The orders to stand are lost, every one of them.
    for _ in 0..100 {
        cluster.pass(Duration::from_millis(20));
        cluster.take(|packet| matches!(packet.message.body, quorate_raft::Body::TimeoutNow));
        cluster.settle_without(&[]);
        cluster.take(|packet| matches!(packet.message.body, quorate_raft::Body::TimeoutNow));
    }
    assert!(cluster.is_completed(1, change));
    cluster.run_without(LONG, &[]);
    assert!(matches!(cluster.leader(), Some(2 | 3)));
}

/// hashicorp/raft#477, #526, jraft 1.2.4: one that was removed while it was away comes back with many terms, or none.
#[test]
fn a_removed_member_that_comes_back_disturbs_nobody() {
    let mut cluster = grown(3, 0);
    let change = cluster.change(1, &[1, 2], &[]);
    cluster.run_without(LONG, &[3]);
    assert!(cluster.is_completed(1, change));
    let term = cluster.round(1);
    assert_eq!(cluster.voters(3), [1, 2, 3], "it knows of nothing");
    cluster.run_without(Duration::from_secs(20), &[]);
    assert_eq!((cluster.leader(), cluster.round(1), cluster.round(2)), (Some(1), term, term));
    for to in 1..=2 {
        inject(&mut cluster, 3, to, term + 9, vote_request(false, 99, 99), &[]);
    }
    assert_eq!((cluster.leader(), cluster.round(1)), (Some(1), term));
}

/// A disk is lost, and its member removed and added again before the leader has forgotten how far it was.
#[test]
fn a_member_added_again_on_an_empty_disk_is_sent_everything() {
    let mut cluster = grown(3, 0);
    for _ in 0..5 {
        cluster.propose(1);
        cluster.settle();
    }
    cluster.crash(3);
    for learners in [&[][..], &[3]] {
        let change = cluster.change(1, &[1, 2], learners);
        cluster.settle_without(&[3]);
        assert!(cluster.is_completed(1, change), "{:?}", cluster.outcomes(1, change));
    }
    cluster.join(3);
    cluster.run_without(LONG, &[]);
    assert_eq!(cluster.commit(3), cluster.last(1));
}

/// Whoever is removed while it listens learns of it, and falls silent.
#[test]
fn a_removed_member_that_listens_learns_of_it() {
    let mut cluster = grown(3, 0);
    let change = cluster.change(1, &[1, 2], &[]);
    cluster.run_without(LONG, &[]);
    assert!(cluster.is_completed(1, change));
    assert_eq!((cluster.voters(3), cluster.role(3)), (vec![1, 2], Role::Learner));
    assert_eq!(cluster.commit(3), cluster.commit(1), "down to the commit of its removal");
    assert_eq!(cluster.engine(3).deadline(), Time::MAX);
    cluster.drop_all();
    cluster.run_without(LONG, &[]);
    cluster.fire(1);
    assert!(cluster.packets.iter().all(|packet| packet.to != 3), "and is sent nothing more");
}

/// etcd bd3c759, #12136: however leaders come and go in the middle of a change, it is left once, by whoever leads.
#[test]
fn a_joint_membership_is_left_exactly_once_across_leaders() {
    for stop_after in 0..8 {
        let mut cluster = grown(3, 2);
        cluster.change(1, &[1, 4, 5], &[]);
        for _ in 0..stop_after {
            cluster.deliver_only(|_| true);
            cluster.complete_all_writes();
        }
        cluster.crash(1);
        cluster.drop_all();
        cluster.run_without(3 * timing().election_timeout_max, &[]);
        cluster.restart(1);
        cluster.run_without(3 * timing().election_timeout_max, &[]);
        let leader = cluster.leader().expect("someone leads");
        assert!(!cluster.engine(leader).membership().is_joint(), "stopped after {stop_after}");
        let committed = committed_memberships(&cluster);
        let joint = committed.iter().filter(|membership| membership.is_joint()).count();
        let left =
            committed.iter().filter(|membership| membership.voters() == nodes([1, 4, 5])).count() - joint;
        assert_eq!(left, joint, "stopped after {stop_after}: {committed:?}");
    }
}

/// Thesis, section 4.2.2; found by the random schedules: only members that the end of a change removes hold that end, so
/// their logs are longer than any that would remain. One of them has to be elected.
#[test]
fn a_member_that_an_uncommitted_membership_removes_may_still_lead() {
    let mut cluster = grown(3, 1);
    cluster.change(1, &[2, 4], &[]);
    while !cluster.engine(1).membership().is_joint() {
        cluster.deliver_only(|_| true);
        cluster.complete_all_writes();
    }
    while cluster.engine(1).membership().is_joint() {
        cluster.deliver_only(|_| true);
        cluster.complete_all_writes();
    }
    // The entry that leaves the joint membership reaches node 3, which it removes, and nobody else.
    cluster.settle_without(&[2, 4]);
    assert_eq!((cluster.voters(3), cluster.engine(2).membership().is_joint()), (vec![2, 4], true));
    cluster.crash(1);
    cluster.run_without(6 * timing().election_timeout_max, &[]);
    let leader = cluster.leader().expect("node 3 was elected, and handed over");
    assert_eq!((cluster.voters(leader), cluster.commit(leader)), (vec![2, 4], cluster.last(leader)));
    assert!(matches!(leader, 2 | 4));
}

/// raft-rs#416, etcd e515a67: a member that restarts from a snapshot in the middle of a change goes on with it.
#[test]
fn a_change_goes_on_from_a_snapshot_taken_in_its_middle() {
    let joint = Membership::new(nodes([1, 2]), nodes([1, 2, 3]), nodes([3])).expect("a few");
    let mut cluster = Cluster::founded(joint.clone(), 1);
    for id in 1..=3 {
        let image = crate::logs::log_of(10, 1, &[], &joint);
        cluster.add(id, image);
    }
    assert_eq!(cluster.engine(2).membership(), &joint);
    cluster.elect(1);
    let settled = Membership::new(nodes([1, 2]), [], nodes([3])).expect("a few");
    assert_eq!(cluster.engine(1).membership(), &settled, "and who loses its vote may stay to learn");
    assert_eq!(cluster.role(3), Role::Learner);
}

/// Members without a vote, for good: added in one step, and a voter may become one.
#[test]
fn learners_come_and_go_in_one_step_and_voters_become_learners() {
    let mut cluster = grown(3, 1);
    let before = cluster.last(1);
    let added = cluster.change(1, &[1, 2, 3], &[4]);
    cluster.settle();
    assert!(cluster.is_completed(1, added));
    assert_eq!(cluster.last(1), before + 1, "no vote changes, so one entry is enough");
    assert_eq!((cluster.role(4), cluster.commit(4)), (Role::Learner, cluster.commit(1)));
    let demoted = cluster.change(1, &[1, 2], &[3, 4]);
    cluster.settle();
    assert!(cluster.is_completed(1, demoted));
    assert_eq!((cluster.role(3), cluster.voters(4)), (Role::Learner, vec![1, 2]));
    let promoted = cluster.change(1, &[1, 2, 4], &[3]);
    cluster.settle();
    assert!(cluster.is_completed(1, promoted), "a learner that is up to date votes at once");
}

/// What is known of members travels with them, and changes without a joint membership.
#[test]
fn addresses_and_stores_stand_in_the_membership() {
    let mut cluster = grown(3, 1);
    let described = cluster.founders.clone().with_address(NodeId(2), "b:1").expect("a member");
    let described = described.with_store(NodeId(3), StoreId(9)).expect("a member");
    let before = cluster.last(1);
    let change = cluster.change_to(1, described.clone());
    cluster.settle();
    assert!(cluster.is_completed(1, change));
    assert_eq!((cluster.last(1), cluster.engine(3).membership()), (before + 1, &described));
    let wished = Membership::of_voters(nodes([1, 2, 4])).expect("a few");
    let wished = wished.with_address(NodeId(4), "d:1").expect("a member");
    let change = cluster.change_to(1, wished);
    cluster.run_without(LONG, &[]);
    assert!(cluster.is_completed(1, change));
    let membership = cluster.engine(4).membership();
    assert_eq!((membership.address(NodeId(4)), membership.address(NodeId(2))), (Some("d:1"), Some("b:1")));
    assert_eq!(membership.store(NodeId(3)), None, "it went with its member");
}

/// A newcomer that needs a snapshot gets one before it votes.
#[test]
fn a_newcomer_catches_up_by_a_snapshot() {
    let mut cluster = grown(1, 1);
    cluster.propose_many(1, 50);
    cluster.settle();
    cluster.snapshot(1, 0);
    let change = cluster.change(1, &[1, 2], &[]);
    for _ in 0..100 {
        cluster.run_without(Duration::from_millis(40), &[]);
        if cluster.member_mut(1).snapshots_needed.pop().is_some() {
            cluster.carry_snapshot(1, 2);
        }
    }
    assert!(cluster.is_completed(1, change), "{:?}", cluster.outcomes(1, change));
    assert_eq!(cluster.commit(2), cluster.commit(1));
}

/// raft-rs#363: a read that waits for a quorum is answered when a smaller one will do.
#[test]
fn a_read_that_waits_while_the_quorum_shrinks_is_answered() {
    let mut cluster = grown(4, 0);
    cluster.read(1, 1);
    cluster.drop_all();
    let change = cluster.change(1, &[1], &[]);
    // 3 and 4 acknowledge entries, but nothing that confirms the read comes from 4.
    cluster.run_without(Duration::from_millis(60), &[4]);
    assert!(cluster.is_completed(1, change), "{:?}", cluster.outcomes(1, change));
    assert!(matches!(cluster.answer(1, 1), Some(Ok(_))));
    assert_eq!(cluster.voters(1), [1]);
    let index = Index(cluster.commit(1));
    assert_eq!(cluster.engine(1).standing().last, index);
}

/// One that waits to be added founds nothing and asks for nothing.
#[test]
fn a_member_that_waits_to_be_added_is_silent() {
    let mut cluster = Cluster::new(1);
    cluster.join(2);
    assert_eq!((cluster.role(2), cluster.engine(2).deadline()), (Role::Learner, Time::MAX));
    cluster.run_without(Duration::from_secs(10), &[1]);
    assert_eq!((cluster.role(2), cluster.round(2)), (Role::Learner, 0));
}
