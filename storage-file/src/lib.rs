//! A durable log in a folder: a segmented write-ahead log with the hard state in the same stream, and snapshots beside
//! it. [`FileLog`] implements [`LogStorage`](consensus_api::LogStorage).
//!
//! ```
//! use consensus_api::{ClusterName, EngineName, Identity, Incarnation, LogStorage, NodeId, StoreId};
//! use quorate_storage_file::FileLog;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path().join("node-1");
//! let mut log = FileLog::open(&dir)?;
//! let recovered = log.attach(&Identity {
//!     cluster: ClusterName::new("orders").ok_or("a name has 1 to 64 bytes")?,
//!     node: NodeId(1),
//!     engine: EngineName("raft"),
//!     store: StoreId::default(),
//!     incarnation: Incarnation(7),
//! })?;
//! assert_eq!(recovered.outline.last().0, 0);
//! # Ok(())
//! # }
//! ```
//!
//! # What is in the folder
//!
//! ```text
//! LOCK                      keeps a second process out
//! IDENTITY                  cluster, node, engine, store id, format version; written once
//! PLACE                     tells a copied folder from the original
//! 0000000000000001.wal      segments, oldest first: batches of changes, each under checksums
//! 0000000000000002.wal      the last one is written; one more may stand ready
//! snapshots/….snap           the newest snapshot
//! ```
//!
//! The bytes of each are laid out in `docs/log-format.md`.
//!
//! # How a write becomes durable
//!
//! ```text
//! submit: encode ─► queue ─► log thread: take all that is queued ─► headers ─► one write ─► one sync ─► index
//!                                                                                ─► wake the owner, once
//! ```
//!
//! A batch is encoded when it is submitted, where its entries are at hand; so what waits is a copy of them. While a sync
//! is under way the next batches queue up, and go out together: that is the group commit. There is no timer in it.
//! Segments are filled with zeros beforehand, by another thread, so that a sync writes data and changes nothing about the
//! file; moving on to the next one costs the log nothing but a header. Files that a compaction frees are used again as
//! they are.
//!
//! A batch that holds only hints ([`Batch::is_lazy`](consensus_api::Batch::is_lazy)) is written at once and synced with
//! the next batch that needs it. It is reported durable then, and not before.
//!
//! # What may be believed after a crash
//!
//! After a crash the end of the log may be torn: any mixture of written and unwritten sectors of what was under way.
//! Nobody was told that this is durable, so it is cut. But damage to what *was* acknowledged looks just the same where
//! it stands, and cutting there would forget votes and committed entries. The two are told apart **by proof**: each
//! batch states up to which batch everything was durable when it was written, and an idle log marks its end so. If
//! anything behind a bad batch proves that it was durable, or if it is not in the last segment, it is damage:
//! [`StorageError::Corrupt`](consensus_api::StorageError::Corrupt) names the file, the place and the entries, and
//! nothing on disk is changed. What remains is damage to the very last group before a power failure, within the 20 ms
//! before it is marked: it is taken for a tear.
//!
//! What each refusal means, and what to do, is told in `docs/storage-refusals.md`. [`Confirmed`] is how to say it.
//!
//! After every start the log goes on in a new segment whose header says where the one before ends. Nothing is ever
//! written behind a tear.
//!
//! # When the disk fails
//!
//! After an error of a write or a sync nobody knows what is on disk, and a second sync may report success for data that
//! is gone. So the log is *poisoned*: the error is reported once, then everything fails as
//! [`Poisoned`](consensus_api::StorageError::Poisoned) until the log is opened again. Opening writes the end of the log
//! once more, and syncs it, before it believes a word of it.
//!
//! A **full disk** is no failure, because nothing is written before its place is there. As soon as there is no room for
//! the segment after next, [`has_room`](consensus_api::LogStorage::has_room) says so; what is submitted all the same
//! waits, in order. A compaction needs no new file, and the files it frees are used again; up to four of them are kept for
//! that, until a snapshot or a batch longer than a segment finds no room but theirs. Entries leave the end of a
//! segment to hard state and compactions; but these, too, wait behind an entry that waits, because a log is written in
//! order.
//!
//! # Assumptions
//!
//! A sector of 512 bytes is written whole or not at all; a sync that reports success is one. Unix only, for positional
//! reads and writes.
//!
//! # The tool
//!
//! With the feature `tool` comes `quorate-log`, which verifies, shows and exports the log of a node that does not run:
//! `cargo run -p quorate-storage-file --features tool --bin quorate-log -- --help`.
//!
//! # Where things are
//!
//! `disk` is the file layer, [`simulated`] one that loses what was not synced, and [`faulty`] one that fails as it is
//! told. `belief` decides what is believed, with `place` and `aside`. `operation`, `batch`, `segment`,
//! `identity` and `snapshot_file` are the byte forms. `group` and `queue` take in, with `parts`; `writer`, `spare` and
//! `recycled` write; `window`, `scan`, `contents`, `recovery`
//! and `attach` open; `extents` and `reader` read; `log` and `snapshots` are what others see.

mod aside;
mod attach;
mod batch;
mod belief;
mod contents;
pub mod disk;
mod extents;
#[doc(hidden)]
pub mod faulty;
mod group;
mod identity;
#[cfg(feature = "tool")]
pub mod inspect;
mod log;
mod operation;
mod parts;
mod place;
mod queue;
mod reader;
mod recovery;
mod recycled;
mod scan;
mod segment;
mod shared;
#[doc(hidden)]
pub mod simulated;
mod snapshot_file;
mod snapshots;
mod spare;
mod window;
mod worker;
mod writer;

pub use belief::Confirmed;
pub use log::{FileLog, FileLogOptions};
pub use reader::FileReader;
pub use snapshots::FileSnapshots;
