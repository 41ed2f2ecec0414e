//! A value per key, agreed on by several nodes, without a leader and without a log.
//!
//! [`Registers`] is a node's handle. Every node takes any request, proposes for itself, and is an acceptor to the others;
//! a majority of disks keeps what was answered. The decisions are made by [`paxos::register`], a pure state machine; this
//! crate gives it a log to keep its acceptors in, a transport, a clock and a task, and is a crate of its own because the
//! engines' crate is pure, and `node`, which runs engines, knows none by name.
//!
//! ```text
//!   propose, change, read ──► Registers ──► task: requests, arrivals, durable writes, time
//!                                             │ ▲
//!                                             ▼ │
//!                                    paxos::register::Registers ──► messages, journal writes, answers
//! ```
//!
//! # What is promised
//!
//! * [`propose`](Registers::propose) writes once: whoever proposes, and however many, all are told the one value chosen.
//! * [`change`](Registers::change) and [`read`](Registers::read) are linearizable, key by key.
//! * A request ends with an answer; or as [`RegisterError::NotDone`]: it did not happen; or as
//!   [`RegisterError::Unknown`]: it may have, or may yet. [`change_again`](Registers::change_again) under the same
//!   [`ChangeId`] resolves that: it takes effect once, however often it is asked for, and is told of its own success.
//!
//! # What it does not do
//!
//! No order across keys and no transactions; for these, use a replicated state machine. Members are fixed. A deleted key
//! leaves a tombstone. All keys are in memory.

mod driver;

use std::sync::Arc;

use bytes::Bytes;
use consensus_api::{
    Clock, ClusterName, EngineName, Identity, Incarnation, LogReader, LogStorage, Membership, NodeId,
    StartError, StoreId, Transport,
};
use paxos::register::Registers as Core;
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

pub use paxos::register::{Answer, Change, ChangeId, Times};

use self::driver::{Call, Driver};

/// The name in log headers and handshakes.
pub const NAME: EngineName = EngineName("registers");

/// The longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 1024;

/// The longest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 1 << 20;

/// Requests that wait at a node at the same time; a further one waits to be taken.
const REQUESTS_MAX: usize = 1024;

/// A request was not carried out, or its outcome is not known.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// No majority answered in time. **It did not happen.** The node keeps running; try again.
    #[error("no majority of the members answered in time; it did not happen, try again")]
    NotDone,
    /// **It may have happened, or may yet.** The node keeps running. Ask again under the same [`ChangeId`].
    #[error(
        "the outcome is unknown: no majority answered in time; it may have happened, ask again under the same id"
    )]
    Unknown,
    /// It was asked for again, too late: **whether it happened before cannot be told any more**, for others have changed the
    /// key since. It did not happen now. The node keeps running; read the key.
    #[error(
        "it was asked for again after many other changes of the key: whether it took effect before cannot be told any \
         more, and now it took none; read the key"
    )]
    Forgotten,
    /// The key or the value is too long. **It did not happen.** The node keeps running.
    #[error("{what} takes {bytes} bytes, over the limit of {bytes_max}; it did not happen")]
    TooLarge {
        /// The key or the value.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The node no longer runs, and what was under way **may have happened**. Start the node again.
    #[error("the node has stopped; what was under way may have happened")]
    Stopped,
}

/// Who keeps the registers.
#[derive(Clone, Debug)]
pub struct Keepers {
    /// The cluster's name: 1 to 64 bytes. Nodes of different clusters refuse each other.
    pub cluster: String,
    /// This node.
    pub node: NodeId,
    /// All of them, this node included; the same on all of them, for good.
    pub members: Vec<NodeId>,
    /// Waits and deadlines.
    pub times: Times,
}

impl Keepers {
    /// This node, among these, with the default times.
    pub fn new<N: Into<NodeId>>(
        cluster: &str,
        node: impl Into<NodeId>,
        members: impl IntoIterator<Item = N>,
    ) -> Self {
        let members = members.into_iter().map(Into::into).collect();
        Self { cluster: cluster.to_owned(), node: node.into(), members, times: Times::default() }
    }
}

/// A node that keeps registers. Cheap to clone. The node stops once every handle is dropped.
#[derive(Clone, Debug)]
pub struct Registers {
    requests: mpsc::Sender<Call>,
}

