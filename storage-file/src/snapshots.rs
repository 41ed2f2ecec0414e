//! [`FileSnapshots`]: snapshots in the folder `snapshots/`, one file each.
//!
//! ```text
//! 00000000000003e8.snap      finished, durable, up to entry 1000
//! 00000000000007d0.2.new     in the making
//! 0000000000000bb8.<disk>.<length>.part      coming from another node, by the disk it comes from and its length
//! ```
//!
//! A snapshot is written under a name that nobody looks for, synced, and renamed: it is there whole, or not at all. All
//! file work happens in the store's background thread, so that a chunk never holds up a runtime of one thread. What another
//! node sends outlives a crash as far as it came, block by block, and is gone on with; the blocks are checked one by one.
//!
//! On a full disk a snapshot gets the room of the files that the log keeps for later: it is what lets the log be compacted.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use consensus_api::mutation::mutated;
use consensus_api::{
    Delivery, Identity, SNAPSHOT_CHUNK_BYTES_MAX, SnapshotMark, SnapshotReader, SnapshotStorage,
    SnapshotWriter, StorageError, StoreId,
};

use crate::disk::Folder;
use crate::identity;
use crate::recycled::Recycled;
use crate::segment::UNFINISHED;
use crate::shared::lock;
use crate::snapshot_file::{FileInMaking, FinishedFile};
use crate::worker::Worker;

/// The folder within the log's.
const FOLDER: &str = "snapshots";
/// What the names of those end in that come from other nodes.
const ARRIVING: &str = ".part";

/// The snapshots beside a [`FileLog`](crate::FileLog).
pub struct FileSnapshots {
    parent: Arc<dyn Folder>,
    worker: Worker,
    recycled: Arc<Recycled>,
    /// Tells the files in the making apart; shared by all of one log.
    begun: Arc<AtomicU64>,
}

impl FileSnapshots {
    pub(crate) fn new(
        parent: Arc<dyn Folder>,
        worker: Worker,
        recycled: Arc<Recycled>,
        begun: Arc<AtomicU64>,
    ) -> Self {
        Self { parent, worker, recycled, begun }
    }
}

impl FileSnapshots {
    /// A writer of what `make` makes in the folder, in the background.
    async fn write(
        &self,
        make: impl FnOnce(Arc<dyn Folder>) -> Result<Making, StorageError> + Send + 'static,
    ) -> Result<Box<dyn SnapshotWriter>, StorageError> {
        let parent = self.parent.clone();
        let making = self.worker.run(move || make(folder(&*parent)?)).await?;
        let len = making.file.as_ref().map_or(0, FileInMaking::len);
        let making = Arc::new(Mutex::new(making));
        Ok(Box::new(FileSnapshotWriter { making, worker: self.worker.clone(), len }))
    }
}

impl fmt::Debug for FileSnapshots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSnapshots")
            .field("path", &self.parent.path().join(FOLDER))
            .finish_non_exhaustive()
    }
}

/// The folder, durably created if need be.
fn folder(parent: &dyn Folder) -> Result<Arc<dyn Folder>, StorageError> {
    parent.folder(FOLDER).map_err(StorageError::io("cannot create the folder", parent.path().join(FOLDER)))
}

fn name(index: u64) -> String {
    format!("{index:016x}.snap")
}

fn index_of(name: &str) -> Option<u64> {
    u64::from_str_radix(name.strip_suffix(".snap")?, 16).ok()
}

/// The indices of the finished snapshots, in ascending order.
fn finished(folder: &dyn Folder) -> io::Result<Vec<u64>> {
    let mut indices: Vec<u64> = folder.list()?.iter().filter_map(|name| index_of(name)).collect();
    indices.sort_unstable();
    Ok(indices)
}

fn name_arriving(delivery: &Delivery) -> String {
    let Delivery { mark, store, len } = delivery;
    format!("{:016x}.{:032x}.{len:016x}{ARRIVING}", mark.index.0, store.0)
}

/// Removes what came from another node in part, but for what is to be kept.
fn remove_arriving(folder: &dyn Folder, is_kept: impl Fn(&str) -> bool) -> io::Result<()> {
    let names = folder.list()?.into_iter().filter(|name| name.ends_with(ARRIVING));
    names.filter(|name| !is_kept(name)).try_for_each(|name| folder.remove(&name))
}

