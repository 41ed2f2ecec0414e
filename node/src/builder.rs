//! [`Builder`]: puts a node together and starts it.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use consensus_api::{
    Clock, ClusterName, Engine, Identity, Incarnation, Index, LogStorage, Membership, NodeId, SnapshotMark,
    SnapshotStorage, StartError, StateMachine, StoreId, Transport,
};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use crate::alarm::Alarm;
use crate::applier::Applier;
use crate::blocking::wait;
use crate::board::{Board, status_of};
use crate::choice::Choice;
use crate::chunks::Chunks;
use crate::driver::Driver;
use crate::handle::Node;
use crate::intake::Intake;
use crate::meter::Meter;
use crate::options::{FRAME_OVERHEAD_BYTES, Options};
use crate::replica::{Replica, Start};
use crate::shared::Shared;
use crate::system_clock::SystemClock;
use crate::worker::{Worker, WorkerPort, restore};

/// Stands where a storage is still to be given. It is none: starting without one does not compile.
#[derive(Clone, Copy, Debug)]
pub struct NoStorage;

/// Stands where a transport is still to be given. It is none: starting without one does not compile.
#[derive(Clone, Copy, Debug)]
pub struct NoTransport;

/// A node to be. See [`Node::builder`].
pub struct Builder<S, D, E, L, T> {
    cluster: String,
    node: NodeId,
    members: Vec<NodeId>,
    machine: S,
    storage: L,
    transport: T,
    clock: Option<Arc<dyn Clock>>,
    options: Options,
    /// Of the engine named when they were given.
    engine_options: Option<Box<dyn Any + Send>>,
    /// It founds nothing, and waits to be added.
    joins: bool,
    engines: PhantomData<fn() -> (D, E)>,
}

impl<S, D> Builder<S, D, D, NoStorage, NoTransport> {
    pub(crate) fn new(cluster: String, node: NodeId, members: Vec<NodeId>, machine: S) -> Self {
        Self {
            cluster,
            node,
            members,
            machine,
            storage: NoStorage,
            transport: NoTransport,
            clock: None,
            options: Options::default(),
            engine_options: None,
            joins: false,
            engines: PhantomData,
        }
    }
}

impl<S, D, E, L, T> Builder<S, D, E, L, T> {
    /// Keeps the log here.
    #[must_use]
    pub fn storage<L2>(self, storage: L2) -> Builder<S, D, E, L2, T> {
        self.with(|_, transport| (storage, transport))
    }

    /// Reaches the other members this way.
    #[must_use]
    pub fn transport<T2>(self, transport: T2) -> Builder<S, D, E, L, T2> {
        self.with(|storage, _| (storage, transport))
    }

    /// Runs this engine, whatever the default is.
    #[must_use]
    pub fn engine<E2>(self) -> Builder<S, D, E2, L, T> {
        let mut builder = self.with(|storage, transport| (storage, transport));
        builder.engine_options = None;
        builder
    }

    fn with<E2, L2, T2>(self, parts: impl FnOnce(L, T) -> (L2, T2)) -> Builder<S, D, E2, L2, T2> {
        let Self { cluster, node, members, machine, storage, transport, .. } = self;
        let Self { clock, options, engine_options, joins, .. } = self;
        let (storage, transport) = parts(storage, transport);
        let engines = PhantomData;
        Builder {
            cluster,
            node,
            members,
            machine,
            storage,
            transport,
            clock,
            options,
            engine_options,
            joins,
            engines,
        }
    }

    /// Options of the engine alone: those of the engine named so far.
    #[must_use]
    pub fn engine_options(mut self, options: E::Options) -> Self
    where
        E: Engine,
    {
        self.engine_options = Some(Box::new(options));
        self
    }

    /// Founds no cluster: the node waits until it is added to one, with [`Node::add_learner`] on any member, and votes
    /// once it is promoted. The members given to [`Node::builder`] then count for nothing.
    #[must_use]
    pub fn join(mut self) -> Self {
        self.joins = true;
        self
    }

    /// Takes its time from this clock instead of the system's.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Replaces all options.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Starts the node as a task of the current tokio runtime. Returns once the log is recovered and the state machine
    /// restored; an election may still have to come.
    ///
    /// # Errors
    /// [`StartError`], with what to do about it.
    pub fn start(self) -> Result<Node<S, D>, StartError>
    where
        S: StateMachine,
        E: Choice,
        L: LogStorage,
        T: Transport,
    {
        E::start(self)
    }

    /// The name of the engine whose log the storage holds, if it can tell.
    ///
    /// # Errors
    /// [`StartError`] when the storage cannot be read.
    pub fn engine_of_log(&self) -> Result<Option<String>, StartError>
    where
        L: LogStorage,
    {
        Ok(self.storage.engine()?)
    }

