//! Partial connectivity: the three cases of Ng, Haridi, Carbone 2023 ("Omni-Paxos", section 2), on three members and five.
//! What Raft makes of them, and what it cannot: a vote goes to nobody who lacks what the voter holds, and only a leader
//! sends entries.

use testkit::protocol::Links;

use crate::Cluster;

/// Quorum loss: the leader and all others still reach one hub, and nobody else.
#[test]
fn the_hub_comes_to_lead_when_everyone_reaches_only_it() {
    for count in [3, 5] {
        let mut cluster = Cluster::new(count);
        cluster.elect(2);
        cluster.settle();
        let star = Links::star(1, 2..=count);
        let (leader, took) = cluster.until_committed(&star).expect("someone leads");
        println!("engine raft, quorum loss, {count} members: node {leader} leads after {took:?}");
        assert_eq!(leader, if count == 3 { 2 } else { 1 }, "of five, only the hub reaches three");
        cluster.assert_stays(&star, leader);
    }
}

/// Constrained: the same, the old leader is gone, and the hub lacks what the others hold. Of three, whoever is left beside
/// the hub has its vote. Of five, the hub alone reaches a quorum, and nobody votes for it: Raft waits until one link more is
/// back.
#[test]
fn a_hub_that_lacks_the_newest_entries_cannot_lead_and_others_need_a_quorum() {
    for count in [3, 5] {
        let mut cluster = Cluster::new(count);
        cluster.elect(2);
        cluster.settle();
        cluster.propose_many(2, 5);
        cluster.settle_without(&[1]);
        let mut star = Links::star(1, 3..=count);
        if count == 5 {
            assert_eq!(cluster.until_committed(&star), None, "nobody can lead");
            star = star.and(Links::between([(3, 4)]));
        }
        let (leader, took) = cluster.until_committed(&star).expect("someone leads");
        println!("engine raft, constrained, {count} members: node {leader} leads after {took:?}");
        assert!(
            leader == 3 || leader == 4,
            "whoever holds the newest entries and reaches a quorum: {leader}"
        );
        cluster.assert_stays(&star, leader);
    }
}

/// Chained: each reaches its neighbours only, and the leader stands at an end. Somebody who reaches a quorum leads, and
/// leadership does not bounce; but whoever does not reach the leader learns nothing meanwhile.
#[test]
fn in_a_chain_somebody_leads_and_the_far_end_lags() {
    for count in [3, 5] {
        let mut cluster = Cluster::new(count);
        cluster.elect(1);
        cluster.settle();
        let chain = Links::chain(count);
        let (leader, took) = cluster.until_committed(&chain).expect("someone leads");
        println!("engine raft, chained, {count} members: node {leader} leads after {took:?}");
        cluster.assert_stays(&chain, leader);
        let commit = cluster.commit(leader);
        let lag = |id| cluster.commit(id) < commit;
        let far = |id: &u64| leader.abs_diff(*id) > 1;
        assert!(cluster.ids().into_iter().filter(far).all(lag), "only a leader sends entries");
    }
}
