//! What is submitted and not yet written, on its way to the log's thread.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use consensus_api::{Batch, WriteSeq};

use crate::group::Group;
use crate::operation::Seed;
use crate::shared::lock;

/// One write takes in what is queued up to about this much. What then still waits goes into the next.
const GROUP_BYTES: usize = 4 << 20;
/// One is written while another is being filled; when they change places, one is empty.
const SPARES: usize = 1;

/// Groups of batches. One end fills them, the other writes them; buffers go round, so that nothing is allocated for a batch.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    /// Oldest first. The last one is being filled.
    groups: VecDeque<Group>,
    /// Empty ones.
    spares: Vec<Group>,
    has_ended: bool,
    /// Whether somebody sleeps until there is news.
    is_awaited: bool,
}

/// What there is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum News {
    /// Something to write.
    Batches,
    /// Nothing came for so long.
    Silence,
    /// Nothing will come any more.
    End,
}

impl Queue {
    /// Encodes a batch behind all others, for a segment of that seed.
    pub(crate) fn push(&self, seq: WriteSeq, batch: Batch, seed: Seed) {
        let mut state = lock(&self.state);
        if state.groups.back().is_none_or(|last| last.bytes().len() >= GROUP_BYTES) {
            let empty = state.spares.pop().unwrap_or_default();
            state.groups.push_back(empty);
        }
        if let Some(last) = state.groups.back_mut() {
            last.push(seq, batch, seed);
        }
        let is_awaited = state.is_awaited;
        drop(state);
        if is_awaited {
            self.news.notify_one();
        }
    }

    /// Nothing will be pushed any more.
    pub(crate) fn end(&self) {
        lock(&self.state).has_ended = true;
        self.news.notify_one();
    }

    /// Whether nothing waits to be taken.
    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.state).groups.is_empty()
    }

    /// Puts the oldest group in the place of one whose batches are all written. Whether `group` then has something to write.
    pub(crate) fn refill(&self, group: &mut Group) -> bool {
        if !group.is_done() {
            return true;
        }
        let mut state = lock(&self.state);
        let Some(next) = state.groups.pop_front() else { return false };
        let mut done = std::mem::replace(group, next);
        done.clear();
        if state.spares.len() < SPARES {
            state.spares.push(done);
        }
        true
    }

    /// Sleeps until there is news: for `patience` at most, if that is given. Whoever cannot take batches does not want to
    /// hear of them.
    pub(crate) fn wait(&self, patience: Option<Duration>, wants_batches: bool) -> News {
        let until = patience.map(|patience| Instant::now() + patience);
        let mut state = lock(&self.state);
        loop {
            if wants_batches && !state.groups.is_empty() {
                return News::Batches;
            }
            if state.has_ended {
                return News::End;
            }
            state.is_awaited = true;
            state = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => {
                    state.is_awaited = false;
                    return News::Silence;
                }
                Some(left) => self.news.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.news.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
            state.is_awaited = false;
        }
    }
}
