//! Looking at a log without starting a node, for the tool `quorate-log`. Nothing is changed, but the folder is locked
//! meanwhile.

use std::path::Path;
use std::sync::Arc;

use consensus_api::{Entry, Index, Op, Outline, StorageError, StoreId};

use crate::disk::{Folder, Lock, RealFolder};
use crate::extents::Extents;
use crate::identity;
use crate::log::LOCK;
use crate::reader;
use crate::recovery;
use crate::scan::{Scan, Stop};
use crate::segment::Segment;
use crate::snapshots;

/// A log that is looked at.
pub struct Inspection {
    folder: Arc<dyn Folder>,
    store: StoreId,
    _lock: Box<dyn Lock>,
}

/// A segment.
#[derive(Clone, Copy, Debug)]
pub struct SegmentSummary {
    /// Its number.
    pub number: u64,
    /// The length of its file.
    pub file_bytes: u64,
    /// The number of its first batch.
    pub first_batch: u64,
    /// Where the segment before it ends.
    pub prev_end: u64,
    /// The oldest segment that was needed when it was begun.
    pub oldest_needed: u64,
}

/// A batch of a segment.
#[derive(Clone, Debug)]
pub struct BatchSummary {
    /// Its number.
    pub number: u64,
    /// Where it stands in its segment.
    pub offset: u64,
    /// Its length.
    pub bytes: u64,
    /// What it changes.
    pub ops: Vec<Op>,
}

/// What a whole log holds.
#[derive(Debug)]
pub struct Verdict {
    /// The shape of the log.
    pub outline: Outline,
    /// What the next start will tell.
    pub notes: Vec<String>,
    /// Whether the log ends with a batch that was being written, which the next start will cut. It was never acknowledged.
    pub is_torn: bool,
    /// Segments read.
    pub segments: usize,
    /// Entries that count.
    pub entries: u64,
    extents: Extents,
}

impl Inspection {
    /// Opens the log in a folder for looking at it.
    ///
    /// # Errors
    /// [`StorageError::Locked`] while a node runs on it; [`StorageError::Unsupported`] if there is no log.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StorageError> {
        let path = path.as_ref();
        if !path.join(identity::FILE).is_file() {
            return Err(StorageError::Unsupported {
                what: "there is no log in this folder: it has no IDENTITY",
            });
        }
        let folder = RealFolder::open(path).map_err(StorageError::io("cannot open", path))?;
        let held = folder.lock(LOCK).map_err(StorageError::io("cannot lock", path))?;
        let lock = held.ok_or_else(|| StorageError::Locked { path: path.to_owned() })?;
        let store = identity::store_of(&folder)?;
        let store = store.ok_or(StorageError::Unsupported { what: "IDENTITY is not what was written" })?;
        Ok(Self { folder: Arc::new(folder), store, _lock: lock })
    }

    /// The store's number.
    pub const fn store(&self) -> StoreId {
        self.store
    }

    /// How many bytes there are to read.
    ///
    /// # Errors
    /// [`StorageError`] when a file cannot be looked at.
    pub fn bytes(&self) -> Result<u64, StorageError> {
        let size = |seq: &u64| {
            let name = crate::segment::file_name(*seq);
            let size = self.folder.open(&name).and_then(|file| file.size());
            size.map_err(StorageError::io("cannot look at", self.folder.path().join(name)))
        };
        recovery::list(&*self.folder)?.iter().map(size).sum()
    }

    /// Goes through all segments in use and their batches, as far as they are whole.
    ///
    /// # Errors
    /// [`StorageError`] when a segment cannot be read at all.
    pub fn walk(
        &self,
        mut segment: impl FnMut(SegmentSummary),
        mut batch: impl FnMut(BatchSummary),
    ) -> Result<(), StorageError> {
        for seq in recovery::list(&*self.folder)? {
            let Some(opened) = Segment::open(&*self.folder, seq)? else { continue };
            let mut scan = Scan::new(&opened)?;
            segment(SegmentSummary {
                number: seq,
                file_bytes: scan.file_bytes(),
                first_batch: opened.header.first_batch,
                prev_end: opened.header.prev_end,
                oldest_needed: opened.header.oldest_needed,
            });
            loop {
                let (number, offset) = (scan.expected, scan.offset);
                let mut ops = Vec::new();
                match scan.next(|op, _, _| ops.push(op.into_op())) {
                    Ok(()) => batch(BatchSummary { number, offset, bytes: scan.offset - offset, ops }),
                    Err(Stop::Bad(_)) => break,
                    Err(Stop::Failed(error)) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Reads everything, and believes it or refuses it as a start would. `progress` hears of the bytes read.
    ///
    /// # Errors
    /// The refusal.
    pub fn verify(&self, mut progress: impl FnMut(u64)) -> Result<Verdict, StorageError> {
        let found = recovery::recover(&*self.folder, self.store, recovery::threads(), &mut progress)?;
        snapshots::verify(&*self.folder)?;
        let entries = found.outline.runs().iter().map(|run| run.last.since(run.first.prev())).sum();
        let (segments, is_torn) = (found.segments.len(), found.last.is_torn);
        Ok(Verdict {
            outline: found.outline,
            notes: found.notes,
            is_torn,
            segments,
            entries,
            extents: found.extents,
        })
    }

    /// The entries that count, in ascending order.
    ///
    /// # Errors
    /// [`StorageError`] when one cannot be read.
    pub fn entries(
        &self,
        verdict: &Verdict,
        mut entry: impl FnMut(Entry) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        for extent in verdict.extents.find(&(Index::ZERO..Index(u64::MAX)), u64::MAX) {
            reader::read_extent(&extent)?.into_iter().try_for_each(&mut entry)?;
        }
        Ok(())
    }
}
