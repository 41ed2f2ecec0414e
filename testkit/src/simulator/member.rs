//! [`Member`]: one simulated node: a real replica and a real applier, on an imagined disk and clock.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use consensus_api::{
    ClusterName, Engine, Identity, Incarnation, Index, LogTime, Membership, NodeId, Outline, SnapshotMark,
    Standing, StateMachine, StoreId, Time,
};
use node::{Applier, ApplyWork, Options, Replica, Start};

use super::disk::{Disk, NoStart};
use super::machine::Ledger;
use crate::Random;

/// The number of a client's operation. It is the ticket of the proposal or read.
pub(crate) type OpId = u64;

/// One simulated node.
#[derive(Debug)]
pub struct Member<E: Engine> {
    /// Its id.
    pub id: NodeId,
    /// Counts its starts.
    pub(crate) life: u64,
    /// What runs, while it runs.
    pub(crate) running: Option<Running<E>>,
    /// What survives.
    pub disk: Disk,
    /// Until then the process is frozen.
    pub(crate) paused_until: Time,
    /// Its disk was damaged beyond use, or it was removed and switched off for good: it never starts again.
    pub(crate) lost: bool,
    /// It has lost its disk, and was given an empty one.
    pub(crate) wiped: bool,
    /// Others have told it that they do not know its disk.
    pub(crate) refused: bool,
    /// May be negative.
    pub(crate) wall_offset_ms: i64,
    drift_permille: u64,
    pub(crate) options: Options,
    engine: E::Options,
    founders: Membership,
    random: Random,
}

/// A node's volatile part.
#[derive(Debug)]
pub(crate) struct Running<E: Engine> {
    pub(crate) replica: Replica<E, OpId, OpId>,
    pub(crate) applier: Applier<Ledger>,
    /// Work handed over and not yet done.
    pub(crate) apply: VecDeque<ApplyWork<OpId>>,
    /// Snapshots coming in, by sender.
    pub(crate) receiving: BTreeMap<NodeId, (SnapshotMark, Vec<u8>)>,
    /// The next wake-up that is queued.
    pub(crate) alarm: Time,
    /// Where the engine stood after the last step.
    pub(crate) standing: Standing,
}

impl<E: Engine> Member<E> {
    pub(crate) fn new(
        id: NodeId,
        founders: Membership,
        options: (Options, E::Options),
        clocks: (i64, u64),
        disk: Disk,
        random: Random,
    ) -> Self {
        let ((options, engine), (wall_offset_ms, drift_permille)) = (options, clocks);
        Self {
            id,
            life: 0,
            running: None,
            disk,
            paused_until: Time::ZERO,
            lost: false,
            wiped: false,
            refused: false,
            wall_offset_ms,
            drift_permille,
            options,
            engine,
            founders,
            random,
        }
    }

    /// Whether it is one of those who found the cluster, rather than wait to be added.
    pub(crate) fn is_founder(&self) -> bool {
        !self.founders.voters().is_empty()
    }

    /// Whether its disk holds this entry durably: in the log, or in a snapshot that covers it.
    pub(crate) fn holds(&self, index: Index, essence: (u32, u64)) -> bool {
        self.disk.image().covers(index, essence)
    }

    /// Whether its disk holds this entry durably, or the one before did when it was lost.
    pub(crate) fn has_held(&self, index: Index, essence: (u32, u64)) -> bool {
        self.disk.images().any(|image| image.covers(index, essence))
    }

    /// The node's own monotonic clock at a moment of the simulation.
    pub(crate) fn local(&self, now: Time) -> Time {
        Time(now.0 + now.0 / 1000 * self.drift_permille)
    }

    /// The moment of the simulation at which the node's own clock shows this, or just after.
    pub(crate) fn global(&self, local: Time) -> Time {
        if local == Time::MAX {
            return Time::MAX;
        }
        Time(local.0 / (1000 + self.drift_permille) * 1000 + 1000)
    }

    /// The node's wall clock.
    pub(crate) fn wall(&self, now: Time) -> LogTime {
        LogTime((1_700_000_000_000 + now.0 / 1_000_000).saturating_add_signed(self.wall_offset_ms))
    }

