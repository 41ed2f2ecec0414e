//! What a new leader makes of what earlier ones left.

use consensus_api::{
    Engine, Entry, EntryKind, FlowLimits, Generation, Index, Membership, NodeId, ReadRound, Role,
};
use quorate_paxos::{Body, Options, Tidings};

use crate::multi::{Ballots, Cluster, ballot, is_accept, is_prepare, is_promise, log_of, timing, value};

/// Node 1 is to lead a cluster of three, with so many promises, in which these stand in the logs: (node, slot, ballot).
fn left_behind(promises: usize, logs: &[(u64, u64, Generation)]) -> (Cluster, Vec<Entry>) {
    let mut options = Options::default();
    options.phase_1_quorum = Some(promises);
    let mut cluster = Cluster::with_options(
        Membership::of_voters([1, 2, 3].map(NodeId)).expect("a few members"),
        options,
        1,
    );
    let entries: Vec<Entry> = logs.iter().map(|(_, slot, ballot)| cluster.placed(*slot, *ballot)).collect();
    let promised = entries.iter().map(|entry| entry.generation).max().unwrap_or_default();
    for id in 1..=3 {
        let held = logs.iter().zip(&entries).filter(|((node, ..), _)| *node == id);
        let held: Vec<Entry> = held.map(|(_, entry)| entry.clone()).collect();
        cluster.add(id, log_of(promised, &held));
    }
    (cluster, entries)
}

/// frankenpaxos' CASPaxos leader takes the value of the *lowest* round, under a comment that says the largest.
#[test]
fn of_two_values_the_one_of_the_higher_ballot_is_taken_up_in_either_order() {
    for order in [[2, 3], [3, 2]] {
        let (mut cluster, entries) = left_behind(3, &[(2, 1, ballot(3, 2)), (3, 1, ballot(5, 3))]);
        cluster.begin_ballot(1);
        for _ in 0..3 {
            for id in order {
                cluster.deliver_only(|packet| packet.to == id);
                cluster.complete_writes(id);
                cluster.deliver_only(|packet| packet.from == id && packet.to == 1);
            }
        }
        cluster.settle();
        assert_eq!(cluster.held(1, 1).map(value), Some(value(&entries[1])));
        assert_eq!(cluster.shape(1), "Cn");
    }
}

/// OCons PR #21 merged logs as wholes. What counts is the ballot at each slot, not which log is longer or newer.
#[test]
fn values_are_chosen_slot_by_slot_and_not_log_by_log() {
    let mut logs = vec![(2, 9, ballot(2, 2))];
    logs.extend((5..=8).map(|slot| (3, slot, ballot(4, 3))));
    logs.extend((5..=6).map(|slot| (2, slot, ballot(2, 2))));
    let (mut cluster, entries) = left_behind(3, &logs);
    cluster.elect(1);
    for (slot, entry) in [(9, 0), (5, 1), (6, 2), (7, 3), (8, 4)] {
        assert_eq!(cluster.held(1, slot).map(value), Some(value(&entries[entry])), "slot {slot}");
    }
    assert_eq!((cluster.shape(1).as_str(), cluster.commit(1)), ("nnnnCCCCCn", 10));
}

/// paxi has `TODO nil gap?` here: the log would stop for ever at the hole.
#[test]
fn a_hole_left_by_a_lost_accept_becomes_a_no_op() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1);
    cluster.settle();
    // Slot 3 reaches nobody; slot 4 reaches all.
    cluster.propose(1);
    cluster.take(is_accept);
    cluster.propose(1);
    cluster.deliver_only(is_accept);
    cluster.complete_writes(2);
    cluster.complete_writes(3);
    cluster.drop_all();
    assert_eq!(cluster.shape(2), "nC.C");
    cluster.crash(1);
    cluster.elect_without(2, &[1]);
    cluster.settle_without(&[1]);
    assert_eq!((cluster.shape(2).as_str(), cluster.commit(2)), ("nCnCn", 5));
    // The old leader comes back with what it had at slot 3, which was not chosen.
    cluster.restart(1);
    cluster.run(timing().heartbeat * 4);
    assert_eq!((cluster.shape(1).as_str(), cluster.commit(1)), ("nCnCn", 5));
}

