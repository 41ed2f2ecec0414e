//! Attaching: from a folder to a log that can be written. First everything is checked, then believed, then changed.

use std::sync::Arc;

use consensus_api::{Identity, Recovered, StorageError};

use crate::belief::{self, Believed};
use crate::disk::Folder;
use crate::log::FileLogOptions;
use crate::place;
use crate::recovery::{self, LastSegment, Recovery};
use crate::recycled::Recycled;
use crate::segment::{self, UNFINISHED};
use crate::shared::Shared;
use crate::snapshots;
use crate::worker::Worker;
use crate::writer::{Setup, Writer};

/// The first segment of each start is this long, so that a start does not wait for a whole one to be filled.
const FIRST_BYTES: u64 = 1 << 20;

/// Recovers the log in `folder`, or creates it, and makes it ready to be written.
pub(crate) fn attach(
    folder: &Arc<dyn Folder>,
    options: FileLogOptions,
    identity: &Identity,
    shared: &Arc<Shared>,
    background: &Worker,
    recycled: &Arc<Recycled>,
) -> Result<(Writer, Recovered), StorageError> {
    let Believed { store, place, recovery } =
        belief::believe(&**folder, identity, options.confirmed, threads(options))?;
    let Recovery { outline, extents, segments, spares, last, notes } = recovery;
    settle(&**folder, &last)?;
    remove_leftovers(&**folder, &spares)?;
    snapshots::remove_leftovers(&**folder)?;
    snapshots::remember_identity(&**folder, identity, store)?;
    if let Some(place) = place {
        place::settle(&**folder, place, store)?;
    }
    *shared.extents() = extents;
    let recovered = Recovered { store, outline: outline.clone(), notes };
    let setup = Setup {
        folder: folder.clone(),
        store,
        shared: shared.clone(),
        background: background.clone(),
        recycled: recycled.clone(),
        segment_bytes: options.segment_bytes,
        outline,
        segments,
    };
    let writer = Writer::start(setup, &last, options.segment_bytes.min(FIRST_BYTES))?;
    Ok((writer, recovered))
}

/// How many segments are read at once.
fn threads(options: FileLogOptions) -> usize {
    if options.inline { 1 } else { recovery::threads() }
}

/// Makes durable what was read, before anything is concluded from it: a process that was killed leaves bytes behind
/// that are readable but not on disk. They are written once more because after a failed sync a system may take them for
/// clean, and a sync alone would do nothing.
fn settle(folder: &dyn Folder, last: &LastSegment) -> Result<(), StorageError> {
    let LastSegment { segment, doubtful, end, .. } = last;
    let settle = || {
        segment.file.write_at(doubtful, end - doubtful.len() as u64)?;
        segment.file.sync()?;
        folder.sync()
    };
    settle().map_err(StorageError::io("cannot sync", &segment.path))
}

/// Removes spares, and files that were never finished.
pub(crate) fn remove_leftovers(folder: &dyn Folder, spares: &[u64]) -> Result<(), StorageError> {
    let remove = || {
        for name in folder.list()?.into_iter().filter(|name| name.ends_with(UNFINISHED)) {
            folder.remove(&name)?;
        }
        // Each removal is durable before the next, and the newest goes first: a crash leaves no gap.
        for seq in spares.iter().rev() {
            folder.remove(&segment::file_name(*seq))?;
            folder.sync()?;
        }
        Ok(())
    };
    remove().map_err(StorageError::io("cannot remove unused files from", folder.path()))
}
