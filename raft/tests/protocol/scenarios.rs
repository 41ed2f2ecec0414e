//! Longer stories, each with an exact outcome, after those that etcd-io/raft keeps as transcripts.

use consensus_api::{Engine, Index, NodeId, Role};
use quorate_raft::{Body, Candidacy, Term};
use testkit::protocol::timing;

use crate::Cluster;
use crate::logs::log_of;
use crate::packets::{Packet, inject, is_append, is_granted_vote, is_heartbeat};

/// Thesis, figure 3.6 (the Raft paper's figure 7), probe_and_replicate: six followers, each astray in a way of its own.
#[test]
fn a_new_leader_brings_six_stray_logs_in_line_with_one_refusal_each() {
    let mut cluster = Cluster::new(7);
    let founders = cluster.founders.clone();
    let logs: [&[u64]; 7] = [
        &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6],
        &[1, 1, 1, 4, 4, 5, 5, 6, 6],
        &[1, 1, 1, 4],
        &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
        &[1, 1, 1, 4, 4, 5, 5, 6, 7, 7, 7, 7],
        &[1, 1, 1, 4, 4, 4, 4],
        &[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
    ];
    for (id, terms) in (1..).zip(logs) {
        cluster.add(id, log_of(10, 7, terms, &founders));
    }
    cluster.fire(1);
    cluster.deliver_only(|_| true);
    cluster.deliver_only(|_| true);
    cluster.complete_all_writes();
    assert_eq!(cluster.round(1), 8);
    cluster.deliver_only(|_| true);
    cluster.complete_all_writes();
    let mut voters: Vec<u64> =
        cluster.packets.iter().filter(|packet| is_granted_vote(packet)).map(|packet| packet.from).collect();
    voters.sort_unstable();
    assert_eq!(voters, [2, 3, 6, 7], "4 and 5 have newer logs");
    cluster.deliver_only(|packet| packet.to == 1);
    assert_eq!((cluster.role(1), cluster.last(1)), (Role::Leader, 21));
    cluster.complete_all_writes();

    let probes = cluster.deliver_only(is_append);
    assert!(probes.iter().all(|packet| packet.entries.len() == 1 && prev(packet) == 20));
    cluster.complete_all_writes();
    let mut hints: Vec<(u64, u64)> = cluster.packets.iter().filter_map(hint).collect();
    hints.sort_unstable();
    assert_eq!(hints, [(2, 19), (3, 14), (5, 18), (6, 17), (7, 20)], "4 takes the entry at once");
    cluster.deliver_only(|packet| packet.to == 1);
    let mut retries: Vec<(u64, u64)> = cluster
        .packets
        .iter()
        .filter(|packet| is_append(packet))
        .map(|packet| (packet.to, prev(packet)))
        .collect();
    retries.sort_unstable();
    assert_eq!(retries, [(2, 19), (3, 14), (5, 18), (6, 15), (7, 13)]);
    assert_eq!(cluster.commit(1), 10, "two of seven");
    cluster.deliver_only(is_append);
    cluster.complete_all_writes();
    assert!(cluster.packets.iter().all(|packet| hint(packet).is_none()), "at most one refusal each");
    cluster.settle();
    for id in 1..=7 {
        assert_eq!(cluster.rounds(id), [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 8], "node {id}");
        assert_eq!(cluster.commit(id), 21);
    }
}

fn prev(packet: &Packet) -> u64 {
    if let Body::Append { prev, .. } = packet.message.body { prev.0 } else { u64::MAX }
}

fn hint(packet: &Packet) -> Option<(u64, u64)> {
    if let Body::Rejected { hint, .. } = packet.message.body { Some((packet.from, hint.0)) } else { None }
}

/// checkquorum: while there is a leader nobody gets a vote; a leader without answers steps down in its own term; and
/// what it said before brings it up to date.
#[test]
fn a_leader_is_not_deposed_while_it_lives_and_steps_down_when_it_is_alone() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    assert_eq!(cluster.round(1), 1);
    let ask =
        |term| (term, Body::RequestVote { candidacy: Candidacy::Open, last: Index(9), last_term: Term(1) });
    // Node 2 stands in term 2: both others have a leader.
    for to in [1, 3] {
        let (term, body) = ask(2);
        inject(&mut cluster, 2, to, term, body, &[]);
    }
    assert!(cluster.packets.is_empty());
    assert_eq!((cluster.round(1), cluster.round(3)), (1, 1));
    // Nobody answers node 1 for two election timeouts.
    let mut heartbeats = Vec::new();
    for _ in 0..(2 * timing().election_timeout_max.as_millis() / timing().heartbeat.as_millis()) {
        if cluster.role(1) == Role::Leader {
            cluster.fire(1);
            heartbeats.extend(cluster.take(is_heartbeat));
        }
    }
    assert_eq!((cluster.role(1), cluster.round(1)), (Role::Follower, 1));
    // Node 2 has meanwhile reached term 2, and says so to the late heartbeats.
    let (term, body) = ask(2);
    cluster.member_mut(2).now = cluster.engine(2).deadline();
    inject(&mut cluster, 3, 2, term, body, &[]);
    cluster.complete_writes(2);
    cluster.drop_all();
    assert_eq!(cluster.round(2), 2);
    heartbeats.iter().filter(|packet| packet.to == 2).for_each(|packet| cluster.deliver(packet));
    cluster.deliver_only(|packet| packet.to == 1);
    assert_eq!(cluster.round(1), 2);
    // Node 2 stands in term 3: node 1 votes for it, node 3, whose clock stood still, has a leader yet.
    cluster.fire(2);
    cluster.settle_without(&[3]);
    assert_eq!((cluster.role(2), cluster.round(2), cluster.round(3)), (Role::Leader, 3, 1));
    let (term, body) = ask(4);
    inject(&mut cluster, 1, 3, term, body, &[]);
    assert_eq!(cluster.round(3), 1);
    cluster.run_without(timing().heartbeat * 2, &[]);
    assert_eq!(cluster.engine(3).standing().leader, Some(NodeId(2)));
    assert_eq!(cluster.rounds(3), cluster.rounds(2));
}
