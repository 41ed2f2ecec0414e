//! Real nodes over TCP, with a proxy in every wire that does to it what networks do.

mod cluster;
mod proxy;

use std::time::Duration;

use cluster::{Cluster, within_three_minutes};
use proxy::Fault;

/// Every fault in turn on the wires of one follower after the other, while others write: all that was answered is there
/// in the end, on all nodes, and each write is there once.
#[test]
fn what_was_answered_survives_every_fault() {
    within_three_minutes(async {
        let mut cluster = Cluster::start().await;
        let faults = [
            Fault::Delay(Duration::from_millis(30)),
            Fault::Throttle { bytes_per_second: 20_000 },
            Fault::CutAfter { bytes: 1_000 },
            Fault::Reset,
            Fault::Silent,
        ];
        for (round, fault) in faults.into_iter().enumerate() {
            let victim = round % 3 + 1;
            cluster.afflict(victim as u64, fault);
            cluster.write(40).await;
            cluster.heal();
            cluster.write(10).await;
        }
        cluster.assert_converged().await;
    });
}

/// What a node says arrives and what it hears does not, and the other way round. The others go on under their leader.
#[test]
fn one_way_silence_stops_nobody_else() {
    within_three_minutes(async {
        let mut cluster = Cluster::start().await;
        let leader = cluster.leader().await;
        let follower = leader % 3 + 1;
        for (from, to) in [(follower, leader), (leader, follower)] {
            cluster.wire(from, to).set(Fault::Silent);
            cluster.write_at(leader, 50).await;
            cluster.heal();
            cluster.write_at(leader, 10).await;
        }
        cluster.assert_converged().await;
    });
}

/// A wire that breaks again and again, in the middle of frames, brings frames of several connections out of order. None
/// arrives twice or changed, and nothing is lost that was answered.
#[test]
fn a_flapping_wire_changes_nothing_that_was_answered() {
    within_three_minutes(async {
        let mut cluster = Cluster::start().await;
        let leader = cluster.leader().await;
        let follower = leader % 3 + 1;
        for round in 1..20_usize {
            let bytes = 97 * round;
            cluster.wire(leader, follower).set(Fault::CutAfter { bytes });
            cluster.wire(follower, leader).set(Fault::CutAfter { bytes: bytes * 3 });
            cluster.write(10).await;
        }
        cluster.heal();
        cluster.assert_converged().await;
        let shown = cluster.connections(leader);
        assert!(
            shown.iter().all(|peer| peer.refusal.is_none()),
            "flapping is no reason to refuse: {shown:?}"
        );
    });
}

/// A leader that nobody hears gives way, and comes back as a follower.
#[test]
fn a_leader_that_is_cut_off_gives_way() {
    within_three_minutes(async {
        let mut cluster = Cluster::start().await;
        let leader = cluster.leader().await;
        cluster.afflict(leader, Fault::Silent);
        cluster.write_at(leader % 3 + 1, 20).await;
        cluster.heal();
        cluster.assert_converged().await;
    });
}
