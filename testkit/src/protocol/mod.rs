//! [`Cluster`]: engines in a box, for tests of a protocol, chapter by chapter. A test delivers, drops, repeats or reorders
//! every packet, completes every write and moves every clock; nothing happens by itself. After every step all laws of the
//! engine are checked, and what the members take for committed is compared.
//!
//! Where the [`workbench`](crate::workbench) is for making choices by the thousand, this is for telling one incident: members
//! have short numbers, and everything is in reach of the test.
//!
//! It panics where a law is broken or a test asks for what there is not: it is part of a test.

mod disk;
pub mod handover;
mod links;
mod network;
mod requests;
mod steps;

use std::collections::{BTreeMap, BTreeSet};

use consensus_api::{
    Effects, Engine, Entry, EntryKind, Event, FlowLimits, Generation, Index, Membership, NodeId, Outcome,
    ProposalId, ReadId, Refusal, Setup, SnapshotMark, Time, Timing, WriteSeq,
};

pub use crate::simulator::Image;
pub use disk::Disk;
pub use links::Links;

/// A message on its way.
#[derive(Clone, Debug)]
pub struct Packet<M> {
    /// Who sent it.
    pub from: u64,
    /// Who it is for.
    pub to: u64,
    /// The message.
    pub message: M,
    /// What goes with it.
    pub entries: Vec<Entry>,
}

/// One member: engine, disk, and what the engine said.
#[derive(Debug)]
pub struct Member<E: Engine> {
    /// `None` while it is down.
    pub engine: Option<E>,
    /// Its disk.
    pub disk: Disk,
    /// Its clock.
    pub now: Time,
    effects: Effects<E::Message>,
    held: Vec<(WriteSeq, NodeId, E::Message)>,
    /// Everything up to here is applied.
    pub applied: Index,
    /// What it said of proposals and of other requests, in order.
    pub proposals: Vec<(ProposalId, Outcome)>,
    /// What it said of reads, in order.
    pub reads: Vec<(ReadId, Result<Index, Refusal>)>,
    /// Generations of which it said that what it did not see of them never happened; and its commit index then.
    pub settled: Vec<(Generation, Index)>,
    /// The highest generation of which it said that nobody can tell what is left of those before it.
    pub given_up: Generation,
    /// Peers that it wants to be sent a snapshot.
    pub snapshots_needed: Vec<u64>,
    /// The last snapshot it took over.
    pub restored: Option<SnapshotMark>,
    /// Peers for whom it waits to read entries.
    pub loading: BTreeSet<u64>,
    /// Why it cannot go on, if it said so.
    pub fatal: Option<String>,
    lives: u64,
}

/// What is the same of an entry wherever it is stored, also under another generation.
pub type Value = (EntryKind, u32, ProposalId);

/// What is the same of this entry wherever it is stored.
pub fn value(entry: &Entry) -> Value {
    (entry.kind, entry.checksum, entry.proposal)
}

/// A cluster whose members are numbered from 1.
#[derive(Debug)]
pub struct Cluster<E: Engine> {
    /// All members.
    pub members: BTreeMap<u64, Member<E>>,
    /// What is on its way, oldest first.
    pub packets: Vec<Packet<E::Message>>,
    /// Who founds it.
    pub founders: Membership,
    /// Limits of all members, from their next start on.
    pub limits: FlowLimits,
    /// Options of all members, from their next start on.
    pub options: E::Options,
    /// Options of those members that have others.
    pub options_of: BTreeMap<u64, E::Options>,
    /// Where the dice of members come from.
    pub seed: u64,
    /// State machines keep up with what is committed.
    pub applying: bool,
    /// Members that read entries from disk before they send them.
    pub slow_readers: BTreeSet<u64>,
    /// Nodes that founded nothing, and wait to be added.
    pub joining: BTreeSet<u64>,
    /// Members whose disk hangs.
    pub hung: BTreeSet<u64>,
    /// What any member ever took for committed.
    pub committed: BTreeMap<Index, Entry>,
    /// What each generation proposed at each index.
    proposed: BTreeMap<(Index, Generation), Value>,
    sequence: u64,
    /// How many invariants were evaluated.
    pub laws: u64,
}

