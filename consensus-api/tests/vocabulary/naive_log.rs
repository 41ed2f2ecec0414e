//! A log as a child would write it: a map of entries and a few fields, with no thought for speed. What the library
//! does cleverly is compared with this.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use quorate_consensus_api::{
    Entry, EntryKind, Generation, Incarnation, Index, LogTime, Membership, NodeId, Op, ProposalId,
    SnapshotMark,
};

/// All indices in these tests lie below this, so that operations meet each other.
pub(crate) const INDEX_END: u64 = 16;

/// What one write after the other leaves behind.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct NaiveLog {
    pub(crate) entries: BTreeMap<Index, Entry>,
    pub(crate) hard_state: Option<Bytes>,
    pub(crate) snapshot: Option<SnapshotMark>,
    pub(crate) compacted: Index,
    pub(crate) compacted_generation: Generation,
    pub(crate) watermark: Index,
}

impl NaiveLog {
    pub(crate) fn of<'a>(ops: impl IntoIterator<Item = &'a Op>) -> Self {
        let mut log = Self::default();
        ops.into_iter().for_each(|op| log.write(op));
        log
    }

    pub(crate) fn write(&mut self, op: &Op) {
        match op {
            Op::HardState(bytes) => self.hard_state = Some(bytes.clone()),
            Op::TruncateFrom(from) => self.entries.retain(|index, _| index < from),
            Op::Put(entry) if entry.index <= self.compacted => {}
            Op::Put(entry) => drop(self.entries.insert(entry.index, entry.clone())),
            Op::Compact { upto, .. } if *upto <= self.compacted => {}
            Op::Compact { upto, generation } => {
                self.entries.retain(|index, _| index > upto);
                (self.compacted, self.compacted_generation) = (*upto, *generation);
            }
            Op::SnapshotMark(mark) => self.snapshot = Some(mark.clone()),
            Op::Watermark(index) => self.watermark = self.watermark.max(*index),
        }
    }

    /// The generation at `index`, where a log can tell.
    pub(crate) fn generation_at(&self, index: Index) -> Option<Generation> {
        if index == self.compacted {
            return Some(self.compacted_generation);
        }
        self.entries.get(&index).map(|entry| entry.generation)
    }
}

/// A few generations, so that neighbours often share one.
pub(crate) fn generations() -> impl Strategy<Value = Generation> {
    (1..4_u64, 1..3_u64).prop_map(|(round, node)| Generation::new(round, NodeId(node)))
}

/// Any index, also the one before the log.
pub(crate) fn indices() -> impl Strategy<Value = Index> {
    (0..INDEX_END).prop_map(Index)
}

/// Entries of every kind with short bodies.
pub(crate) fn entries() -> impl Strategy<Value = Entry> {
    let kinds = prop_oneof![Just(EntryKind::Commands), Just(EntryKind::Noop), Just(EntryKind::Membership)];
    let proposals = (any::<u64>(), any::<u64>(), any::<u64>()).prop_map(|(node, incarnation, sequence)| {
        ProposalId { node: NodeId(node), incarnation: Incarnation(incarnation), sequence }
    });
    let bodies = prop::collection::vec(any::<u8>(), 0..24).prop_map(Bytes::from);
    (generations(), 1..INDEX_END, kinds, any::<u32>(), proposals, any::<u64>(), bodies).prop_map(
        |(generation, index, kind, count, proposal, time, body)| Entry {
            generation,
            index: Index(index),
            ..Entry::new(kind, count, proposal, LogTime(time), body)
        },
    )
}

/// Operations, most of them puts.
pub(crate) fn ops() -> impl Strategy<Value = Op> {
    let marks = (indices(), generations(), 1..5_u64).prop_map(|(index, generation, node)| {
        Op::SnapshotMark(SnapshotMark {
            index,
            generation,
            membership: Membership::of_voters([NodeId(node)]).expect("a few members"),
        })
    });
    prop_oneof![
        8 => entries().prop_map(Op::Put),
        2 => indices().prop_map(Op::TruncateFrom),
        1 => (indices(), generations()).prop_map(|(upto, generation)| Op::Compact { upto, generation }),
        1 => any::<[u8; 4]>().prop_map(|bytes| Op::HardState(Bytes::copy_from_slice(&bytes))),
        1 => marks,
        1 => indices().prop_map(Op::Watermark),
    ]
}

/// Up to `count` operations in a row.
pub(crate) fn many_ops(count: usize) -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(ops(), 0..count)
}
