//! [`Simulation`]: a whole cluster in one thread, in imagined time.
//!
//! The replicas are the real ones: engine, batching, forwarding, waiting lists, snapshots. Network, disk and clock are
//! imagined, and go wrong as [`Faults`] say; or the disk is a [`Medium`] with a real log on it. One seed gives one run,
//! to the last byte.
//!
//! A run has two phases. In the first, everything goes wrong and the checkers look at every step. In
//! the second, faults stop and all nodes run that can: then there must soon be a leader, every request must be answered,
//! and all replicas must agree.

mod clients;
mod coverage;
mod disk;
mod disk_faults;
mod errands;
mod faults;
mod history;
mod image;
mod journal;
mod machine;
mod medium;
mod member;
mod network;
mod nodes;
mod retirements;
mod run;
mod sessions;
mod shrink;
mod strikes;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use consensus_api::{Engine, Entry, Frame, Index, Membership, NodeId, SnapshotMark, Time};
use node::{Chunk, CompactionPolicy, Load, Options, SnapshotSource};

pub use coverage::absent;
pub use disk::Disk;
pub use errands::{Asked, Errands};
pub use faults::{Faults, KINDS as FAULT_KINDS, NetworkFaults};
pub use history::{History, Kind as OperationKind, Operation, Result as OperationResult};
pub use image::Image;
pub use machine::{KEYS, Ledger};
pub use medium::{DiskFault, Medium};
pub use member::Member;
pub use network::{Network, NetworkCounts};
pub use run::{Run, run};
pub(crate) use sessions::IN_SESSION;
pub use sessions::{Numbered, Request as NumberedRequest};
pub use shrink::{Shrunk, shrink};

use crate::Random;
use crate::checkers::Checkers;
use journal::Journal;

/// What a run is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// All randomness comes from here.
    pub seed: u64,
    /// Events before faults stop.
    pub steps: u64,
    /// How many nodes: drawn from the seed (1, 3 or 5) unless given.
    pub nodes: Option<u64>,
    /// What goes wrong: drawn from the seed unless given.
    pub faults: Option<Faults>,
}

impl Plan {
    /// How many nodes there are.
    pub fn nodes(&self) -> u64 {
        let mut setup = Random::new(self.seed).stream("size", 0);
        self.nodes.unwrap_or_else(|| [3, 3, 5, 5, 1][setup.below(5) as usize])
    }

    /// What goes wrong.
    pub fn faults(&self) -> Faults {
        self.faults.unwrap_or_else(|| Faults::draw(&mut Random::new(self.seed).stream("faults", 0)))
    }
}

/// What a run did and saw.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Events carried out.
    pub steps: u64,
    /// How much time passed in the simulation.
    pub simulated: Duration,
    /// A digest of everything that happened: the same seed gives the same one.
    pub trace: u64,
    /// Properties and invariants evaluated.
    pub checks: u64,
    /// Frames and what befell them.
    pub network: NetworkCounts,
    /// What happened, by name and how often.
    pub counts: BTreeMap<&'static str, u64>,
    /// How long after the end of all faults there was a leader.
    pub led_after: Option<Duration>,
}

/// A property that did not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The property.
    pub property: &'static str,
    /// What was seen.
    pub what: String,
}

/// A cluster at one moment of a run.
#[derive(Debug)]
pub struct Simulation<E: Engine> {
    plan: Plan,
    faults: Faults,
    now: Time,
    calm_since: Option<Time>,
    queue: BTreeMap<(Time, u64), Happening>,
    queued: u64,
    /// Counts fault events.
    struck: u64,
    members: Vec<Member<E>>,
    network: Network,
    history: History,
    numbered: Numbered,
    errands: Errands,
    checkers: Checkers<E>,
    /// Everything up to here has been committed by some node.
    committed: Index,
    chances: Chances,
    journal: Journal,
    report: Report,
}

/// One stream of chance per concern, so that a change in one shifts nothing in the others.
#[derive(Debug)]
struct Chances {
    disk: Random,
    apply: Random,
    crash: Random,
    step: Random,
    client: Random,
    session: Random,
    level: Random,
    operator: Random,
    retirement: Random,
}

/// What is about to happen.
#[derive(Debug)]
enum Happening {
    Frame { from: NodeId, to: NodeId, connection: u64, frame: Frame },
    Reconnect { a: NodeId, b: NodeId },
    To { node: NodeId, life: u64, what: Own },
    Ask { client: u64 },
    AskInSession { client: u64 },
    AskFor { ticket: u64 },
    Administer { transfer: bool },
    Readmit { node: NodeId },
    Retire { node: NodeId, ticket: u64 },
    Again { write: bool },
    GiveUp { op: u64 },
    Restart { node: NodeId },
    Heal,
    Strike(strikes::Strike),
}

/// What happens to one life of one node.
#[derive(Debug)]
enum Own {
    Wake,
    Written,
    Apply,
    Loaded(Load),
    ChunkRead { to: NodeId, index: Option<Index>, offset: u64 },
    ChunkWrite { from: NodeId, chunk: Chunk },
    SnapshotKept { mark: SnapshotMark, bytes: Bytes },
}

