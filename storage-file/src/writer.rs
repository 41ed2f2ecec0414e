//! The writer: the only one to write to the log. Groups of batches go out in one write and one sync.

mod turnover;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use consensus_api::mutation::mutated;
use consensus_api::{Op, Outline, StorageError, StoreId, WriteSeq};

use crate::batch::{self, PAGE_BYTES, Place};
use crate::disk::{Folder, is_full};
use crate::group::{Encoded, Group};
use crate::parts::Part;
use crate::recycled::Recycled;
use crate::segment::Segment;
use crate::shared::Shared;
use crate::spare::Spare;
use crate::worker::Worker;
use turnover::Seal;
pub(crate) use turnover::{Setup, create_first};

const SECTOR_BYTES: u64 = 512;
/// The end of a segment always has room for one batch without operations: the one that says that it became longer.
const MARK_BYTES: u64 = batch::HEADER_BYTES as u64;
/// By how much a segment becomes longer when its successor is not ready.
const EXTENSION_BYTES: u64 = 1 << 20;
/// Entries leave this much of a segment, or an eighth of a small one, to the hard state and to compactions.
const KEPT_BYTES: u64 = 64 << 10;
/// Where the log goes on.
pub(crate) struct Writer {
    folder: Arc<dyn Folder>,
    store: StoreId,
    shared: Arc<Shared>,
    background: Worker,
    recycled: Arc<Recycled>,
    spare: Spare,
    segment_bytes: u64,
    /// What the log holds: its marks are repeated at the head of each segment.
    outline: Outline,
    /// The segments on disk, oldest first, the one being written last.
    segments: Arc<Mutex<VecDeque<Arc<Segment>>>>,
    segment: Arc<Segment>,
    /// The segment's file is durably this long. Nothing is written beyond.
    capacity: u64,
    /// Whether nothing but its head was written to the segment yet.
    is_fresh: bool,
    /// The next batch begins here.
    end: u64,
    /// The batches to be written now.
    group: Group,
    /// What of the group's bytes has its place, and is not yet written: it ends at `end`.
    run: Range<usize>,
    /// What the writer itself has to write: it stands right before that.
    buffer: Vec<u8>,
    /// Where the batches of the group being written stand; those without operations stand nowhere.
    placed: Vec<(u64, Arc<Segment>)>,
    next_batch: u64,
    durable_batch: u64,
    prev_checksum: u32,
    /// The last write handed in that is not yet synced.
    unsynced: Option<WriteSeq>,
    /// Whether something was synced that nothing on disk yet says was.
    wants_mark: bool,
    /// Whether entries were compacted since [`free_compacted`](Self::free_compacted) last looked.
    has_compacted: bool,
    /// The segment in which the group being written began, or else the next one will.
    group_began_in: u64,
    /// The oldest segment that what is written now says is needed.
    oldest_claimed: u64,
    /// Segments before this one can go once what says so is synced.
    removable: Option<u64>,
    /// The segment before this one, to be closed once this one is synced.
    unsealed: Option<Seal>,
}

/// What a mark says beside that everything before it is durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mark {
    /// Nothing is being written just now. It fills up the sector it begins in, so that its second half stands in another.
    Idle,
    /// Nothing will be written here any more. It is written once, and fills up a whole page.
    Closed,
}

impl Writer {
    /// The batches to be written by [`write`](Self::write).
    pub(crate) const fn group(&mut self) -> &mut Group {
        &mut self.group
    }

    /// Writes the group: one write and one sync, unless it goes beyond the segment. Stops early if the disk is full; what
    /// is not written stays in the group. Returns up to where everything is durable, if there is news.
    pub(crate) fn write(&mut self) -> Result<Option<WriteSeq>, StorageError> {
        self.placed.clear();
        let first = self.group.written();
        let mut end = first;
        while let Some(batch) = self.group.batches().get(end).copied() {
            if !batch.is_empty() && !self.stage(end, &batch)? {
                break;
            }
            end += 1;
        }
        self.flush()?;
        self.group.set_written(end);
        let written = &self.group.batches()[first..end];
        let last = written.last().map(|batch| batch.seq);
        let durable = if written.iter().any(|batch| !batch.is_lazy) {
            self.sync()?;
            last
        } else if self.placed.is_empty() && self.unsynced.is_none() {
            last
        } else {
            self.unsynced = last.or(self.unsynced);
            None
        };
        self.index(first..end);
        self.group_began_in = self.segment.header.seq;
        Ok(durable)
    }

