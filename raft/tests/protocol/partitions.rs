//! Partial connectivity: the three cases of Ng, Haridi, Carbone 2023 ("Omni-Paxos", section 2), on three members and five.
//! What Raft makes of them, and what it cannot: a vote goes to nobody who lacks what the voter holds, and only a leader
//! sends entries.

use std::collections::BTreeSet;
use std::time::Duration;
use testkit::protocol::timing;

use crate::Cluster;

type Links = BTreeSet<(u64, u64)>;

fn links(pairs: impl IntoIterator<Item = (u64, u64)>) -> Links {
    pairs.into_iter().flat_map(|(a, b)| [(a, b), (b, a)]).collect()
}

/// Who leads a quorum on these links by the time that a new entry of theirs is committed, and how long that took; if that
/// comes about within four of the longest election timeouts.
fn until_committed(cluster: &mut Cluster, links: &Links) -> Option<(u64, Duration)> {
    let (before, step) = (cluster.committed.len(), Duration::from_millis(20));
    let mut took = Duration::ZERO;
    while took < timing().election_timeout_max * 4 {
        cluster.run_where(step, |from, to| links.contains(&(from, to)));
        took += step;
        let Some(leader) = cluster.leader() else { continue };
        cluster.propose(leader);
        cluster.run_where(step, |from, to| links.contains(&(from, to)));
        let reaches = 1 + links.iter().filter(|(from, _)| *from == leader).count();
        if cluster.committed.len() > before && 2 * reaches > cluster.members.len() {
            return Some((leader, took));
        }
    }
    None
}

/// Whoever leads now goes on leading.
fn stays(cluster: &mut Cluster, links: &Links, leader: u64) {
    let term = cluster.round(leader);
    cluster.run_where(timing().election_timeout_max * 5, |from, to| links.contains(&(from, to)));
    assert_eq!((cluster.leader(), cluster.round(leader)), (Some(leader), term), "leadership bounces");
}

/// Quorum loss: the leader and all others still reach one hub, and nobody else.
#[test]
fn the_hub_comes_to_lead_when_everyone_reaches_only_it() {
    for count in [3, 5] {
        let mut cluster = Cluster::new(count);
        cluster.elect(2);
        cluster.settle();
        let star = links((2..=count).map(|other| (1, other)));
        let (leader, took) = until_committed(&mut cluster, &star).expect("someone leads");
        println!("engine raft, quorum loss, {count} members: node {leader} leads after {took:?}");
        assert_eq!(leader, if count == 3 { 2 } else { 1 }, "of five, only the hub reaches three");
        stays(&mut cluster, &star, leader);
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
        let mut star = links((3..=count).map(|other| (1, other)));
        if count == 5 {
            assert_eq!(until_committed(&mut cluster, &star), None, "nobody can lead");
            star.extend(links([(3, 4)]));
        }
        let (leader, took) = until_committed(&mut cluster, &star).expect("someone leads");
        println!("engine raft, constrained, {count} members: node {leader} leads after {took:?}");
        assert!(
            leader == 3 || leader == 4,
            "whoever holds the newest entries and reaches a quorum: {leader}"
        );
        stays(&mut cluster, &star, leader);
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
        let chain = links((1..count).map(|one| (one, one + 1)));
        let (leader, took) = until_committed(&mut cluster, &chain).expect("someone leads");
        println!("engine raft, chained, {count} members: node {leader} leads after {took:?}");
        stays(&mut cluster, &chain, leader);
        let commit = cluster.commit(leader);
        let lag = |id| cluster.commit(id) < commit;
        let far = |id: &u64| leader.abs_diff(*id) > 1;
        assert!(cluster.ids().into_iter().filter(far).all(lag), "only a leader sends entries");
    }
}
