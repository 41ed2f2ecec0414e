//! How entries reach the others, and what happens when they do not.

use std::time::Duration;

use bytes::Bytes;
use consensus_api::{
    Engine, Entry, EntryKind, Event, FlowLimits, Generation, Index, Lane, Message as _, NodeId, Outcome,
    ReadRound, Refusal, Role,
};
use quorate_raft::{Body, Term};
use testkit::protocol::timing;

use crate::Cluster;
use crate::logs::{leader_of, log_of};
use crate::packets::{inject, is_append, is_heartbeat};

fn limits(frames: usize, bytes: usize) -> FlowLimits {
    FlowLimits { inflight_frames_max: frames, inflight_bytes_max: bytes, frame_bytes_max: 1 << 20 }
}

fn limited(count: u64, limits: FlowLimits) -> Cluster {
    let mut cluster = Cluster::new(count);
    cluster.limits = limits;
    (1..=count).for_each(|id| cluster.restart(id));
    cluster.elect(1);
    cluster
}

#[test]
fn only_a_leader_takes_proposals() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let proposal = cluster.propose(2);
    assert_eq!(cluster.member(2).proposals, [(proposal, Outcome::Refused(Refusal::NotLeader))]);
    let proposal = cluster.propose(1);
    let accepted = Outcome::Accepted(Generation::new(1, NodeId(1)));
    assert_eq!(cluster.member(1).proposals, [(proposal, accepted)]);
}

/// Entries go out ahead of their acknowledgement; while the window is full they gather, and the next frame takes all.
#[test]
fn entries_gather_while_the_window_is_full() {
    let mut cluster = limited(3, limits(2, 1 << 20));
    cluster.propose_many(1, 10);
    let frames = cluster.take(|packet| packet.to == 2);
    assert_eq!(frames.iter().map(|packet| packet.entries.len()).collect::<Vec<_>>(), [1, 1]);
    cluster.deliver(&frames[0]);
    cluster.complete_writes(2);
    cluster.deliver_only(|packet| packet.to == 1);
    let frames = cluster.take(|packet| packet.to == 2 && is_append(packet));
    assert_eq!(frames.iter().map(|packet| packet.entries.len()).collect::<Vec<_>>(), [8]);
}

#[test]
fn the_window_is_limited_in_bytes_and_a_large_entry_still_goes() {
    let record = Cluster::new(1).entry(1).record_len();
    let mut cluster = limited(2, limits(100, record * 3));
    cluster.propose_many(1, 10);
    assert_eq!(cluster.take(is_append).len(), 3);
    assert_eq!(cluster.progress(1, 2).inflight_bytes, record * 3);
    let mut cluster = limited(2, limits(100, 1));
    cluster.propose(1);
    cluster.propose(1);
    assert_eq!(cluster.take(is_append).len(), 1);
}

/// etcd e419ba5: going back and forth between probing and streaming leaves no byte behind in the accounts.
#[test]
fn the_window_is_empty_after_a_thousand_turns_of_probing_and_streaming() {
    let mut cluster = limited(2, limits(4, 1 << 20));
    for _ in 0..1000 {
        cluster.propose(1);
        cluster.propose(1);
        cluster.drop_all();
        cluster.step(1, Event::Unreachable(NodeId(2)));
        assert_eq!(cluster.progress(1, 2).inflight_bytes, 0);
        cluster.step(1, Event::Connected(NodeId(2)));
        cluster.settle();
        let progress = cluster.progress(1, 2);
        assert_eq!((progress.inflight_bytes, progress.matched), (0, Index(cluster.last(1))));
    }
}

