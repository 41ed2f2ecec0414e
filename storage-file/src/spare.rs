//! The spare: the next segment, prepared in the background, so that moving on to it costs the log nothing. It is also
//! what is kept in hand: as soon as it cannot be prepared for want of room, the log says so, while there is still a
//! segment to write to.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use consensus_api::StorageError;

use crate::disk::{File, Folder};
use crate::segment;
use crate::shared::{Shared, lock};
use crate::worker::Worker;

/// Keeps one spare ready.
pub(crate) struct Spare {
    folder: Arc<dyn Folder>,
    segment_bytes: u64,
    worker: Worker,
    shared: Arc<Shared>,
    state: Arc<Mutex<State>>,
    abandoned: Arc<AtomicBool>,
}

#[derive(Default)]
struct State {
    preparing: bool,
    ready: Option<Result<Arc<dyn File>, StorageError>>,
    /// A file lies there to be used again.
    is_recycled: bool,
    is_full: bool,
}

impl Spare {
    pub(crate) fn new(
        folder: Arc<dyn Folder>,
        segment_bytes: u64,
        worker: Worker,
        shared: Arc<Shared>,
    ) -> Self {
        Self { folder, segment_bytes, worker, shared, state: Arc::default(), abandoned: Arc::default() }
    }

    /// Begins to prepare segment `seq`, unless that is under way or done.
    pub(crate) fn request(&self, seq: u64) {
        let mut state = lock(&self.state);
        if state.preparing || state.ready.is_some() {
            return;
        }
        state.preparing = true;
        drop(state);
        let (folder, bytes, shared) = (self.folder.clone(), self.segment_bytes, self.shared.clone());
        let (state, abandoned) = (self.state.clone(), self.abandoned.clone());
        self.worker.post(move || {
            let is_recycled = std::mem::take(&mut lock(&state).is_recycled);
            let is_abandoned = || abandoned.load(Ordering::Relaxed);
            let prepared = segment::prepare(&*folder, seq, bytes, is_recycled, is_abandoned);
            let mut state = lock(&state);
            state.preparing = false;
            state.is_full = matches!(prepared, Err(StorageError::Full { .. }));
            shared.set_room(!state.is_full);
            if !state.is_full {
                state.ready = prepared.transpose();
            }
        });
    }

    /// The file prepared last, if it is ready. Never waits.
    pub(crate) fn take(&self) -> Result<Option<Arc<dyn File>>, StorageError> {
        lock(&self.state).ready.take().transpose()
    }

    /// Whether there was no room for one.
    pub(crate) fn is_full(&self) -> bool {
        lock(&self.state).is_full
    }

    /// What tells the thread that removes files how to keep one for the next spare.
    pub(crate) fn recycler(&self) -> Recycler {
        Recycler { folder: self.folder.clone(), segment_bytes: self.segment_bytes, state: self.state.clone() }
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }
}

/// Keeps a file that is no longer needed for the next spare: its blocks are there, so that even a full disk has room.
pub(crate) struct Recycler {
    folder: Arc<dyn Folder>,
    segment_bytes: u64,
    state: Arc<Mutex<State>>,
}

impl Recycler {
    /// Takes away the file of segment `seq`, durably: keeps it if it can be used again, and nobody reads it.
    pub(crate) fn dispose(&self, seq: u64, unread: Option<&dyn File>) -> std::io::Result<()> {
        let name = segment::file_name(seq);
        let fits = |file: &dyn File| file.size().is_ok_and(|size| size == self.segment_bytes);
        if !lock(&self.state).is_recycled && unread.is_some_and(fits) {
            self.folder.rename(&name, segment::RECYCLED)?;
            lock(&self.state).is_recycled = true;
        } else {
            self.folder.remove(&name)?;
        }
        self.folder.sync()
    }
}
