//! Partial connectivity: the three cases of Ng, Haridi, Carbone 2023 ("Omni-Paxos", section 2), on three members and five.
//! There is nobody to elect, so what counts is who can write: every member that reaches a quorum, at once; and no other.

use std::time::Duration;

use testkit::protocol::Links;

use super::{Cluster, Peers, timing};

/// Whether each member can write, and how long the slowest of those that can took; without the links cut before.
fn who_writes(cluster: &mut Cluster, links: &Links) -> (Vec<bool>, Duration) {
    let mut slowest = Duration::ZERO;
    // Until each has noticed whom it reaches.
    cluster.run_on(timing().election_timeout_min * 2, links);
    let members = cluster.ids();
    let writes = members.iter().map(|id| {
        let proposal = cluster.propose(*id);
        let chosen = |cluster: &Cluster| cluster.committed.values().any(|entry| entry.proposal == proposal);
        let mut took = Duration::ZERO;
        while !chosen(cluster) && took < timing().election_timeout_max {
            cluster.run_on(Duration::from_millis(20), links);
            took += Duration::from_millis(20);
        }
        slowest = if chosen(cluster) { slowest.max(took) } else { slowest };
        chosen(cluster)
    });
    let writes = writes.collect();
    (writes, slowest)
}

/// Everything heals, and all hold the same.
fn heals(cluster: &mut Cluster) {
    cluster.run(timing().election_timeout_max * 2);
    let (commit, shape) = (cluster.commit(1), cluster.shape(1));
    assert!(
        cluster.ids().iter().all(|id| (cluster.commit(*id), cluster.shape(*id)) == (commit, shape.clone()))
    );
}

/// Quorum loss: all reach one hub, and nobody else. It alone reaches a quorum, and writes as before.
#[test]
fn the_hub_goes_on_when_it_alone_reaches_a_quorum() {
    for count in [3, 5] {
        let mut cluster = Cluster::met(count);
        let (writes, slowest) = who_writes(&mut cluster, &Links::star(1, 2..=count));
        // Of three, each arm is a quorum with the hub.
        let expected: Vec<bool> = (1..=count).map(|id| id == 1 || count == 3).collect();
        assert_eq!(writes, expected, "{count} members");
        assert!(slowest <= timing().heartbeat * 2, "{count} members: {slowest:?}");
        heals(&mut cluster);
    }
}

/// Constrained: the hub missed the newest entries, which only members that no longer reach a quorum hold.
#[test]
fn a_hub_that_lags_learns_and_goes_on() {
    for count in [3, 5] {
        let mut cluster = Cluster::met(count);
        for _ in 0..4 {
            cluster.propose(2);
            cluster.settle_without(&[1]);
        }
        assert_eq!(cluster.commit(1), 0, "the hub has missed them");
        let (writes, slowest) = who_writes(&mut cluster, &Links::star(1, 2..=count));
        assert!(writes[0] && cluster.commit(1) >= 5, "{count} members");
        assert!(slowest <= timing().heartbeat * 2, "{count} members: {slowest:?}");
        heals(&mut cluster);
    }
}

/// Chained: each reaches its neighbours only. Whoever has a quorum among them writes; nobody is deposed, for nobody led.
#[test]
fn in_a_chain_whoever_reaches_a_quorum_writes() {
    for count in [3, 5] {
        let mut cluster = Cluster::met(count);
        let (writes, slowest) = who_writes(&mut cluster, &Links::chain(count));
        let expected: Vec<bool> = (1..=count).map(|id| count == 3 || (2..count).contains(&id)).collect();
        assert_eq!(writes, expected, "{count} members");
        assert!(slowest <= timing().heartbeat * 10, "{count} members: {slowest:?}");
        heals(&mut cluster);
    }
}
