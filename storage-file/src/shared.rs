//! What the writer, the readers and the log's owner share: where the entries are, and how far everything is durable.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use consensus_api::{StorageError, WriteSeq};

use crate::extents::Extents;
use crate::operation::Seed;

/// Locks. A thread that panicked with the lock held has left nothing half done: no section that holds one can fail.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shared by all parts of one open log. No lock is ever held across a file operation.
#[derive(Default)]
pub(crate) struct Shared {
    extents: Mutex<Extents>,
    progress: Mutex<Progress>,
    seed: AtomicU32,
}

#[derive(Default)]
struct Progress {
    durable: Option<WriteSeq>,
    reported: Option<WriteSeq>,
    failure: Failure,
    /// Set while there is no room for the next segment.
    is_full: bool,
    waker: Option<Waker>,
}

#[derive(Default)]
enum Failure {
    #[default]
    None,
    Untold(StorageError),
    Told,
}

impl Shared {
    /// Where the entries are.
    pub(crate) fn extents(&self) -> MutexGuard<'_, Extents> {
        lock(&self.extents)
    }

    /// The seed of the segment being written. Another may be by the time this is used.
    pub(crate) fn seed(&self) -> Seed {
        Seed(self.seed.load(Ordering::Relaxed))
    }

    /// The log has moved on to a segment of that seed.
    pub(crate) fn set_seed(&self, seed: Seed) {
        self.seed.store(seed.0, Ordering::Relaxed);
    }

    /// Everything up to `seq` is durable.
    pub(crate) fn publish(&self, seq: WriteSeq) {
        let mut progress = lock(&self.progress);
        progress.durable = Some(seq);
        let waker = progress.waker.take();
        drop(progress);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Nothing more will become durable. The first failure counts.
    pub(crate) fn fail(&self, error: StorageError) {
        let mut progress = lock(&self.progress);
        if matches!(progress.failure, Failure::None) {
            progress.failure = Failure::Untold(error);
        }
        let waker = progress.waker.take();
        drop(progress);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// There is room for the next segment, or none. Wakes the owner if that is news.
    pub(crate) fn set_room(&self, room: bool) {
        let mut progress = lock(&self.progress);
        if progress.is_full == room {
            progress.is_full = !room;
            let waker = progress.waker.take();
            drop(progress);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// Whether there is room for the next segment.
    pub(crate) fn has_room(&self) -> bool {
        !lock(&self.progress).is_full
    }

    /// Whether something failed.
    pub(crate) fn is_failed(&self) -> bool {
        !matches!(lock(&self.progress).failure, Failure::None)
    }

    /// Wakes whoever waits for news, to come and do the work itself.
    pub(crate) fn wake(&self) {
        let waker = lock(&self.progress).waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// News since the last call: the failure, once and then as poisoned, or how far everything is durable.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<WriteSeq, StorageError>> {
        let mut progress = lock(&self.progress);
        match std::mem::replace(&mut progress.failure, Failure::Told) {
            Failure::None => progress.failure = Failure::None,
            Failure::Untold(error) => return Poll::Ready(Err(error)),
            Failure::Told => return Poll::Ready(Err(StorageError::Poisoned)),
        }
        let Some(durable) = progress.durable.filter(|durable| Some(*durable) != progress.reported) else {
            progress.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        progress.reported = Some(durable);
        Poll::Ready(Ok(durable))
    }
}
