//! What runs a quorate engine. All that is the same for every engine is written here, once.
//!
//! A node is two synchronous actors under a thin asynchronous shell:
//!
//! ```text
//!             Node (handle)                     the way a write goes
//!                  │ requests                   1 a command queues at some node
//!            ┌─────▼─────┐                      2 what queued becomes one entry, encoded once;
//!   frames ◄─┤  Driver   ├─► batches to the log   a node that does not lead forwards it
//!            │ ┌───────┐ │                      3 the leader's engine places it, sends it on and
//!            │ │Replica│ │                        writes it, all at once
//!            │ └───────┘ │                      4 followers write it, and answer once it is durable
//!            └─────┬─────┘                      5 with a quorum durable it is committed
//!                  │ committed entries          6 every node applies it; the one that proposed it
//!            ┌─────▼─────┐                        answers whoever waits, from its own state machine
//!            │  Worker   │
//!            │ (Applier) │
//!            └───────────┘
//! ```
//!
//! * [`Replica`]: the engine, the recent log, what waits for what. No clock, no I/O: a simulator runs it as well.
//! * [`Applier`]: the state machine, its position, and the sessions of clients. Runs beside the replica, so a slow state
//!   machine delays no heartbeat.
//! * `Driver`: one task that takes in what happened, lets the replica advance, and carries out what it asks for.
//! * [`Node`]: the handle users hold; [`Builder`] makes one.
//! * Parts to assemble a node from within one process: [`MemoryLog`], [`LocalNetwork`], [`SystemClock`].
//!
//! # What holds
//!
//! * **One write under way.** What the engine writes meanwhile is merged into the next: one sync serves all that queued.
//! * **Durable before speech.** A message that asserts durability is held until its write is durable, and dropped if
//!   what it asserts was replaced meanwhile. A leader's replication does not wait for its own disk.
//! * **Applied after durable.** An entry is applied once it is committed and durable on this very node; unless
//!   [`Options::apply_ahead_bytes_max`] lets the state machine run ahead of a slow disk. No snapshot ever does.
//! * **Every request is answered.** A proposal that certainly did not happen is proposed again, in its old order, until
//!   its deadline; one whose fate is unknown never is, and ends as
//!   [`OutcomeUnknown`](consensus_api::Error::OutcomeUnknown).
//! * **Once in a session.** A command that came in a client's session is carried out once, and answered the same bytes
//!   however often it is asked for: replicated, part of snapshots, forgotten by log time alone.
//! * **First in, first out.** Proposals of one node take effect in the order in which they were handed over.
//! * **A disk for each member.** A cluster is founded once all founders know each other's disks; what is said in a member's
//!   name from another disk than it is known by does not count.
//! * **Bounded.** Requests, entries in memory and entries being applied each have a budget in bytes; see [`Options`].

mod administration;
mod alarm;
mod applier;
mod batch;
mod blocking;
mod board;
mod builder;
mod cache;
mod choice;
mod chunks;
mod divergence;
mod driver;
mod envelope;
mod errand;
mod handle;
mod intake;
mod local_network;
mod memory_log;
mod meter;
mod moving;
mod options;
mod read_level;
mod replica;
mod sessions;
mod shared;
mod status;
mod survivor;
mod system_clock;
mod ticket;
mod worker;

pub use applier::{Applier, PointInTime, Reply, SessionAnswer};
pub use builder::{Builder, NoStorage, NoTransport};
pub use choice::Choice;
pub use errand::Errand;
pub use handle::Node;
pub use local_network::{LocalNetwork, LocalTransport};
pub use memory_log::{MemoryLog, MemoryReader};
pub use moving::change_engine;
pub use options::{ApplyOn, CompactionPolicy, Options, SnapshotSource};
pub use read_level::ReadLevel;
pub use replica::{
    ApplyWork, Chunk, ChunkRead, ChunkWrite, Load, LoadPurpose, OutgoingFrame, Outputs, Replica, Start,
};
pub use status::{Removal, Status, StoreRefusal};
pub use survivor::{NewCluster, Survivor};
pub use system_clock::SystemClock;
