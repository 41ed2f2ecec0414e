//! The writer: the only one to write to the log. Groups of batches go out in one write and one sync.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use consensus_api::{Batch, Op, Outline, StorageError, StoreId, WriteSeq};

use crate::batch::{self, Place};
use crate::disk::{File, Folder};
use crate::recovery::LastSegment;
use crate::segment::{self, Segment, SegmentHeader};
use crate::shared::{Shared, lock};
use crate::spare::Spare;
use crate::worker::Worker;

/// The closing mark fills up the sector it begins in, so that its second half stands in another one.
const SECTOR_BYTES: u64 = 512;
/// A segment is ended early for the sake of that many.
const FREED_SEGMENTS_MIN: u64 = 2;
/// A buffer that one huge group has blown up is not kept.
const BUFFER_KEPT_BYTES: usize = 8 << 20;

/// Where the log goes on.
pub(crate) struct Writer {
    folder: Arc<dyn Folder>,
    store: StoreId,
    shared: Arc<Shared>,
    background: Worker,
    spare: Spare,
    /// What the log holds: its marks are repeated at the head of each segment.
    outline: Outline,
    /// The segments on disk, oldest first, the one being written last.
    segments: Arc<Mutex<VecDeque<u64>>>,
    segment: Arc<Segment>,
    /// Whether nothing but its head was written to the segment yet.
    is_fresh: bool,
    /// The next batch begins here.
    end: u64,
    /// Encoded, not yet written; what it ends with, ends at `end`.
    buffer: Vec<u8>,
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
    /// Segments before this one can go once the header that says so is synced.
    removable: Option<u64>,
}

/// What a [`Writer`] is made of.
pub(crate) struct Setup {
    pub(crate) folder: Arc<dyn Folder>,
    pub(crate) store: StoreId,
    pub(crate) shared: Arc<Shared>,
    pub(crate) background: Worker,
    pub(crate) segment_bytes: u64,
    pub(crate) outline: Outline,
    pub(crate) segments: VecDeque<u64>,
}

/// Begins a segment in `file`, which is prepared. Nothing is written yet: the page returned is to go first.
fn begin(
    folder: &dyn Folder,
    file: Arc<dyn File>,
    header: impl FnOnce(u64, u64) -> SegmentHeader,
) -> io::Result<(Arc<Segment>, Vec<u8>)> {
    let header = header(folder.random()? as u64, file.size()?);
    let (page, checksum) = header.encode();
    let path = folder.path().join(segment::file_name(header.seq));
    Ok((Arc::new(Segment { header, checksum, path, file }), page))
}

/// Creates the first segment of a new log, durably: a header and nothing else.
pub(crate) fn create_first(folder: &dyn Folder, store: StoreId) -> Result<(), StorageError> {
    if let Some(file) = segment::prepare(folder, 1, segment::HEADER_BYTES, || false)? {
        let write = || {
            let (segment, page) = begin(folder, file, |salt, prepared_bytes| SegmentHeader {
                store,
                seq: 1,
                salt,
                prepared_bytes,
                prev_end: 0,
                prev_last_batch: 0,
                first_batch: 1,
                oldest_needed: 1,
            })?;
            segment.file.write_at(&page, 0)?;
            segment.file.sync()
        };
        write().map_err(StorageError::io("cannot begin", folder.path().join(segment::file_name(1))))?;
    }
    Ok(())
}

impl Writer {
    /// Goes on behind `last` in a new segment of at least `first_bytes`: nothing is ever written behind a tear, and the
    /// header of the new segment says where the last one ends.
    pub(crate) fn start(setup: Setup, last: &LastSegment, first_bytes: u64) -> Result<Self, StorageError> {
        let Setup { folder, store, shared, background, segment_bytes, outline, segments } = setup;
        let spare = Spare::new(folder.clone(), segment_bytes, background.clone());
        let mut writer = Self {
            store,
            shared,
            background,
            spare,
            outline,
            segments: Arc::new(Mutex::new(segments)),
            segment: last.segment.clone(),
            is_fresh: false,
            end: last.bytes.len() as u64,
            buffer: Vec::new(),
            next_batch: last.next_batch,
            durable_batch: last.last_batch,
            prev_checksum: 0,
            unsynced: None,
            wants_mark: false,
            has_compacted: false,
            group_began_in: last.segment.header.seq,
            removable: None,
            folder,
        };
        let seq = last.segment.header.seq + 1;
        if let Some(file) = segment::prepare(&*writer.folder, seq, first_bytes, || false)? {
            writer.move_on(file, last.last_batch)?;
        }
        writer.flush()?;
        writer.sync()?;
        Ok(writer)
    }

