//! Handing leadership over.

use std::time::Duration;

use consensus_api::{Engine, NodeId, Outcome, Refusal, Role};
use quorate_paxos::Body;

use crate::multi::{Cluster, Packet, timing};

fn is_order(packet: &Packet) -> bool {
    matches!(packet.message.body, Body::TakeOver)
}

/// Neither agreement nor the leader that is still heard stand in the way, and no clock moves.
#[test]
fn leadership_moves_in_one_ballot_and_no_time() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1);
    let transfer = cluster.transfer(1, Some(3));
    cluster.settle();
    assert_eq!((cluster.role(3), cluster.round(3)), (Role::Leader, 2));
    assert_eq!(cluster.outcomes(1, transfer)[1..], [Outcome::Completed]);
    assert_eq!(cluster.engine(2).standing().leader, Some(NodeId(3)));
}

#[test]
fn the_successor_is_sent_first_what_it_lacks() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose_many(1, 20);
    cluster.settle_without(&[3]);
    let transfer = cluster.transfer(1, Some(3));
    assert!(!cluster.packets.iter().any(is_order), "nothing of it has arrived");
    cluster.run(timing().heartbeat * 4);
    assert_eq!((cluster.leader(), cluster.commit(3)), (Some(3), cluster.last(1)));
    assert_eq!(cluster.outcomes(1, transfer)[1..], [Outcome::Completed]);
}

/// hashicorp/raft#493, #581: while it hands over a leader takes nothing; if nobody takes over, it goes on.
#[test]
fn a_transfer_that_fails_ends_within_an_election_timeout() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.crash(3);
    cluster.propose(1);
    cluster.settle();
    let transfer = cluster.transfer(1, Some(3));
    let meanwhile = cluster.propose(1);
    assert_eq!(cluster.outcomes(1, meanwhile), [Outcome::Refused(Refusal::NotLeader)]);
    cluster.run(timing().election_timeout_min + Duration::from_millis(20));
    let ended = cluster.outcomes(1, transfer);
    assert!(
        matches!(ended[1..], [Outcome::Refused(Refusal::Invalid(reason))] if reason.contains("in time")),
        "{ended:?}"
    );
    let later = cluster.propose(1);
    assert!(matches!(cluster.outcomes(1, later)[..], [Outcome::Accepted(_)]));
    cluster.settle();
    assert_eq!((cluster.role(1), cluster.commit(1)), (Role::Leader, cluster.last(1)));
}

/// hashicorp/raft#487, RATIS-1796: a hundred transfers with writes in between; every write has one fate.
#[test]
fn a_hundred_transfers_under_load_lose_nothing() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let mut accepted = Vec::new();
    for turn in 0..100 {
        let leader = cluster.leader().expect("someone leads");
        accepted.push((leader, cluster.propose(leader)));
        let transfer = cluster.transfer(leader, Some(leader % 3 + 1));
        let refused = cluster.propose(leader);
        assert_eq!(cluster.outcomes(leader, refused), [Outcome::Refused(Refusal::NotLeader)]);
        cluster.settle();
        assert_eq!(cluster.outcomes(leader, transfer)[1..], [Outcome::Completed], "turn {turn}");
        assert_eq!(cluster.leader(), Some(leader % 3 + 1));
    }
    for (leader, proposal) in accepted {
        assert!(matches!(cluster.outcomes(leader, proposal)[..], [Outcome::Accepted(_)]));
        assert!(cluster.chosen.values().any(|(_, _, chosen)| *chosen == proposal));
    }
}

/// Without a name the best placed takes over: one that was heard lately, and holds most.
#[test]
fn the_best_placed_is_asked_when_nobody_is_named() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose_many(1, 5);
    cluster.settle_without(&[2]);
    let transfer = cluster.transfer(1, None);
    cluster.settle();
    assert_eq!(cluster.leader(), Some(3));
    assert_eq!(cluster.outcomes(1, transfer)[1..], [Outcome::Completed]);
}

/// What cannot be is refused: by a follower, to a stranger, or while another transfer is under way.
#[test]
fn a_transfer_that_cannot_be_is_refused() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let refusal = |cluster: &mut Cluster, id, to| {
        let transfer = cluster.transfer(id, to);
        match cluster.outcomes(id, transfer)[..] {
            [Outcome::Refused(refusal)] => refusal.to_string(),
            ref other => panic!("{other:?}"),
        }
    };
    assert!(refusal(&mut cluster, 2, None).contains("does not lead"));
    assert!(refusal(&mut cluster, 1, Some(9)).contains("only a voter"));
    let itself = cluster.transfer(1, Some(1));
    assert_eq!(cluster.outcomes(1, itself)[1..], [Outcome::Completed]);
    cluster.transfer(1, Some(2));
    assert!(refusal(&mut cluster, 1, Some(3)).contains("already"));
    cluster.crash(2);
    cluster.crash(3);
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.wait_long();
    assert!(refusal(&mut cluster, 1, None).contains("no other voter was heard"));
}

/// A request that comes late, or twice, is of a ballot that nobody obeys any more.
#[test]
fn a_request_to_take_over_that_comes_late_starts_nothing() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.transfer(1, Some(3));
    let orders = cluster.take(is_order);
    cluster.run_without(timing().election_timeout_min + Duration::from_millis(20), &[3]);
    cluster.transfer(1, Some(2));
    cluster.settle();
    assert_eq!((cluster.leader(), cluster.round(2)), (Some(2), 2));
    orders.iter().for_each(|packet| cluster.deliver(packet));
    cluster.settle();
    assert_eq!((cluster.leader(), cluster.round(3)), (Some(2), 2));
}
