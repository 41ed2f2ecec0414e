//! Handing leadership over, as far as it goes alike with every engine that has a leader: each function is a test, to be
//! mounted once per engine.

use std::time::Duration;

use consensus_api::{Engine, NodeId, Outcome, Refusal, Role};

use super::{Cluster, timing};

fn three_led_by_1<E: Engine>() -> Cluster<E> {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster
}

/// dragonboat 1c7ebd3, etcd 36d7d43; Ongaro's thesis, section 3.10: neither agreement beforehand nor the leader that is
/// still heard stand in the way, and no clock moves.
pub fn leadership_moves_in_one_election_and_no_time<E: Engine>() {
    let mut cluster = three_led_by_1::<E>();
    cluster.propose(1);
    let transfer = cluster.transfer(1, Some(3));
    cluster.settle();
    assert_eq!((cluster.role(3), cluster.round(3)), (Role::Leader, 2));
    assert!(cluster.is_completed(1, transfer));
    assert_eq!(cluster.engine(2).standing().leader, Some(NodeId(3)));
}

/// hashicorp/raft#493, #581: while it hands over a leader takes nothing; if nobody takes over, it goes on.
pub fn a_transfer_that_fails_ends_within_an_election_timeout<E: Engine>() {
    let mut cluster = three_led_by_1::<E>();
    cluster.crash(3);
    cluster.propose(1);
    cluster.settle();
    let transfer = cluster.transfer(1, Some(3));
    let meanwhile = cluster.propose(1);
    assert_eq!(cluster.outcomes(1, meanwhile), [Outcome::Refused(Refusal::NotLeader)]);
    cluster.run(timing().election_timeout_min + Duration::from_millis(20));
    assert!(cluster.refusal(1, transfer).contains("did not take over in time"));
    let later = cluster.propose(1);
    assert!(matches!(cluster.outcomes(1, later)[..], [Outcome::Accepted(_)]));
    cluster.settle();
    assert_eq!((cluster.role(1), cluster.commit(1)), (Role::Leader, cluster.last(1)));
}

/// hashicorp/raft#487, RATIS-1796: a hundred transfers with writes in between; every write has one fate.
pub fn a_hundred_transfers_under_load_lose_nothing<E: Engine>() {
    let mut cluster = three_led_by_1::<E>();
    let mut accepted = Vec::new();
    for turn in 0..100 {
        let leader = cluster.leader().expect("someone leads");
        let next = leader % 3 + 1;
        accepted.push((leader, cluster.propose(leader)));
        let transfer = cluster.transfer(leader, Some(next));
        let refused = cluster.propose(leader);
        assert_eq!(cluster.outcomes(leader, refused), [Outcome::Refused(Refusal::NotLeader)]);
        cluster.settle();
        assert!(cluster.is_completed(leader, transfer), "turn {turn}");
        assert_eq!(cluster.leader(), Some(next));
    }
    for (leader, proposal) in accepted {
        assert!(matches!(cluster.outcomes(leader, proposal)[..], [Outcome::Accepted(_)]));
        assert!(cluster.committed.values().any(|entry| entry.proposal == proposal));
    }
}

/// By a follower, to a stranger, or while another transfer is under way.
pub fn what_cannot_be_handed_over_is_refused_in_its_own_words<E: Engine>() {
    let mut cluster = three_led_by_1::<E>();
    let refused = cluster.transfer(2, None);
    assert!(cluster.refusal(2, refused).contains("does not lead"));
    let refused = cluster.transfer(1, Some(9));
    assert!(cluster.refusal(1, refused).contains("only a voter can lead"));
    let itself = cluster.transfer(1, Some(1));
    assert!(cluster.is_completed(1, itself), "it leads already");
    let first = cluster.transfer(1, Some(2));
    let second = cluster.transfer(1, Some(3));
    assert!(cluster.refusal(1, second).contains("handed over already"));
    cluster.settle();
    assert!(cluster.is_completed(1, first));
}