    /// Writes a group of batches: one write and one sync, unless the group goes beyond the segment. Returns up to where
    /// everything is durable, if there is news.
    pub(crate) fn write(&mut self, group: &[(WriteSeq, Batch)]) -> Result<Option<WriteSeq>, StorageError> {
        let mut placed = Vec::with_capacity(group.len());
        for (_, batch) in group.iter().filter(|(_, batch)| !batch.is_empty()) {
            placed.push((self.stage(batch.ops())?, self.segment.clone(), batch));
        }
        self.flush()?;
        let last = group.last().map(|(seq, _)| *seq);
        let durable = if group.iter().any(|(_, batch)| !batch.is_lazy()) {
            self.sync()?;
            last
        } else if placed.is_empty() && self.unsynced.is_none() {
            last
        } else {
            self.unsynced = last;
            None
        };
        let mut extents = self.shared.extents();
        for (body_at, segment, batch) in placed {
            let mut offset = body_at;
            for op in batch.ops() {
                let bytes = crate::operation::encoded_len(op) as u64;
                extents.replay(op, &segment, offset, bytes);
                self.has_compacted |= matches!(op, Op::Compact { .. });
                offset += bytes;
            }
        }
        self.group_began_in = self.segment.header.seq;
        Ok(durable)
    }

    /// Encodes a batch, and moves on to the next segment before it if it does not fit. Returns where its body begins.
    fn stage(&mut self, ops: &[Op]) -> Result<u64, StorageError> {
        let bytes = batch::encoded_len(ops) as u64;
        // A batch larger than a segment makes its segment longer; so does one that finds no spare ready.
        if !self.is_fresh && self.end + bytes > self.segment.header.prepared_bytes {
            let next = self.segment.header.seq + 1;
            if let Some(file) = self.spare.take(next)? {
                self.flush()?;
                self.sync()?;
                self.move_on(file, self.next_batch - 1)?;
            }
        }
        for op in ops {
            self.outline.replay(op);
        }
        self.is_fresh = false;
        Ok(self.encode(ops, 0))
    }

    fn encode(&mut self, ops: &[Op], padding: usize) -> u64 {
        let place = Place {
            salt: self.segment.header.salt,
            offset: self.end,
            seq: self.next_batch,
            durable_seq: self.durable_batch,
            prev_checksum: self.prev_checksum,
        };
        let before = self.buffer.len();
        self.prev_checksum = batch::encode(ops, padding, place, &mut self.buffer);
        let body_at = self.end + batch::HEADER_BYTES as u64;
        self.end += (self.buffer.len() - before) as u64;
        self.next_batch += 1;
        body_at
    }

