//! Suites for authors of engines, storages, transports and state machines: one call proves that yours keeps the promises of its trait.
//!
//! ```
//! use quorate_testkit::conformance;
//! use node::{LocalNetwork, MemoryLog};
//!
//! // A log that outlives its process. `fresh` makes a new place; what it returns opens the log there, again and again:
//! //     conformance::log_storage(|| {
//! //         let folder = tempfile::tempdir().unwrap();
//! //         move || MyLog::open(folder.path())
//! //     });
//! // The same, with the same closure, for the snapshots beside it: `conformance::snapshot_storage`.
//!
//! // One that does not outlive it:
//! # fn in_your_tests() {
//! conformance::volatile_log_storage(MemoryLog::new);
//! conformance::volatile_snapshot_storage(MemoryLog::new);
//! # }
//!
//! // A transport, in whatever runtime it needs: three ends, of the nodes 1, 2 and 3, not attached yet.
//! # async fn in_your_runtime() {
//! conformance::transport(async || {
//!     let network = LocalNetwork::new();
//!     [1, 2, 3].map(|node| network.transport(node))
//! })
//! .await;
//! # }
//! ```
//!
//! Each call panics with one line that names the promise that was broken and what was seen:
//!
//! ```text
//! LogStorage promise 2 (Durable): batch 3 of 3 was reported durable and is not there when the log is opened again
//! ```
//!
//! # One function per promise
//!
//! Each promise has a function of its name, in [`engine`](mod@engine), [`state_machine`](mod@state_machine),
//! [`log_storage`](mod@log_storage), [`log_reader`],
//! [`snapshot_storage`](mod@snapshot_storage) and [`transport`](mod@transport); they return
//! [`Broken`] instead of panicking. While you write a backend, run the one that you are at.
//!
//! # What reopening proves, and what not
//!
//! [`log_storage`](fn@log_storage) drops the log and opens it again after every prefix of a generated sequence of
//! batches, and compares it with a model that knows nothing of files. That finds what is never written, or not read
//! back. It does not find a missing sync: what the process wrote is there as long as the machine runs. If you have a
//! disk that can lose what was not synced (a simulated one), [`crashing_log_storage`] lets its power fail at every
//! single operation. Damage to a file ([`LogStorage`] promise 4, [`SnapshotStorage`](consensus_api::SnapshotStorage)
//! promise 3) only you know how to do; no suite can.
//!
//! The suites need no runtime. They poll with a waker, and wait [ten seconds](waiting::PATIENCE) for what must come:
//! a backend that forgets to wake its owner fails them too.

mod crashes;
mod driven_log;
pub mod engine;
pub mod log_reader;
pub mod log_storage;
mod model;
pub mod snapshot_storage;
pub mod state_machine;
pub mod transport;
mod trio;
pub mod waiting;
mod workload;

use std::fmt;

use consensus_api::{Engine, LogStorage, StateMachine, Transport};

pub use crashes::{crashes, crashing_log_storage};

/// A promise was broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broken {
    /// The trait, and the promise by its number and name.
    pub promise: &'static str,
    /// What was seen.
    pub what: String,
}

impl Broken {
    pub(crate) fn new(promise: &'static str, what: impl Into<String>) -> Self {
        Self { promise, what: what.into() }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.what)
    }
}

impl std::error::Error for Broken {}

/// Fails unless this holds.
pub(crate) fn require(
    holds: bool,
    promise: &'static str,
    what: impl FnOnce() -> String,
) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken::new(promise, what())) }
}

/// Panics with the promise that was broken, in one line.
fn insist(result: Result<(), Broken>) {
    if let Err(broken) = result {
        panic!("{broken}");
    }
}

/// Checks all promises of a durable log. `fresh` makes a new, empty place, and returns what opens the log there; that is
/// called again whenever the log before was dropped.
///
/// # Panics
/// With the promise that is broken.
pub fn log_storage<O, S>(fresh: impl FnMut() -> O)
where
    O: FnMut() -> S,
    S: LogStorage,
{
    insist(log_storage::all(fresh));
}

/// Checks the promises of a log that is gone once it is dropped: all but those that speak of opening it again.
///
/// # Panics
/// With the promise that is broken.
pub fn volatile_log_storage<S: LogStorage>(make: impl FnMut() -> S) {
    insist(log_storage::all_volatile(make));
}

/// Checks all promises of the snapshots beside a durable log. `fresh` as for [`log_storage`](fn@log_storage).
///
/// # Panics
/// With the promise that is broken.
pub fn snapshot_storage<O, S>(fresh: impl FnMut() -> O)
where
    O: FnMut() -> S,
    S: LogStorage,
{
    insist(snapshot_storage::all(fresh));
}

/// Checks the promises of the snapshots beside a log that is gone once it is dropped.
///
/// # Panics
/// With the promise that is broken.
pub fn volatile_snapshot_storage<S: LogStorage>(make: impl FnMut() -> S) {
    insist(snapshot_storage::all_volatile(make));
}

/// Checks all promises of a transport. `make` makes the ends of the nodes 1, 2 and 3, in this order, which can reach each
/// other and are not attached yet. It is called once per promise.
///
/// # Panics
/// With the promise that is broken.
pub async fn transport<T: Transport>(make: impl AsyncFnMut() -> [T; 3]) {
    insist(transport::all(make).await);
}

/// Checks all promises of an engine with these options, on a cluster of three.
///
/// # Panics
/// With the promise that is broken.
pub fn engine<E: Engine>(options: &E::Options) {
    insist(engine::all::<E>(options));
}

/// Checks all promises of a state machine. `make` makes one at its beginning, and `commands` is what it is given: take as
/// many as it needs to reach every corner of yours.
///
/// # Panics
/// With the promise that is broken.
pub fn state_machine<S: StateMachine>(make: impl Fn() -> S, commands: impl Fn() -> Vec<S::Command>) {
    insist(state_machine::all(make, commands));
}
