//! Partial connectivity: the three cases of Ng, Haridi, Carbone 2023 ("Omni-Paxos", section 2), on three members and five.
//! In each, somebody who reaches a quorum comes to lead within four of the longest election timeouts, and then stays.

use testkit::protocol::Links;

use super::Cluster;

/// Quorum loss: the leader and all others still reach one hub, and nobody else.
#[test]
fn the_hub_comes_to_lead_when_everyone_reaches_only_it() {
    for count in [3, 5] {
        let mut cluster = Cluster::new(count);
        cluster.elect(2);
        cluster.settle();
        let star = Links::star(1, 2..=count);
        let (leader, took) = cluster.until_committed(&star).expect("someone leads");
        println!("engine multi-paxos, quorum loss, {count} members: node {leader} leads after {took:?}");
        assert!(count == 3 || leader == 1, "of five, only the hub reaches three");
        cluster.assert_stays(&star, leader);
    }
}

/// Constrained: the same, the old leader is gone, and the hub lacks what the others hold.
#[test]
fn a_hub_that_lacks_the_newest_entries_comes_to_lead() {
    for count in [3, 5] {
        let mut cluster = Cluster::new(count);
        cluster.elect(2);
        cluster.settle();
        cluster.propose_many(2, 5);
        cluster.settle_without(&[1]);
        let star = Links::star(1, 3..=count);
        let (leader, took) = cluster.until_committed(&star).expect("someone leads");
        println!("engine multi-paxos, constrained, {count} members: node {leader} leads after {took:?}");
        assert!(count == 3 || leader == 1, "of five, only the hub reaches three");
        assert!(cluster.commit(leader) >= 7, "it has learnt what it lacked");
        cluster.assert_stays(&star, leader);
    }
}

/// Chained: each reaches its neighbours only, and the leader stands at an end.
#[test]
fn in_a_chain_somebody_leads_and_leadership_does_not_bounce() {
    for count in [3, 5] {
        let mut cluster = Cluster::new(count);
        cluster.elect(1);
        cluster.settle();
        let chain = Links::chain(count);
        let (leader, took) = cluster.until_committed(&chain).expect("someone leads");
        println!("engine multi-paxos, chained, {count} members: node {leader} leads after {took:?}");
        cluster.assert_stays(&chain, leader);
    }
}
