//! A batch in parts is the same as its operations one by one: for the outline, and for readers.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use consensus_api::{
    Commands, Entry, EntryKind, Generation, Index, LogTime, Membership, NodeId, Op, Outline, ProposalId,
};

use super::push;
use crate::batch::{self, HEADER_BYTES, Place};
use crate::extents::tests::segment;
use crate::extents::{Extents, Span};
use crate::operation;
use crate::reader;
use crate::segment::Segment;

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn of(&mut self, range: RangeInclusive<u64>) -> u64 {
        range.start() + self.below(range.end() - range.start() + 1)
    }
}

/// An entry unlike any other.
fn entry(index: u64, dice: &mut Dice, generation: Generation) -> Entry {
    let (kind, body) = if dice.below(9) == 0 {
        (EntryKind::Membership, Membership::of_voters([NodeId(1), NodeId(2 + index)]).unwrap().encode())
    } else {
        // Some are longer than what is ever read as one piece.
        let bytes = if dice.below(12) == 0 { dice.of(7_000..=20_000) } else { dice.below(300) };
        let mut body = BytesMut::new();
        Commands::push(&mut body, &vec![7; bytes as usize]).unwrap();
        (EntryKind::Commands, body.freeze())
    };
    let count = u32::from(kind == EntryKind::Commands);
    let mut entry = Entry::new(kind, count, ProposalId::default(), LogTime(dice.below(1 << 40)), body);
    (entry.index, entry.generation) = (Index(index), generation);
    entry
}

/// A batch that no engine would write: entries that go up, go back, leap, stand at the same place or below what is
/// compacted, and between them whatever else there is.
fn ops(dice: &mut Dice, last: &mut u64) -> Vec<Op> {
    let mut ops = Vec::new();
    for _ in 0..dice.below(6) {
        let generation = Generation::new(dice.below(3), NodeId(1));
        match dice.below(8) {
            0 => ops.push(Op::TruncateFrom(Index(last.saturating_sub(dice.below(6))))),
            1 => ops.push(Op::Compact { upto: Index(last.saturating_sub(dice.below(30))), generation }),
            2 => ops.push(Op::HardState(Bytes::from_static(b"a vote"))),
            3 => ops.push(Op::Watermark(Index(*last))),
            4 => *last = (*last + 10).saturating_sub(dice.below(20)),
            5 => *last = last.saturating_sub(dice.below(3)),
            _ => {}
        }
        for _ in 0..dice.below(12) {
            *last += 1;
            ops.push(Op::Put(entry(*last, dice, generation)));
        }
    }
    ops
}

/// A segment into which batches go, with as much between them as may stand there.
struct Written {
    segment: Arc<Segment>,
    end: u64,
    seq: u64,
}

impl Written {
    fn new(seq: u64) -> Self {
        Self { segment: segment(seq), end: 4096, seq: 0 }
    }

    /// Where the body begins.
    fn write(&mut self, ops: &[Op], padding: usize) -> u64 {
        self.seq += 1;
        let place = Place {
            seed: self.segment.seed,
            offset: self.end,
            seq: self.seq,
            durable_seq: 0,
            prev_checksum: 0,
            file_pages: 0,
            reach: 0,
            is_end: false,
        };
        let mut bytes = Vec::new();
        batch::encode(ops, padding, &place, &mut bytes);
        self.segment.file.write_at(&bytes, self.end).unwrap();
        let body_at = self.end + HEADER_BYTES as u64;
        self.end += bytes.len() as u64;
        body_at
    }
}

fn put_one_by_one(ops: &[Op], mut offset: u64, segment: &Arc<Segment>, extents: &mut Extents) {
    for op in ops {
        let bytes = operation::encoded_len(op);
        if let Op::Put(entry) = op {
            let (index, record_bytes) = (entry.index, entry.record_len() as u32);
            let span = Span { first: index, last: index, offset, bytes: bytes as u32, record_bytes };
            extents.put(&span, segment);
        } else {
            extents.replay(op);
        }
        offset += bytes as u64;
    }
}

fn read_all(extents: &Extents) -> Vec<Entry> {
    let found = extents.find(&(Index::ZERO..Index(u64::MAX)), u64::MAX);
    found.iter().flat_map(|extent| reader::read_extent(extent).unwrap()).collect()
}

#[test]
fn in_parts_or_one_by_one_the_log_is_the_same() {
    for seed in 0..40 {
        let (mut dice, mut last) = (Dice(seed), start(seed));
        let mut written = Written::new(1);
        let (mut one_by_one, mut in_parts) = (Outline::default(), Outline::default());
        let (mut extents_one_by_one, mut extents) = (Extents::default(), Extents::default());
        let mut model: BTreeMap<Index, Entry> = BTreeMap::new();
        for number in 0..40 {
            if dice.below(12) == 0 {
                written = Written::new(2 + number);
            }
            let ops = ops(&mut dice, &mut last);
            let body_at = written.write(&ops, 8 * dice.below(70) as usize);
            put_one_by_one(&ops, body_at, &written.segment, &mut extents_one_by_one);
            let (mut parts, mut offset) = (Vec::new(), 0);
            for op in &ops {
                let bytes = operation::encoded_len(op);
                push(&mut parts, 0, op.clone(), offset, bytes);
                offset += bytes as u64;
            }
            for part in &parts {
                part.replay(&mut in_parts);
                extents.take(part, body_at, &written.segment);
            }
            for op in &ops {
                match op {
                    Op::Put(entry) if entry.index > one_by_one.compacted => {
                        model.insert(entry.index, entry.clone());
                    }
                    Op::TruncateFrom(from) => model.retain(|index, _| index < from),
                    Op::Compact { upto, .. } => model.retain(|index, _| index > upto),
                    _ => {}
                }
                one_by_one.replay(op);
            }
            assert_eq!(in_parts, one_by_one, "{seed} {number}");
            let expected: Vec<Entry> = model.values().cloned().collect();
            assert!(read_all(&extents_one_by_one) == expected, "{seed} {number}");
            assert!(read_all(&extents) == expected, "{seed} {number}");
            assert_eq!(extents.oldest_segment(), extents_one_by_one.oldest_segment(), "{seed} {number}");
        }
    }
}

/// Most logs begin at the beginning; some are as long as a log can be.
fn start(seed: u64) -> u64 {
    if seed.is_multiple_of(5) { u64::MAX - 20_000 } else { 0 }
}
