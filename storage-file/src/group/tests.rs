//! A batch in a group gets the bytes that it would have, had it been encoded where it goes.

use bytes::{Bytes, BytesMut};
use consensus_api::{
    Batch, Commands, Entry, EntryKind, Generation, Index, LogTime, Membership, NodeId, Op, ProposalId,
    SnapshotMark, WriteSeq,
};

use super::Group;
use crate::batch::{self, Place};
use crate::operation::Seed;

fn place(seed: Seed, offset: u64) -> Place {
    Place { seed, offset, seq: 7, durable_seq: 5, prev_checksum: 11, file_pages: 13, reach: 2, is_end: false }
}

/// Every kind of operation, and bodies that need padding, none, and more than the checksum of an operation covers.
fn batches() -> Vec<Batch> {
    let entry = |index: u64, kind: EntryKind, body: Bytes| {
        let mut entry = Entry::new(kind, 1, ProposalId::default(), LogTime(index), body);
        (entry.index, entry.generation) = (Index(index), Generation::new(3, NodeId(2)));
        Op::Put(entry)
    };
    let command = |bytes: usize| {
        let mut body = BytesMut::new();
        Commands::push(&mut body, &vec![7; bytes]).unwrap();
        body.freeze()
    };
    let membership = Membership::of_voters([NodeId(1), NodeId(2)]).unwrap();
    let generation = Generation::new(3, NodeId(2));
    let mark = SnapshotMark { index: Index(4), generation, membership: membership.clone() };
    let entries: Batch = (1..60).map(|at| entry(at, EntryKind::Commands, command(at as usize))).collect();
    let others = [
        Op::HardState(Bytes::from_static(b"a vote")),
        entry(60, EntryKind::Membership, membership.encode()),
        Op::TruncateFrom(Index(61)),
        entry(61, EntryKind::Commands, command(5_000)),
        Op::SnapshotMark(mark),
        Op::Compact { upto: Index(4), generation },
        Op::Watermark(Index(50)),
    ];
    vec![entries, Batch::new(), others.into_iter().collect(), [Op::Watermark(Index(1))].into_iter().collect()]
}

#[test]
fn a_batch_that_was_encoded_for_another_segment_has_the_bytes_for_this_one() {
    let (first, second) = (Seed::of(1), Seed::of(2));
    for encoded_for in [first, second] {
        let mut group = Group::default();
        for (number, batch) in (0..).zip(batches()) {
            group.push(WriteSeq(number), batch, encoded_for);
        }
        // There and back: what does not fit into one segment may have been sealed for it.
        for (seed, offset) in [(first, 4096), (second, 8192), (first, 12_288)] {
            for (number, batch) in batches().iter().enumerate().filter(|(_, batch)| !batch.is_empty()) {
                let mut expected = Vec::new();
                let place = place(seed, offset);
                let checksum = batch::encode(batch.ops(), 0, &place, &mut expected);
                assert_eq!(group.seal(number, &place), checksum, "{number}");
                let range = group.batches()[number].start..group.batches()[number].end;
                assert!(group.bytes()[range] == expected, "{number}: the bytes differ");
            }
        }
    }
}

#[test]
fn a_group_tells_which_of_its_batches_wait_and_is_used_again() {
    let mut group = Group::default();
    assert!(group.is_done(), "there is nothing to write");
    for round in 0..2 {
        for (number, batch) in (0..).zip(batches()) {
            group.push(WriteSeq(number), batch, Seed::of(round));
        }
        let told: Vec<_> = group.batches().iter().map(|batch| (batch.is_empty(), batch.is_lazy)).collect();
        assert_eq!(told, [(false, false), (true, true), (false, false), (false, true)]);
        group.set_written(2);
        assert_eq!((group.written(), group.is_done()), (2, false));
        group.set_written(4);
        assert!(group.is_done());
        group.clear();
        assert!(group.is_done() && group.bytes().is_empty() && group.batches().is_empty());
    }
}