/// etcd-io/raft, replicate_pause: a full window that was lost whole is found out with the next heartbeat, by exactly
/// one empty question.
#[test]
fn a_full_window_that_was_lost_recovers_with_one_heartbeat() {
    let mut cluster = Cluster::new(3);
    cluster.limits = limits(3, 1 << 20);
    let founders = cluster.founders.clone();
    for id in 1..=3 {
        cluster.add(id, log_of(10, 1, &[], &founders));
    }
    cluster.elect(1);
    assert_eq!(cluster.last(1), 11);
    cluster.propose_many(1, 3);
    cluster.settle_without(&[3]);
    cluster.propose_many(1, 3);
    cluster.settle_without(&[3]);
    let before = cluster.progress(1, 3);
    assert_eq!((before.matched, before.next), (Index(11), Index(15)));
    assert_eq!(cluster.commit(1), 17);

    cluster.fire(1);
    cluster.deliver_only(is_heartbeat);
    let heard = cluster.deliver_only(|packet| packet.to == 1);
    assert_eq!(heard.len(), 2);
    let asked = cluster.deliver_only(|packet| packet.to == 3 && is_append(packet));
    assert_eq!(asked.len(), 1);
    assert!(asked[0].entries.is_empty());
    assert!(matches!(asked[0].message.body, Body::Append { prev: Index(14), commit: Index(17), .. }));
    let answers = cluster.take(|packet| packet.from == 3);
    assert!(matches!(answers[0].message.body, Body::Rejected { hint: Index(11), .. }));
    answers.iter().for_each(|packet| cluster.deliver(packet));
    cluster.settle();
    for id in 1..=3 {
        assert_eq!(cluster.commit(id), 17);
    }
    assert_eq!(cluster.progress(1, 3).inflight_bytes, 0);
}

/// A peer that was reported unreachable streams again after one round of heartbeats.
#[test]
fn an_unreachable_peer_comes_back_within_one_heartbeat() {
    let mut cluster = limited(3, FlowLimits::default());
    cluster.step(1, Event::Unreachable(NodeId(3)));
    cluster.propose(1);
    assert!(cluster.take(|packet| packet.to == 3).is_empty(), "nothing is sent into the void");
    cluster.fire(1);
    cluster.settle();
    assert_eq!(cluster.progress(1, 3).matched, Index(2));
    cluster.propose(1);
    cluster.propose(1);
    assert_eq!(cluster.take(|packet| packet.to == 3 && is_append(packet)).len(), 2, "it streams");
}

/// Head-of-line blocking makes elections out of large entries: a heartbeat has a lane of its own, and goes whatever
/// the window or the disk are doing.
#[test]
fn heartbeats_never_wait_behind_entries() {
    let mut cluster = limited(3, limits(1, 1));
    cluster.propose(1);
    cluster.propose(1);
    assert!(cluster.take(is_append).iter().all(|packet| packet.message.lane() == Lane::Data));
    cluster.fire(1);
    let heartbeats = cluster.take(is_heartbeat);
    assert_eq!(heartbeats.len(), 2, "the window is full");
    assert!(heartbeats.iter().all(|packet| packet.message.lane() == Lane::Control));
    cluster.slow_readers.insert(1);
    cluster.step(1, Event::Unreachable(NodeId(2)));
    cluster.step(1, Event::Connected(NodeId(2)));
    cluster.fire(1);
    assert!(!cluster.take(is_heartbeat).is_empty(), "entries are being read from disk");
}

/// Entries that have to be read from disk are asked for again once they are there, and only once at a time.
#[test]
fn entries_that_are_on_disk_only_go_out_once_they_are_loaded() {
    let mut cluster = limited(2, FlowLimits::default());
    cluster.slow_readers.insert(1);
    cluster.propose_many(1, 5);
    assert!(cluster.packets.is_empty());
    assert_eq!(cluster.member(1).loading.len(), 1);
    cluster.slow_readers.clear();
    cluster.step(1, Event::Loaded { to: NodeId(2) });
    let frames = cluster.take(is_append);
    assert_eq!(frames.iter().map(|packet| packet.entries.len()).collect::<Vec<_>>(), [5]);
    cluster.step(1, Event::Loaded { to: NodeId(2) });
    assert!(cluster.packets.is_empty(), "an answer to nobody's question changes nothing");
}

