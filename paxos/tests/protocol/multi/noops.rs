//! No-ops by the range: what fills a hole, or a window, takes one message however many slots there are.

use bytes::BytesMut;
use consensus_api::{Entry, EntryKind, FlowLimits, Index, Membership, Message as _, NodeId, ReadRound, Role};
use quorate_paxos::{Body, NOOPS_MAX, Options, Tidings};

use crate::multi::{
    Ballots, Cluster, Packet, ballot, is_accept, is_accepted, is_nack, is_prepare, is_range, log_of, timing,
    value,
};

/// Three voters with windows of so many slots.
fn windowed(window: u64) -> Cluster {
    let mut options = Options::default();
    options.window_entries_max = window;
    let founders = Membership::of_voters((1..=3).map(NodeId)).expect("a few members");
    Cluster::with_options(founders, options, 1)
}

/// The same, and node 2 holds what an earlier leader has left in these slots.
fn left_in(window: u64, slots: impl IntoIterator<Item = u64>) -> (Cluster, Vec<Entry>) {
    let mut cluster = windowed(window);
    let left: Vec<Entry> = slots.into_iter().map(|slot| cluster.placed(slot, ballot(1, 2))).collect();
    cluster.add(2, log_of(ballot(1, 2), &left));
    (cluster, left)
}

/// Lets everything happen that follows from what is on its way, and returns what was proposed to node 3 meanwhile. Nobody asks
/// node 3 for a promise: so whatever node 2 holds is taken up.
fn proposed_to_3(cluster: &mut Cluster) -> Vec<Packet> {
    let mut proposed = Vec::new();
    loop {
        cluster.take(|packet| is_prepare(packet) && packet.to == 3);
        let mut delivered = cluster.deliver_only(|_| true);
        if !cluster.complete_all_writes() && delivered.is_empty() {
            return proposed;
        }
        delivered.retain(|packet| packet.to == 3 && (is_accept(packet) || is_range(packet)));
        proposed.append(&mut delivered);
    }
}

fn bytes(packet: &Packet) -> usize {
    let mut head = BytesMut::new();
    packet.message.encode(&mut head);
    head.len() + packet.entries.iter().map(Entry::record_len).sum::<usize>()
}

/// The slots that each message speaks of, and whether as a range.
fn slots(proposed: &[Packet]) -> Vec<(u64, u64, bool)> {
    let slots = |packet: &Packet| match (packet.message.body, &packet.entries[..]) {
        (Body::AcceptNoops { first, last, .. }, []) => (first.0, last.0, true),
        (_, [first, .., last]) => (first.index.0, last.index.0, false),
        (_, [only]) => (only.index.0, only.index.0, false),
        other => panic!("{other:?}"),
    };
    proposed.iter().map(slots).collect()
}

/// The widest hole that the default window lets anybody leave. As entries it took 73,957 bytes.
#[test]
fn a_hole_takes_one_message_for_each_member() {
    let (mut cluster, left) = left_in(1024, [1024]);
    cluster.wait_long();
    cluster.fire(1);
    let proposed = proposed_to_3(&mut cluster);
    assert_eq!(slots(&proposed), [(1, 1023, true), (1024, 1024, false), (1025, 1025, false)]);
    assert_eq!(proposed.iter().map(bytes).sum::<usize>(), 65 + (49 + 82) + (49 + 72));
    assert_eq!((cluster.role(1), cluster.commit(3)), (Role::Leader, 1025));
    for id in 1..=3 {
        assert_eq!(cluster.shape(id), "n".repeat(1023) + "Cn", "node {id}");
        assert_eq!(cluster.held(id, 1024).map(value), Some(value(&left[0])));
    }
}

/// A hundred thousand slots take seven messages of 65 bytes, each no more for its acceptor to write than a frame of entries;
/// as entries they took as many messages, and 7.2 MB.
#[test]
fn a_message_speaks_of_no_more_slots_than_a_frame_holds_entries() {
    let (mut cluster, _) = left_in(100_000, [100_000]);
    cluster.wait_long();
    cluster.fire(1);
    let proposed = proposed_to_3(&mut cluster);
    let (ranges, entries): (Vec<_>, Vec<_>) = proposed.iter().partition(|packet| is_range(packet));
    assert!(ranges.iter().all(|packet| bytes(packet) == 65));
    assert_eq!((ranges.len(), entries.len(), entries[0].entries.len()), (7, 1, 2));
    let frame = FlowLimits::default().frame_bytes_max as u64 / 72;
    assert!(slots(&proposed).iter().all(|(first, last, _)| last - first < frame));
    assert_eq!(cluster.commit(3), 100_001);
}

