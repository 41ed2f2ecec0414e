//! Replicated state machines: write what your service does as a [`StateMachine`], and a cluster of nodes carries it out
//! in the same order on every one of them, through crashes, restarts and broken networks.
//!
//! ```
//! use quorate::{Applied, StateMachine};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Clone, Default, Serialize, Deserialize)]
//! struct Counter(u64);
//!
//! impl StateMachine for Counter {
//!     type Command = u64;
//!     type Response = u64;
//!
//!     fn apply(&mut self, _at: Applied, add: u64) -> u64 {
//!         self.0 += add;
//!         self.0
//!     }
//!
//!     quorate::snapshot_with_serde!();
//! }
//!
//! # #[cfg(feature = "__engine")]
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let [a, b, c] = quorate::local::cluster(Counter::default)?; // three nodes in this process
//!     a.propose(2).await?;
//!     b.propose(40).await?; // any node takes any request
//!     let total = c.read(|counter| counter.0).await?; // linearizable
//!     assert_eq!(total, 42);
//!     println!("the counter stands at {total}");
//!     Ok(())
//! }
//! # #[cfg(not(feature = "__engine"))]
//! # fn main() {}
//! ```
//!
//! The same over TCP with files is two builder calls more: see [`Node::builder`] and `examples/counter_tcp.rs`.
//!
//! # What it does not do
//!
//! * It is no database and no server: `examples/kv` shows how to make one of it.
//! * It does not guess. A request whose fate is unknown ends as [`Error::OutcomeUnknown`], and is not tried again
//!   behind your back.
//! * It defends against crashes, lost disks' contents and bad networks; not against nodes that lie.
//!
//! # Assembling a node
//!
//! | part | yours or from here |
//! |---|---|
//! | state machine | yours: [`StateMachine`] |
//! | engine | `Raft` (feature `raft`), `MultiPaxos` (feature `multi-paxos`), `Paxos` (feature `paxos`); or your own [`Engine`] |
//! | log storage | `FileLog` (feature `file`), [`MemoryLog`]; or your own [`SimpleLog`] |
//! | transport | `Tcp` (feature `tcp`), [`LocalNetwork`]; or your own [`Transport`] |
//! | clock | [`SystemClock`], unless you say otherwise |
//!
//! A forgotten part does not compile, and the compiler says in English what is missing.
//!
//! # Features
//!
//! Features only add; none changes what another does. A named engine ([`Builder::engine`]) always counts; unnamed, the
//! node goes on with the engine whose log is there, and begins a new log with the least ordinary engine enabled: `paxos`,
//! then `multi-paxos`, then `raft`. No engine takes up another's log: a node that is told to does not start, and says which
//! engine the log belongs to. Its data moves with [`change_engine`].
//!
//! * `raft` (default): the Raft engine.
//! * `multi-paxos`: the Multi-Paxos engine.
//! * `paxos`: single-decree Paxos, slot by slot. No leader: every member proposes for itself. Fixed members. And the module
//!   `registers`: a value per key, write-once or compare-and-set, without any log.
//! * `tcp` (default): sockets between members.
//! * `tls`: these encrypted, and members known by certificates; see `Tls`.
//! * `file` (default): logs and snapshots in files.
//! * `client` (default): exactly-once clients, in this process and from others: `Client`, `ClientPort`.
//! * `metrics`: counts and levels, for the facade of that name; `docs/metrics.md` lists them.
//! * `__engine`: set by every engine's feature; not for you.
//! * `__mutations`: bugs that tests can switch on, to show that they would be found; not for you.
//!
//! # Further
//!
//! The traits and their promises are in [`consensus-api`](consensus_api), which is exported here whole; how a node
//! works inside is told by the [`node`] crate.

pub mod local;
#[cfg(feature = "__engine")]
mod unnamed;

pub use consensus_api::*;
#[cfg(feature = "__engine")]
pub use unnamed::Unnamed;

pub use node::{
    ApplyOn, Builder, CompactionPolicy, Errand, LocalNetwork, LocalTransport, MemoryLog, MemoryReader,
    NewCluster, NoStorage, NoTransport, Options, ReadLevel, Removal, SessionAnswer, SnapshotSource, Status,
    StoreRefusal, Survivor, SystemClock, change_engine,
};

#[cfg(feature = "client")]
pub use client::{Client, ClientOptions, ClientPort, ClientPortOptions, Endpoint, InProcess, Remote};
#[cfg(feature = "multi-paxos")]
pub use paxos::{MultiPaxos, Options as MultiPaxosOptions};
#[cfg(feature = "paxos")]
pub use paxos::{Paxos, single::Options as PaxosOptions};
#[cfg(feature = "raft")]
pub use raft::{Options as RaftOptions, Raft};
#[cfg(feature = "paxos")]
pub use registers;
#[cfg(feature = "file")]
pub use storage_file::{Confirmed, FileLog, FileLogOptions, FileSnapshots};
#[cfg(feature = "tls")]
pub use transport_tcp::Tls;
#[cfg(feature = "tcp")]
pub use transport_tcp::{Listener as TcpListener, Options as TcpOptions, Peers, Resolver, Secret, Tcp};

/// The engine of a node for which none is named: the least ordinary one enabled, here Paxos without a leader.
#[cfg(feature = "paxos")]
pub type DefaultEngine = Paxos;

/// The engine of a node for which none is named: the least ordinary one enabled, here Multi-Paxos.
#[cfg(all(feature = "multi-paxos", not(feature = "paxos")))]
pub type DefaultEngine = MultiPaxos;

/// The engine of a node for which none is named: the least ordinary one enabled, here Raft.
#[cfg(all(feature = "raft", not(feature = "multi-paxos"), not(feature = "paxos")))]
pub type DefaultEngine = Raft;

/// The engine of a node for which none is named: there is none, because no engine's feature is enabled. Starting a node
/// without naming one does not compile.
#[cfg(not(feature = "__engine"))]
pub type DefaultEngine = NoEngine;

/// Stands where an engine would be, when no feature brings one.
#[cfg(not(feature = "__engine"))]
#[derive(Clone, Copy, Debug)]
pub struct NoEngine;

/// A running node. [`Node::builder`] begins one. See [`node::Node`].
#[cfg(feature = "__engine")]
pub type Node<S> = node::Node<S, Unnamed>;

/// A running node. [`Node::builder`] begins one, which needs an engine of your own. See [`node::Node`].
#[cfg(not(feature = "__engine"))]
pub type Node<S> = node::Node<S, NoEngine>;