const CLIENTS: u64 = 4;

impl<E: Engine> Simulation<E> {
    /// A cluster at its beginning, on disks that `disks` makes, each engine with the options that `engine` gives it.
    fn new(
        plan: &Plan,
        disks: &mut dyn FnMut(NodeId, u64) -> Disk,
        engine: &mut dyn FnMut(NodeId) -> E::Options,
        watch: crate::checkers::Watch,
    ) -> Self {
        let random = Random::new(plan.seed);
        let mut setup = random.stream("setup", 0);
        let (nodes, faults) = (plan.nodes(), plan.faults().for_engine(E::CAPABILITIES));
        let spares = if faults.change_every_ms > 0 { errands::SPARES } else { 0 };
        let ids: Vec<NodeId> = (1..=nodes + spares).map(NodeId).collect();
        let founders = Membership::of_voters((1..=nodes).map(NodeId)).expect("a few members");
        let members = ids.iter().map(|id| {
            let skew = setup.between(0, faults.wall_skew_max_ms).cast_signed();
            let clocks = (skew, setup.between(0, faults.drift_max_permille));
            let mut options = options_of(&faults, &mut setup);
            if random.stream("relay", id.0).one_in(faults.relay_one_in) {
                options.snapshot_source = SnapshotSource::Follower;
            }
            let disk = disks(*id, random.stream("medium", id.0).next());
            // Whoever waits to be added is given no members.
            let given = if founders.contains(*id) { founders.clone() } else { Membership::default() };
            Member::new(*id, given, (options, engine(*id)), clocks, disk, random.stream("member", id.0))
        });
        let mut simulation = Self {
            members: members.collect(),
            network: Network::new(faults.network, random.stream("network", 0), &ids),
            history: History::default(),
            numbered: Numbered::default(),
            errands: Errands::default(),
            checkers: Checkers::new(founders.clone(), ids.len(), watch),
            committed: Index::ZERO,
            chances: Chances {
                disk: random.stream("disk", 0),
                apply: random.stream("apply", 0),
                crash: random.stream("crash", 0),
                step: random.stream("step", 0),
                client: random.stream("client", 0),
                session: random.stream("session", 0),
                level: random.stream("level", 0),
                operator: random.stream("operator", 0),
                retirement: random.stream("retirement", 0),
            },
            journal: Journal::default(),
            report: Report::default(),
            plan: *plan,
            faults,
            now: Time::ZERO,
            calm_since: None,
            queue: BTreeMap::new(),
            queued: 0,
            struck: 0,
        };
        for node in ids {
            simulation.at(Time::ZERO, Happening::Restart { node });
        }
        for client in 0..CLIENTS {
            simulation.at(Time(1_000_000 * (client + 1)), Happening::Ask { client });
        }
        for client in 0..faults.session_clients {
            simulation.at(Time(1_500_000 * (client + 1)), Happening::AskInSession { client });
        }
        simulation.plan_strikes();
        simulation.plan_errands();
        simulation
    }

    /// The nodes.
    pub fn members(&self) -> &[Member<E>] {
        &self.members
    }

    /// Whether faults have stopped.
    const fn is_calm(&self) -> bool {
        self.calm_since.is_some()
    }

    fn at(&mut self, time: Time, happening: Happening) {
        self.queued += 1;
        self.queue.insert((time.max(self.now), self.queued), happening);
    }

    fn count(&mut self, what: &'static str) {
        *self.report.counts.entry(what).or_default() += 1;
    }
}

/// A node's place among the members.
fn position(node: NodeId) -> usize {
    (node.0 as usize).wrapping_sub(1)
}

/// A node's options: small budgets, so that limits are met.
fn options_of(faults: &Faults, random: &mut Random) -> Options {
    let mut sometimes = |small, large| if random.one_in(2) { small } else { large };
    let mut options = Options {
        cache_bytes_max: sometimes(4 << 10, 64 << 20),
        entry_bytes_max: sometimes(256, 1 << 20),
        apply_bytes_max: sometimes(2 << 10, 16 << 20),
        apply_ahead_bytes_max: sometimes(0, 4 << 10),
        compaction: CompactionPolicy {
            snapshot_every_bytes: if faults.snapshot_every_entries == 0 { 0 } else { u64::MAX / 2 },
            snapshot_every_entries: faults.snapshot_every_entries,
            keep_bytes: sometimes(0, 4 << 10) as u64,
        },
        request_deadline: Duration::from_millis(sometimes(2_500, 5_000) as u64),
        change_deadline: errands::PATIENCE,
        ..Options::default()
    };
    options.flow.frame_bytes_max = sometimes(512, 1 << 20);
    options
}

/// A digest of one more thing.
fn mix(digest: u64, part: u64) -> u64 {
    (digest ^ part).wrapping_mul(0x0100_0000_01b3).rotate_left(31)
}

/// What of an entry must be the same on every node once it is committed.
pub(crate) fn essence(entry: &Entry) -> (u32, u64) {
    (entry.checksum, entry.proposal.sequence)
}