/// The timing of all members: the default one.
pub fn timing() -> Timing {
    Timing::default()
}

impl<E: Engine> Cluster<E> {
    /// Voters 1 ..= `count`, with empty logs.
    pub fn new(count: u64) -> Self {
        Self::founded(Membership::of_voters((1..=count).map(NodeId)).expect("a few members"), 1)
    }

    /// These members, with empty logs.
    pub fn founded(founders: Membership, seed: u64) -> Self {
        Self::with_options(founders, E::Options::default(), seed)
    }

    /// The same with other options than the default.
    pub fn with_options(founders: Membership, options: E::Options, seed: u64) -> Self {
        let mut cluster = Self {
            members: BTreeMap::new(),
            packets: Vec::new(),
            founders: founders.clone(),
            limits: FlowLimits::default(),
            options,
            options_of: BTreeMap::new(),
            seed,
            applying: true,
            slow_readers: BTreeSet::new(),
            joining: BTreeSet::new(),
            hung: BTreeSet::new(),
            committed: BTreeMap::new(),
            proposed: BTreeMap::new(),
            sequence: 0,
            laws: 0,
        };
        founders.members().for_each(|node| cluster.add(node.0, Image::default()));
        cluster
    }

    /// Adds a member with this on its disk, or gives it another, and starts it.
    pub fn add(&mut self, id: u64, image: Image) {
        for entry in image.entries().values() {
            self.proposed.insert((entry.index, entry.generation), value(entry));
        }
        let member = Member {
            engine: None,
            disk: Disk::of(image),
            now: Time(1_000_000_000),
            effects: Effects::new(),
            held: Vec::new(),
            applied: Index::ZERO,
            proposals: Vec::new(),
            reads: Vec::new(),
            settled: Vec::new(),
            given_up: Generation::ZERO,
            snapshots_needed: Vec::new(),
            restored: None,
            loading: BTreeSet::new(),
            fatal: None,
            lives: 0,
        };
        self.members.insert(id, member);
        self.restart(id);
    }

    /// Starts a node that waits to be added.
    pub fn join(&mut self, id: u64) {
        self.joining.insert(id);
        self.add(id, Image::default());
    }

    /// A member stops, and loses what was not durable.
    pub fn crash(&mut self, id: u64) {
        let member = self.member_mut(id);
        member.engine = None;
        member.disk.crash();
        member.held.clear();
        member.loading.clear();
        member.snapshots_needed.clear();
    }

    /// A member crashes, and starts again from its disk.
    pub fn restart(&mut self, id: u64) {
        self.crash(id);
        let (founders, limits, seed) = (self.founders_of(id), self.limits, self.seed);
        let options = self.options_of.get(&id).unwrap_or(&self.options).clone();
        let member = self.member_mut(id);
        member.lives += 1;
        let setup = Setup {
            node: NodeId(id),
            founders,
            now: member.now,
            seed: seed.wrapping_mul(1_000_003) ^ (id << 32) ^ member.lives,
            timing: timing(),
            flow: limits,
            options,
        };
        let engine = E::recover(setup, member.disk.durable().outline()).expect("it recovers");
        engine.check();
        member.effects = Effects::new();
        member.applied = engine.standing().commit;
        let applied = member.applied;
        member.engine = Some(engine);
        self.step(id, Event::Applied(applied));
    }

    fn founders_of(&self, id: u64) -> Membership {
        if self.joining.contains(&id) { Membership::default() } else { self.founders.clone() }
    }

    /// A member.
    pub fn member(&self, id: u64) -> &Member<E> {
        &self.members[&id]
    }

    /// A member.
    pub fn member_mut(&mut self, id: u64) -> &mut Member<E> {
        self.members.get_mut(&id).expect("there is such a member")
    }

    /// The engine of a member that is up.
    pub fn engine(&self, id: u64) -> &E {
        self.member(id).engine.as_ref().expect("it is up")
    }

    /// Whether a member is up.
    pub fn is_up(&self, id: u64) -> bool {
        self.member(id).engine.is_some()
    }

    /// The numbers of all members.
    pub fn ids(&self) -> Vec<u64> {
        self.members.keys().copied().collect()
    }
}