/// Thesis, section 3.5, end: one refusal per conflicting term. yugabyte#32876: also with one entry to a message.
#[test]
fn a_conflicting_tail_costs_one_refusal_per_term() {
    let mut cluster = Cluster::new(3);
    cluster.limits.frame_bytes_max = 1;
    let founders = cluster.founders.clone();
    let long: Vec<u64> = [1].into_iter().chain([2; 40]).chain([4; 40]).chain([6; 40]).collect();
    let conflicting: Vec<u64> = [1].into_iter().chain([3; 40]).chain([5; 40]).collect();
    cluster.add(1, log_of(0, 6, &long, &founders));
    cluster.add(2, log_of(0, 6, &long, &founders));
    cluster.add(3, log_of(0, 6, &conflicting, &founders));
    cluster.member_mut(2).now = cluster.engine(1).deadline();
    cluster.fire(1);
    let mut refusals = 0;
    while !cluster.packets.is_empty() {
        let packets = cluster.deliver_only(|_| true);
        refusals +=
            packets.iter().filter(|packet| matches!(packet.message.body, Body::Rejected { .. })).count();
        cluster.complete_all_writes();
    }
    assert!(refusals <= 3, "{refusals} refusals");
    assert_eq!(cluster.rounds(3), cluster.rounds(1));
}

/// An old message must not cut short what newer ones brought.
#[test]
fn a_message_that_arrives_again_or_late_truncates_nothing() {
    let mut cluster = limited(3, FlowLimits::default());
    cluster.propose_many(1, 3);
    let frames = cluster.take(|packet| packet.to == 2 && is_append(packet));
    frames.iter().for_each(|packet| cluster.deliver(packet));
    assert_eq!(cluster.last(2), 4);
    frames.iter().rev().chain(&frames).for_each(|packet| cluster.deliver(packet));
    assert_eq!(cluster.last(2), 4);
    cluster.settle();
    assert_eq!(cluster.commit(1), 4);
}

/// hashicorp/raft#695: heartbeats between any two steps of replication leave the logs alone.
#[test]
fn heartbeats_between_all_steps_of_replication_do_no_harm() {
    let mut cluster = limited(3, FlowLimits::default());
    let generation = Generation::new(1, NodeId(1));
    for _ in 0..5 {
        cluster.propose(1);
        while !cluster.packets.is_empty() {
            for packet in cluster.take(|_| true) {
                let round = ReadRound(0);
                let heartbeat = Body::Heartbeat { commit: Index(1), commit_generation: generation, round };
                if packet.to != 1 {
                    inject(&mut cluster, 1, packet.to, 1, heartbeat, &[]);
                }
                cluster.deliver(&packet);
                cluster.packets.retain(|packet| !matches!(packet.message.body, Body::Heard { .. }));
            }
            cluster.complete_all_writes();
        }
        cluster.fire(1);
    }
    cluster.settle();
    assert_eq!([1, 2, 3].map(|id| cluster.commit(id)), [6, 6, 6]);
}

/// A frame that is no leader's (a gap, a term that falls, one from the future) is not taken in part or in whole.
#[test]
fn malformed_entries_are_not_taken() {
    let noop = |term, index| Entry::noop(leader_of(term), Index(index));
    let cases = [
        vec![noop(2, 2)],
        vec![noop(2, 1), noop(2, 3)],
        vec![noop(2, 1), noop(1, 2)],
        vec![noop(9, 1)],
        vec![Entry { kind: EntryKind::Membership, body: Bytes::from_static(b"?"), ..noop(2, 1) }],
    ];
    for entries in cases {
        let mut cluster = Cluster::new(3);
        let append = Body::Append {
            prev: Index::ZERO,
            prev_generation: Generation::ZERO,
            commit: Index(9),
            round: ReadRound(0),
        };
        inject(&mut cluster, 1, 2, 2, append, &entries);
        assert_eq!((cluster.last(2), cluster.commit(2)), (0, 0));
        assert!(cluster.packets.is_empty());
    }
}

