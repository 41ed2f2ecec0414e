//! [`LogStorage`]: where the log is kept.

use std::ops::Range;
use std::task::{Context, Poll};

use async_trait::async_trait;

use crate::{
    Batch, Entry, Identity, Index, NoSnapshots, Outline, SnapshotStorage, StorageError, StoreId, WriteSeq,
};

/// What a storage found when it was attached.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Recovered {
    /// The store's own number, drawn when it was created.
    pub store: StoreId,
    /// The shape of the log.
    pub outline: Outline,
    /// What was repaired on the way, in words for the operator; such as a torn tail that was cut.
    pub notes: Vec<String>,
}

/// A durable log: an ordered stream of [batches](Batch), and the entries that result from it.
///
/// This is the form a node drives: [`submit`](Self::submit) never waits. Authors who would rather write one plain
/// async function implement [`SimpleLog`](crate::SimpleLog) instead and wrap it in [`Simple`](crate::Simple).
///
/// What a storage promises:
/// 1. **Atomic.** After a crash a batch is all there or not there, and with it every batch before it.
/// 2. **Durable.** A batch that was reported durable survives any crash.
/// 3. **Poisoned.** After a failed write or sync nothing more is reported durable and nothing is tried again: every
///    later call fails.
/// 4. **Torn is not damaged.** A torn, never acknowledged tail is cut, told in [`Recovered::notes`], and service goes on.
///    Damage to what was acknowledged is refused, never truncated, and named: file, offset, indices.
/// 5. **Attached.** A log of another cluster, node or engine is refused. Nothing is read or written before
///    [`attach`](Self::attach), which is called once.
/// 6. **Ordered.** Batches take effect in the order of [`submit`](Self::submit); durability is reported in that order.
/// 7. **Holes.** An entry is put at its index, whatever stands below or above; only a truncation or a compaction
///    removes entries.
/// 8. **Compacted stays compacted.** A removed prefix never comes back.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a log storage",
    note = "give the builder one with `.storage(...)`: `FileLog`, `MemoryLog`, or `Simple` around a `SimpleLog` of your own"
)]
pub trait LogStorage: Send + 'static {
    /// Reads what this storage holds.
    type Reader: LogReader;

    /// The name of the engine whose log this is, if it can be told before the log is opened: a node for which no engine
    /// is named goes on with that one. Called before [`attach`](Self::attach), if at all.
    ///
    /// # Errors
    /// [`StorageError`] when the storage cannot be read.
    fn engine(&self) -> Result<Option<String>, StorageError> {
        Ok(None)
    }

    /// Opens the log for this identity and recovers it; a new log is stamped with it. May block. Called once, before
    /// anything else.
    ///
    /// # Errors
    /// [`StorageError`] when the log is another's, is damaged, or cannot be read or created.
    fn attach(&mut self, identity: &Identity) -> Result<Recovered, StorageError>;

    /// Takes a batch for writing, without waiting. `seq` is the batch's number; numbers grow from call to call. A batch of
    /// hints only ([`Batch::is_lazy`]) may be put off, and be reported durable together with what comes after it.
    ///
    /// # Errors
    /// [`StorageError::Poisoned`] after an earlier failure.
    fn submit(&mut self, seq: WriteSeq, batch: Batch) -> Result<(), StorageError>;

    /// Everything submitted up to the number returned is durable. Ready when there is news since the last call.
    ///
    /// # Errors
    /// The failure of a write or a sync. It is final.
    fn poll_durable(&mut self, cx: &mut Context<'_>) -> Poll<Result<WriteSeq, StorageError>>;

    /// Whether there is room for more entries. While there is none, a node proposes nothing new; what was submitted stays
    /// in the order it was, and is written, and reported durable, as soon as it can be. Whoever waits in
    /// [`poll_durable`](Self::poll_durable) is woken when the answer changes.
    ///
    /// A full disk that is told in this way is no failure: promise 3 is about writes that were begun.
    ///
    /// There always is, unless a storage says otherwise: right for one in memory, and for one that rather fails when its
    /// disk is full.
    fn has_room(&self) -> bool {
        true
    }

    /// A reader. Cheap, and independent of the writer. Called after [`attach`](Self::attach).
    fn reader(&self) -> Self::Reader;

    /// The snapshots kept beside this log. Without any, the log is never compacted and grows for ever.
    fn snapshots(&self) -> Box<dyn SnapshotStorage> {
        Box::new(NoSnapshots)
    }
}

/// Reads entries while others are being written.
///
/// 1. It sees whole batches, and every batch that was reported durable before the call.
/// 2. It does not wait for a write or a sync under way.
#[async_trait]
pub trait LogReader: Clone + Send + Sync + 'static {
    /// The entries there in `range`, in ascending order. Stops once their records reach `bytes_max`, but returns at
    /// least one if there is any.
    ///
    /// # Errors
    /// [`StorageError`] when the disk fails or what it holds is damaged.
    async fn read(&self, range: Range<Index>, bytes_max: usize) -> Result<Vec<Entry>, StorageError>;
}
