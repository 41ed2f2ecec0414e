//! The spare: the next segment, prepared in the background, so that moving on to it costs the log nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use consensus_api::StorageError;

use crate::disk::{File, Folder};
use crate::segment;
use crate::shared::lock;
use crate::worker::Worker;

type Prepared = Result<Option<Arc<dyn File>>, StorageError>;

/// Keeps one spare ready.
pub(crate) struct Spare {
    folder: Arc<dyn Folder>,
    segment_bytes: u64,
    worker: Worker,
    ready: Arc<Mutex<Option<Prepared>>>,
    abandoned: Arc<AtomicBool>,
}

impl Spare {
    pub(crate) fn new(folder: Arc<dyn Folder>, segment_bytes: u64, worker: Worker) -> Self {
        Self { folder, segment_bytes, worker, ready: Arc::default(), abandoned: Arc::default() }
    }

    /// Begins to prepare segment `seq`. Without threads nothing is prepared ahead: see [`take`](Self::take).
    pub(crate) fn request(&self, seq: u64) {
        if matches!(self.worker, Worker::Thread(_)) {
            let (folder, bytes) = (self.folder.clone(), self.segment_bytes);
            let (ready, abandoned) = (self.ready.clone(), self.abandoned.clone());
            self.worker.post(move || {
                let prepared = segment::prepare(&*folder, seq, bytes, || abandoned.load(Ordering::Relaxed));
                *lock(&ready) = Some(prepared);
            });
        }
    }

    /// The file of segment `seq`, if it is ready. Never waits for a thread.
    pub(crate) fn take(&self, seq: u64) -> Result<Option<Arc<dyn File>>, StorageError> {
        match self.worker {
            Worker::Inline => segment::prepare(&*self.folder, seq, self.segment_bytes, || false),
            Worker::Thread(_) => lock(&self.ready).take().unwrap_or(Ok(None)),
        }
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }
}