    /// Starts the node on what its disk holds.
    pub(crate) fn start(&mut self, now: Time) -> Result<(), NoStart> {
        self.life += 1;
        let wrong = |what: String| NoStart::Wrong(what);
        let cluster = ClusterName::new("simulated").ok_or_else(|| wrong("a good name".to_owned()))?;
        let incarnation = Incarnation(self.id.0 << 32 | self.life);
        let mut identity =
            Identity { cluster, node: self.id, engine: E::NAME, store: StoreId::default(), incarnation };
        let recovered = self.disk.open(&identity)?;
        identity.store = recovered.store;
        let begins = recovered.outline.snapshot.as_ref().map_or(&self.founders, |mark| &mark.membership);
        let mut applier = Applier::new(Ledger::default(), begins.clone());
        let snapshot = self.disk.snapshot().cloned();
        if let Some((mark, bytes)) = &snapshot {
            applier.restore(mark.clone(), &mut &bytes[..]).map_err(|failure| wrong(failure.0))?;
        }
        let start = Start {
            identity,
            founders: self.founders.clone(),
            snapshot: snapshot.map(|(mark, _)| mark),
            now: self.local(now),
            seed: self.random.next(),
            options: self.options.clone(),
            engine: self.engine.clone(),
        };
        let replica = Replica::recover(start, recovered).map_err(|error| wrong(error.to_string()))?;
        self.running = Some(Running {
            standing: replica.standing(),
            replica,
            applier,
            apply: VecDeque::new(),
            receiving: BTreeMap::new(),
            alarm: Time::MAX,
        });
        Ok(())
    }

    /// The process is gone, and with it all that was not durable.
    pub(crate) fn crash(&mut self) {
        self.running = None;
        self.paused_until = Time::ZERO;
        self.disk.crash(&mut self.random);
    }

    /// The process ends, and leaves its files as they are.
    pub(crate) fn end(&mut self) {
        self.running = None;
        self.paused_until = Time::ZERO;
        self.disk.close();
    }

    /// Engines as of what the disk holds now, and as of what it held when it was lost: what this node would remember if it
    /// lost its power, and what it has promised before.
    pub(crate) fn remembered(&self) -> impl Iterator<Item = E> {
        self.disk.images().filter_map(|image| self.recovered(image.outline()))
    }

    fn recovered(&self, outline: &Outline) -> Option<E> {
        let setup = consensus_api::Setup {
            node: self.id,
            founders: self.founders.clone(),
            now: Time::ZERO,
            seed: 0,
            timing: self.options.timing,
            flow: self.options.flow,
            options: self.engine.clone(),
        };
        E::recover(setup, outline).ok()
    }

    /// The store it runs on, while it runs.
    pub(crate) fn store(&self) -> Option<StoreId> {
        self.running.as_ref().map(|running| running.replica.identity().store)
    }

    /// The engine, while the node runs.
    pub fn engine(&self) -> Option<&E> {
        self.running.as_ref().map(|running| running.replica.engine())
    }

    /// The state machine, while the node runs.
    pub fn ledger(&self) -> Option<&Ledger> {
        self.running.as_ref().map(|running| running.applier.machine())
    }
}

impl<E: Engine> Member<E> {
    /// The digest of the state, if exactly this much is applied.
    pub(crate) fn state_at(&self, index: Index) -> Option<u64> {
        let running = self.running.as_ref()?;
        (running.applier.applied() == index).then_some(running.applier.machine().digest)
    }
}

impl<E: Engine> Running<E> {
    /// Bytes of entries handed over and not yet applied, the newest not among them: it may exceed the budget.
    pub(crate) fn apply_bytes(&self) -> usize {
        let bytes = |work: &ApplyWork<OpId>| match work {
            // What a snapshot has brought already is dropped when its turn comes.
            ApplyWork::Entry { entry, .. } if entry.index > self.applier.applied() => {
                Some(entry.record_len())
            }
            ApplyWork::Entry { .. } | ApplyWork::Founded(_) | ApplyWork::Restore(_) | ApplyWork::Snapshot => {
                None
            }
        };
        self.apply.iter().rev().filter_map(bytes).skip(1).sum()
    }

    /// The snapshot of the state as it is.
    pub(crate) fn snapshot(&self) -> Result<(SnapshotMark, Bytes), String> {
        let point = self.applier.snapshot().map_err(|failure| failure.0)?;
        let mark = point.mark.clone();
        let mut bytes = Vec::new();
        point.write_to(&mut bytes).map_err(|error| error.to_string())?;
        Ok((mark, bytes.into()))
    }
}

/// The answer to a command.
pub(crate) type Answer = <Ledger as StateMachine>::Response;
