//! [`Inbox`]: what waits for the node to take it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use consensus_api::{Arrival, Frame, NodeId};
use tokio::sync::Notify;

use crate::hello::Purpose;

/// What a waiting frame costs besides its parts.
const ITEM_COST_BYTES: usize = size_of::<Item>();

/// One queue of arrivals, filled by all readers and emptied by the node. Each reader has a budget of its own, so that
/// no peer can crowd out another.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    items: VecDeque<Item>,
    waker: Option<Waker>,
    /// The connection that may deliver, for each peer and purpose.
    current: HashMap<(NodeId, Purpose), u64>,
    connections: u64,
}

/// An arrival, and whose budget it burdens.
#[derive(Debug)]
pub(crate) struct Item {
    arrival: Arrival,
    burden: Option<(Arc<Budget>, usize)>,
}

impl Item {
    /// The arrival; its reader may read on.
    pub(crate) fn release(self) -> Arrival {
        if let Some((budget, bytes)) = self.burden {
            budget.give_back(bytes);
        }
        self.arrival
    }
}

impl Inbox {
    /// Reports something other than a frame.
    pub(crate) fn notice(&self, arrival: Arrival) {
        Self::add(self.waiting(), [Item { arrival, burden: None }]);
    }

    /// A way in for a new connection. From now on its predecessor delivers nothing.
    pub(crate) fn entrance(self: &Arc<Self>, from: NodeId, purpose: Purpose, bytes_max: usize) -> Entrance {
        let mut waiting = self.waiting();
        waiting.connections += 1;
        let connection = waiting.connections;
        waiting.current.insert((from, purpose), connection);
        drop(waiting);
        let budget = Arc::new(Budget { held: AtomicUsize::new(0), bytes_max, room: Notify::new() });
        Entrance { inbox: Arc::clone(self), from, purpose, connection, budget }
    }

    /// Whether this peer has a connection on which it may deliver.
    pub(crate) fn hears(&self, peer: NodeId) -> bool {
        self.waiting().current.contains_key(&(peer, Purpose::Consensus))
    }

    /// From now on no connection of this peer delivers.
    pub(crate) fn revoke(&self, peer: NodeId) {
        self.waiting().current.retain(|(from, _), _| *from != peer);
    }

    /// Moves all that waits to `items`. If nothing does, the task is woken when that changes.
    pub(crate) fn take(&self, items: &mut VecDeque<Item>, cx: &Context<'_>) {
        let mut waiting = self.waiting();
        if waiting.items.is_empty() {
            match &mut waiting.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
        } else {
            // The buffers change places, so that neither is allocated again.
            std::mem::swap(&mut waiting.items, items);
        }
    }

    fn add(mut waiting: MutexGuard<'_, Waiting>, items: impl IntoIterator<Item = Item>) {
        waiting.items.extend(items);
        let waker = waiting.waker.take();
        drop(waiting);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // No code that holds the lock can leave it half-done.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the frames of one connection come in.
#[derive(Debug)]
pub(crate) struct Entrance {
    inbox: Arc<Inbox>,
    from: NodeId,
    purpose: Purpose,
    connection: u64,
    budget: Arc<Budget>,
}

impl Entrance {
    /// Hands frames in. `false`: a newer connection has taken this one's place, and nothing was handed in.
    pub(crate) fn deliver(&self, frames: &mut Vec<Frame>) -> bool {
        let waiting = self.inbox.waiting();
        if waiting.current.get(&(self.from, self.purpose)) != Some(&self.connection) {
            return false;
        }
        let items = frames.drain(..).map(|frame| {
            let bytes = ITEM_COST_BYTES + frame.len();
            self.budget.held.fetch_add(bytes, Ordering::Relaxed);
            Item {
                arrival: Arrival::Frame { from: self.from, frame },
                burden: Some((Arc::clone(&self.budget), bytes)),
            }
        });
        Inbox::add(waiting, items);
        true
    }

    /// Waits until the node has taken enough for more to come in.
    pub(crate) async fn room(&self) {
        while self.budget.is_spent(self.budget.held.load(Ordering::Acquire)) {
            self.budget.room.notified().await;
        }
    }
}

impl Drop for Entrance {
    fn drop(&mut self) {
        let mut waiting = self.inbox.waiting();
        let key = (self.from, self.purpose);
        if waiting.current.get(&key) == Some(&self.connection) {
            waiting.current.remove(&key);
        }
    }
}

/// The bytes of one connection that the node has not taken yet.
#[derive(Debug)]
struct Budget {
    held: AtomicUsize,
    bytes_max: usize,
    room: Notify,
}

impl Budget {
    fn is_spent(&self, held: usize) -> bool {
        held >= self.bytes_max
    }

    fn give_back(&self, bytes: usize) {
        let before = self.held.fetch_sub(bytes, Ordering::Release);
        if self.is_spent(before) && !self.is_spent(before - bytes) {
            self.room.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
