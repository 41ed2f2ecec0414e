//! [`Chunks`]: pieces of snapshots, read for peers and written from them, beside the node's own work.

use std::collections::BTreeMap;
use std::sync::Arc;

use consensus_api::{
    Delivery, Index, NodeId, SNAPSHOT_CHUNK_BYTES_MAX, SnapshotMark, SnapshotReader, SnapshotStorage,
    SnapshotWriter, StorageError,
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
    /// What a frame has room for, beside what stands before every piece.
    frame_bytes_max: usize,
    sending: BTreeMap<NodeId, Box<dyn SnapshotReader>>,
    /// By sender: two that send at once must not undo each other's work.
    receiving: BTreeMap<NodeId, Receiving>,
}

struct Receiving {
    delivery: Delivery,
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
        let mut chunks =
            Self { snapshots, frame_bytes_max, sending: BTreeMap::new(), receiving: BTreeMap::new() };
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
        let mark = reader.mark().clone();
        // The members stand in the head of every piece.
        let members = mark.membership.encode().len();
        let room = self.frame_bytes_max.saturating_sub(members).min(SNAPSHOT_CHUNK_BYTES_MAX);
        if room == 0 {
            return Err(format!("its members take {members} bytes, and a frame has room for no more"));
        }
        let bytes = reader.read_at(offset, room).await.map_err(|error| error.to_string())?;
        if offset + bytes.len() as u64 >= total {
            self.sending.remove(&to);
        }
        Ok(Chunk { mark, total, offset, bytes })
    }

    async fn write(&mut self, write: ChunkWrite) -> Result<ChunkReport, StorageError> {
        let ChunkWrite { from, store, chunk } = write;
        let Chunk { mark, total, offset, bytes } = chunk;
        let index = mark.index;
        let delivery = Delivery { mark, store, len: total };
        let known = self.receiving.remove(&from).filter(|receiving| receiving.delivery == delivery);
        let mut receiving = match known {
            Some(receiving) => receiving,
            // Some of it may have come before this node was started.
            None => Receiving { writer: self.snapshots.receive(&delivery).await?, delivery },
        };
        if receiving.writer.len() == offset && bytes.len() <= SNAPSHOT_CHUNK_BYTES_MAX {
            receiving.writer.append(bytes).await?;
        }
        let written = receiving.writer.len();
        if written >= total {
            let Receiving { writer, delivery } = receiving;
            writer.finish().await?;
            self.receiving.retain(|_, other| other.delivery.mark.index > index);
            return Ok(ChunkReport::Received { from, mark: delivery.mark, total });
        }
        self.receiving.insert(from, receiving);
        Ok(ChunkReport::Written { from, index, offset: written })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use consensus_api::{Generation, LogStorage, Membership};

    use super::*;
    use crate::blocking::wait;
    use crate::memory_log::MemoryLog;

    /// What stands before a piece beside the members: kind, total, offset, index and generation.
    const HEAD_BYTES: usize = 1 + 8 + 8 + 8 + 16;

    #[test]
    fn a_piece_fits_into_a_frame_however_many_the_members_are() {
        for (count, frame_bytes_max) in [(3, 64 << 10), (200, 64 << 10), (3, 16 << 20), (300, 16 << 20)] {
            let address = "a".repeat(Membership::ADDRESS_BYTES_MAX);
            let mut membership = Membership::of_voters((0..count).map(NodeId)).unwrap();
            for id in 0..count {
                membership = membership.with_address(NodeId(id), &address).unwrap();
            }
            let members = membership.encode().len();
            let mark = SnapshotMark { index: Index(9), generation: Generation::ZERO, membership };
            let snapshots: Arc<dyn SnapshotStorage> = MemoryLog::new().snapshots().into();
            let mut writer = wait(snapshots.begin(&mark)).unwrap();
            for _ in 0..3 {
                wait(writer.append(Bytes::from(vec![7; SNAPSHOT_CHUNK_BYTES_MAX]))).unwrap();
            }
            wait(writer.finish()).unwrap();
            let (sending, receiving) = (BTreeMap::new(), BTreeMap::new());
            let mut chunks =
                Chunks { snapshots, frame_bytes_max: frame_bytes_max - 1024, sending, receiving };
            let piece = wait(chunks.read(ChunkRead { to: NodeId(2), index: None, offset: 0 })).unwrap();
            assert!(!piece.bytes.is_empty());
            assert!(piece.bytes.len() <= SNAPSHOT_CHUNK_BYTES_MAX);
            let frame = HEAD_BYTES + members + piece.bytes.len();
            assert!(frame <= frame_bytes_max, "{count} members: {frame} bytes");
        }
    }
}