/// openraft's stale acknowledgement: what was acknowledged to an earlier leadership says nothing to a later one of the
/// same member, whose followers' logs may have been cut in between. Nor does it confirm a read.
#[test]
fn answers_to_an_earlier_leadership_count_for_nothing() {
    let mut cluster = limited(3, FlowLimits::default());
    cluster.propose_many(1, 3);
    cluster.read(1, 1);
    cluster.deliver_only(|packet| packet.to == 2);
    cluster.complete_writes(2);
    let answers = cluster.take(|packet| packet.from == 2);
    assert!(
        answers.iter().any(|packet| matches!(packet.message.body, Body::Accepted { matched: Index(4), .. }))
    );
    cluster.drop_all();
    // Node 1 loses what was not durable, and leads again, with node 2 out of reach.
    cluster.restart(1);
    let later = cluster.member(3).now + timing().election_timeout_max;
    cluster.member_mut(3).now = later;
    cluster.fire(1);
    cluster.settle_without(&[2]);
    cluster.propose_many(1, 5);
    assert_eq!((cluster.role(1), cluster.round(1)), (Role::Leader, 2));
    cluster.read(1, 2);
    let before = cluster.progress(1, 2);
    cluster.drop_all();
    answers.iter().for_each(|packet| cluster.deliver(packet));
    assert_eq!(cluster.progress(1, 2), before);
    assert_eq!(cluster.answer(1, 2), None);
}

/// A refusal that arrives again is an answer to an earlier question.
#[test]
fn a_refusal_that_arrives_twice_is_acted_on_once() {
    let mut cluster = limited(3, FlowLimits::default());
    cluster.propose_many(1, 3);
    cluster
        .packets
        .retain(|packet| packet.to != 3 || !is_append(packet) || packet.entries[0].index > Index(2));
    cluster.deliver_only(is_append);
    let refusals = cluster.take(|packet| matches!(packet.message.body, Body::Rejected { .. }));
    assert!(refusals.len() >= 2);
    cluster.drop_all();
    for _ in 0..3 {
        refusals.iter().for_each(|packet| cluster.deliver(packet));
    }
    let retries = cluster.take(|packet| packet.to == 3 && is_append(packet));
    assert_eq!(retries.len(), 1);
    assert_eq!(retries[0].entries.len(), 3);
}

/// An answer that no sound peer gives leaves the leader where it was.
#[test]
fn absurd_answers_change_nothing() {
    let mut cluster = limited(3, FlowLimits::default());
    cluster.propose(1);
    let (max, round) = (Index(u64::MAX), ReadRound(u64::MAX));
    inject(&mut cluster, 2, 1, 1, Body::Accepted { matched: max, round }, &[]);
    inject(
        &mut cluster,
        2,
        1,
        1,
        Body::Rejected { prev: max, hint: max, hint_term: Term(u64::MAX), round },
        &[],
    );
    inject(
        &mut cluster,
        2,
        1,
        1,
        Body::Rejected { prev: Index(0), hint: Index(0), hint_term: Term(0), round },
        &[],
    );
    inject(&mut cluster, 1, 1, 1, Body::Heard { round, priority: 0 }, &[]);
    assert_eq!(cluster.commit(1), 1);
    cluster.run_without(timing().heartbeat * 3, &[]);
    assert_eq!(cluster.commit(3), 2);
}

/// Thesis, section 6.2: a leader that nobody answers steps down, in its own term, and refuses what it held.
#[test]
fn a_leader_cut_off_from_the_others_steps_down_in_its_own_term() {
    let mut cluster = limited(3, FlowLimits::default());
    cluster.propose(1);
    cluster.read(1, 1);
    cluster.run_without(timing().election_timeout_min + Duration::from_millis(150), &[1]);
    assert_ne!(cluster.role(1), Role::Leader);
    assert_eq!(cluster.round(1), 1);
    assert_eq!(cluster.answer(1, 1), Some(Err(Refusal::NotLeader)));
    assert_eq!(cluster.engine(1).standing().leader, None);
}
