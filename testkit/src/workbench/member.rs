//! [`Bench`]: one engine, what is durable for it and what is not, and what it has said.

use std::collections::{BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use consensus_api::{
    Batch, Effects, Engine, Entry, Index, NodeId, Outcome, ProposalId, ReadId, Refusal, Time, WriteSeq,
};

use super::START;
use crate::simulator::Image;

/// A message on its way, with its entries.
#[derive(Clone, Debug)]
pub struct Packet<M> {
    /// Who sent it.
    pub from: NodeId,
    /// Who it is for.
    pub to: NodeId,
    /// The message.
    pub message: M,
    /// What goes with it.
    pub entries: Vec<Entry>,
}

impl<M: Hash> Packet<M> {
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.from, self.to, &self.message).hash(&mut hasher);
        self.entries.iter().for_each(|entry| hash_entry(entry, &mut hasher));
        hasher.finish()
    }
}

fn hash_entry<H: Hasher>(entry: &Entry, hasher: &mut H) {
    (entry.index, entry.generation, entry.checksum, entry.proposal.sequence).hash(hasher);
}

/// One member.
#[derive(Clone, Debug)]
pub struct Bench<E: Engine> {
    pub(super) engine: Option<E>,
    pub(super) durable: Image,
    /// Everything submitted.
    pub(super) view: Image,
    pub(super) pending: VecDeque<(WriteSeq, Batch)>,
    pub(super) durable_seq: WriteSeq,
    /// Said, and held back until a write is durable.
    pub(super) held: Vec<(WriteSeq, NodeId, E::Message)>,
    pub(super) effects: Effects<E::Message>,
    pub(super) now: Time,
    pub(super) applied: Index,
    pub(super) lives: u64,
    /// What became of proposals in this life.
    pub proposals: Vec<(ProposalId, Outcome)>,
    /// What became of reads in this life.
    pub reads: Vec<(ReadId, Result<Index, Refusal>)>,
    /// Whom it wants to send a snapshot.
    pub snapshots_needed: BTreeSet<NodeId>,
    /// Why the engine cannot go on, if it said so.
    pub fatal: Option<String>,
}

impl<E: Engine> Default for Bench<E> {
    fn default() -> Self {
        Self {
            engine: None,
            durable: Image::default(),
            view: Image::default(),
            pending: VecDeque::new(),
            durable_seq: WriteSeq(0),
            held: Vec::new(),
            effects: Effects::new(),
            now: START,
            applied: Index::ZERO,
            lives: 0,
            proposals: Vec::new(),
            reads: Vec::new(),
            snapshots_needed: BTreeSet::new(),
            fatal: None,
        }
    }
}

impl<E: Engine> Bench<E> {
    /// The engine, while it runs.
    pub fn engine(&self) -> Option<&E> {
        self.engine.as_ref()
    }

    /// What is durable.
    pub fn durable(&self) -> &Image {
        &self.durable
    }

    /// Everything written, durable or not.
    pub fn view(&self) -> &Image {
        &self.view
    }

    /// How many writes are under way.
    pub fn writes_pending(&self) -> usize {
        self.pending.len()
    }

    /// Forgets everything that is not durable.
    pub(super) fn crash(&mut self) {
        let durable = std::mem::take(&mut self.durable);
        *self = Self { view: durable.clone(), durable, now: self.now, lives: self.lives, ..Self::default() };
    }
}

/// Without time, and without what was answered already.
impl<E: Engine> Hash for Bench<E> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.engine, self.durable.outline(), self.view.outline(), self.applied).hash(state);
        self.view.entries().values().for_each(|entry| hash_entry(entry, state));
        self.pending.len().hash(state);
        for (seq, to, message) in &self.held {
            (seq.0 - self.durable_seq.0.min(seq.0), to, message).hash(state);
        }
        (&self.snapshots_needed, &self.fatal).hash(state);
    }
}
