//! Partial connectivity: the three cases of Ng, Haridi, Carbone 2023 ("Omni-Paxos", section 2), on three members and five.
//! In each, somebody who reaches a quorum comes to lead within four of the longest election timeouts, and then stays.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Cluster, timing};

fn links(pairs: impl IntoIterator<Item = (u64, u64)>) -> BTreeSet<(u64, u64)> {
    pairs.into_iter().flat_map(|(a, b)| [(a, b), (b, a)]).collect()
}

/// How long it takes until a value is chosen on these links, proposed by whoever leads; and who that is.
fn until_chosen(cluster: &mut Cluster, links: &BTreeSet<(u64, u64)>) -> (u64, Duration) {
    let (before, step) = (cluster.chosen.len(), Duration::from_millis(20));
    let mut took = Duration::ZERO;
    while took < timing().election_timeout_max * 4 {
        cluster.run_where(step, |from, to| links.contains(&(from, to)));
        took += step;
        let Some(leader) = cluster.leader() else { continue };
        cluster.propose(leader);
        cluster.run_where(step, |from, to| links.contains(&(from, to)));
        let reaches = 1 + links.iter().filter(|(from, _)| *from == leader).count();
        if cluster.chosen.len() > before && 2 * reaches > cluster.members.len() {
            return (leader, took);
        }
    }
    panic!("nobody leads after {took:?}");
}

/// Whoever leads now goes on leading.
fn stays(cluster: &mut Cluster, links: &BTreeSet<(u64, u64)>, leader: u64) {
    let round = cluster.round(leader);
    cluster.run_where(timing().election_timeout_max * 5, |from, to| links.contains(&(from, to)));
    assert_eq!((cluster.leader(), cluster.round(leader)), (Some(leader), round), "leadership bounces");
}

/// Quorum loss: the leader and all others still reach one hub, and nobody else.
#[test]
fn the_hub_comes_to_lead_when_everyone_reaches_only_it() {
    for count in [3, 5] {
        let mut cluster = Cluster::new(count);
        cluster.elect(2);
        cluster.settle();
        let star = links((2..=count).map(|other| (1, other)));
        let (leader, took) = until_chosen(&mut cluster, &star);
        println!("engine multi-paxos, quorum loss, {count} members: node {leader} leads after {took:?}");
        assert!(count == 3 || leader == 1, "of five, only the hub reaches three");
        stays(&mut cluster, &star, leader);
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
        let star = links((3..=count).map(|other| (1, other)));
        let (leader, took) = until_chosen(&mut cluster, &star);
        println!("engine multi-paxos, constrained, {count} members: node {leader} leads after {took:?}");
        assert!(count == 3 || leader == 1, "of five, only the hub reaches three");
        assert!(cluster.commit(leader) >= 7, "it has learnt what it lacked");
        stays(&mut cluster, &star, leader);
    }
}

/// Chained: each reaches its neighbours only, and the leader stands at an end.
#[test]
fn in_a_chain_somebody_leads_and_leadership_does_not_bounce() {
    for count in [3, 5] {
        let mut cluster = Cluster::new(count);
        cluster.elect(1);
        cluster.settle();
        let chain = links((1..count).map(|one| (one, one + 1)));
        let (leader, took) = until_chosen(&mut cluster, &chain);
        println!("engine multi-paxos, chained, {count} members: node {leader} leads after {took:?}");
        stays(&mut cluster, &chain, leader);
    }
}
