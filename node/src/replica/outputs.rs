//! [`Outputs`]: what a replica wants done by those who can: network, disk, state machine.

use std::ops::Range;

use bytes::Bytes;
use consensus_api::{
    Batch, Entry, Error, Frame, Index, Lane, Membership, NodeId, SnapshotMark, StoreId, WriteSeq,
};

/// What a replica wants done. Emptied by the driver after every call, and used again.
///
/// `P` is the ticket of a proposal and `R` that of a read: whatever the driver attached, handed back with the answer.
#[derive(Debug)]
pub struct Outputs<P, R> {
    /// Frames to send.
    pub frames: Vec<OutgoingFrame>,
    /// A batch to write. There is never a second one before [`Replica::durable`](super::Replica::durable).
    pub write: Option<(WriteSeq, Batch)>,
    /// Work for the state machine, in order.
    pub apply: Vec<ApplyWork<P>>,
    /// Reads to carry out on the state machine as it is.
    pub reads: Vec<R>,
    /// Proposals that end without an answer from the state machine.
    pub failed: Vec<(P, Error)>,
    /// Reads that end without one.
    pub failed_reads: Vec<(R, Error)>,
    /// Errands that have come to their end, by their tickets.
    pub administered: Vec<(u64, Result<(), Error>)>,
    /// Snapshots that were asked for, by their tickets: the last entry covered, or why there is none.
    pub snapshots: Vec<(u64, Result<Index, Error>)>,
    /// Where peers are found from now on; `None` for those to forget.
    pub addresses: Vec<(NodeId, Option<String>)>,
    /// Entries to read from the log.
    pub loads: Vec<Load>,
    /// Pieces of the newest snapshot to read, for a peer.
    pub chunk_reads: Vec<ChunkRead>,
    /// Pieces of a peer's snapshot to write.
    pub chunk_writes: Vec<ChunkWrite>,
}

impl<P, R> Default for Outputs<P, R> {
    fn default() -> Self {
        Self {
            frames: Vec::new(),
            write: None,
            apply: Vec::new(),
            reads: Vec::new(),
            failed: Vec::new(),
            failed_reads: Vec::new(),
            administered: Vec::new(),
            snapshots: Vec::new(),
            addresses: Vec::new(),
            loads: Vec::new(),
            chunk_reads: Vec::new(),
            chunk_writes: Vec::new(),
        }
    }
}

impl<P, R> Outputs<P, R> {
    /// Whether anyone is to be told anything. Rare: answers come from the state machine.
    pub(crate) const fn answers(&self) -> bool {
        !(self.failed.is_empty()
            && self.failed_reads.is_empty()
            && self.administered.is_empty()
            && self.snapshots.is_empty()
            && self.addresses.is_empty())
    }

    /// Whether anything is to be read, or to be written of a snapshot. Rare: recent entries are in memory.
    pub(crate) const fn fetches(&self) -> bool {
        !(self.loads.is_empty() && self.chunk_reads.is_empty() && self.chunk_writes.is_empty())
    }
}

/// A frame on its way out.
#[derive(Debug)]
pub struct OutgoingFrame {
    /// Who it is for.
    pub to: NodeId,
    /// How urgent it is.
    pub lane: Lane,
    /// The frame.
    pub frame: Frame,
    /// The sequence of the forwarded proposal in it, if it holds one.
    pub(crate) forwards: Option<u64>,
}

/// Work for the state machine.
#[derive(Debug)]
pub enum ApplyWork<P> {
    /// Apply a committed entry. The tickets are those of its commands, in order; there are none unless this node
    /// proposed it.
    Entry {
        /// The entry.
        entry: Entry,
        /// Who waits for its commands.
        tickets: Vec<P>,
    },
    /// The cluster is founded, by these members: that is what snapshots say from now on.
    Founded(Membership),
    /// Replace the state by the newest snapshot, which is this one.
    Restore(SnapshotMark),
    /// Take a snapshot of the state as it is when this comes up.
    Snapshot,
}

/// Entries to read from the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Load {
    /// What they are for.
    pub purpose: LoadPurpose,
    /// Which.
    pub range: Range<Index>,
    /// How many bytes at most.
    pub bytes_max: usize,
    /// Truncations so far; what is read before one is void after it.
    pub(crate) epoch: u64,
}

/// What loaded entries are for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LoadPurpose {
    /// A peer that lags behind.
    Peer(NodeId),
    /// The state machine.
    Apply,
}

/// A piece of a snapshot to read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChunkRead {
    /// The peer it is for.
    pub to: NodeId,
    /// The snapshot begun with, by its index; `None` for the newest.
    pub index: Option<Index>,
    /// Where the piece begins.
    pub offset: u64,
}

/// A piece of a snapshot, as read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chunk {
    /// What the snapshot stands for.
    pub mark: SnapshotMark,
    /// How long the whole is.
    pub total: u64,
    /// Where the piece begins.
    pub offset: u64,
    /// The piece.
    pub bytes: Bytes,
}

/// A piece of a peer's snapshot to write.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChunkWrite {
    /// The peer it came from.
    pub from: NodeId,
    /// The disk it came from.
    pub store: StoreId,
    /// The piece.
    pub chunk: Chunk,
}