/// Nobody proposes further than a window above what is chosen. So no hole is as wide as the window, however much its leader
/// had to say, and whatever was lost.
#[test]
fn no_hole_is_as_wide_as_the_window() {
    let mut cluster = windowed(100);
    cluster.limits =
        FlowLimits { inflight_frames_max: 1000, inflight_bytes_max: 1 << 20, frame_bytes_max: 1 };
    (1..=3).for_each(|id| cluster.restart(id));
    cluster.elect(1);
    cluster.settle();
    let chosen = cluster.commit(1);
    cluster.propose_many(1, 1000);
    let highest = cluster.last(1);
    assert_eq!(highest, chosen + 100);
    cluster.deliver_only(|packet| packet.to == 2 && slots(std::slice::from_ref(packet))[0].1 == highest);
    cluster.complete_writes(2);
    cluster.crash(1);
    cluster.drop_all();
    cluster.limits = FlowLimits::default();
    [1, 2].into_iter().for_each(|id| cluster.restart(id));
    assert_eq!((cluster.last(1), cluster.last(2)), (chosen, highest));
    cluster.wait_long();
    cluster.fire(2);
    let proposed = proposed_to_3(&mut cluster);
    assert_eq!(slots(&proposed)[..2], [(chosen + 1, chosen + 99, true), (highest, highest, false)]);
}

/// What stands between two holes is not filled over.
#[test]
fn values_between_two_holes_are_kept() {
    let (mut cluster, left) = left_in(1024, [100, 200]);
    cluster.wait_long();
    cluster.fire(1);
    cluster.settle_without(&[3]);
    assert_eq!(cluster.commit(1), 201);
    let mut proposed = Vec::new();
    while proposed.is_empty() {
        cluster.pass(timing().heartbeat);
        proposed = proposed_to_3(&mut cluster);
    }
    assert_eq!(slots(&proposed), [(1, 99, true), (100, 100, false), (101, 199, true), (200, 201, false)]);
    for id in 1..=3 {
        assert_eq!(cluster.shape(id), format!("{0}C{0}Cn", "n".repeat(99)), "node {id}");
        left.iter()
            .for_each(|entry| assert_eq!(cluster.held(id, entry.index.0).map(value), Some(value(entry))));
    }
}

/// A few no-ops go with the entries around them: a message each would be more messages, not less.
#[test]
fn short_holes_make_no_messages_of_their_own() {
    let (mut cluster, _) = left_in(1024, [10, 73, 138]);
    cluster.wait_long();
    cluster.fire(1);
    let proposed = proposed_to_3(&mut cluster);
    let ranges: Vec<_> = slots(&proposed).into_iter().filter(|(.., is_range)| *is_range).collect();
    assert_eq!(ranges, [(74, 137, true)], "64 of them do, 63 do not");
}

/// The no-ops that fill the window behind a change of voters; and whoever leads next takes them up as a range, too.
#[test]
fn the_window_behind_a_change_takes_one_message_for_each_member() {
    let mut cluster = windowed(1024);
    cluster.elect(1);
    cluster.settle();
    cluster.run(timing().heartbeat * 2);
    cluster.change(1, &[1, 3], &[2]);
    let membership = cluster.last(1);
    let proposed = proposed_to_3(&mut cluster);
    let filled = (membership + 1, membership + 1024);
    let ranges: Vec<_> = slots(&proposed).into_iter().filter(|(.., is_range)| *is_range).collect();
    assert_eq!(ranges.first().map(|(first, ..)| *first), Some(filled.0));
    assert_eq!(ranges.last().map(|(_, last, _)| *last), Some(filled.1));
    assert!(ranges.len() <= 2, "the last slot is the new voters', and waits for their promises: {ranges:?}");
    let entries = proposed.iter().map(|packet| packet.entries.len()).sum::<usize>();
    assert_eq!(entries, 1, "the membership");
    assert_eq!(cluster.commit(3), filled.1);
}

