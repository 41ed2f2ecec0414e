//! [`MemoryLog`]: a log in memory, for tests, examples and clusters in one process. It forgets with its process.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use consensus_api::{
    Batch, Entry, Identity, Index, LogReader, LogStorage, Op, Outline, Recovered, SnapshotMark,
    SnapshotReader, SnapshotStorage, SnapshotWriter, StorageError, StoreId, WriteSeq,
};

/// A log and its snapshots in memory. Durable at once, and gone with the process.
#[derive(Debug, Default)]
pub struct MemoryLog {
    shared: Arc<Mutex<Contents>>,
    submitted: WriteSeq,
    reported: WriteSeq,
    waker: Option<Waker>,
}

#[derive(Debug, Default)]
struct Contents {
    store: Option<StoreId>,
    outline: Outline,
    entries: BTreeMap<Index, Entry>,
    snapshot: Option<Arc<MemorySnapshot>>,
}

#[derive(Debug)]
struct MemorySnapshot {
    mark: SnapshotMark,
    bytes: Bytes,
}

impl MemoryLog {
    /// An empty log.
    pub fn new() -> Self {
        Self::default()
    }
}

fn lock(shared: &Mutex<Contents>) -> MutexGuard<'_, Contents> {
    // Contents change by whole operations only, so they are sound even if a holder panicked.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LogStorage for MemoryLog {
    type Reader = MemoryReader;

    fn attach(&mut self, identity: &Identity) -> Result<Recovered, StorageError> {
        let mut contents = lock(&self.shared);
        let drawn = StoreId(u128::from(identity.incarnation.0) << 64 | u128::from(identity.node.0));
        let store = *contents.store.get_or_insert(drawn);
        Ok(Recovered { store, outline: contents.outline.clone(), notes: Vec::new() })
    }

    fn submit(&mut self, seq: WriteSeq, batch: Batch) -> Result<(), StorageError> {
        let mut contents = lock(&self.shared);
        for op in batch.into_ops() {
            contents.apply(op);
        }
        self.submitted = seq;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        Ok(())
    }

    fn poll_durable(&mut self, cx: &mut Context<'_>) -> Poll<Result<WriteSeq, StorageError>> {
        if self.submitted == self.reported {
            self.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        self.reported = self.submitted;
        Poll::Ready(Ok(self.reported))
    }

    fn reader(&self) -> MemoryReader {
        MemoryReader(self.shared.clone())
    }

    fn snapshots(&self) -> Box<dyn SnapshotStorage> {
        Box::new(MemorySnapshots(self.shared.clone()))
    }
}

impl Contents {
    fn apply(&mut self, op: Op) {
        self.outline.replay(&op);
        match op {
            Op::Put(entry) if entry.index > self.outline.compacted => {
                self.entries.insert(entry.index, entry);
            }
            Op::TruncateFrom(from) => drop(self.entries.split_off(&from)),
            Op::Compact { upto, .. } => self.entries = self.entries.split_off(&upto.next()),
            Op::Put(_) | Op::HardState(_) | Op::SnapshotMark(_) | Op::Watermark(_) => {}
        }
    }
}

/// Reads a [`MemoryLog`].
#[derive(Clone, Debug)]
pub struct MemoryReader(Arc<Mutex<Contents>>);

#[async_trait]
impl LogReader for MemoryReader {
    async fn read(&self, range: Range<Index>, bytes_max: usize) -> Result<Vec<Entry>, StorageError> {
        let contents = lock(&self.0);
        let mut bytes = 0;
        let fits = |(_, entry): &(&Index, &Entry)| {
            let first = bytes == 0;
            bytes += entry.record_len();
            first || bytes <= bytes_max
        };
        Ok(contents.entries.range(range).take_while(fits).map(|(_, entry)| entry.clone()).collect())
    }
}

struct MemorySnapshots(Arc<Mutex<Contents>>);

struct Writing {
    shared: Arc<Mutex<Contents>>,
    mark: SnapshotMark,
    bytes: BytesMut,
}

#[async_trait]
impl SnapshotStorage for MemorySnapshots {
    async fn begin(&self, mark: &SnapshotMark) -> Result<Box<dyn SnapshotWriter>, StorageError> {
        Ok(Box::new(Writing { shared: self.0.clone(), mark: mark.clone(), bytes: BytesMut::new() }))
    }

    async fn latest(&self) -> Result<Option<Box<dyn SnapshotReader>>, StorageError> {
        let newest = lock(&self.0).snapshot.clone();
        Ok(newest.map(|snapshot| Box::new(Reading(snapshot)) as Box<dyn SnapshotReader>))
    }
}

#[async_trait]
impl SnapshotWriter for Writing {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    async fn append(&mut self, chunk: Bytes) -> Result<(), StorageError> {
        self.bytes.extend_from_slice(&chunk);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<(), StorageError> {
        let snapshot = MemorySnapshot { mark: self.mark, bytes: self.bytes.freeze() };
        let mut contents = lock(&self.shared);
        if contents.snapshot.as_ref().is_none_or(|old| old.mark.index <= snapshot.mark.index) {
            contents.snapshot = Some(Arc::new(snapshot));
        }
        Ok(())
    }
}

struct Reading(Arc<MemorySnapshot>);

#[async_trait]
impl SnapshotReader for Reading {
    fn mark(&self) -> &SnapshotMark {
        &self.0.mark
    }

    fn len(&self) -> u64 {
        self.0.bytes.len() as u64
    }

    async fn read_at(&self, offset: u64, bytes_max: usize) -> Result<Bytes, StorageError> {
        let from = (offset as usize).min(self.0.bytes.len());
        let upto = from.saturating_add(bytes_max).min(self.0.bytes.len());
        Ok(self.0.bytes.slice(from..upto))
    }
}
