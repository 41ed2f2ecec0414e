//! What the suites write: entries, and sequences of batches in which everything happens that an engine may ask for.

use bytes::{Bytes, BytesMut};
use consensus_api::{
    Batch, ClusterName, Commands, EngineName, Entry, EntryKind, Generation, Identity, Incarnation, Index,
    LogTime, Membership, NodeId, Op, ProposalId, SnapshotMark, StoreId,
};

use super::model::Model;
use crate::Random;

/// The node whose log it is.
pub(crate) fn identity() -> Identity {
    identity_of(1)
}

/// One of the three nodes of the suites' cluster.
pub(crate) fn identity_of(node: u64) -> Identity {
    Identity {
        cluster: ClusterName::new("conformance").expect("a name of 11 bytes"),
        node: NodeId(node),
        engine: EngineName("conformance"),
        store: StoreId::default(),
        incarnation: Incarnation(node),
    }
}

/// An entry at `index`, accepted in `round`, with one command of so many bytes.
pub(crate) fn entry(index: u64, round: u64, bytes: usize) -> Entry {
    let command: Vec<u8> = (0..bytes).map(|at| (at as u64 ^ index ^ (round << 3)) as u8).collect();
    let mut body = BytesMut::new();
    Commands::push(&mut body, &command).expect("far below the limit");
    placed(EntryKind::Commands, 1, index, round, body.freeze())
}

fn placed(kind: EntryKind, count: u32, index: u64, round: u64, body: Bytes) -> Entry {
    let proposal =
        ProposalId { node: NodeId(round % 3 + 1), incarnation: Incarnation(round), sequence: index };
    let mut entry = Entry::new(kind, count, proposal, LogTime::ZERO, body);
    entry.generation = generation(round);
    entry.index = Index(index);
    entry
}

/// The generation of a round.
pub(crate) fn generation(round: u64) -> Generation {
    Generation::new(round, NodeId(round % 3 + 1))
}

/// Entries `first ..= last` of one round, as operations.
pub(crate) fn puts(first: u64, last: u64, round: u64) -> impl Iterator<Item = Op> {
    (first..=last).map(move |index| Op::Put(entry(index, round, 24)))
}

/// A snapshot's mark.
pub(crate) fn mark(index: u64, round: u64) -> SnapshotMark {
    let membership = Membership::of_voters([1, 2, 3].map(NodeId)).expect("a few members");
    SnapshotMark { index: Index(index), generation: generation(round), membership }
}

/// Batches with puts, overwrites, holes, truncations, compactions, hard states, marks and watermarks, in an order that an
/// engine might cause. Each makes a difference, so that none can go missing unseen.
pub(crate) fn batches(seed: u64, count: usize) -> Vec<Batch> {
    let mut generator = Generator { random: Random::new(seed), model: Model::default(), round: 1 };
    let mut batches = Vec::new();
    while batches.len() < count {
        let batch: Batch = (0..generator.random.between(1, 4)).flat_map(|_| generator.step()).collect();
        let before = generator.model.clone();
        generator.model.apply(&batch);
        if generator.model != before {
            batches.push(batch);
        }
    }
    batches
}

struct Generator {
    random: Random,
    /// As of the last batch. An operation need not fit to what stands in the same batch before it.
    model: Model,
    round: u64,
}

impl Generator {
    fn step(&mut self) -> Vec<Op> {
        let last = self.model.last().0;
        let compacted = self.model.compacted.0;
        self.round += self.random.below(2);
        let round = self.round;
        let bytes = if self.random.one_in(12) { 20_000 } else { self.random.below(200) } as usize;
        match self.random.below(12) {
            0..=4 => {
                let upto = last + self.random.between(1, 5);
                (last + 1..=upto).map(|index| Op::Put(entry(index, round, bytes))).collect()
            }
            5 => vec![Op::Put(entry(self.random.between(compacted + 1, last + 1), round, bytes))],
            6 => vec![Op::Put(entry(last + self.random.between(2, 5), round, bytes))],
            7 => vec![Op::TruncateFrom(Index(self.random.between(compacted + 1, last + 1)))],
            8 => self.snapshot(),
            9 => vec![Op::HardState(Bytes::from(vec![round as u8; self.random.between(0, 256) as usize]))],
            10 => vec![Op::Watermark(Index(self.random.between(compacted, last)))],
            _ => {
                let membership = Membership::of_voters((1..=self.random.between(1, 5)).map(NodeId))
                    .expect("a few members");
                let index = last + 1;
                vec![Op::Put(placed(EntryKind::Membership, 0, index, round, membership.encode()))]
            }
        }
    }

    /// A snapshot of what is there, and often the compaction that follows.
    fn snapshot(&mut self) -> Vec<Op> {
        let there: Vec<_> =
            self.model.entries.values().map(|entry| (entry.index, entry.generation)).collect();
        let Some((upto, generation)) = self.random.pick(&there).copied() else { return Vec::new() };
        let snapshot = SnapshotMark { index: upto, generation, ..mark(0, 0) };
        let mut ops = vec![Op::SnapshotMark(snapshot)];
        if !self.random.one_in(3) {
            ops.push(Op::Compact { upto, generation });
        }
        ops
    }
}
