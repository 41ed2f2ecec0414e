//! [`Shelf`]: snapshots in memory that outlive their log, with a flaw or without.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use quorate::{Delivery, SnapshotMark, SnapshotReader, SnapshotStorage, SnapshotWriter, StorageError};

use crate::kept_log::{SharedDisk, lock};

/// What is wrong with a [`Shelf`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ShelfFlaw {
    None,
    /// There from the first chunk on.
    ShowsUnfinished,
    /// Whichever was finished last.
    LastFinishedWins,
    /// Readers read whatever is the newest by now.
    PullsFromReaders,
    /// Reads more than was asked for.
    ReadsTooMuch,
    /// Goes on with what came of any snapshot of the same index, from whichever disk.
    MixesDisks,
}

#[derive(Debug)]
struct Finished {
    mark: SnapshotMark,
    bytes: Bytes,
}

/// The newest snapshot, and what was last received in part.
#[derive(Clone, Default, Debug)]
pub(crate) struct Shelf(Option<Arc<Finished>>, Option<(Delivery, BytesMut)>);

impl Shelf {
    pub(crate) fn open(disk: &SharedDisk, flaw: ShelfFlaw) -> Box<dyn SnapshotStorage> {
        Box::new(OpenShelf { disk: disk.clone(), flaw })
    }

    fn put(&mut self, snapshot: Finished, flaw: ShelfFlaw) {
        let newer = self.0.as_ref().is_none_or(|old| old.mark.index <= snapshot.mark.index);
        if newer || flaw == ShelfFlaw::LastFinishedWins {
            self.0 = Some(Arc::new(snapshot));
        }
    }
}

struct OpenShelf {
    disk: SharedDisk,
    flaw: ShelfFlaw,
}

#[async_trait]
impl SnapshotStorage for OpenShelf {
    async fn begin(&self, mark: &SnapshotMark) -> Result<Box<dyn SnapshotWriter>, StorageError> {
        let (disk, mark) = (self.disk.clone(), mark.clone());
        Ok(Box::new(Writing { disk, flaw: self.flaw, mark, bytes: BytesMut::new(), delivery: None }))
    }

    async fn receive(&self, delivery: &Delivery) -> Result<Box<dyn SnapshotWriter>, StorageError> {
        let part = lock(&self.disk).shelf.1.clone();
        let alike = |part: &Delivery| {
            *part == *delivery || self.flaw == ShelfFlaw::MixesDisks && part.mark == delivery.mark
        };
        let bytes = part.filter(|(part, _)| alike(part)).map(|(_, bytes)| bytes).unwrap_or_default();
        let (disk, mark, delivery) = (self.disk.clone(), delivery.mark.clone(), Some(delivery.clone()));
        Ok(Box::new(Writing { disk, flaw: self.flaw, mark, bytes, delivery }))
    }

    async fn latest(&self) -> Result<Option<Box<dyn SnapshotReader>>, StorageError> {
        let newest = lock(&self.disk).shelf.0.clone();
        let read = |finished| Reading { disk: self.disk.clone(), flaw: self.flaw, finished };
        Ok(newest.map(|finished| Box::new(read(finished)) as Box<dyn SnapshotReader>))
    }
}

struct Writing {
    disk: SharedDisk,
    flaw: ShelfFlaw,
    mark: SnapshotMark,
    bytes: BytesMut,
    /// What it is received as, if it comes from another node.
    delivery: Option<Delivery>,
}

#[async_trait]
impl SnapshotWriter for Writing {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    async fn append(&mut self, chunk: Bytes) -> Result<(), StorageError> {
        self.bytes.extend_from_slice(&chunk);
        if let Some(delivery) = &self.delivery {
            lock(&self.disk).shelf.1 = Some((delivery.clone(), self.bytes.clone()));
        }
        if self.flaw == ShelfFlaw::ShowsUnfinished {
            let part = Finished { mark: self.mark.clone(), bytes: self.bytes.clone().freeze() };
            lock(&self.disk).shelf.put(part, self.flaw);
        }
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<(), StorageError> {
        let whole = Finished { mark: self.mark, bytes: self.bytes.freeze() };
        lock(&self.disk).shelf.put(whole, self.flaw);
        Ok(())
    }
}

struct Reading {
    disk: SharedDisk,
    flaw: ShelfFlaw,
    finished: Arc<Finished>,
}

#[async_trait]
impl SnapshotReader for Reading {
    fn mark(&self) -> &SnapshotMark {
        &self.finished.mark
    }

    fn len(&self) -> u64 {
        self.finished.bytes.len() as u64
    }

    async fn read_at(&self, offset: u64, bytes_max: usize) -> Result<Bytes, StorageError> {
        let newest = lock(&self.disk).shelf.0.clone().filter(|_| self.flaw == ShelfFlaw::PullsFromReaders);
        let bytes = &newest.as_ref().unwrap_or(&self.finished).bytes;
        let from = bytes.len().min(offset as usize);
        let more = usize::from(self.flaw == ShelfFlaw::ReadsTooMuch);
        let upto = bytes.len().min(from + bytes_max + more);
        Ok(bytes.slice(from..upto))
    }
}
