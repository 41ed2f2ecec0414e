//! What can go wrong: [`StartError`] before a node runs, [`Error`] while it does, [`StorageError`] underneath.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::{Index, NodeId, SessionId, TransportError};

/// A node did not start. Nothing was written, unless the storage is new.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The cluster's name is empty or too long.
    #[error("the cluster name {name:?} is not 1 to 64 bytes long; choose a name within that")]
    ClusterName {
        /// The name given.
        name: String,
    },
    /// The member list does not fit.
    #[error("node {node} cannot start: {problem}")]
    Members {
        /// The node that was to start.
        node: NodeId,
        /// What is wrong with the list, and the remedy.
        problem: &'static str,
    },
    /// An option does not fit the others.
    #[error("the option {field} {problem}")]
    Options {
        /// Its name.
        field: &'static str,
        /// What is wrong, and the remedy.
        problem: &'static str,
    },
    /// The storage refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The transport refused.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The log or the snapshot does not fit the engine or the state machine.
    #[error("the log of node {node} cannot be taken up: {problem}")]
    Log {
        /// The node that was to start.
        node: NodeId,
        /// What does not fit.
        problem: String,
    },
    /// There is no runtime to run on.
    #[error(
        "a node must be started within a tokio runtime: call `start` from an async function, or enter one first"
    )]
    NoRuntime,
}

/// A request was not carried out, or its outcome is not known. Each variant says which, and what became of the node.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// No leader could be reached in time, or this node was removed from the cluster and has none. **It did not happen.** The
    /// node keeps running; try again, a removed node's clients elsewhere.
    #[error("{}; it did not happen, {}", why_no_leader(*waited, *removed), if removed.is_some() { "ask a member" } else { "try again" })]
    NoLeader {
        /// How long the node tried.
        waited: Duration,
        /// The entry as of which this node knows that it was removed.
        removed: Option<Index>,
    },
    /// Too much is under way. **It did not happen.** The node keeps running; try again later.
    #[error(
        "the node is busy: {bytes_max} bytes of requests are under way; it did not happen, try again later"
    )]
    Busy {
        /// The node's budget.
        bytes_max: usize,
    },
    /// The request exceeds a limit. **It did not happen,** and never will in this size. The node keeps running.
    #[error("the request takes {bytes} bytes, over the limit of {bytes_max}; it did not happen")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The request makes no sense to this node or engine. **It did not happen.** The node keeps running.
    #[error("{reason}; it did not happen")]
    Refused {
        /// Why.
        reason: String,
    },
    /// **It may have happened, or may still happen.** The node keeps running. Read before trying again, or make the
    /// command harmless to repeat.
    #[error("the outcome is unknown: {reason}; it may have happened")]
    OutcomeUnknown {
        /// Why nobody can tell.
        reason: &'static str,
    },
    /// The session is unknown: it was not used for too long, was closed, or had to make room for others. **This attempt
    /// did not happen;** whether an earlier one of the same command did, nobody can tell any more. The node keeps running;
    /// open a new session for what comes next.
    #[error("session {session} is unknown or has expired; this attempt did not happen, open a new session")]
    SessionExpired {
        /// Which.
        session: SessionId,
    },
    /// The disk has no room for new entries. **It did not happen.** The node keeps running, and takes requests again
    /// once there is room.
    #[error("the disk is full; it did not happen, make room and try again")]
    StorageFull,
    /// The node no longer runs. **It did not happen.** Start the node again.
    #[error("the node has stopped: {cause}; it did not happen")]
    Stopped {
        /// Why it stopped.
        cause: Arc<str>,
    },
}

fn why_no_leader(waited: Duration, removed: Option<Index>) -> String {
    match removed {
        Some(at) => format!("this node was removed from the cluster (as of entry {at})"),
        None => format!("no leader could be reached within {} ms", waited.as_millis()),
    }
}

impl Error {
    /// Whether the request may have been carried out.
    pub const fn may_have_happened(&self) -> bool {
        matches!(self, Self::OutcomeUnknown { .. })
    }
}

/// A storage failed, or refused.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The operating system reported an error.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was being done, such as `cannot sync`.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's word.
        source: Arc<io::Error>,
    },
    /// Acknowledged data is damaged. Nothing was changed.
    #[error("{} is damaged at byte {offset}: {problem}", file.display())]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong, which entries are concerned, and what can be done.
        problem: String,
    },
    /// The log is another's.
    #[error("{} belongs to {field} {found}, not {expected}; {remedy}", path.display())]
    Foreign {
        /// The folder or file.
        path: PathBuf,
        /// `cluster`, `node` or `engine`.
        field: &'static str,
        /// Whose it is.
        found: String,
        /// Whose it was to be.
        expected: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The format is newer than this program.
    #[error("{} has format version {found}; this program reads up to {supported}, use a newer one", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The highest version understood.
        supported: u32,
    },
    /// Another process has it open.
    #[error("{} is in use by another process; stop that one, or choose another folder", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// The disk is full. What was acknowledged is safe.
    #[error("no space is left on the disk that holds {}", path.display())]
    Full {
        /// The folder.
        path: PathBuf,
    },
    /// An earlier write or sync failed, so nothing can be promised any more.
    #[error("an earlier write failed, so this storage takes no more; start the node again")]
    Poisoned,
    /// The storage cannot do that.
    #[error("{what}")]
    Unsupported {
        /// What it cannot do.
        what: &'static str,
    },
}

impl StorageError {
    /// For `map_err`: wraps an I/O error with what was being done, and to which file.
    pub fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            _ => Self::Io { what, path, source: Arc::new(source) },
        }
    }
}
