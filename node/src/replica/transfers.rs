//! [`Transfers`]: snapshots on their way to peers that lack what the log no longer holds.
//!
//! One piece at a time per peer: read, sent, taken, and only then the next. So a transfer costs one piece of memory,
//! and a receiver that comes back says where to go on.

use std::collections::BTreeMap;
use std::time::Duration;

use consensus_api::{Index, NodeId, Time};

use super::outputs::{Chunk, ChunkRead};

/// The snapshots this node is sending.
#[derive(Debug)]
pub(super) struct Transfers {
    retry_after: Duration,
    sending: BTreeMap<NodeId, Sending>,
}

#[derive(Debug)]
struct Sending {
    /// Known once the first piece has been read.
    index: Option<Index>,
    total: u64,
    offset: u64,
    attempts: u32,
    /// When the piece under way is given up; [`Time::MAX`] while it is being read.
    retry_at: Time,
}

/// After so many pieces in a row without an answer the transfer is given up. The engine may ask for another.
const ATTEMPTS_MAX: u32 = 10;

impl Transfers {
    pub(super) fn new(retry_after: Duration) -> Self {
        Self { retry_after, sending: BTreeMap::new() }
    }

    /// A peer needs a snapshot. The first piece to read, unless a transfer is under way already.
    pub(super) fn begin(&mut self, to: NodeId) -> Option<ChunkRead> {
        if self.sending.contains_key(&to) {
            return None;
        }
        self.sending
            .insert(to, Sending { index: None, total: 0, offset: 0, attempts: 0, retry_at: Time::MAX });
        Some(ChunkRead { to, index: None, offset: 0 })
    }

    /// A piece was read and goes out. `false` when it is no longer wanted.
    pub(super) fn sent(&mut self, now: Time, to: NodeId, chunk: &Chunk) -> bool {
        let Some(sending) = self.sending.get_mut(&to) else { return false };
        let index = chunk.mark.index;
        if sending.offset != chunk.offset || sending.index.is_some_and(|known| known != index) {
            return false;
        }
        sending.index = Some(index);
        sending.total = chunk.total;
        sending.retry_at = now + self.retry_after;
        true
    }

    /// Whether that offset is the end of the snapshot being sent to this peer.
    pub(super) fn is_complete(&self, to: NodeId, index: Index, offset: u64) -> bool {
        let sending = self.sending.get(&to);
        sending.is_some_and(|sending| sending.index == Some(index) && sending.total == offset)
    }

    /// The peer has that snapshot up to `offset`: the next piece to read.
    pub(super) fn taken(&mut self, to: NodeId, index: Index, offset: u64) -> Option<ChunkRead> {
        let sending = self.sending.get_mut(&to).filter(|sending| sending.index == Some(index))?;
        if sending.retry_at == Time::MAX {
            return None;
        }
        sending.attempts = if offset > sending.offset { 0 } else { sending.attempts + 1 };
        sending.offset = offset;
        sending.retry_at = Time::MAX;
        Some(ChunkRead { to, index: sending.index, offset })
    }

    /// Ends a transfer. Whether there was one, of that snapshot.
    pub(super) fn end(&mut self, to: NodeId, index: Option<Index>) -> bool {
        let known = self.sending.get(&to).is_some_and(|sending| index.is_none() || sending.index == index);
        known && self.sending.remove(&to).is_some()
    }

    /// Gives up all of them: this node no longer leads.
    pub(super) fn clear(&mut self) {
        self.sending.clear();
    }

    pub(super) fn next_deadline(&self) -> Time {
        self.sending.values().map(|sending| sending.retry_at).min().unwrap_or(Time::MAX)
    }

    /// A piece that got no answer: to be read again, or, after too many of them, the peer whose transfer is given up.
    pub(super) fn overdue(&mut self, now: Time) -> Option<Result<ChunkRead, NodeId>> {
        let (to, sending) = self.sending.iter_mut().find(|(_, sending)| sending.retry_at <= now)?;
        sending.attempts += 1;
        if sending.attempts > ATTEMPTS_MAX {
            return Some(Err(*to));
        }
        sending.retry_at = Time::MAX;
        Some(Ok(ChunkRead { to: *to, index: sending.index, offset: sending.offset }))
    }
}
