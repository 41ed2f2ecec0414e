//! How values are chosen: by slot, by quorums of members, at one ballot.

use consensus_api::{FlowLimits, Index, Outcome, ReadRound, Refusal, Role};
use quorate_paxos::Body;

use crate::multi::{Ballots, Cluster, Packet, ballot, is_accept, is_accepted, timing};

fn slots(packet: &Packet) -> (u64, u64) {
    if let Body::Accepted { first, last, .. } = packet.message.body { (first.0, last.0) } else { (0, 0) }
}

/// Lamport 2001, section 3: the leader may propose in slot 4 before slot 3 is chosen. It is chosen out of order, and
/// applied in order.
#[test]
fn slot_four_is_chosen_before_slot_three_and_applied_after_it() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1);
    cluster.settle();
    assert_eq!(cluster.commit(1), 2);
    cluster.propose(1);
    let third = cluster.take(is_accept);
    cluster.propose(1);
    cluster.complete_writes(1);
    cluster.deliver_only(|packet| is_accept(packet) && packet.to == 2);
    cluster.complete_writes(2);
    let accepted = cluster.deliver_only(is_accepted);
    assert_eq!(accepted.iter().map(slots).collect::<Vec<_>>(), [(4, 4)]);
    assert!(cluster.engine(1).is_chosen(Index(4)));
    assert!(!cluster.engine(1).is_chosen(Index(3)));
    assert_eq!((cluster.commit(1), cluster.member(1).applied), (2, Index(2)));
    cluster.deliver(&third[1]);
    cluster.complete_all_writes();
    cluster.deliver_only(is_accepted);
    assert_eq!((cluster.commit(1), cluster.member(1).applied), (4, Index(4)));
}

/// oxia #1239, iggy #4073: an acknowledgement of the second message taken for one of the first, too.
#[test]
fn an_acknowledgement_speaks_of_no_slot_below_a_gap() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1);
    cluster.drop_all();
    cluster.propose(1);
    cluster.complete_writes(1);
    cluster.deliver_only(is_accept);
    cluster.complete_all_writes();
    let accepted = cluster.deliver_only(is_accepted);
    assert!(accepted.iter().all(|packet| slots(packet) == (3, 3)), "{accepted:?}");
    assert_eq!(cluster.commit(1), 1, "slot 2 is held by the leader alone");
    cluster.run(timing().heartbeat * 3);
    assert_eq!(cluster.commit(1), 3, "what was lost is sent again");
}

/// The leader's own vote is one of the quorum, and like all others it counts once it is durable.
#[test]
fn the_leaders_own_vote_counts_once_it_is_durable() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.settle();
    cluster.propose(1);
    assert_eq!(cluster.packets.iter().filter(|packet| is_accept(packet)).count(), 2, "sent at once");
    cluster.deliver_only(|packet| is_accept(packet) && packet.to == 2);
    cluster.complete_writes(2);
    cluster.deliver_only(is_accepted);
    assert_eq!(cluster.commit(1), 1, "one durable vote is no quorum of three");
    cluster.complete_writes(1);
    assert_eq!(cluster.commit(1), 2);
}

/// Copies of an acknowledgement, and those of an earlier ballot, choose nothing.
#[test]
fn acknowledgements_are_counted_by_member_and_by_ballot() {
    let mut cluster = Cluster::new(5);
    cluster.elect(1);
    cluster.propose(1);
    cluster.complete_writes(1);
    cluster.deliver_only(|packet| is_accept(packet) && packet.to == 2);
    cluster.drop_all();
    cluster.complete_writes(2);
    let accepted = cluster.take(is_accepted).remove(0);
    for _ in 0..5 {
        cluster.deliver(&accepted);
    }
    let mine = cluster.engine(1).promised();
    let body = Body::Accepted { first: Index(2), last: Index(2), commit: Index(0), round: ReadRound(0) };
    cluster.inject(3, 1, ballot(mine.round - 1, 1), body, &[]);
    cluster.inject(4, 1, ballot(mine.round + 1, 4), body, &[]);
    cluster.inject(9, 1, mine, body, &[]);
    assert_eq!(cluster.commit(1), 1);
    cluster.inject(
        5,
        1,
        mine,
        Body::Accepted { first: Index(1), last: Index(9), commit: Index(0), round: ReadRound(0) },
        &[],
    );
    assert_eq!(cluster.commit(1), 1, "nobody accepted what was not proposed");
}

