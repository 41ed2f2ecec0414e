//! [`SnapshotStorage`]: where snapshots are kept. Written and read in chunks, never whole in memory.

use async_trait::async_trait;
use bytes::Bytes;

use crate::{SnapshotMark, StorageError, StoreId};

/// The largest chunk that is written to or read from a snapshot at once, in bytes.
pub const SNAPSHOT_CHUNK_BYTES_MAX: usize = 1 << 20;

/// A snapshot that another node sends: which one it is. Two deliveries that are equal bring the same bytes, for a disk holds
/// one snapshot of each mark; those of two disks need not be the same bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// What it stands for.
    pub mark: SnapshotMark,
    /// The disk it comes from.
    pub store: StoreId,
    /// Its length in bytes.
    pub len: u64,
}

/// Keeps snapshots: the last finished one, and at most one in the making per writer.
///
/// 1. **All or nothing.** A snapshot is there once [`finish`](SnapshotWriter::finish) has returned, whole and durable; a
///    crash at any point before leaves the one before.
/// 2. **Newest wins.** [`latest`](Self::latest) is the finished one with the highest index.
/// 3. **Checked.** Damage is an error when it is read, never wrong bytes.
/// 4. **A reader stays whole.** A newer snapshot does not pull the old one from under its reader.
/// 5. **Gone on with as it was.** What [`receive`](Self::receive) goes on with is the beginning of what was appended before to
///    an equal delivery, be it none of it.
#[async_trait]
pub trait SnapshotStorage: Send + Sync + 'static {
    /// Whether snapshots can be kept at all.
    fn is_available(&self) -> bool {
        true
    }

    /// Begins a snapshot. Dropping the writer abandons it.
    ///
    /// # Errors
    /// [`StorageError`] when it cannot be created.
    async fn begin(&self, mark: &SnapshotMark) -> Result<Box<dyn SnapshotWriter>, StorageError>;

    /// Begins a snapshot that another node sends; or goes on with it, if an earlier writer of an equal delivery was dropped or
    /// ended with its process. How much of it is there [`len`](SnapshotWriter::len) says. Of one disk at most one is received
    /// at a time.
    ///
    /// By itself, one begins anew.
    ///
    /// # Errors
    /// [`StorageError`] when it cannot be created.
    async fn receive(&self, delivery: &Delivery) -> Result<Box<dyn SnapshotWriter>, StorageError> {
        self.begin(&delivery.mark).await
    }

    /// Opens the newest finished snapshot, if there is one.
    ///
    /// # Errors
    /// [`StorageError`] when it cannot be read.
    async fn latest(&self) -> Result<Option<Box<dyn SnapshotReader>>, StorageError>;
}

/// A snapshot in the making.
#[async_trait]
pub trait SnapshotWriter: Send {
    /// Bytes written so far; of one that is gone on with, those written before, too.
    fn len(&self) -> u64;

    /// Whether nothing has been written yet.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a chunk of at most [`SNAPSHOT_CHUNK_BYTES_MAX`].
    ///
    /// # Errors
    /// [`StorageError`] when it cannot be written; the snapshot is then lost.
    async fn append(&mut self, chunk: Bytes) -> Result<(), StorageError>;

    /// Makes the snapshot durable and the newest one.
    ///
    /// # Errors
    /// [`StorageError`] when that fails; the snapshot before it remains.
    async fn finish(self: Box<Self>) -> Result<(), StorageError>;
}

/// A finished snapshot, open for reading.
#[async_trait]
pub trait SnapshotReader: Send + Sync {
    /// What it stands for.
    fn mark(&self) -> &SnapshotMark;

    /// Its length in bytes.
    fn len(&self) -> u64;

    /// Whether it holds no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes from `offset` on: at most `bytes_max` of them, at least one unless `offset` is the end.
    ///
    /// # Errors
    /// [`StorageError`] when the disk fails or what it holds is damaged.
    async fn read_at(&self, offset: u64, bytes_max: usize) -> Result<Bytes, StorageError>;
}

/// The snapshot storage of a log that has none.
#[derive(Clone, Copy, Debug)]
pub struct NoSnapshots;

#[async_trait]
impl SnapshotStorage for NoSnapshots {
    fn is_available(&self) -> bool {
        false
    }

    async fn begin(&self, _: &SnapshotMark) -> Result<Box<dyn SnapshotWriter>, StorageError> {
        Err(StorageError::Unsupported { what: "this log storage keeps no snapshots" })
    }

    async fn latest(&self) -> Result<Option<Box<dyn SnapshotReader>>, StorageError> {
        Ok(None)
    }
}
