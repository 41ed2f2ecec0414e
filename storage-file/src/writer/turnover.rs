//! From one segment to the next, and what becomes of those before.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use consensus_api::{Op, Outline, StorageError, StoreId};

use super::Writer;
use crate::batch::{self, BatchHeader, HEADER_BYTES};
use crate::disk::{File, Folder};
use crate::group::Group;
use crate::operation::Seed;
use crate::recovery::LastSegment;
use crate::recycled::Recycled;
use crate::segment::{self, Segment, SegmentHeader};
use crate::shared::{Shared, lock};
use crate::spare::{self, Spare};
use crate::worker::Worker;

/// What a [`Writer`] is made of.
pub(crate) struct Setup {
    pub(crate) folder: Arc<dyn Folder>,
    pub(crate) store: StoreId,
    pub(crate) shared: Arc<Shared>,
    pub(crate) background: Worker,
    pub(crate) recycled: Arc<Recycled>,
    pub(crate) segment_bytes: u64,
    pub(crate) outline: Outline,
    pub(crate) segments: VecDeque<Arc<Segment>>,
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
    let seed = Seed::of(header.salt);
    Ok((Arc::new(Segment { header, checksum, seed, path, file }), page))
}

/// Creates the first segment of a new log, durably: a header and nothing else.
pub(crate) fn create_first(folder: &dyn Folder, store: StoreId) -> Result<(), StorageError> {
    if let Some(file) = spare::prepare(folder, 1, segment::HEADER_BYTES, None, || false)? {
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

/// A segment of at least the least length, and of that many bytes if the disk has room for them.
fn prepare_first(folder: &dyn Folder, seq: u64, mut bytes: u64) -> Result<Arc<dyn File>, StorageError> {
    loop {
        match spare::prepare(folder, seq, bytes, None, || false) {
            Err(StorageError::Full { .. }) if bytes > 2 * segment::HEADER_BYTES => {
                bytes = (bytes / 2).max(2 * segment::HEADER_BYTES);
            }
            prepared => return prepared?.ok_or(StorageError::Poisoned),
        }
    }
}

/// A segment that the log has moved on from.
pub(super) struct Seal {
    segment: Arc<Segment>,
    /// Where it ends, and where the seal goes.
    end: u64,
    bytes: [u8; HEADER_BYTES],
    /// Whether what stands behind its end is given back.
    is_cut: bool,
}

impl Seal {
    /// The seal is the header of a batch that cannot follow, and says that the one in its place was durable: with the
    /// next segment at hand nobody looks at it, and without that it is the proof that something is missing.
    fn new(segment: &Arc<Segment>, end: u64, first_of_next: u64, is_cut: bool) -> Self {
        let header = BatchHeader {
            body_bytes: 0,
            op_count: 0,
            ops_checksum: 0,
            file_pages: 0,
            seq: first_of_next + 1,
            durable_seq: first_of_next,
            prev_checksum: segment.checksum,
            reach: 0,
            is_end: false,
        };
        let (bytes, _) = header.encode(segment.seed, end);
        Self { segment: segment.clone(), end, bytes, is_cut }
    }

    fn write(&self) -> io::Result<()> {
        if self.is_cut {
            self.segment.file.set_size(self.end)?;
        }
        self.segment.file.write_at(&self.bytes, self.end)?;
        self.segment.file.sync()
    }
}

impl Writer {
    /// Goes on behind `last` in a new segment of `first_bytes`: nothing is ever written behind a tear, and the
    /// header of the new segment says where the last one ends.
    pub(crate) fn start(setup: Setup, last: &LastSegment, first_bytes: u64) -> Result<Self, StorageError> {
        let Setup { folder, store, shared, background, recycled, segment_bytes, outline, segments } = setup;
        let worker = background.clone();
        let spare = Spare::new(folder.clone(), segment_bytes, worker, shared.clone(), recycled.clone());
        let mut writer = Self {
            store,
            shared,
            background,
            recycled,
            spare,
            segment_bytes,
            outline,
            segments: Arc::new(Mutex::new(segments)),
            segment: last.segment.clone(),
            capacity: last.end,
            is_fresh: false,
            end: last.end,
            group: Group::default(),
            run: 0..0,
            buffer: Vec::new(),
            placed: Vec::new(),
            next_batch: last.next_batch,
            durable_batch: last.last_batch,
            prev_checksum: 0,
            unsynced: None,
            wants_mark: false,
            has_compacted: false,
            group_began_in: last.segment.header.seq,
            oldest_claimed: 0,
            removable: None,
            unsealed: None,
            folder,
        };
        let seq = last.segment.header.seq + 1;
        let file = prepare_first(&*writer.folder, seq, first_bytes)?;
        writer.move_on(file, last.last_batch)?;
        if let Some(seal) = &mut writer.unsealed {
            seal.is_cut = true;
        }
        writer.flush()?;
        writer.sync()?;
        Ok(writer)
    }

    /// Begins the next segment with what must survive the removal of older ones. Everything before it is synced.
    pub(super) fn move_on(&mut self, file: Arc<dyn File>, prev_last_batch: u64) -> Result<(), StorageError> {
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
        self.unsealed = Some(Seal::new(&self.segment, self.end, self.next_batch, false));
        self.prev_checksum = segment.checksum;
        self.capacity = segment.header.prepared_bytes;
        self.segment = segment;
        self.shared.set_seed(self.segment.seed);
        self.end = segment::HEADER_BYTES;
        self.buffer = page;
        self.oldest_claimed = oldest_needed;
        self.removable = Some(oldest_needed);
        let head = head(&self.outline);
        if !head.is_empty() {
            let bytes = batch::encoded_len(&head) as u64;
            if !self.fits(bytes) && !self.extend(bytes)? {
                return Err(StorageError::Full { path: self.folder.path().to_owned() });
            }
            self.encode(&head, 0, false);
        }
        self.is_fresh = true;
        self.spare.set_lacking(false);
        lock(&self.segments).push_back(self.segment.clone());
        self.request_room();
        Ok(())
    }

    /// What had to wait until the segment was synced.
    pub(super) fn after_sync(&mut self) {
        if let Some(seal) = self.unsealed.take() {
            self.background.post(move || {
                if let Err(error) = seal.write() {
                    let path = seal.segment.path.display();
                    tracing::warn!(%error, %path, "cannot close a segment; its successor could be lost unnoticed");
                }
            });
        }
        if let Some(oldest_needed) = self.removable.take() {
            self.remove_before(oldest_needed);
        }
    }

    /// The oldest segment in which an entry counts, or may: the index does not know of the group being written yet.
    fn oldest_needed(&self) -> u64 {
        let oldest = self.shared.extents().oldest_segment();
        oldest.map_or(self.group_began_in, |oldest| oldest.min(self.group_began_in))
    }

    /// After a compaction, removes the segments in which nothing counts any more. What is then the oldest one needed is
    /// written down first, so that a missing one is noticed.
    pub(crate) fn free_compacted(&mut self) -> Result<(), StorageError> {
        if !self.has_compacted {
            return Ok(());
        }
        let oldest = lock(&self.segments).front().map_or(u64::MAX, |oldest| oldest.header.seq);
        let needed = self.oldest_needed();
        if needed > oldest {
            if !self.make_room(super::MARK_BYTES)? {
                return Ok(());
            }
            self.oldest_claimed = self.oldest_claimed.max(needed);
            self.removable = Some(self.oldest_claimed);
            self.encode(&[], 0, false);
            self.flush()?;
            self.sync()?;
        }
        self.has_compacted = false;
        Ok(())
    }

    /// Removes the segments before that one, strictly oldest first: a younger one may hold the truncation or the
    /// overwriting that keeps an older one's entries from coming back. Off the log's thread.
    fn remove_before(&self, oldest_needed: u64) {
        let (segments, recycled) = (self.segments.clone(), self.recycled.clone());
        self.background.post(move || {
            let front = || lock(&segments).front().filter(|oldest| oldest.header.seq < oldest_needed).cloned();
            while let Some(segment) = front() {
                let seq = segment.header.seq;
                // No entry here counts, so no reader can come; one that came before holds the segment.
                let is_unread = Arc::strong_count(&segment) == 2;
                // Each removal is durable before the next, so that no crash brings back an older one without it.
                match recycled.dispose(seq, Some(&*segment.file).filter(|_| is_unread)) {
                    Err(error) => {
                        tracing::warn!(%error, segment = seq, "cannot remove a compacted segment; trying again later");
                        return;
                    }
                    Ok(()) => drop(lock(&segments).pop_front()),
                }
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
