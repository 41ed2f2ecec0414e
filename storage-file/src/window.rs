//! A window on a segment's file, which is read from front to back: large reads, little memory however long the file is.

use consensus_api::StorageError;

use crate::segment::Segment;

/// So much is read at once: much for a disk, and little enough to stay in a processor's cache.
pub(crate) const READ_BYTES: usize = 512 << 10;

/// Shows the bytes of a segment's file.
pub(crate) struct Window<'a> {
    segment: &'a Segment,
    file_bytes: u64,
    /// Where in the file the buffer begins.
    start: u64,
    buffer: Vec<u8>,
    /// So much of the buffer was read.
    filled: usize,
}

impl<'a> Window<'a> {
    pub(crate) fn new(segment: &'a Segment) -> Result<Self, StorageError> {
        let file_bytes = segment.file_bytes()?;
        Ok(Self { segment, file_bytes, start: 0, buffer: Vec::new(), filled: 0 })
    }

    /// How long the file was when it was opened.
    pub(crate) const fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// The bytes from `offset` on: `bytes` of them, or as many as there are. What stood before them may be read anew.
    pub(crate) fn at(&mut self, offset: u64, bytes: usize) -> Result<&[u8], StorageError> {
        let there = self.file_bytes.saturating_sub(offset);
        let wanted = usize::try_from(there).unwrap_or(usize::MAX).min(bytes);
        if wanted == 0 {
            return Ok(&[]);
        }
        let end = offset + wanted as u64;
        if offset < self.start || end > self.start + self.filled as u64 {
            self.advance(offset, wanted)?;
        }
        let from = (offset - self.start) as usize;
        Ok(&self.buffer[from..from + wanted])
    }

    /// Moves on to `offset`, and reads at least `wanted` bytes from there. What was read already is kept.
    fn advance(&mut self, offset: u64, wanted: usize) -> Result<(), StorageError> {
        let kept = match offset.checked_sub(self.start).and_then(|passed| usize::try_from(passed).ok()) {
            Some(passed) if passed < self.filled => {
                self.buffer.copy_within(passed..self.filled, 0);
                self.filled - passed
            }
            _ => 0,
        };
        (self.start, self.filled) = (offset, kept);
        let there = usize::try_from(self.file_bytes - offset).unwrap_or(usize::MAX);
        let room = READ_BYTES.max(wanted).min(there);
        if self.buffer.len() < room {
            self.buffer.resize(room, 0);
        }
        let room = self.buffer.len().min(there);
        let read = self.segment.file.read_at(&mut self.buffer[kept..room], offset + kept as u64);
        read.map_err(StorageError::io("cannot read", &self.segment.path))?;
        self.filled = room;
        Ok(())
    }
}
