//! What is durable before it is spoken of, and what a restart finds.

use bytes::Bytes;
use consensus_api::{
    Effects, Engine, Entry, Event, FlowLimits, Generation, Index, Membership, NodeId, Op, Outcome, Outline,
    ReadRound, Role, Setup, StartError, Time, WriteSeq,
};
use quorate_raft::{Body, Candidacy, Options, Raft, Term};
use testkit::protocol::timing;

use crate::Cluster;
use crate::logs::{hard_state, leader_of, log_of};
use crate::packets::{inject, is_append, is_granted_vote, is_vote_request};

const ASK: Body = Body::RequestVote { candidacy: Candidacy::Open, last: Index(0), last_term: Term(0) };

/// jraft#1241, jraft#1243: as long as the vote is not durable, nothing says that it was given.
#[test]
fn a_vote_that_is_not_durable_is_never_heard_of() {
    let mut cluster = Cluster::new(3);
    inject(&mut cluster, 2, 1, 1, ASK, &[]);
    assert!(cluster.packets.is_empty());
    cluster.crash(1);
    cluster.restart(1);
    inject(&mut cluster, 3, 1, 1, ASK, &[]);
    cluster.complete_writes(1);
    let votes = cluster.take(is_granted_vote);
    assert_eq!(votes.len(), 1, "the lost vote bound nobody");
    assert_eq!(votes[0].to, 3);
}

/// hashicorp/raft#661: term and vote are one write, so no crash can part them.
#[test]
fn a_vote_survives_a_crash_together_with_its_term() {
    let mut cluster = Cluster::new(3);
    inject(&mut cluster, 2, 1, 7, ASK, &[]);
    assert!(cluster.complete_write(1), "the first write is the only one");
    assert!(!cluster.complete_write(1));
    assert_eq!(cluster.take(is_granted_vote).len(), 1);
    cluster.crash(1);
    cluster.restart(1);
    assert_eq!(cluster.round(1), 7);
    inject(&mut cluster, 3, 1, 7, ASK, &[]);
    cluster.complete_writes(1);
    assert!(cluster.take(is_granted_vote).is_empty(), "no second vote in the term");
    inject(&mut cluster, 2, 1, 7, ASK, &[]);
    assert_eq!(cluster.take(is_granted_vote).len(), 1, "the same answer to the same candidate");
}

/// jraft#1245: a candidate asks for votes once its own is durable, and counts it only then.
#[test]
fn no_request_for_votes_leaves_before_the_own_vote_is_durable() {
    let mut cluster = Cluster::new(3);
    cluster.fire(1);
    cluster.deliver_only(|packet| packet.from == 1);
    cluster.deliver_only(|packet| packet.to == 1);
    assert_eq!((cluster.role(1), cluster.round(1)), (Role::Candidate, 1));
    assert!(cluster.packets.is_empty());
    cluster.complete_writes(1);
    assert_eq!(cluster.take(is_vote_request).len(), 2);
    assert_eq!(cluster.role(1), Role::Candidate, "its own vote is no quorum");

    let mut cluster = Cluster::new(1);
    cluster.fire(1);
    assert_eq!(cluster.role(1), Role::Candidate);
    cluster.complete_writes(1);
    assert_eq!(cluster.role(1), Role::Leader);
}

/// raft-java#57: a term that was begun is never begun again.
#[test]
fn a_term_begun_by_a_timeout_survives_a_restart() {
    let mut cluster = Cluster::new(3);
    cluster.fire(1);
    cluster.deliver_only(|_| true);
    cluster.deliver_only(|_| true);
    cluster.complete_writes(1);
    assert_eq!(cluster.round(1), 1);
    cluster.restart(1);
    assert_eq!(cluster.round(1), 1);
}

/// Patterns of Distributed Systems, "Write-Ahead Log": decide in memory, answer when it is durable.
#[test]
fn entries_are_acknowledged_once_they_are_durable() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1);
    cluster.deliver_only(is_append);
    assert_eq!(cluster.last(2), 2);
    assert!(cluster.packets.is_empty());
    cluster.complete_writes(2);
    assert_eq!(cluster.packets.len(), 1);
    assert!(matches!(cluster.packets[0].message.body, Body::Accepted { matched: Index(2), .. }));
}

