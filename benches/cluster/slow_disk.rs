//! [`SlowDisk`]: a log whose syncs take longer when told so.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use quorate::{Batch, FileLog, Identity, LogStorage, Recovered, SnapshotStorage, StorageError, WriteSeq};
use tokio::time::{Sleep, sleep_until};

/// How slow a disk is. Clones speak of the same disk.
#[derive(Clone, Default)]
pub(crate) struct Slowness(Arc<Mutex<Settings>>);

#[derive(Clone, Copy, Default)]
struct Settings {
    delay: Duration,
    stalled_until: Option<Instant>,
}

impl Slowness {
    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every sync takes this much longer from now on.
    pub(crate) fn delay(&self, delay: Duration) {
        self.settings().delay = delay;
    }

    /// No sync comes to its end within this time.
    pub(crate) fn stall(&self, time: Duration) {
        self.settings().stalled_until = Some(Instant::now() + time);
    }

    /// When a sync that has just ended is to be told of, if not now.
    fn late(&self) -> Option<Instant> {
        let (now, settings) = (Instant::now(), *self.settings());
        let due = (now + settings.delay).max(settings.stalled_until.unwrap_or(now));
        (due > now).then_some(due)
    }
}

/// Tells of syncs later than they happen. The node has one write under way, so that is a slower disk to it.
pub(crate) struct SlowDisk {
    inner: FileLog,
    slowness: Slowness,
    late: Option<(WriteSeq, Pin<Box<Sleep>>)>,
}

impl SlowDisk {
    pub(crate) fn new(inner: FileLog, slowness: Slowness) -> Self {
        Self { inner, slowness, late: None }
    }
}

impl LogStorage for SlowDisk {
    type Reader = <FileLog as LogStorage>::Reader;

    fn attach(&mut self, identity: &Identity) -> Result<Recovered, StorageError> {
        self.inner.attach(identity)
    }

    fn submit(&mut self, seq: WriteSeq, batch: Batch) -> Result<(), StorageError> {
        self.inner.submit(seq, batch)
    }

    fn poll_durable(&mut self, cx: &mut Context<'_>) -> Poll<Result<WriteSeq, StorageError>> {
        loop {
            if let Some((seq, sleep)) = &mut self.late {
                let seq = *seq;
                std::task::ready!(sleep.as_mut().poll(cx));
                self.late = None;
                return Poll::Ready(Ok(seq));
            }
            let seq = std::task::ready!(self.inner.poll_durable(cx))?;
            match self.slowness.late() {
                None => return Poll::Ready(Ok(seq)),
                Some(due) => self.late = Some((seq, Box::pin(sleep_until(due.into())))),
            }
        }
    }

    fn reader(&self) -> Self::Reader {
        self.inner.reader()
    }

    fn has_room(&self) -> bool {
        self.inner.has_room()
    }

    fn snapshots(&self) -> Box<dyn SnapshotStorage> {
        self.inner.snapshots()
    }
}