/// Removes all but the newest. Whoever reads an older one keeps it open.
fn remove_older(folder: &dyn Folder) -> io::Result<()> {
    let indices = finished(folder)?;
    let older = indices.len().saturating_sub(1);
    indices[..older].iter().try_for_each(|index| folder.remove(&name(*index)))
}

/// Removes what a crash left behind, and makes durable what it left whole.
pub(crate) fn remove_leftovers(parent: &dyn Folder) -> Result<(), StorageError> {
    let folder = folder(parent)?;
    let remove = || {
        for name in folder.list()?.into_iter().filter(|name| name.ends_with(UNFINISHED)) {
            folder.remove(&name)?;
        }
        // The newest is durable before older ones go.
        folder.sync()?;
        remove_older(&*folder)?;
        // Of what was coming in, the newest is enough, if it is any news.
        let newest = finished(&*folder)?.pop().map_or_else(String::new, name);
        let arriving =
            folder.list()?.into_iter().filter(|name| name.ends_with(ARRIVING) && *name > newest).max();
        remove_arriving(&*folder, |name| arriving.as_deref() == Some(name))
    };
    remove().map_err(StorageError::io("cannot tidy up", folder.path()))
}

/// Repeats beside the snapshots whose log they belong to, so that the log is missed if it is removed.
pub(crate) fn remember_identity(
    parent: &dyn Folder,
    identity: &Identity,
    store: StoreId,
) -> Result<(), StorageError> {
    let folder = folder(parent)?;
    if identity::store_of(&*folder)? == Some(store) {
        return Ok(());
    }
    identity::create(&*folder, identity, store)
}

/// The store that the snapshots belong to.
pub(crate) fn store_of(parent: &dyn Folder) -> Result<Option<StoreId>, StorageError> {
    identity::store_of(&*folder(parent)?)
}

/// Reads all of the newest snapshot through.
#[cfg(feature = "tool")]
pub(crate) fn verify(parent: &dyn Folder) -> Result<(), StorageError> {
    let folder = folder(parent)?;
    let indices = finished(&*folder).map_err(StorageError::io("cannot list", folder.path()))?;
    let Some(newest) = indices.last() else { return Ok(()) };
    let file = FinishedFile::open(&*folder, &name(*newest))?;
    let mut read = 0;
    while read < file.len() {
        read += file.read_at(read, usize::MAX)?.len() as u64;
    }
    Ok(())
}

/// The log they belonged to is gone for good.
pub(crate) fn forget_identity(parent: &dyn Folder) -> Result<(), StorageError> {
    let folder = folder(parent)?;
    let forget = || match folder.remove(identity::FILE) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => folder.sync(),
    };
    forget().map_err(StorageError::io("cannot remove", folder.path().join(identity::FILE)))
}

#[async_trait]
impl SnapshotStorage for FileSnapshots {
    async fn begin(&self, mark: &SnapshotMark) -> Result<Box<dyn SnapshotWriter>, StorageError> {
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        let name_new = format!("{:016x}.{number}{UNFINISHED}", mark.index.0);
        let (mark, recycled) = (mark.clone(), self.recycled.clone());
        self.write(move |folder| {
            let file = FileInMaking::create(&*folder, &name_new, &mark, &recycled);
            Making::of(file, folder, recycled, name_new, mark)
        })
        .await
    }

    async fn receive(&self, delivery: &Delivery) -> Result<Box<dyn SnapshotWriter>, StorageError> {
        let name_new = name_arriving(delivery);
        let (delivery, recycled) = (delivery.clone(), self.recycled.clone());
        self.write(move |folder| {
            let from_there = format!(".{:032x}.", delivery.store.0);
            let (mark, len) = (delivery.mark, delivery.len);
            // What cannot be gone on with, be it that it cannot even be read, is begun anew.
            let resumed =
                FileInMaking::resume(&*folder, &name_new, (&mark, len), &recycled).unwrap_or_default();
            let is_kept = |name: &str| !name.contains(&from_there) || resumed.is_some() && *name == name_new;
            let tidied = remove_arriving(&*folder, is_kept);
            let file = tidied.and_then(|()| match resumed {
                Some(file) => Ok(file),
                None => FileInMaking::create(&*folder, &name_new, &mark, &recycled),
            });
            let mut making = Making::of(file, folder, recycled, name_new, mark)?;
            making.lasts = true;
            Ok(making)
        })
        .await
    }

