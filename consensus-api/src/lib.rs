//! The vocabulary of quorate: what a replicated state machine is made of, as types and traits. No runtime, no I/O.
//!
//! # In a page
//!
//! A cluster of nodes agrees on a **log**: the same [entries](Entry) in the same order, on every node. Each node feeds
//! its log to a [`StateMachine`], so all of them go through the same states. An entry is *committed* once a quorum of
//! nodes holds it durably; from then on it is never lost and never changes.
//!
//! A node is assembled from five parts. Each is a trait in a file of its own, with numbered promises:
//!
//! | part | what it does | what you would implement it for |
//! |---|---|---|
//! | [`StateMachine`] | applies commands, takes snapshots | your service: **this one is yours** |
//! | [`Engine`] | decides what is committed | another consensus protocol |
//! | [`LogStorage`] (the easy form: [`SimpleLog`]) | keeps the log durably | your own disk format or database |
//! | [`Transport`] | carries frames between nodes | your own network |
//! | [`Clock`] | tells the time | simulation |
//!
//! ```text
//!  propose, read ──► ┌──────── node ────────┐ ──► apply ──► StateMachine
//!                    │                      │
//!  frames ◄────────► │  Engine::step(event) │ ──► Batch ──► LogStorage
//!  (Transport)       │      ──► effects     │ ◄── durable up to seq
//!                    └──────────────────────┘
//! ```
//!
//! The parts never see each other. The engine is pure: it is handed [events](Event) and answers with
//! [effects](Effects), and the `node` crate carries them out. What an effect has to wait for is part of its type
//! ([`After`]), so nobody can forget that a vote must be on disk before it is cast.
//!
//! # What is promised to a user
//!
//! * A command that was answered is committed, and stays so through any crash that leaves the disks of a quorum.
//! * A command is applied at most once per proposal, at the same position on every node.
//! * A linearizable read sees every write that was answered before the read began, on whichever node.
//! * Every request ends: with an answer, with an [`Error`] that says *it did not happen*, or with
//!   [`Error::OutcomeUnknown`].
//! * A node that cannot keep these promises stops, and says why.
//!
//! # Where things are
//!
//! * Who and where: [`NodeId`], [`ClusterName`], [`Identity`]; [`Index`], [`Generation`], [`Applied`].
//! * What is agreed on: [`Entry`], its byte form [`record`], [`ProposalId`], [`Payload`], [`SessionOp`].
//! * Who agrees: [`Membership`], [`quorum`]; who leads next: [`Succession`]; who learns before it votes: [`Newcomers`].
//! * What a leader may answer without writing: [`ReadQueue`].
//! * What is written: [`Batch`], [`Op`], [`Outline`], [`SnapshotStorage`].
//! * What can go wrong: [`StartError`], [`Error`], [`StorageError`].

mod engine;
mod entry;
mod error;
mod event;
mod identity;
mod log_storage;
mod membership;
#[doc(hidden)]
pub mod mutation;
mod newcomers;
mod outline;
mod payload;
mod position;
mod queryable;
pub mod quorum;
mod read_queue;
pub mod record;
mod serde_snapshot;
mod session;
mod simple_log;
mod snapshot_storage;
mod state_machine;
mod succession;
mod time;
mod transport;
mod write;

pub use engine::{
    Capabilities, Engine, FlowLimits, Message, MessageError, PeerProgress, Refusal, Role, Setup, Standing,
    Timing,
};
pub use entry::{Commands, Entry, EntryKind, ProposalId};
pub use error::{Error, StartError, StorageError};
pub use event::{After, Effects, EntryRange, Event, Outcome, Outgoing, ReadId};
pub use identity::{ClusterName, EngineName, Identity, Incarnation, NodeId, StoreId};
pub use log_storage::{LogReader, LogStorage, Recovered};
pub use membership::{Membership, MembershipError};
pub use newcomers::Newcomers;
pub use outline::{Outline, Run};
pub use payload::{Payload, PayloadError, Raw};
pub use position::{Applied, Generation, Index};
pub use queryable::Queryable;
pub use read_queue::{ReadQueue, ReadRound};
pub use record::RecordError;
pub use serde_snapshot::SerdeSnapshot;
pub use session::{SessionId, SessionOp};
pub use simple_log::{Simple, SimpleLog, SimpleReader};
pub use snapshot_storage::{
    Delivery, NoSnapshots, SNAPSHOT_CHUNK_BYTES_MAX, SnapshotReader, SnapshotStorage, SnapshotWriter,
};
pub use state_machine::{Failure, Snapshot, StateMachine};
pub use succession::Succession;
pub use time::{Clock, LogTime, Moment, Time, Timer, WallInterval};
pub use transport::{
    Arrival, Frame, Lane, PROTOCOL_VERSION, PeerConnection, PeerRefusal, PeerRefusalKind, Reach, SendError,
    Transport, TransportError,
};
pub use write::{Batch, HARD_STATE_BYTES_MAX, Op, SnapshotMark, WriteSeq};