/// paxi's acceptor skips committed and compacted slots in its report, and a new leader then fills them anew.
#[test]
fn what_is_chosen_and_compacted_is_reported_as_chosen_and_not_as_empty() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose_many(1, 4);
    cluster.settle_without(&[3]);
    cluster.snapshot(2, 0);
    cluster.complete_writes(2);
    assert_eq!((cluster.commit(2), cluster.shape(3).as_str()), (5, "n"));
    cluster.crash(1);
    cluster.wait_long();
    cluster.fire(3);
    cluster.settle_without(&[1]);
    assert_eq!(cluster.shape(3), "n....n", "it proposes nothing there; its barrier lies above");
    assert_eq!(cluster.commit(3), 1);
    assert!(cluster.member(3).snapshots_needed.is_empty());
    assert!(cluster.member(2).snapshots_needed.contains(&3));
    cluster.carry_snapshot(2, 3);
    cluster.settle_without(&[1]);
    assert_eq!((cluster.role(3), cluster.commit(3)), (Role::Leader, 6));
}

/// frankenpaxos: `nextSlot = maxSlot + 1` with nothing open and everything trimmed starts at 0.
#[test]
fn the_first_free_slot_lies_above_all_that_is_chosen() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose_many(1, 9);
    cluster.settle();
    cluster.run(timing().heartbeat * 2);
    for id in 1..=3 {
        cluster.snapshot(id, 0);
    }
    cluster.settle();
    assert_eq!(cluster.engine(2).accepted_at(Index(10)), None);
    cluster.elect(2);
    cluster.propose(2);
    cluster.settle();
    assert_eq!((cluster.last(2), cluster.commit(2)), (12, 12));
}

/// Recovered values beyond the window: the window slides, and no slot goes to a client that was not looked at.
#[test]
fn no_slot_is_free_before_all_that_was_left_is_taken_up() {
    let options = {
        let mut options = Options::default();
        options.window_entries_max = 2;
        options
    };
    let mut cluster = Cluster::with_options(
        Membership::of_voters([1, 2, 3].map(NodeId)).expect("a few members"),
        options,
        1,
    );
    let entries: Vec<Entry> =
        [2, 5, 6, 9].into_iter().map(|slot| cluster.placed(slot, ballot(1, 2))).collect();
    cluster.add(2, log_of(ballot(1, 2), &entries));
    cluster.wait_long();
    cluster.fire(1);
    let mut rounds = 0;
    while cluster.role(1) != Role::Leader {
        assert!(cluster.last(1) <= cluster.commit(1) + 2, "no more than the window is open");
        cluster.deliver_only(|packet| packet.to != 3);
        cluster.complete_all_writes();
        cluster.propose(1); // refused until it serves
        rounds += 1;
        assert!(rounds < 100, "it never gets there");
    }
    cluster.settle();
    cluster.propose(1);
    cluster.settle();
    assert_eq!(cluster.shape(1), "nCnnCCnnCnCC");
    for entry in &entries {
        assert_eq!(cluster.held(1, entry.index.0).map(value), Some(value(entry)));
    }
}

/// Copies of a promise elect nobody, nor do promises of an earlier ballot.
#[test]
fn voters_are_counted_and_not_their_answers() {
    let mut cluster = Cluster::new(5);
    let first = cluster.begin_ballot(1);
    cluster.deliver_only(|packet| is_prepare(packet) && packet.to == 2);
    cluster.drop_all();
    cluster.complete_writes(2);
    let promise = cluster.take(is_promise).remove(0);
    for _ in 0..5 {
        cluster.deliver(&promise);
    }
    assert_eq!((cluster.role(1), cluster.last(1)), (Role::Candidate, 0));
    cluster.inject(4, 1, ballot(first.round, 4), promise.message.body, &[]);
    cluster.inject(5, 1, ballot(0, 1), promise.message.body, &[]);
    assert_eq!((cluster.role(1), cluster.last(1)), (Role::Candidate, 0), "of other ballots");
}