    async fn latest(&self) -> Result<Option<Box<dyn SnapshotReader>>, StorageError> {
        let parent = self.parent.clone();
        let opened = self.worker.run(move || {
            let folder = folder(&*parent)?;
            let indices = finished(&*folder).map_err(StorageError::io("cannot list", folder.path()))?;
            indices.last().map(|index| FinishedFile::open(&*folder, &name(*index))).transpose()
        });
        let worker = self.worker.clone();
        let opened = opened.await?;
        Ok(opened.map(|file| Box::new(FileSnapshotReader { file: Arc::new(file), worker }) as Box<_>))
    }
}

/// The file of a snapshot that is not finished. Dropped, it is removed, unless it lasts.
struct Making {
    folder: Arc<dyn Folder>,
    recycled: Arc<Recycled>,
    name_new: String,
    mark: SnapshotMark,
    path: PathBuf,
    /// Gone once finished or failed.
    file: Option<FileInMaking>,
    /// It comes from another node, and is gone on with if this process ends before it is whole.
    lasts: bool,
}

impl Making {
    fn of(
        file: io::Result<FileInMaking>,
        folder: Arc<dyn Folder>,
        recycled: Arc<Recycled>,
        name_new: String,
        mark: SnapshotMark,
    ) -> Result<Self, StorageError> {
        let path = folder.path().join(&name_new);
        let file = Some(file.map_err(StorageError::io("cannot write", &path))?);
        Ok(Self { folder, recycled, name_new, mark, path, file, lasts: false })
    }

    fn append(&mut self, chunk: &[u8]) -> Result<(), StorageError> {
        let mut file = self.file.take().ok_or(StorageError::Poisoned)?;
        file.append(chunk).map_err(StorageError::io("cannot write", &self.path))?;
        self.file = Some(file);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), StorageError> {
        let file = self.file.take().ok_or(StorageError::Poisoned)?;
        let name = name(self.mark.index.0);
        let finish = || {
            file.finish()?;
            // Two of one mark need not be the same bytes: whoever is being sent the first must not get those of the second.
            if !FinishedFile::open(&*self.folder, &name).is_ok_and(|first| *first.mark() == self.mark) {
                self.recycled.with_room(|| self.folder.rename(&self.name_new, &name))?;
            }
            if mutated("file/snapshot-name-not-synced") { Ok(()) } else { self.folder.sync() }
        };
        finish().map_err(StorageError::io("cannot finish", &self.path))?;
        if let Err(error) = remove_older(&*self.folder) {
            tracing::warn!(%error, "cannot remove an older snapshot; trying again later");
        }
        Ok(())
    }

    /// Whether it is sound, and nothing newer is there.
    fn is_wanted_yet(&self) -> bool {
        let newest = finished(&*self.folder).map(|mut indices| indices.pop());
        self.file.is_some() && newest.is_ok_and(|newest| newest < Some(self.mark.index.0))
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        if !self.lasts || !self.is_wanted_yet() {
            // Already renamed, if it was finished; if this fails, the next start removes it.
            drop(self.folder.remove(&self.name_new));
        }
    }
}

/// Writes a snapshot.
struct FileSnapshotWriter {
    making: Arc<Mutex<Making>>,
    worker: Worker,
    len: u64,
}

#[async_trait]
impl SnapshotWriter for FileSnapshotWriter {
    fn len(&self) -> u64 {
        self.len
    }

    async fn append(&mut self, chunk: Bytes) -> Result<(), StorageError> {
        if chunk.len() > SNAPSHOT_CHUNK_BYTES_MAX {
            return Err(StorageError::Unsupported { what: "a chunk of a snapshot is at most 1 MiB" });
        }
        let (making, bytes) = (self.making.clone(), chunk.len() as u64);
        self.worker.run(move || lock(&making).append(&chunk)).await?;
        self.len += bytes;
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<(), StorageError> {
        let making = self.making.clone();
        self.worker.run(move || lock(&making).finish()).await
    }
}

/// Reads a snapshot.
struct FileSnapshotReader {
    file: Arc<FinishedFile>,
    worker: Worker,
}

#[async_trait]
impl SnapshotReader for FileSnapshotReader {
    fn mark(&self) -> &SnapshotMark {
        self.file.mark()
    }

    fn len(&self) -> u64 {
        self.file.len()
    }

    async fn read_at(&self, offset: u64, bytes_max: usize) -> Result<Bytes, StorageError> {
        let file = self.file.clone();
        self.worker.run(move || file.read_at(offset, bytes_max)).await
    }
}