/// An acknowledgement that waits for the disk while the term moves on does not leave: what it says may be replaced.
#[test]
fn an_acknowledgement_of_an_earlier_term_never_leaves() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1);
    cluster.deliver_only(is_append);
    let heartbeat =
        Body::Heartbeat { commit: Index::ZERO, commit_generation: Generation::ZERO, round: ReadRound(0) };
    inject(&mut cluster, 3, 2, 2, heartbeat, &[]);
    cluster.drop_all();
    cluster.complete_writes(2);
    assert!(cluster.packets.is_empty());
}

/// etcd#14370: a leader counts itself by what its own disk has confirmed; alone, that is all there is.
#[test]
fn a_cluster_of_one_commits_nothing_before_its_disk_has_it() {
    let mut cluster = Cluster::new(1);
    cluster.fire(1);
    cluster.settle();
    let proposal = cluster.propose(1);
    assert_eq!(cluster.commit(1), 1);
    cluster.crash(1);
    cluster.restart(1);
    cluster.fire(1);
    cluster.settle();
    let lost = cluster.committed.values().all(|entry| entry.proposal != proposal);
    assert!(lost, "what was never durable was never committed");
    cluster.propose(1);
    cluster.complete_writes(1);
    assert_eq!(cluster.commit(1), 3);
}

/// Thesis, section 10.2.1: the others' disks are a quorum too.
#[test]
fn an_entry_may_be_committed_before_the_leaders_own_disk_has_it() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.hung.insert(1);
    cluster.propose(1);
    cluster.settle();
    assert_eq!(cluster.commit(1), 2);
    let mut pair = Cluster::new(2);
    pair.elect(1);
    pair.hung.insert(1);
    pair.propose(1);
    pair.settle();
    assert_eq!(pair.commit(1), 1, "one follower of two members is none");
}

/// etcd-io/raft#8; here the disk finishes three writes of one entry, of three terms, late and in order. Only the last
/// speaks of what the log holds.
#[test]
fn late_completions_of_replaced_writes_prove_nothing() {
    let mut cluster = Cluster::new(7);
    let founders = cluster.founders.clone();
    cluster.add(1, log_of(10, 1, &[1], &founders));
    let noop = |term: u64| Entry::noop(Generation::new(term, NodeId(term + 1)), Index(12));
    let append = Body::Append {
        prev: Index(11),
        prev_generation: leader_of(1),
        commit: Index::ZERO,
        round: ReadRound(0),
    };
    inject(&mut cluster, 2, 1, 1, append, &[noop(1)]);
    inject(&mut cluster, 3, 1, 2, append, &[noop(2)]);
    let heartbeat =
        Body::Heartbeat { commit: Index::ZERO, commit_generation: Generation::ZERO, round: ReadRound(0) };
    inject(&mut cluster, 4, 1, 3, heartbeat, &[]);
    cluster.drop_all();
    inject(&mut cluster, 4, 1, 3, append, &[noop(3)]);
    for term in [1, 2, 2] {
        cluster.complete_write(1);
        assert!(cluster.packets.is_empty(), "nothing of an earlier term is acknowledged");
        let on_disk = cluster.member(1).disk.durable().entries()[&Index(12)].generation.round;
        assert_eq!(on_disk, term);
    }
    cluster.complete_write(1);
    assert_eq!(cluster.packets.len(), 1);
    assert_eq!(cluster.packets[0].to, 4);
    assert!(matches!(cluster.packets[0].message.body, Body::Accepted { matched: Index(12), .. }));
}

/// etcd's hard state could be ahead of the entries (tikv#10078); here a watermark beyond the log is cut to it.
#[test]
fn a_watermark_beyond_the_log_is_no_commit_index() {
    let mut cluster = Cluster::new(3);
    let mut image = log_of(10, 1, &[1, 1], &cluster.founders);
    image.write([Op::Watermark(Index(99))].into_iter().collect());
    cluster.add(1, image);
    assert_eq!(cluster.commit(1), 12);
    cluster.add(2, log_of(10, 1, &[1, 1], &cluster.founders.clone()));
    assert_eq!(cluster.commit(2), 10, "the snapshot at least is committed");
}

