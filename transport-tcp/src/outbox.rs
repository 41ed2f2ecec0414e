//! [`Outbox`]: what waits to be sent on one connection.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use consensus_api::{Frame, Lane, Reach, SendError};
use tokio::sync::Notify;

use crate::frame::HEADER_BYTES;
use crate::options::Options;

/// What a waiting frame costs besides its parts, so that empty ones are bounded too.
const FRAME_COST_BYTES: usize = HEADER_BYTES + size_of::<Frame>();
const LANES: usize = 3;
/// In the order in which they are emptied.
const LANES_BY_URGENCY: [Lane; LANES] = [Lane::Control, Lane::Data, Lane::Bulk];

/// A queue per lane, bounded in bytes, between the node that sends and the task that writes.
#[derive(Debug)]
pub(crate) struct Outbox {
    waiting: Mutex<Waiting>,
    /// Told when something waits that did not before.
    ready: Notify,
    bytes_max: [usize; LANES],
}

#[derive(Debug)]
struct Waiting {
    lanes: [Queue; LANES],
    ping: bool,
    /// While nobody has tried, frames wait for the outcome; out of reach, they would arrive stale.
    reach: Reach,
    /// What the peer takes, at most.
    frame_bytes_max: usize,
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Frame>,
    bytes: usize,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        !self.ping && self.lanes.iter().all(|lane| lane.frames.is_empty())
    }
}

impl Outbox {
    pub(crate) fn new(options: &Options) -> Self {
        let waiting = Waiting {
            lanes: Default::default(),
            ping: false,
            reach: Reach::Untried,
            frame_bytes_max: options.frame_bytes_max,
        };
        Self {
            waiting: Mutex::new(waiting),
            ready: Notify::new(),
            bytes_max: [
                options.control_queue_bytes_max,
                options.data_queue_bytes_max,
                options.bulk_queue_bytes_max,
            ],
        }
    }

    /// Queues a frame. One for a peer out of reach is dropped without a word: the node was told.
    pub(crate) fn offer(&self, lane: Lane, frame: Frame) -> Result<(), SendError> {
        let mut waiting = self.waiting();
        if frame.len() > waiting.frame_bytes_max {
            return Err(SendError::TooLarge);
        }
        if waiting.reach == Reach::Closed {
            return Ok(());
        }
        let queue = &mut waiting.lanes[lane as usize];
        let bytes = queue.bytes + FRAME_COST_BYTES + frame.len();
        // An empty queue takes any frame that may be sent at all; refused there, it would be refused for ever.
        if bytes > self.bytes_max[lane as usize] && !queue.frames.is_empty() {
            return Err(SendError::Full);
        }
        queue.bytes = bytes;
        let was_empty = waiting.is_empty();
        waiting.lanes[lane as usize].frames.push_back(frame);
        drop(waiting);
        if was_empty {
            self.ready.notify_one();
        }
        Ok(())
    }

    /// Asks for a ping with the next write.
    pub(crate) fn request_ping(&self) {
        self.waiting().ping = true;
        self.ready.notify_one();
    }

    /// Waits until something is there, and leaves it.
    pub(crate) async fn filled(&self) {
        while self.waiting().is_empty() {
            self.ready.notified().await;
        }
    }

    /// Waits until something is there, and takes the most urgent of it: up to `bytes_max`, and a frame in any case.
    /// Returns whether a ping is due.
    pub(crate) async fn take(&self, frames: &mut Vec<(Lane, Frame)>, bytes_max: usize) -> bool {
        self.filled().await;
        let mut waiting = self.waiting();
        let mut bytes = 0;
        for lane in LANES_BY_URGENCY {
            let queue = &mut waiting.lanes[lane as usize];
            while bytes < bytes_max
                && let Some(frame) = queue.frames.pop_front()
            {
                let cost = FRAME_COST_BYTES + frame.len();
                queue.bytes -= cost;
                bytes += cost;
                frames.push((lane, frame));
            }
        }
        std::mem::take(&mut waiting.ping)
    }

    /// The peer is within reach and takes frames of this size. What waits stays, save for what is too large for it.
    pub(crate) fn open(&self, frame_bytes_max: usize) {
        let mut waiting = self.waiting();
        waiting.reach = Reach::Open;
        waiting.frame_bytes_max = frame_bytes_max;
        for queue in &mut waiting.lanes {
            queue.frames.retain(|frame| frame.len() <= frame_bytes_max);
            queue.bytes = queue.frames.iter().map(|frame| FRAME_COST_BYTES + frame.len()).sum();
        }
    }

    /// Drops what waits.
    pub(crate) fn clear(&self) {
        let mut waiting = self.waiting();
        waiting.ping = false;
        waiting.lanes = Default::default();
    }

    /// Drops what waits and takes nothing more until it is opened. Returns whether that is news.
    pub(crate) fn close(&self) -> bool {
        let before = std::mem::replace(&mut self.waiting().reach, Reach::Closed);
        self.clear();
        before != Reach::Closed
    }

    /// Whether frames get through.
    pub(crate) fn reach(&self) -> Reach {
        self.waiting().reach
    }

    /// Does something if the peer is within reach, and keeps it there meanwhile.
    pub(crate) fn while_open(&self, act: impl FnOnce()) {
        let waiting = self.waiting();
        if waiting.reach == Reach::Open {
            act();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // No code that holds the lock can leave it half-done.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