    /// Shows readers what was written.
    fn index(&mut self, written: Range<usize>) {
        let mut extents = self.shared.extents();
        let batches = self.group.batches()[written].iter().filter(|batch| !batch.is_empty());
        for (batch, (body_at, segment)) in batches.zip(self.placed.drain(..)) {
            for part in self.group.parts(batch) {
                extents.take(part, body_at, &segment);
                self.has_compacted |= matches!(part, Part::Other(Op::Compact { .. }));
            }
        }
    }

    /// Gives a batch of the group its place. `false` if there is no room for it.
    fn stage(&mut self, number: usize, batch: &Encoded) -> Result<bool, StorageError> {
        let bytes = (batch.end - batch.start) as u64;
        let holds_entries = self.group.parts(batch).iter().any(|part| !matches!(part, Part::Other(_)));
        let kept = if holds_entries { KEPT_BYTES.min(self.segment_bytes / 8) } else { 0 };
        if !self.make_room(bytes + kept)? {
            return Ok(false);
        }
        for part in self.group.parts(batch) {
            part.replay(&mut self.outline);
        }
        self.is_fresh = false;
        let place = self.place(false);
        let checksum = self.group.seal(number, &place);
        if self.run.is_empty() {
            self.run = batch.start..batch.start;
        }
        assert_eq!(self.run.end, batch.start, "what goes out in one write stands together");
        self.run.end = batch.end;
        self.placed.push((place.offset + batch::HEADER_BYTES as u64, self.segment.clone()));
        self.advance(bytes, checksum);
        Ok(true)
    }

    /// Makes room for that many bytes: here, in the next segment if that is ready, or by making this one longer. `false`
    /// if the disk is full.
    fn make_room(&mut self, bytes: u64) -> Result<bool, StorageError> {
        if self.fits(bytes) {
            return Ok(true);
        }
        if !self.is_fresh
            && let Some(file) = self.spare.take()?
        {
            self.flush()?;
            self.sync()?;
            self.move_on(file, self.next_batch - 1)?;
        }
        Ok(self.fits(bytes) || self.extend(bytes)?)
    }

    const fn fits(&self, bytes: u64) -> bool {
        self.end + bytes + MARK_BYTES <= self.capacity
    }

    /// Makes the segment longer, durably, and says so where it ended before: whoever finds it shorter knows that it was
    /// cut. `false` if the disk is full.
    fn extend(&mut self, bytes: u64) -> Result<bool, StorageError> {
        self.flush()?;
        let (file, path) = (&self.segment.file, &self.segment.path);
        let wanted = self.end + bytes + 2 * MARK_BYTES;
        let step = EXTENSION_BYTES.min(self.segment_bytes);
        let capacity = wanted.max(self.capacity + step).next_multiple_of(PAGE_BYTES);
        let zeros = vec![0; EXTENSION_BYTES.min(capacity - self.capacity) as usize];
        let mut filled = self.capacity;
        while filled < capacity {
            let bytes = (zeros.len() as u64).min(capacity - filled);
            match file.write_at(&zeros[..bytes as usize], filled) {
                Err(error) if is_full(&error) => {
                    // Nothing that matters was written. If this fails the file is longer than it needs to be.
                    drop(file.set_size(self.capacity));
                    self.spare.set_lacking(true);
                    return Ok(false);
                }
                written => written.map_err(StorageError::io("cannot extend", path))?,
            }
            filled += bytes;
        }
        file.sync().map_err(StorageError::io("cannot sync", path))?;
        self.capacity = capacity;
        self.spare.set_lacking(false);
        self.encode(&[], 0, false);
        Ok(true)
    }

