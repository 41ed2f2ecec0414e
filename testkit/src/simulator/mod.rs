//! [`Simulation`]: a whole cluster in one thread, in imagined time.
//!
//! The replicas are the real ones: engine, batching, forwarding, waiting lists, snapshots. Network, disk and clock are
//! imagined, and go wrong as [`Faults`] say. One seed gives one run, to the last byte.
//!
//! A run has two phases. In the first, everything goes wrong and the checkers look at every step. In
//! the second, faults stop and all nodes run: then there must soon be a leader, every request must be answered, and all
//! replicas must agree.

mod disk;
mod faults;
mod history;
mod machine;
mod member;
mod network;
mod nodes;
mod run;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use consensus_api::{Engine, Entry, Frame, Index, Membership, NodeId, SnapshotMark, Time};
use node::{Chunk, CompactionPolicy, Load, Options};

pub use disk::Disk;
pub use faults::{Faults, NetworkFaults};
pub use history::{History, Operation, Result as OperationResult};
pub use machine::Ledger;
pub use member::Member;
pub use network::{Network, NetworkCounts};
pub use run::run;

use crate::Random;
use crate::checkers::Checkers;

/// What a run is made of.
#[derive(Clone, Copy, Debug)]
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

/// What a run did and saw.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Events carried out.
    pub steps: u64,
    /// How much time passed in the simulation.
    pub simulated: Duration,
    /// A digest of everything that happened: the same seed gives the same one.
    pub trace: u64,
    /// Invariants evaluated.
    pub checks: u64,
    /// Frames and what befell them.
    pub network: NetworkCounts,
    /// What happened, by name and how often.
    pub counts: BTreeMap<&'static str, u64>,
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
    calm: bool,
    queue: BTreeMap<(Time, u64), Happening>,
    queued: u64,
    members: Vec<Member<E>>,
    network: Network,
    history: History,
    checkers: Checkers<E>,
    chances: Chances,
    report: Report,
}

/// One stream of chance per concern, so that a change in one shifts nothing in the others.
#[derive(Debug)]
struct Chances {
    disk: Random,
    apply: Random,
    crash: Random,
    client: Random,
}

/// What is about to happen.
#[derive(Debug)]
enum Happening {
    Frame { from: NodeId, to: NodeId, frame: Frame },
    To { node: NodeId, life: u64, what: Own },
    Ask { client: u64 },
    Crash,
    Restart { node: NodeId },
    Partition,
    Heal,
    Pause,
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
    /// A cluster at its beginning.
    pub fn new(plan: Plan) -> Self {
        let random = Random::new(plan.seed);
        let mut setup = random.stream("setup", 0);
        let nodes = plan.nodes.unwrap_or_else(|| [3, 3, 5, 5, 1][setup.below(5) as usize]);
        let faults = plan.faults.unwrap_or_else(|| Faults::draw(&mut random.stream("faults", 0)));
        let ids: Vec<NodeId> = (1..=nodes).map(NodeId).collect();
        let founders = Membership::of_voters(ids.iter().copied()).expect("a few members");
        let members = ids.iter().map(|id| {
            let clocks =
                (setup.between(0, faults.wall_skew_max_ms), setup.between(0, faults.drift_max_permille));
            let options = options_of(&faults, &mut setup);
            Member::new(*id, founders.clone(), options, clocks, random.stream("member", id.0))
        });
        let mut simulation = Self {
            members: members.collect(),
            network: Network::new(faults.network, random.stream("network", 0)),
            history: History::default(),
            checkers: Checkers::new(founders),
            chances: Chances {
                disk: random.stream("disk", 0),
                apply: random.stream("apply", 0),
                crash: random.stream("crash", 0),
                client: random.stream("client", 0),
            },
            report: Report::default(),
            plan,
            faults,
            now: Time::ZERO,
            calm: false,
            queue: BTreeMap::new(),
            queued: 0,
        };
        for node in ids {
            simulation.at(Time::ZERO, Happening::Restart { node });
        }
        for client in 0..CLIENTS {
            simulation.at(Time(1_000_000 * (client + 1)), Happening::Ask { client });
        }
        simulation.plan_faults();
        simulation
    }

    /// The nodes.
    pub fn members(&self) -> &[Member<E>] {
        &self.members
    }

    /// What goes wrong in this run.
    pub const fn faults(&self) -> &Faults {
        &self.faults
    }

    fn plan_faults(&mut self) {
        let Faults { crash_every_ms, partition_every_ms, pause_every_ms, .. } = self.faults;
        self.after_about(crash_every_ms, Happening::Crash);
        self.after_about(partition_every_ms, Happening::Partition);
        self.after_about(pause_every_ms, Happening::Pause);
    }

    /// Queues something for about `mean_ms` from now; nothing when that is 0.
    fn after_about(&mut self, mean_ms: u64, happening: Happening) {
        if mean_ms > 0 {
            let wait = Duration::from_micros(self.chances.crash.between(1, 2 * mean_ms * 1000));
            self.at(self.now + wait, happening);
        }
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
    node.0 as usize - 1
}

/// A node's options: small budgets, so that limits are met.
fn options_of(faults: &Faults, random: &mut Random) -> Options {
    let mut sometimes = |small, large| if random.one_in(2) { small } else { large };
    let mut options = Options {
        cache_bytes_max: sometimes(4 << 10, 64 << 20),
        entry_bytes_max: sometimes(256, 1 << 20),
        apply_bytes_max: sometimes(2 << 10, 16 << 20),
        compaction: CompactionPolicy {
            snapshot_every_bytes: if faults.snapshot_every_entries == 0 { 0 } else { u64::MAX / 2 },
            snapshot_every_entries: faults.snapshot_every_entries,
            keep_bytes: sometimes(0, 4 << 10) as u64,
        },
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
fn essence(entry: &Entry) -> (u32, u64) {
    (entry.checksum, entry.proposal.sequence)
}