    pub(crate) fn start_engine(self) -> Result<Node<S, D>, StartError>
    where
        S: StateMachine,
        E: Engine,
        L: LogStorage,
        T: Transport,
    {
        let Self { cluster, node, members, machine, mut storage, mut transport, .. } = self;
        let Self { clock, mut options, engine_options, joins, .. } = self;
        let engine = engine_options.and_then(|options| options.downcast::<E::Options>().ok());
        let runtime = Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        options.check(transport.frame_bytes_max())?;
        let founders = if joins { Membership::default() } else { check_members(node, &members)? };
        let cluster = ClusterName::new(&cluster).ok_or(StartError::ClusterName { name: cluster })?;
        let (incarnation, seed) = (Incarnation(draw()?), options.seed.map_or_else(draw, Ok)?);
        let clock: Arc<dyn Clock> = clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        let mut identity =
            Identity { cluster, node, engine: E::NAME, store: StoreId::default(), incarnation };
        let recovered = storage.attach(&identity)?;
        identity.store = recovered.store;

        let snapshots: Arc<dyn SnapshotStorage> = storage.snapshots().into();
        if !snapshots.is_available() {
            options.compaction.snapshot_every_bytes = 0;
        }
        let own = machine.applied();
        if own.is_some() {
            options.apply_ahead_bytes_max = 0;
        }
        let begins = recovered.outline.snapshot.as_ref().map_or(&founders, |mark| &mark.membership);
        let mut applier =
            Applier::new(machine, begins.clone()).comparing_every(options.compare_every_entries);
        let snapshot = restore_newest(&mut applier, &*snapshots, node)?;
        let start = Start {
            identity: identity.clone(),
            founders,
            snapshot,
            now: clock.now(),
            seed,
            options: options.clone(),
            engine: engine.map_or_else(E::Options::default, |options| *options),
        };
        let replica = Replica::<E, _, _>::recover(start, recovered)?;
        check_own(node, own, replica.standing().last)?;
        transport.attach(&identity)?;

        let (requests, receiver) = mpsc::unbounded_channel();
        let (feedback, feedbacks) = mpsc::unbounded_channel();
        let (status, statuses) = watch::channel(status_of(&replica, transport.peers(), None));
        let bytes_max = transport.frame_bytes_max() - FRAME_OVERHEAD_BYTES;
        let (chunk_orders, chunk_reports, chunks) = Chunks::spawn(snapshots.clone(), bytes_max, &runtime);
        let worker = Worker::new(applier, snapshots, feedback, runtime.clone());
        let worker = WorkerPort::new(worker, options.apply_on, format!("apply-{node}")).map_err(no_thread)?;
        let driver = Driver {
            reader: storage.reader(),
            log: storage,
            transport,
            alarm: Alarm::new(clock.timer()),
            clock,
            intake: Intake::new(receiver, feedbacks, chunk_reports),
            worker,
            chunk_orders,
            chunks,
            board: Board::new(status),
            meter: Meter::new(node),
            errands: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            ticket: 0,
            stopping: None,
            grace: options.request_deadline / 2,
            frames: Vec::new(),
            replica,
        };
        runtime.spawn(driver.run());
        Ok(Node::new(Shared::new(&identity, requests, statuses, &options)))
    }
}

/// A state machine that keeps its state itself must not be ahead of the log.
pub(crate) fn check_own(node: NodeId, own: Option<Index>, last: Index) -> Result<(), StartError> {
    let Some(own) = own.filter(|own| *own > last) else { return Ok(()) };
    let problem = format!(
        "the state machine says that it holds everything up to entry {own}, but the log ends at {last}: one of the two is another's, or was lost; give both an empty folder, and add the node again"
    );
    Err(StartError::Log { node, problem })
}

pub(crate) fn check_members(node: NodeId, members: &[NodeId]) -> Result<Membership, StartError> {
    let wrong = |problem| Err(StartError::Members { node, problem });
    let Ok(founders) = Membership::of_voters(members.iter().copied()) else {
        return wrong("there are too many members; 3 or 5 are usual, 1024 the most");
    };
    if founders.voters().len() != members.len() {
        return wrong("a node is listed twice among the members; list each once");
    }
    if !founders.is_voter(node) {
        return wrong("it is not among the members; the list names every member, this one included");
    }
    Ok(founders)
}

fn restore_newest<S: StateMachine>(
    applier: &mut Applier<S>,
    snapshots: &dyn SnapshotStorage,
    node: NodeId,
) -> Result<Option<SnapshotMark>, StartError> {
    let Some(newest) = wait(snapshots.latest())? else { return Ok(None) };
    let mark = newest.mark().clone();
    let problem = |failure: consensus_api::Failure| StartError::Log {
        node,
        problem: format!("the snapshot of entry {} cannot be restored: {failure}", mark.index),
    };
    restore(applier, snapshots, &mark).map_err(problem)?;
    Ok(Some(mark))
}

fn draw() -> Result<u64, StartError> {
    getrandom::u64().map_err(|_| StartError::Options {
        field: "seed",
        problem: "must be given, because the system has no source of randomness",
    })
}

fn no_thread(_: std::io::Error) -> StartError {
    StartError::Options {
        field: "apply_on",
        problem: "asks for a thread, and the system grants none; raise its limit or apply inline",
    }
}

impl<S, D, E, L, T> fmt::Debug for Builder<S, D, E, L, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("cluster", &self.cluster)
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}