/// trex fixed this: a follower holds the old leader's value in a slot that the new leader's value was chosen in.
#[test]
fn a_follower_believes_an_announcement_only_of_what_this_leader_proposed() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.settle();
    // Node 3 alone accepts what node 1 proposes in slot 2.
    cluster.propose(1);
    cluster.deliver_only(|packet| is_accept(packet) && packet.to == 3);
    cluster.complete_writes(3);
    cluster.drop_all();
    cluster.crash(1);
    // Node 2 gets node 1's promise after a restart that lost slot 2, and something else chosen there.
    cluster.restart(1);
    assert_eq!(cluster.last(1), 1);
    cluster.elect_without(2, &[3]);
    cluster.propose(2);
    cluster.settle_without(&[3]);
    assert_eq!((cluster.shape(2).as_str(), cluster.commit(2)), ("nnC", 3));
    // Node 3 missed all of it, and hears only how far everything is chosen.
    cluster.fire(2);
    cluster.deliver_only(|packet| matches!(packet.message.body, Body::Heartbeat(_)) && packet.to == 3);
    assert_eq!((cluster.commit(3), cluster.shape(3).as_str()), (1, "nC"));
    cluster.drop_all();
    cluster.run(timing().heartbeat * 4);
    assert_eq!((cluster.commit(3), cluster.shape(3).as_str()), (3, "nnC"));
}

/// A slot that is known to be chosen is not written again, whoever proposes in it; the proposer hears that it is chosen.
#[test]
fn a_proposal_in_a_chosen_slot_is_answered_with_how_far_slots_are_chosen() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1);
    cluster.settle();
    cluster.run(timing().heartbeat * 2);
    let held = cluster.held(2, 2).cloned();
    let again = cluster.placed(2, ballot(9, 3));
    let tidings =
        quorate_paxos::Tidings { commit: Index(0), barrier: Index(0), round: ReadRound(0), window: 1024 };
    cluster.inject(3, 2, ballot(9, 3), Body::Accept(tidings), &[again]);
    cluster.complete_writes(2);
    assert!(cluster.packets.iter().all(|packet| !is_accepted(packet)));
    let heard =
        |packet: &Packet| matches!(packet.message.body, Body::Heard { commit, .. } if commit == Index(2));
    assert!(cluster.packets.iter().any(heard));
    assert_eq!(cluster.held(2, 2), held.as_ref());
}

/// Frames and bytes on their way to a member that does not answer stay within their limits, and one lost frame holds up
/// nobody for long.
#[test]
fn what_is_on_its_way_is_bounded_and_what_is_lost_is_sent_again() {
    let mut cluster = Cluster::new(3);
    cluster.limits = FlowLimits { inflight_frames_max: 2, inflight_bytes_max: 400, frame_bytes_max: 200 };
    cluster.ids().into_iter().for_each(|id| cluster.restart(id));
    cluster.elect(1);
    cluster.propose_many(1, 20);
    let sent = cluster.take(|packet| is_accept(packet) && packet.to == 2);
    assert_eq!(sent.len(), 2, "and the laws hold the rest");
    cluster.run_without(timing().heartbeat * 2, &[2]);
    assert_eq!((cluster.commit(1), cluster.commit(3)), (21, 21));
    cluster.run(timing().heartbeat * 10);
    assert_eq!(cluster.commit(2), 21);
    assert_eq!(cluster.shape(2), cluster.shape(1));
}

/// What an earlier leader left may be taken up or not: once the barrier is chosen nobody can tell, and both sides say so.
#[test]
fn what_an_earlier_leader_left_is_given_up_once_the_barrier_is_chosen() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let kept = cluster.propose(1);
    cluster.drop_all();
    cluster.propose(3);
    assert_eq!(cluster.member(3).proposals[0].1, Outcome::Refused(Refusal::NotLeader));
    assert_eq!(cluster.member(1).proposals, [(kept, Outcome::Accepted(ballot(1, 1)))]);
    cluster.elect_without(2, &[1]);
    cluster.run(timing().heartbeat * 3);
    assert_eq!(cluster.role(1), Role::Follower);
    for id in 1..=3 {
        assert_eq!(cluster.member(id).given_up, ballot(2, 2), "node {id}");
    }
}
