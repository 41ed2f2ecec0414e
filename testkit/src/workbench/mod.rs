//! [`Workbench`]: engines alone, each with a disk whose writes become durable when told, on a network whose every packet
//! waits to be delivered, lost or repeated. Nothing happens by itself: whoever drives it makes one [`Choice`] after another.
//!
//! Three drive it: chance ([`random`](Workbench::chance)), a search through all choices ([`search`]), and a script
//! ([`transcript`](crate::transcript)). A list of choices is a run, and can be made again.

mod choice;
mod disks;
mod member;
mod search;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use consensus_api::{
    Commands, Engine, Entry, EntryKind, FlowLimits, Index, LogTime, Membership, NodeId, ProposalId, ReadId,
    Role, Time, Timing,
};

pub use choice::{Bounds, Choice};
pub use member::{Bench, Packet};
pub use search::{Found, Search, search};

/// A cluster of engines.
#[derive(Clone, Debug)]
pub struct Workbench<E: Engine> {
    members: BTreeMap<NodeId, Bench<E>>,
    packets: Vec<Packet<E::Message>>,
    founders: Membership,
    options: E::Options,
    limits: FlowLimits,
    seed: u64,
    /// Writes become durable as they are made.
    pub sync_at_once: bool,
    /// What was ever committed, by whoever said so first.
    committed: BTreeMap<Index, Entry>,
    proposals: u64,
    reads: u64,
    crashes: u64,
    checks: u64,
}

impl<E: Engine> Workbench<E> {
    /// So many members, with empty disks.
    pub fn new(count: u64, options: E::Options, seed: u64) -> Self {
        Self::with_limits(count, options, seed, LIMITS)
    }

    /// The same, with this much on its way to a peer at most.
    pub fn with_limits(count: u64, options: E::Options, seed: u64, limits: FlowLimits) -> Self {
        let founders = Membership::of_voters((1..=count).map(NodeId)).unwrap_or_default();
        let mut bench = Self {
            members: (1..=count).map(|id| (NodeId(id), Bench::default())).collect(),
            packets: Vec::new(),
            founders,
            options,
            limits,
            seed,
            sync_at_once: false,
            committed: BTreeMap::new(),
            proposals: 0,
            reads: 0,
            crashes: 0,
            checks: 0,
        };
        for node in bench.nodes() {
            bench.start(node);
        }
        bench
    }

    /// All members' numbers.
    pub fn nodes(&self) -> Vec<NodeId> {
        self.members.keys().copied().collect()
    }

    /// A member.
    ///
    /// # Panics
    /// If there is none of that number.
    pub fn member(&self, node: NodeId) -> &Bench<E> {
        self.members.get(&node).expect("a member of that number")
    }

    /// What is on its way, oldest first.
    pub fn packets(&self) -> &[Packet<E::Message>] {
        &self.packets
    }

    /// What was ever committed.
    pub fn committed(&self) -> &BTreeMap<Index, Entry> {
        &self.committed
    }

    /// How many invariants were evaluated.
    pub const fn checks(&self) -> u64 {
        self.checks
    }

    /// Whoever leads the highest generation, of those that run.
    pub fn leader(&self) -> Option<NodeId> {
        let leads =
            |member: &&Bench<E>| member.engine().is_some_and(|engine| engine.standing().role == Role::Leader);
        let leaders = self.members.iter().filter(|(_, member)| leads(member));
        let newest =
            leaders.max_by_key(|(_, member)| member.engine().map(|engine| engine.standing().generation));
        newest.map(|(node, _)| *node)
    }

    /// Loses every packet of this kind.
    pub fn lose(&mut self, which: impl Fn(&Packet<E::Message>) -> bool) {
        self.packets.retain(|packet| !which(packet));
    }

    /// Delivers everything and completes every write, save for what these members say and hear, until nothing is left to
    /// do; at most so many packets.
    pub fn settle_without(&mut self, lost: impl Fn(NodeId, NodeId) -> bool, packets_max: usize) {
        for _ in 0..packets_max {
            for node in self.nodes() {
                while self.choose(&Choice::Write(node)) {}
            }
            self.lose(|packet| lost(packet.from, packet.to));
            if !self.choose(&Choice::Deliver(0)) {
                return;
            }
        }
    }

    /// An entry with one command, as a client of that node makes it.
    fn entry(&mut self, node: NodeId, command: &[u8]) -> Entry {
        self.proposals += 1;
        let proposal =
            ProposalId { node, incarnation: consensus_api::Incarnation(1), sequence: self.proposals };
        let mut body = bytes::BytesMut::new();
        let pushed = Commands::push(&mut body, command);
        assert!(pushed.is_ok(), "a command of a script is short");
        Entry::new(EntryKind::Commands, 1, proposal, LogTime::ZERO, body.freeze())
    }

    fn next_command(&self) -> Bytes {
        Bytes::from((self.proposals + 1).to_le_bytes().to_vec())
    }

    fn next_read(&mut self) -> ReadId {
        self.reads += 1;
        ReadId(self.reads)
    }

    /// A fingerprint of everything that decides what may happen next, time and dice left out.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.proposals, self.reads, self.crashes).hash(&mut hasher);
        for member in self.members.values() {
            member.hash(&mut hasher);
        }
        // A network is a set: in which order packets came into it says nothing.
        let mut packets: Vec<u64> = self.packets.iter().map(Packet::fingerprint).collect();
        packets.sort_unstable();
        packets.hash(&mut hasher);
        for (index, entry) in &self.committed {
            (index, entry.checksum, entry.proposal.sequence).hash(&mut hasher);
        }
        hasher.finish()
    }
}

/// The timing of all members: the default one. Time only ever passes by [`Choice::Timeout`].
fn timing() -> Timing {
    Timing::default()
}

/// How much may be on its way to a peer, unless something else is said.
pub(crate) const LIMITS: FlowLimits =
    FlowLimits { inflight_frames_max: 4, inflight_bytes_max: 1 << 20, frame_bytes_max: 1 << 16 };

/// When members start: far from zero, so that nothing seems to have been heard at the beginning of time.
const START: Time = Time(1_000_000_000_000);