    /// Begins the next segment with what must survive the removal of older ones. Everything before it is synced.
    fn move_on(&mut self, file: Arc<dyn File>, prev_last_batch: u64) -> Result<(), StorageError> {
        let oldest_needed = self.oldest_needed();
        let seq = self.segment.header.seq + 1;
        let (segment, page) = begin(&*self.folder, file, |salt, prepared_bytes| SegmentHeader {
            store: self.store,
            seq,
            salt,
            prepared_bytes,
            prev_end: self.end,
            prev_last_batch,
            first_batch: self.next_batch,
            oldest_needed,
        })
        .map_err(StorageError::io("cannot begin a segment in", self.folder.path()))?;
        self.prev_checksum = segment.checksum;
        self.segment = segment;
        self.end = segment::HEADER_BYTES;
        self.buffer = page;
        let head = head(&self.outline);
        if !head.is_empty() {
            self.encode(&head, 0);
        }
        self.is_fresh = true;
        self.removable = Some(oldest_needed);
        lock(&self.segments).push_back(seq);
        self.spare.request(seq + 1);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StorageError> {
        if !self.buffer.is_empty() {
            let offset = self.end - self.buffer.len() as u64;
            let written = self.segment.file.write_at(&self.buffer, offset);
            written.map_err(StorageError::io("cannot write to", &self.segment.path))?;
            self.buffer.clear();
            self.buffer.shrink_to(BUFFER_KEPT_BYTES);
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.segment.file.sync().map_err(StorageError::io("cannot sync", &self.segment.path))?;
        self.durable_batch = self.next_batch - 1;
        self.unsynced = None;
        self.wants_mark = true;
        if let Some(oldest_needed) = self.removable.take() {
            self.remove_before(oldest_needed);
        }
        Ok(())
    }

    /// Whether [`mark`](Self::mark) has something to say.
    pub(crate) fn wants_mark(&self) -> bool {
        self.wants_mark
    }

    /// Writes down, without a sync, that everything up to here is durable. Until then damage to the last group could
    /// not be told from a tear. The mark is two empty batches in different sectors, so that whatever damages the end of
    /// the log spares one of them.
    pub(crate) fn mark(&mut self) -> Result<(), StorageError> {
        let filled = self.end + batch::HEADER_BYTES as u64;
        self.encode(&[], (filled.next_multiple_of(SECTOR_BYTES) - filled) as usize);
        self.encode(&[], 0);
        self.wants_mark = false;
        self.flush()
    }

    /// Ends cleanly: syncs what was written lazily, and marks the end. Returns as [`write`](Self::write) does.
    pub(crate) fn close(&mut self) -> Result<Option<WriteSeq>, StorageError> {
        let durable = self.unsynced;
        if durable.is_some() {
            self.sync()?;
        }
        if self.wants_mark {
            self.mark()?;
        }
        self.sync()?;
        Ok(durable)
    }

    /// The oldest segment in which an entry counts, or may: the index does not know of the group being written yet.
    fn oldest_needed(&self) -> u64 {
        let oldest = self.shared.extents().oldest_segment();
        oldest.map_or(self.group_began_in, |oldest| oldest.min(self.group_began_in))
    }

    /// Moves on to the next segment, if one is ready, after a compaction that has freed more segments than that costs.
    /// Segments are removed when a new one begins: its header says which, so that a missing one is noticed.
    pub(crate) fn free_compacted(&mut self) -> Result<(), StorageError> {
        if !std::mem::take(&mut self.has_compacted) {
            return Ok(());
        }
        let oldest = lock(&self.segments).front().copied().unwrap_or_default();
        if self.oldest_needed().saturating_sub(oldest) >= FREED_SEGMENTS_MIN
            && let Some(file) = self.spare.take(self.segment.header.seq + 1)?
        {
            self.sync()?;
            self.move_on(file, self.next_batch - 1)?;
            self.flush()?;
            self.sync()?;
        }
        Ok(())
    }

    /// Removes the segments before that one, strictly oldest first: a younger one may hold the truncation or the
    /// overwriting that keeps an older one's entries from coming back. Off the log's thread.
    fn remove_before(&self, oldest_needed: u64) {
        let (folder, segments) = (self.folder.clone(), self.segments.clone());
        self.background.post(move || {
            let front = || lock(&segments).front().copied().filter(|seq| *seq < oldest_needed);
            while let Some(seq) = front() {
                // Each removal is durable before the next, so that no crash brings back an older one without it.
                match folder.remove(&segment::file_name(seq)).and_then(|()| folder.sync()) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        tracing::warn!(%error, segment = seq, "cannot remove a compacted segment; trying again later");
                        return;
                    }
                    _ => lock(&segments).pop_front(),
                };
            }
        });
    }
}

/// What each segment repeats, so that older ones can go.
fn head(outline: &Outline) -> Vec<Op> {
    let mut ops = Vec::new();
    ops.extend(outline.hard_state.clone().map(Op::HardState));
    ops.extend(outline.snapshot.clone().map(Op::SnapshotMark));
    if outline.compacted.0 > 0 {
        ops.push(Op::Compact { upto: outline.compacted, generation: outline.compacted_generation });
    }
    if outline.watermark.0 > 0 {
        ops.push(Op::Watermark(outline.watermark));
    }
    ops
}
