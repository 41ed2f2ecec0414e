//! A log that cannot be believed any more is set aside: nothing is deleted, and a new store takes its place.

use std::io;
use std::path::Path;

use consensus_api::{StorageError, StoreId};

use crate::disk::Folder;
use crate::place;
use crate::recovery;
use crate::segment;
use crate::{identity, snapshots};

/// What the name of a file that was set aside ends with, behind the number of the store it belonged to.
const ASIDE: &str = "aside";

/// Sets the whole log aside. The snapshots stay: each is whole or refused, and holds only what was committed.
pub(crate) fn all(folder: &dyn Folder, store: StoreId) -> Result<(), StorageError> {
    let set_aside = || {
        let names = folder.list()?;
        let segments = names.iter().filter(|name| segment::seq_of(name).is_some());
        let named = |wanted: &'static str| names.iter().filter(move |name| *name == wanted);
        // The identity goes last, so that a crash in between leaves what is refused for the same reason.
        segments
            .chain(named(place::FILE))
            .chain(named(identity::FILE))
            .try_for_each(|name| folder.rename(name, &name_aside(name, store)))?;
        folder.sync()
    };
    set_aside().map_err(StorageError::io("cannot set aside the log in", folder.path()))?;
    snapshots::forget_identity(folder)
}

/// Ends the log at that place of that segment: what follows is set aside, and zeros take its place. `false` if nothing
/// would be left.
pub(crate) fn cut(
    folder: &dyn Folder,
    file: &Path,
    offset: u64,
    store: StoreId,
) -> Result<bool, StorageError> {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some(seq) = segment::seq_of(name) else { return Ok(false) };
    if offset < segment::HEADER_BYTES {
        segments_from(folder, seq, store)?;
        return Ok(!recovery::list(folder)?.is_empty());
    }
    segments_from(folder, seq + 1, store)?;
    let cut = || -> io::Result<()> {
        let segment = folder.open(name)?;
        let size = segment.size()?;
        let mut bytes = vec![0; size as usize];
        segment.read_at(&mut bytes, 0)?;
        let copy = folder.create(&format!("{offset}.{}", name_aside(name, store)))?;
        copy.write_at(&bytes, 0)?;
        copy.sync()?;
        folder.sync()?;
        let kept = bytes.len().min(offset as usize);
        bytes[kept..].fill(0);
        segment.write_at(&bytes[kept..], kept as u64)?;
        // Long enough for whatever it was said to be.
        let stated = segment::stated_bytes(&bytes[..kept]).max(size);
        segment.set_size(stated)?;
        segment.sync()
    };
    cut().map_err(StorageError::io("cannot cut", file))?;
    Ok(true)
}

/// Sets the segments from `first` on aside, the newest first.
fn segments_from(folder: &dyn Folder, first: u64, store: StoreId) -> Result<(), StorageError> {
    let seqs = recovery::list(folder)?;
    let set_aside = || -> io::Result<()> {
        for seq in seqs.iter().rev().filter(|seq| **seq >= first) {
            let name = segment::file_name(*seq);
            folder.rename(&name, &name_aside(&name, store))?;
            folder.sync()?;
        }
        Ok(())
    };
    set_aside().map_err(StorageError::io("cannot set aside segments in", folder.path()))
}

fn name_aside(name: &str, store: StoreId) -> String {
    format!("{name}.{store}.{ASIDE}")
}
