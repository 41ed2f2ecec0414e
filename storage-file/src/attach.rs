//! Attaching: from a folder to a log that can be written. First everything is checked, then believed, then changed.

use std::sync::Arc;

use consensus_api::{Identity, Recovered, StorageError, StoreId};

use crate::disk::Folder;
use crate::identity;
use crate::log::FileLogOptions;
use crate::recovery::{self, LastSegment, Recovery};
use crate::segment::{self, REMEDY, Segment, UNFINISHED};
use crate::shared::Shared;
use crate::snapshots;
use crate::worker::Worker;
use crate::writer::{self, Setup, Writer};

/// The first segment of each start is this long, so that a start does not wait for a whole one to be filled.
const FIRST_BYTES: u64 = 1 << 20;

/// Recovers the log in `folder`, or creates it, and makes it ready to be written.
pub(crate) fn attach(
    folder: &Arc<dyn Folder>,
    options: FileLogOptions,
    identity: &Identity,
    shared: &Arc<Shared>,
    background: &Worker,
) -> Result<(Writer, Recovered), StorageError> {
    let store = store(&**folder, identity)?;
    let Recovery { outline, extents, segments, spares, last, notes } = recovery::recover(&**folder, store)?;
    settle(&**folder, &last)?;
    remove_leftovers(&**folder, &spares)?;
    snapshots::remove_leftovers(&**folder)?;
    *shared.extents() = extents;
    let recovered = Recovered { store, outline: outline.clone(), notes };
    let setup = Setup {
        folder: folder.clone(),
        store,
        shared: shared.clone(),
        background: background.clone(),
        segment_bytes: options.segment_bytes,
        outline,
        segments,
    };
    let writer = Writer::start(setup, &last, options.segment_bytes.min(FIRST_BYTES))?;
    Ok((writer, recovered))
}

/// Whose log this is, checked; of a new one, drawn and written.
fn store(folder: &dyn Folder, identity: &Identity) -> Result<StoreId, StorageError> {
    let names = folder.list().map_err(StorageError::io("cannot list", folder.path()))?;
    if names.iter().any(|name| name == identity::FILE) {
        return identity::check(folder, identity);
    }
    // The identity is written last. Without one there is at most what a creation left behind that did not get there.
    let segments = recovery::list(folder)?;
    if segments.iter().any(|seq| *seq != 1) || (segments == [1] && holds_batches(folder)?) {
        let file = folder.path().join(identity::FILE);
        let problem = format!("it is missing, though there are segments; {REMEDY}");
        return Err(StorageError::Corrupt { file, offset: 0, problem });
    }
    remove_leftovers(folder, &segments)?;
    let random = folder.random().map_err(StorageError::io("cannot draw an id for", folder.path()))?;
    let store = StoreId(random.max(1));
    writer::create_first(folder, store)?;
    identity::create(folder, identity, store)?;
    Ok(store)
}

fn holds_batches(folder: &dyn Folder) -> Result<bool, StorageError> {
    let Some(segment) = Segment::open(folder, 1)? else { return Ok(false) };
    Ok(segment.read_all()?.len() as u64 > segment::HEADER_BYTES)
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
fn remove_leftovers(folder: &dyn Folder, spares: &[u64]) -> Result<(), StorageError> {
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
