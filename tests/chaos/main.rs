//! Real nodes over TCP, with a proxy in every wire that does to it what networks do.

mod cluster;
mod proxy;

use std::time::Duration;

use cluster::{Cluster, within_three_minutes};
use proxy::Fault;
use quorate::{DefaultEngine, Engine, MemoryLog, Node, PeerRefusalKind, Tcp};

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
            Fault::LateAfter { bytes: 1_000, late: Duration::from_millis(50) },
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

/// What a connection carried comes in after its successor, which carries later frames: the receiver hears one connection at
/// a time, and nothing comes twice.
#[test]
fn what_comes_in_after_a_later_connection_changes_nothing_that_was_answered() {
    within_three_minutes(async {
        let mut cluster = Cluster::start().await;
        let leader = cluster.leader().await;
        let follower = leader % 3 + 1;
        for round in 1..20_usize {
            let late = Duration::from_millis(20 * (round as u64 % 5 + 1));
            for (from, to) in [(leader, follower), (follower, leader)] {
                cluster.wire(from, to).set(Fault::LateAfter { bytes: 97 * round, late });
            }
            cluster.write(10).await;
        }
        let overtaken =
            cluster.wire(leader, follower).overtaken() + cluster.wire(follower, leader).overtaken();
        println!("{overtaken} times a connection was overtaken by the next");
        assert!(overtaken > 0, "nothing came out of order");
        cluster.heal();
        cluster.assert_converged().await;
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

/// A member moves, twice, and nothing is restarted: the others find it by the membership, over real sockets.
#[test]
fn a_member_that_moves_is_found_by_the_membership() {
    if !DefaultEngine::CAPABILITIES.membership_change {
        println!("skipped: {} cannot do that, as its CAPABILITIES say", DefaultEngine::NAME);
        return;
    }
    within_three_minutes(async {
        let mut cluster = Cluster::start().await;
        let leader = cluster.leader().await;
        for _ in 0..2 {
            cluster.relocate(leader % 3 + 1).await;
            cluster.write(20).await;
        }
        cluster.assert_converged().await;
    });
}

/// What a transport refuses, the status of the node has under its name, and the notes once.
#[test]
fn who_belongs_elsewhere_is_shown_in_the_status() {
    within_three_minutes(async {
        let (a, b) = (Tcp::listen("127.0.0.1:0").await, Tcp::listen("127.0.0.1:0").await);
        let (a, b) = (a.expect("a free port"), b.expect("a free port"));
        let peers = [(1, a.local_addr()), (2, b.local_addr())];
        let start = |cluster: &str, id: u64, listener: quorate::TcpListener| {
            Node::builder(cluster, id, [1, 2], cluster::Heard::default())
                .storage(MemoryLog::new())
                .transport(listener.with_peers(id, peers))
                .start()
                .expect("a node starts")
        };
        let nodes: [Node<_>; 2] = [start("orchard", 1, a), start("vineyard", 2, b)];
        for node in nodes {
            let mut status = node.watch();
            let refused = status.wait_for(|status| status.connections[0].refusal.is_some()).await;
            let refusal = refused.expect("it runs").connections[0].refusal.clone().expect("there is one");
            assert_eq!(refusal.kind, PeerRefusalKind::Cluster);
            assert!(refusal.reason.contains("\"orchard\"") && refusal.reason.contains("\"vineyard\""));
            tokio::time::sleep(Duration::from_secs(2)).await; // several further attempts
            let notes = node.status().notes;
            assert_eq!(notes.iter().filter(|note| note.contains("vineyard")).count(), 1, "{notes:?}");
        }
    });
}
