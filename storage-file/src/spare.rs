//! The spare: the next segment, prepared in the background, so that moving on to it costs the log nothing. It is also
//! what is kept in hand: as soon as it cannot be prepared for want of room, the log says so, while there is still a
//! segment to write to.
//!
//! A new file is filled with zeros before it is used, so that a sync has only data to write and no change to the
//! file's length or extents. A file that was used before has its blocks already, and only gets the mark of a spare: its
//! old bytes stay, and the salt keeps them from being taken for new ones. Either gets its final name last.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use consensus_api::StorageError;
use consensus_api::mutation::mutated;

use crate::disk::{File, Folder};
use crate::recycled::Recycled;
use crate::segment::{self, UNFINISHED};
use crate::shared::{Shared, lock};
use crate::worker::Worker;

/// What a spare begins with where a segment has its header.
pub(crate) const MAGIC: [u8; 16] = *b"QRM SPARE FILE\r\n";
/// How much is written between two syncs while a file is filled, so that the log's own syncs are not held up.
const FILL_BYTES: u64 = 1 << 20;

/// Keeps one spare ready.
pub(crate) struct Spare {
    folder: Arc<dyn Folder>,
    segment_bytes: u64,
    worker: Worker,
    shared: Arc<Shared>,
    recycled: Arc<Recycled>,
    state: Arc<Mutex<State>>,
    abandoned: Arc<AtomicBool>,
}

#[derive(Default)]
struct State {
    preparing: bool,
    ready: Option<Result<Arc<dyn File>, StorageError>>,
    is_full: bool,
    /// Whether the segment in use could not be made longer for want of room.
    is_lacking: bool,
}

impl State {
    const fn has_room(&self) -> bool {
        !self.is_full && !self.is_lacking
    }
}

impl Spare {
    pub(crate) fn new(
        folder: Arc<dyn Folder>,
        segment_bytes: u64,
        worker: Worker,
        shared: Arc<Shared>,
        recycled: Arc<Recycled>,
    ) -> Self {
        let (state, abandoned) = (Arc::default(), Arc::default());
        Self { folder, segment_bytes, worker, shared, recycled, state, abandoned }
    }

    /// Begins to prepare segment `seq`, unless that is under way or done. Where the segment in use could not be made longer,
    /// it gets the room of a file that is kept.
    pub(crate) fn request(&self, seq: u64) {
        let mut state = lock(&self.state);
        if state.is_lacking {
            let recycled = self.recycled.clone();
            drop(state);
            self.worker.post(move || {
                if let Err(error) = recycled.give_back() {
                    tracing::warn!(%error, "cannot remove a file that is no longer needed; trying again later");
                }
            });
            state = lock(&self.state);
        }
        if state.preparing || state.ready.is_some() {
            return;
        }
        state.preparing = true;
        drop(state);
        let (folder, bytes, shared) = (self.folder.clone(), self.segment_bytes, self.shared.clone());
        let (state, abandoned, recycled) =
            (self.state.clone(), self.abandoned.clone(), self.recycled.clone());
        self.worker.post(move || {
            let is_abandoned = || abandoned.load(Ordering::Relaxed);
            let prepared = prepare(&*folder, seq, bytes, Some(&recycled), is_abandoned);
            let mut state = lock(&state);
            state.preparing = false;
            state.is_full = matches!(prepared, Err(StorageError::Full { .. }));
            shared.set_room(state.has_room());
            if !state.is_full {
                state.ready = prepared.transpose();
            }
        });
    }

    /// The file prepared last, if it is ready. Never waits.
    pub(crate) fn take(&self) -> Result<Option<Arc<dyn File>>, StorageError> {
        lock(&self.state).ready.take().transpose()
    }

    /// Whether there was no room for one, or for more of the segment in use.
    pub(crate) fn is_full(&self) -> bool {
        !lock(&self.state).has_room()
    }

    /// Whether there was no room to make the segment in use longer.
    pub(crate) fn set_lacking(&self, is_lacking: bool) {
        let mut state = lock(&self.state);
        if state.is_lacking || is_lacking {
            state.is_lacking = is_lacking;
            self.shared.set_room(state.has_room());
        }
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }
}

/// Makes a spare: a file of that many bytes, durable, under its final name; out of a `recycled` one, if there is any.
/// Stops early, with `None`, once `abandoned` says so. After an error nothing is left of it.
pub(crate) fn prepare(
    folder: &dyn Folder,
    seq: u64,
    bytes: u64,
    recycled: Option<&Recycled>,
    abandoned: impl Fn() -> bool,
) -> Result<Option<Arc<dyn File>>, StorageError> {
    let (making, name) = (format!("{seq:016x}{UNFINISHED}"), segment::file_name(seq));
    let make = || -> io::Result<Option<Arc<dyn File>>> {
        let is_recycled = recycled.map_or(Ok(false), |recycled| recycled.take(&making))?;
        let file = if is_recycled { folder.open(&making)? } else { folder.create(&making)? };
        if !mutated("file/spare-not-marked") {
            file.write_at(&segment::page(&MAGIC), 0)?;
        }
        if !is_recycled && !fill(&*file, segment::HEADER_BYTES..bytes, abandoned)? {
            return Ok(None);
        }
        // Durable before the file has its name: a file of that name is a segment or a spare, and says which.
        file.sync()?;
        folder.rename(&making, &name)?;
        if !mutated("file/segment-name-not-synced") {
            folder.sync()?;
        }
        Ok(Some(file))
    };
    let made = make();
    if made.is_err() {
        // Gives the space back. What cannot be removed now, the next start removes.
        drop(folder.remove(&making));
    }
    made.map_err(StorageError::io("cannot prepare a segment", folder.path().join(&name)))
}

/// Fills a part of a file with zeros, durably. `false` if it was abandoned.
fn fill(file: &dyn File, range: Range<u64>, abandoned: impl Fn() -> bool) -> io::Result<bool> {
    let zeros = vec![0; FILL_BYTES.min(range.end - range.start) as usize];
    let mut filled = range.start;
    while filled < range.end {
        if abandoned() {
            return Ok(false);
        }
        let step = FILL_BYTES.min(range.end - filled);
        file.write_at(&zeros[..step as usize], filled)?;
        file.sync()?;
        filled += step;
    }
    Ok(true)
}