/// The watermark comes along with other writes, seldom, and never before the entries it speaks of.
#[test]
fn a_restart_starts_from_a_recent_watermark() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    for _ in 0..200 {
        cluster.propose(1);
        cluster.settle();
    }
    for id in 1..=3 {
        cluster.restart(id);
        assert!(cluster.commit(id) >= 201 - 65, "node {id} restarts from {}", cluster.commit(id));
    }
}

/// redpanda#3003, RATIS-2154: what a deposed leader had accepted is settled, not answered by whatever takes its place.
#[test]
fn a_proposal_that_was_replaced_is_settled_as_lost() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let proposal = cluster.propose(1);
    let generation = Generation::new(1, NodeId(1));
    assert_eq!(cluster.member(1).proposals, [(proposal, Outcome::Accepted(generation))]);
    cluster.drop_all();
    cluster.fire(2);
    cluster.member_mut(3).now = cluster.member(2).now;
    cluster.settle_without(&[1]);
    assert_eq!(cluster.role(2), Role::Leader);
    cluster.propose(2);
    cluster.run_without(timing().heartbeat * 3, &[]);
    let (settled, commit) = *cluster.member(1).settled.last().expect("it hears of the later leader");
    assert!(settled > generation && commit >= Index(2));
    assert!(cluster.committed.values().all(|entry| entry.proposal != proposal));
}

/// Raft's log has no holes, its terms never fall, and none lies in the future: anything else is refused at start.
#[test]
fn a_log_that_no_raft_wrote_is_refused_in_words() {
    let cluster = Cluster::new(3);
    let sound = log_of(0, 3, &[1, 2, 3], &cluster.founders);
    let cut = |ops: Vec<Op>| {
        let mut image = sound.clone();
        image.write(ops.into_iter().collect());
        image.outline().clone()
    };
    let noop = |term, index| Op::Put(Entry::noop(leader_of(term), Index(index)));
    let cases = [
        (cut(vec![noop(3, 5)]), "entry 4 is missing"),
        (cut(vec![noop(2, 4)]), "the term falls at entry 4"),
        (cut(vec![noop(4, 4)]), "later term than t3"),
        (cut(vec![Op::HardState(Bytes::from_static(b"??"))]), "term and vote cannot be read"),
        (cut(vec![Op::Compact { upto: Index(2), generation: leader_of(2) }]), "are compacted"),
    ];
    for (outline, problem) in cases {
        let StartError::Log { problem: found, .. } = recover(&outline).expect_err(problem) else {
            panic!("another error than that {problem}");
        };
        assert!(found.contains(problem), "{found}");
    }
    assert!(recover(sound.outline()).is_ok());
    assert!(recover(&cut(vec![hard_state(9, Some(2))])).is_ok());
}

fn recover(outline: &Outline) -> Result<Raft, StartError> {
    let setup = Setup {
        node: NodeId(1),
        founders: Membership::of_voters((1..=3).map(NodeId)).expect("a few members"),
        now: Time::ZERO,
        seed: 1,
        timing: timing(),
        flow: FlowLimits::default(),
        options: Options::default(),
    };
    Raft::recover(setup, outline)
}

/// The same state, event and seed: the same effects; and time and dice do not show in the fingerprint.
#[test]
fn an_engine_is_a_function_of_its_inputs() {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let fingerprint = |raft: &Raft| {
        let mut hasher = DefaultHasher::new();
        raft.hash(&mut hasher);
        hasher.finish()
    };
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let before = cluster.engine(1).clone();
    let entry = cluster.entry(1);
    let run = |later: u64| {
        let (mut raft, mut effects) = (before.clone(), Effects::new());
        let now = Time(cluster.member(1).now.0 + later);
        raft.step(now, Event::Propose(entry.clone()), &mut effects);
        raft.step(now, Event::Durable(WriteSeq(1)), &mut effects);
        (fingerprint(&raft), effects.sends.clone(), effects.take_batch())
    };
    assert_eq!(run(0), run(0));
    assert_eq!(run(0).0, run(1_000_000).0);
    assert_ne!(run(0).0, fingerprint(&before));
}