    /// Encodes a batch of the writer's own.
    fn encode(&mut self, ops: &[Op], padding: usize, is_end: bool) {
        assert!(self.run.is_empty(), "what is written is written in order");
        let before = self.buffer.len();
        let checksum = batch::encode(ops, padding, &self.place(is_end), &mut self.buffer);
        self.advance((self.buffer.len() - before) as u64, checksum);
    }

    /// Where the next batch goes.
    fn place(&self, is_end: bool) -> Place {
        let needed = self.segment.header.seq - self.oldest_claimed;
        Place {
            seed: self.segment.seed,
            offset: self.end,
            seq: self.next_batch,
            durable_seq: self.durable_batch,
            prev_checksum: self.prev_checksum,
            file_pages: u32::try_from(self.capacity / PAGE_BYTES).unwrap_or(u32::MAX),
            reach: u32::try_from(needed + 1).unwrap_or(0),
            is_end,
        }
    }

    /// A batch of so many bytes has its place.
    fn advance(&mut self, bytes: u64, checksum: u32) {
        self.prev_checksum = checksum;
        self.end += bytes;
        self.next_batch += 1;
        assert!(self.end <= self.capacity, "what is written lies within what is durably there");
    }

    /// Writes what has its place.
    fn flush(&mut self) -> Result<(), StorageError> {
        let run = &self.group.bytes()[self.run.clone()];
        let mut offset = self.end - (self.buffer.len() + run.len()) as u64;
        for piece in [&self.buffer[..], run].into_iter().filter(|piece| !piece.is_empty()) {
            let written = self.segment.file.write_at(piece, offset);
            written.map_err(StorageError::io("cannot write to", &self.segment.path))?;
            offset += piece.len() as u64;
        }
        self.buffer.clear();
        self.run = 0..0;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        let synced = if mutated("file/ack-before-sync") { Ok(()) } else { self.segment.file.sync() };
        let synced =
            synced.or_else(|error| if mutated("file/failed-sync-believed") { Ok(()) } else { Err(error) });
        synced.map_err(StorageError::io("cannot sync", &self.segment.path))?;
        self.durable_batch = self.next_batch - 1;
        self.unsynced = None;
        self.wants_mark = true;
        self.after_sync();
        Ok(())
    }

    /// Whether [`mark`](Self::mark) has something to say.
    pub(crate) const fn wants_mark(&self) -> bool {
        self.wants_mark
    }

    /// Writes down, without a sync, that everything up to here is durable. Until then damage to the last group could
    /// not be told from a tear. The mark is two empty batches in different blocks, so that whatever damages the end of
    /// the log spares one of them. On a full disk it may be missing.
    pub(crate) fn mark(&mut self, mark: Mark) -> Result<(), StorageError> {
        self.wants_mark = false;
        let block_bytes = match mark {
            Mark::Idle => SECTOR_BYTES,
            Mark::Closed => PAGE_BYTES,
        };
        if self.make_room(block_bytes + 2 * MARK_BYTES)? {
            let filled = self.end + MARK_BYTES;
            self.encode(&[], (filled.next_multiple_of(block_bytes) - filled) as usize, false);
            self.encode(&[], 0, mark == Mark::Closed);
        }
        self.flush()
    }

    /// Ends cleanly: syncs what was written lazily, and marks the end. Returns up to where everything is durable, if
    /// there is news.
    pub(crate) fn close(&mut self) -> Result<Option<WriteSeq>, StorageError> {
        let durable = self.unsynced;
        if durable.is_some() {
            self.sync()?;
        }
        self.mark(Mark::Closed)?;
        self.sync()?;
        Ok(durable)
    }

    /// Whether the disk had no room for the next segment, or for more of this one.
    pub(crate) fn is_full(&self) -> bool {
        self.spare.is_full()
    }

    /// Tries once more to prepare the next segment, after a full disk.
    pub(crate) fn request_room(&self) {
        self.spare.request(self.segment.header.seq + 1);
    }
}