/// A range that is lost is sent again, and what its receiver has learnt meanwhile is left out.
#[test]
fn a_lost_range_is_sent_again() {
    let (mut cluster, _) = left_in(1024, [500]);
    cluster.wait_long();
    cluster.fire(1);
    while cluster.take(|packet| is_range(packet) && packet.to == 3).is_empty() {
        cluster.deliver_only(|packet| !is_prepare(packet) || packet.to == 2);
        cluster.complete_all_writes();
    }
    cluster.settle();
    assert_eq!((cluster.commit(1), cluster.commit(3)), (501, 0));
    cluster.run(timing().heartbeat * 4);
    assert_eq!(cluster.commit(3), 501);
    assert_eq!(cluster.shape(3), cluster.shape(1));
}

const TIDINGS: Tidings =
    Tidings { commit: Index(0), barrier: Index(0), round: ReadRound(0), window: 100_000 };

fn range(first: u64, last: u64) -> Body {
    Body::AcceptNoops { tidings: TIDINGS, first: Index(first), last: Index(last) }
}

/// A range is exactly the acceptances of its slots: over what earlier ballots left there, durable before it is spoken of, and
/// of none below the promise.
#[test]
fn a_range_is_accepted_slot_by_slot() {
    let mut cluster = windowed(100_000);
    let old: Vec<Entry> = [5, 8].into_iter().map(|slot| cluster.placed(slot, ballot(1, 2))).collect();
    cluster.add(1, log_of(ballot(1, 2), &old));
    cluster.inject(3, 1, ballot(2, 3), range(1, 6), &[]);
    assert!(!cluster.packets.iter().any(is_accepted), "not before it is durable");
    cluster.complete_writes(1);
    let accepted = cluster.take(is_accepted);
    let body = Body::Accepted { first: Index(1), last: Index(6), commit: Index(0), round: ReadRound(0) };
    assert_eq!(accepted.iter().map(|packet| packet.message.body).collect::<Vec<_>>(), [body]);
    assert_eq!(cluster.shape(1), "nnnnnn.C");
    assert_eq!(cluster.rounds(1), [2, 2, 2, 2, 2, 2, 1]);
    assert_eq!(cluster.engine(1).promised(), ballot(2, 3), "as an acceptance does, it promises");

    cluster.inject(2, 1, ballot(1, 2), range(1, 9), &[]);
    cluster.complete_writes(1);
    assert_eq!(cluster.take(is_nack).len(), 1);
    assert_eq!((cluster.shape(1).as_str(), cluster.rounds(1)[0]), ("nnnnnn.C", 2));

    // After a crash every slot is there.
    cluster.restart(1);
    assert_eq!(cluster.shape(1), "nnnnnn.C");
    assert!((1..=6).all(|slot| cluster.engine(1).accepted_at(Index(slot)) == Some(ballot(2, 3))));
}

/// A slot that is known to be chosen is not written again, and not spoken for.
#[test]
fn a_range_leaves_alone_what_is_chosen() {
    let mut cluster = windowed(100_000);
    cluster.elect(1);
    cluster.propose(1);
    cluster.settle();
    cluster.run(timing().heartbeat * 2);
    assert_eq!(cluster.commit(2), 2);
    cluster.inject(3, 2, ballot(9, 3), range(1, 4), &[]);
    cluster.complete_writes(2);
    let accepted = cluster.take(is_accepted);
    let body = Body::Accepted { first: Index(3), last: Index(4), commit: Index(2), round: ReadRound(0) };
    assert_eq!(accepted.iter().map(|packet| packet.message.body).collect::<Vec<_>>(), [body]);
    assert_eq!(cluster.shape(2), "nCnn");
}

/// Nobody says so; but a few bytes must not make a member write without end, or stop.
#[test]
fn a_range_without_reason_is_as_good_as_lost() {
    let mut cluster = windowed(100_000);
    let unsound = [(0, 5), (6, 5), (1, NOOPS_MAX + 1), (1, u64::MAX), (u64::MAX, u64::MAX)];
    for (first, last) in unsound {
        cluster.inject(3, 1, ballot(2, 3), range(first, last), &[]);
        cluster.complete_writes(1);
        assert_eq!(cluster.last(1), 0, "{first} to {last}");
    }
    cluster.inject(3, 1, ballot(2, 3), range(1, NOOPS_MAX), &[]);
    cluster.complete_writes(1);
    assert_eq!(cluster.last(1), NOOPS_MAX);
    assert_eq!(cluster.held(1, NOOPS_MAX).map(|entry| entry.kind), Some(EntryKind::Noop));
}
