//! [`Chunks`]: pieces of snapshots, read for peers and written from them, beside the node's own work.

use std::collections::BTreeMap;
use std::sync::Arc;

use consensus_api::{
    Index, NodeId, SNAPSHOT_CHUNK_BYTES_MAX, SnapshotMark, SnapshotReader, SnapshotStorage, SnapshotWriter,
    StorageError,
};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;

use crate::replica::{Chunk, ChunkRead, ChunkWrite};

/// What the node wants of a snapshot.
#[derive(Debug)]
pub(crate) enum ChunkOrder {
    Read(ChunkRead),
    Write(ChunkWrite),
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum ChunkReport {
    Read { to: NodeId, chunk: Result<Chunk, String> },
    Written { from: NodeId, index: Index, offset: u64 },
    Received { from: NodeId, mark: SnapshotMark, total: u64 },
    Failed { cause: String },
}

/// The snapshots being sent and received.
pub(crate) struct Chunks {
    snapshots: Arc<dyn SnapshotStorage>,
    chunk_bytes_max: usize,
    sending: BTreeMap<NodeId, Box<dyn SnapshotReader>>,
    /// By sender: two that send at once must not undo each other's work.
    receiving: BTreeMap<NodeId, Receiving>,
}

struct Receiving {
    mark: SnapshotMark,
    writer: Box<dyn SnapshotWriter>,
}

impl Chunks {
    /// A task of its own, which ends with its owner: orders in, a report for each out.
    pub(crate) fn spawn(
        snapshots: Arc<dyn SnapshotStorage>,
        frame_bytes_max: usize,
        runtime: &Handle,
    ) -> (UnboundedSender<ChunkOrder>, UnboundedReceiver<ChunkReport>, JoinHandle<()>) {
        let (order, mut orders) = mpsc::unbounded_channel();
        let (report, reports) = mpsc::unbounded_channel();
        let chunk_bytes_max = frame_bytes_max.min(SNAPSHOT_CHUNK_BYTES_MAX);
        let mut chunks =
            Self { snapshots, chunk_bytes_max, sending: BTreeMap::new(), receiving: BTreeMap::new() };
        let task = runtime.spawn(async move {
            while let Some(order) = orders.recv().await {
                if report.send(chunks.carry_out(order).await).is_err() {
                    break;
                }
            }
        });
        (order, reports, task)
    }

    async fn carry_out(&mut self, order: ChunkOrder) -> ChunkReport {
        match order {
            ChunkOrder::Read(read) => {
                let to = read.to;
                ChunkReport::Read { to, chunk: self.read(read).await }
            }
            ChunkOrder::Write(write) => match self.write(write).await {
                Ok(report) => report,
                Err(error) => ChunkReport::Failed { cause: error.to_string() },
            },
        }
    }

    async fn read(&mut self, read: ChunkRead) -> Result<Chunk, String> {
        let ChunkRead { to, index, offset } = read;
        if self.sending.get(&to).is_none_or(|reader| Some(reader.mark().index) != index) {
            let newest = self.snapshots.latest().await.map_err(|error| error.to_string())?;
            self.sending.insert(to, newest.ok_or("there is none")?);
        }
        let reader = self.sending.get(&to).ok_or("there is none")?;
        if index.is_some_and(|index| index != reader.mark().index) {
            return Err("a newer one has taken its place".to_owned());
        }
        let total = reader.len();
        let bytes = reader.read_at(offset, self.chunk_bytes_max).await.map_err(|error| error.to_string())?;
        let mark = reader.mark().clone();
        if offset + bytes.len() as u64 >= total {
            self.sending.remove(&to);
        }
        Ok(Chunk { mark, total, offset, bytes })
    }

    async fn write(&mut self, write: ChunkWrite) -> Result<ChunkReport, StorageError> {
        let ChunkWrite { from, chunk } = write;
        let Chunk { mark, total, offset, bytes } = chunk;
        let index = mark.index;
        let mut receiving = match self.receiving.remove(&from).filter(|receiving| receiving.mark == mark) {
            Some(receiving) => receiving,
            None => Receiving { mark: mark.clone(), writer: self.snapshots.begin(&mark).await? },
        };
        if receiving.writer.len() == offset && bytes.len() <= SNAPSHOT_CHUNK_BYTES_MAX {
            receiving.writer.append(bytes).await?;
        }
        let written = receiving.writer.len();
        if written >= total {
            receiving.writer.finish().await?;
            self.receiving.retain(|_, other| other.mark.index > index);
            return Ok(ChunkReport::Received { from, mark, total });
        }
        self.receiving.insert(from, receiving);
        Ok(ChunkReport::Written { from, index, offset: written })
    }
}