impl Registers {
    /// Starts a node as a task of the current tokio runtime, on what its log holds.
    ///
    /// # Errors
    /// [`StartError`], with what to do about it.
    pub async fn start<L: LogStorage, T: Transport>(
        keepers: Keepers,
        mut log: L,
        mut transport: T,
        clock: impl Clock,
    ) -> Result<Self, StartError> {
        let Keepers { cluster, node, members, times } = keepers;
        let runtime = Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        let cluster = ClusterName::new(&cluster).ok_or(StartError::ClusterName { name: cluster })?;
        let Ok(membership) = Membership::of_voters(members) else {
            let problem = "there are too many members; 3 or 5 are usual, 1024 the most";
            return Err(StartError::Members { node, problem });
        };
        if !membership.is_voter(node) {
            let problem = "it is not among the members; the list names every member, this one included";
            return Err(StartError::Members { node, problem });
        }
        let (incarnation, seed) = (Incarnation(draw()?), draw()?);
        let mut identity = Identity { cluster, node, engine: NAME, store: StoreId::default(), incarnation };
        let recovered = log.attach(&identity)?;
        identity.store = recovered.store;
        let (first, last) = (recovered.outline.compacted.next(), recovered.outline.last());
        let entries = log.reader().read(first..last.next(), usize::MAX).await?;
        let core = Core::recover(node, membership, &entries, (times, clock.now(), seed));
        let core = core.map_err(|error| StartError::Log { node, problem: error.to_string() })?;
        transport.attach(&identity)?;
        let (requests, receiver) = mpsc::channel(REQUESTS_MAX);
        let clock: Arc<dyn Clock> = Arc::new(clock);
        runtime.spawn(Driver::new(core, log, transport, clock, receiver).run());
        Ok(Self { requests })
    }

    /// Proposes a value for a key that can be written once, and returns the value chosen: this one, or another's.
    ///
    /// # Errors
    /// [`RegisterError`]. Proposing again is harmless.
    pub async fn propose(
        &self,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
    ) -> Result<Bytes, RegisterError> {
        let value = value.into();
        let answer = self.change(key, Change::Init(value)).await?;
        Ok(answer.value.unwrap_or_default())
    }

    /// Changes a register, under a name drawn for this change.
    ///
    /// # Errors
    /// [`RegisterError`]. After [`RegisterError::Unknown`] nobody can tell; who wants to, names the change himself and uses
    /// [`change_as`](Self::change_as).
    pub async fn change(&self, key: impl Into<Bytes>, change: Change) -> Result<Answer, RegisterError> {
        self.change_as(key, Self::name_a_change()?, change).await
    }

    /// Changes a register under a name of the caller's, drawn by [`name_a_change`](Self::name_a_change), that nobody has used
    /// before.
    ///
    /// # Errors
    /// [`RegisterError`]. After [`RegisterError::Unknown`], [`change_again`](Self::change_again) under the same name resolves
    /// what became of it.
    pub async fn change_as(
        &self,
        key: impl Into<Bytes>,
        id: ChangeId,
        change: Change,
    ) -> Result<Answer, RegisterError> {
        self.ask(key.into(), id, false, change).await
    }

    /// Changes a register under a name that may have been used for this change before. It takes effect once however often, and
    /// at whichever node, it is asked for: as long as the node that it was first asked of has not carried out another change of
    /// this key, or no more than [`RECENT_CHANGES_MAX`](paxos::register::RECENT_CHANGES_MAX) others have taken effect since.
    /// Later a compare-and-set, and a first write, end as [`RegisterError::Forgotten`] where they cannot be told; another change
    /// would take effect a second time.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub async fn change_again(
        &self,
        key: impl Into<Bytes>,
        id: ChangeId,
        change: Change,
    ) -> Result<Answer, RegisterError> {
        self.ask(key.into(), id, true, change).await
    }

    async fn ask(
        &self,
        key: Bytes,
        id: ChangeId,
        again: bool,
        change: Change,
    ) -> Result<Answer, RegisterError> {
        check("the key", key.len(), KEY_BYTES_MAX)?;
        if let Change::Init(value) | Change::Put(value) | Change::CompareAndSet { value, .. } = &change {
            check("the value", value.len(), VALUE_BYTES_MAX)?;
        }
        let (answer, answered) = oneshot::channel();
        let call = Call { key, id, again, change, answer };
        self.requests.send(call).await.map_err(|_| RegisterError::Stopped)?;
        answered.await.unwrap_or(Err(RegisterError::Stopped))
    }

    /// Reads a register: its value, and its version. Linearizable.
    ///
    /// # Errors
    /// [`RegisterError`]. A read changes nothing, and can always be tried again.
    pub async fn read(&self, key: impl Into<Bytes>) -> Result<Answer, RegisterError> {
        self.change_as(key, ChangeId::default(), Change::Read).await
    }

    /// A name for a change, drawn at random.
    ///
    /// # Errors
    /// [`RegisterError::NotDone`] when the system has no source of randomness.
    pub fn name_a_change() -> Result<ChangeId, RegisterError> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|_| RegisterError::NotDone)?;
        Ok(ChangeId(u128::from_le_bytes(bytes)))
    }
}

const fn check(what: &'static str, bytes: usize, bytes_max: usize) -> Result<(), RegisterError> {
    if bytes > bytes_max { Err(RegisterError::TooLarge { what, bytes, bytes_max }) } else { Ok(()) }
}

fn draw() -> Result<u64, StartError> {
    getrandom::u64().map_err(|_| StartError::Options {
        field: "seed",
        problem: "cannot be drawn, because the system has no source of randomness",
    })
}
