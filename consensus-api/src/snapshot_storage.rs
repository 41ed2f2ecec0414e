//! [`SnapshotStorage`]: where snapshots are kept. Written and read in chunks, never whole in memory.

use async_trait::async_trait;
use bytes::Bytes;

use crate::{SnapshotMark, StorageError};

/// The largest chunk that is written to or read from a snapshot at once, in bytes.
pub const SNAPSHOT_CHUNK_BYTES_MAX: usize = 1 << 20;

/// Keeps snapshots: the last finished one, and at most one in the making per writer.
///
/// 1. **All or nothing.** A snapshot is there once [`finish`](SnapshotWriter::finish) has returned, whole and durable; a
///    crash at any point before leaves the one before.
/// 2. **Newest wins.** [`latest`](Self::latest) is the finished one with the highest index.
/// 3. **Checked.** Damage is an error when it is read, never wrong bytes.
/// 4. **A reader stays whole.** A newer snapshot does not pull the old one from under its reader.
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

    /// Opens the newest finished snapshot, if there is one.
    ///
    /// # Errors
    /// [`StorageError`] when it cannot be read.
    async fn latest(&self) -> Result<Option<Box<dyn SnapshotReader>>, StorageError>;
}

/// A snapshot in the making.
#[async_trait]
pub trait SnapshotWriter: Send {
    /// Bytes written so far.
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