/// The own log counts like any other, and is read like any other: a value that only the new leader holds is taken up.
#[test]
fn a_value_that_only_the_new_leader_holds_is_taken_up() {
    for slow in [false, true] {
        let (mut cluster, entries) = left_behind(2, &[(1, 2, ballot(1, 2))]);
        if slow {
            cluster.slow_readers.insert(1);
        }
        cluster.wait_long();
        cluster.fire(1);
        cluster.settle_without(&[3]);
        for _ in 0..4 {
            cluster.load(1);
            cluster.slow_readers.clear();
            cluster.settle_without(&[3]);
        }
        assert_eq!(cluster.shape(1), "nCn");
        assert_eq!(cluster.held(1, 2).map(value), Some(value(&entries[0])));
    }
}

/// restate #2478: the whole open log in one message. Here a report comes in frames, pulled one by one, and no more of it
/// is held than the limit says.
#[test]
fn a_long_report_comes_in_frames_of_bounded_size() {
    let mut cluster = Cluster::new(3);
    let entries: Vec<Entry> = (1..=100).map(|slot| cluster.placed(slot, ballot(1, 2))).collect();
    cluster.limits = FlowLimits { inflight_frames_max: 2, inflight_bytes_max: 1000, frame_bytes_max: 300 };
    for id in 1..=3 {
        let held: &[Entry] = if id == 2 { &entries } else { &[] };
        cluster.add(id, log_of(ballot(1, 2), held));
    }
    cluster.wait_long();
    cluster.fire(1);
    let mut reports = 0;
    for _ in 0..400 {
        reports += cluster.packets.iter().filter(|packet| is_promise(packet) && packet.to == 1).count();
        let bytes =
            |packet: &crate::multi::Packet| packet.entries.iter().map(Entry::record_len).sum::<usize>();
        assert!(cluster.packets.iter().all(|packet| bytes(packet) <= 300));
        cluster.deliver_only(|packet| packet.to != 3);
        cluster.complete_all_writes();
        cluster.pass(std::time::Duration::from_millis(1));
    }
    assert!(reports > 30, "{reports} frames");
    assert_eq!((cluster.role(1), cluster.commit(1)), (Role::Leader, 101));
    assert!((1..=100).all(|slot| cluster.held(1, slot).map(|entry| entry.kind) == Some(EntryKind::Commands)));
}

/// A part of a report that was read before the log changed says nothing, and is asked for again.
#[test]
fn a_report_that_is_not_what_it_says_is_as_good_as_lost() {
    let (mut cluster, entries) = left_behind(2, &[(2, 1, ballot(3, 2))]);
    let mine = cluster.begin_ballot(1);
    cluster.deliver_only(|packet| packet.to == 2);
    cluster.drop_all();
    cluster.complete_writes(2);
    cluster.deliver_only(is_promise);
    cluster.drop_all();
    let stale = cluster.placed(1, ballot(2, 3));
    let last = Index(1);
    let body = Body::Promise { from: last, upto: last, accepted: ballot(3, 2), commit: Index(0), last };
    cluster.inject(2, 1, mine, body, &[stale]);
    assert_eq!(cluster.last(1), 0);
    cluster.run_without(timing().heartbeat * 3, &[3]);
    assert_eq!(cluster.held(1, 1).map(value), Some(value(&entries[0])));
}

/// TigerBeetle PR #364, #1530: a suffix behind a break must not be cut off; it may be chosen.
#[test]
fn what_was_accepted_behind_a_hole_is_kept() {
    let mut cluster = Cluster::new(3);
    let tidings = Tidings { commit: Index(0), barrier: Index(0), round: ReadRound(0), window: 1024 };
    let (late, early) = (cluster.placed(7, ballot(1, 2)), cluster.placed(1, ballot(2, 3)));
    cluster.inject(2, 1, ballot(1, 2), Body::Accept(tidings), std::slice::from_ref(&late));
    cluster.inject(3, 1, ballot(2, 3), Body::Accept(tidings), std::slice::from_ref(&early));
    cluster.complete_writes(1);
    cluster.restart(1);
    assert_eq!((cluster.held(1, 1), cluster.held(1, 7)), (Some(&early), Some(&late)));
    assert_eq!(cluster.engine(1).standing().last, Index(7));
    cluster.elect_without(1, &[3]);
    assert_eq!(cluster.held(1, 7).map(value), Some(value(&late)));
    assert_eq!(cluster.shape(1), "CnnnnnCn");
}
