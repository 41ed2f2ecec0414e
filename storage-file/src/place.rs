//! Where a log is at home: what tells a folder that was copied, and one whose log is gone, from the one that was left.
//!
//! `PLACE` holds the number that the file system gave to `IDENTITY`. A copy of the folder brings the number along, but
//! its `IDENTITY` has another. And `snapshots/IDENTITY` repeats whose log this is, so that a log that was removed is
//! missed as long as its snapshots are there. What nobody can tell from the folder alone: that all of it was removed,
//! and that an image of the whole disk was brought back.

use bytes::{Buf, BufMut};
use consensus_api::mutation::mutated;
use consensus_api::{StorageError, StoreId};

use crate::disk::Folder;
use crate::identity;

/// The file's name.
pub(crate) const FILE: &str = "PLACE";
const FILE_NEW: &str = "PLACE.new";
/// What [`StorageError::Foreign`] calls it.
pub(crate) const FIELD: &str = "file number";
const MAGIC: [u8; 8] = *b"QRMPLACE";
const BYTES: usize = 40;

/// Refuses a folder that is not where its log was, unless `is_moved`. Returns what is to be written down once the log is
/// believed: the number of the place, if it is new.
pub(crate) fn check(
    folder: &dyn Folder,
    store: StoreId,
    is_moved: bool,
) -> Result<Option<u64>, StorageError> {
    let path = folder.path().join(FILE);
    let number = folder.file_number(identity::FILE).map_err(StorageError::io("cannot look at", &path))?;
    let Some(number) = number else { return Ok(None) };
    match read(folder).map_err(StorageError::io("cannot read", &path))? {
        Some((at, of)) if (at, of) == (number, store) => Ok(None),
        Some((at, of)) if !is_moved && of == store && !mutated("file/older-copy-believed") => {
            Err(StorageError::Foreign {
                path: folder.path().to_owned(),
                field: FIELD,
                found: at.to_string(),
                expected: number.to_string(),
                remedy: "it was copied or moved: use the original, or, if this is the newest state there is and the \
                     original will never be used again, open it with `Confirmed::Moved`",
            })
        }
        // Written by a version that did not know of it, or damaged: it says nothing of what was acknowledged.
        _ => Ok(Some(number)),
    }
}

/// `None` if there is no such file, or a damaged one.
fn read(folder: &dyn Folder) -> std::io::Result<Option<(u64, StoreId)>> {
    if !folder.list()?.iter().any(|name| name == FILE) {
        return Ok(None);
    }
    let file = folder.open(FILE)?;
    let mut bytes = [0; BYTES];
    if file.size()? != BYTES as u64 {
        return Ok(None);
    }
    file.read_at(&mut bytes, 0)?;
    let mut from = &bytes[8..36];
    let _version = from.get_u32_le();
    let (store, number) = (StoreId(from.get_u128_le()), from.get_u64_le());
    let is_sound = bytes[..8] == MAGIC && bytes[36..] == crc32c::crc32c(&bytes[..36]).to_le_bytes();
    Ok(is_sound.then_some((number, store)))
}

/// From now on the log is at home here.
pub(crate) fn settle(folder: &dyn Folder, number: u64, store: StoreId) -> Result<(), StorageError> {
    write(folder, number, store).map_err(StorageError::io("cannot write", folder.path().join(FILE)))
}

fn write(folder: &dyn Folder, number: u64, store: StoreId) -> std::io::Result<()> {
    let mut bytes = Vec::with_capacity(BYTES);
    bytes.put_slice(&MAGIC);
    bytes.put_u32_le(1);
    bytes.put_u128_le(store.0);
    bytes.put_u64_le(number);
    bytes.put_u32_le(crc32c::crc32c(&bytes));
    let file = folder.create(FILE_NEW)?;
    file.write_at(&bytes, 0)?;
    file.sync()?;
    folder.rename(FILE_NEW, FILE)?;
    folder.sync()
}
