//! Reading a segment through, and the question every log must answer after a crash: torn, or damaged?
//!
//! A crash leaves a *torn* tail: writes that were under way, in any mixture of old and new sectors. Nobody was told that
//! they are durable, so they may be cut. *Damage* looks the same where it stands, but what it hit was acknowledged, and
//! cutting it would break a promise. The proof lies behind it: every batch states up to which batch everything was
//! durable when it was written. If anything behind the bad place says that the bad batch was, it is damage.
//!
//! A file that was used before still holds what it held: batches with checksums that begin with another salt, and with
//! lower numbers. None of them is taken for one of today's.

use std::collections::VecDeque;

use consensus_api::{Index, StorageError};

use crate::batch::{self, ALIGNMENT, BatchHeader, HEADER_BYTES};
use crate::operation::Placed;
use crate::segment::{self, Segment, SegmentHeader};
use crate::window::{READ_BYTES, Window};

/// Why a scan goes no further.
#[derive(Debug)]
pub(crate) enum Stop {
    /// No good batch begins here; in words.
    Bad(String),
    /// The file cannot be read.
    Failed(StorageError),
}

impl From<StorageError> for Stop {
    fn from(error: StorageError) -> Self {
        Self::Failed(error)
    }
}

impl From<String> for Stop {
    fn from(problem: String) -> Self {
        Self::Bad(problem)
    }
}

/// Goes through the batches of a segment, from the first.
pub(crate) struct Scan<'a> {
    segment: &'a Segment,
    window: Window<'a>,
    /// Where the next batch begins.
    pub(crate) offset: u64,
    /// The number it must have.
    pub(crate) expected: u64,
    prev_checksum: u32,
    /// Where the batches end of which no later one says that they are durable.
    unsettled: VecDeque<(u64, u64)>,
    /// Everything before this place is durable: later batches say so.
    settled: u64,
    /// What was read from there on, if it is to be written again.
    doubtful: Option<Vec<u8>>,
    /// The file was durably at least this many pages long.
    pub(crate) file_pages: u32,
    /// Beside the segment's header, batches say how many segments before this one are needed: one more than that.
    reach: u32,
    /// Whether the log was closed with the last batch.
    pub(crate) is_closed: bool,
    /// Room to decode in.
    headers: Vec<u8>,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(segment: &'a Segment) -> Result<Self, StorageError> {
        let (expected, prev_checksum) = (segment.header.first_batch, segment.checksum);
        Ok(Self {
            segment,
            window: Window::new(segment)?,
            offset: segment::HEADER_BYTES,
            expected,
            prev_checksum,
            unsettled: VecDeque::new(),
            settled: 0,
            doubtful: None,
            file_pages: 0,
            reach: 0,
            is_closed: false,
            headers: Vec::new(),
        })
    }

    /// From the beginning on, keeps the bytes of what may not be durable.
    pub(crate) fn keep_doubtful(&mut self) -> Result<(), StorageError> {
        let page = self.window.at(0, segment::HEADER_BYTES as usize)?;
        if SegmentHeader::decode(page) != Ok((self.segment.header, self.segment.checksum)) {
            return Err(segment::damaged(
                self.segment.path.clone(),
                "its header changes from one reading to the next",
            ));
        }
        self.doubtful = Some(page.to_vec());
        Ok(())
    }

    /// What was kept: it ends where the scan is.
    pub(crate) fn take_doubtful(&mut self) -> Vec<u8> {
        self.doubtful.take().unwrap_or_default()
    }

    /// The length of the file.
    pub(crate) const fn file_bytes(&self) -> u64 {
        self.window.file_bytes()
    }

    /// Takes in the next batch, if all of it is there: hands each operation to `each`, with where it stands in the
    /// file and how many bytes it takes. If it is not good the scan stays where it is, and what was handed over does not
    /// count.
    pub(crate) fn next(&mut self, mut each: impl FnMut(Placed<'_>, u64, u32)) -> Result<(), Stop> {
        let (seed, offset) = (self.segment.seed, self.offset);
        let at = self.window.at(offset, HEADER_BYTES)?;
        let decoded = BatchHeader::decode(at, seed, offset);
        let (header, checksum) = decoded.ok_or_else(|| "there is no batch header here".to_owned())?;
        if header.seq != self.expected || header.prev_checksum != self.prev_checksum {
            return Err(
                format!("here is batch {}, which does not follow the one before it", header.seq).into()
            );
        }
        let bytes = HEADER_BYTES.saturating_add(header.body_bytes as usize);
        let whole = self.window.at(offset, bytes)?;
        if whole.len() < bytes || !bytes.is_multiple_of(ALIGNMENT as usize) {
            return Err("the batch is cut short".to_owned().into());
        }
        let body_at = offset + HEADER_BYTES as u64;
        batch::decode_body(&header, &whole[HEADER_BYTES..], seed, &mut self.headers, |op, at, bytes| {
            each(op, body_at + at as u64, bytes as u32);
        })?;
        if let Some(doubtful) = &mut self.doubtful {
            doubtful.extend_from_slice(whole);
        }
        self.offset += bytes as u64;
        self.expected = self.expected.saturating_add(1);
        self.prev_checksum = checksum;
        self.settle(&header);
        Ok(())
    }

    fn settle(&mut self, header: &BatchHeader) {
        let before = self.settled;
        while let Some((_, end)) = self.unsettled.front().filter(|(seq, _)| *seq <= header.durable_seq) {
            self.settled = *end;
            self.unsettled.pop_front();
        }
        if let Some(doubtful) = &mut self.doubtful {
            doubtful.drain(..(self.settled - before) as usize);
        }
        self.unsettled.push_back((header.seq, self.offset));
        self.file_pages = self.file_pages.max(header.file_pages);
        if header.reach > 0 {
            self.reach = header.reach;
        }
        self.is_closed = header.is_end;
    }

    /// The oldest segment that must be there, as far as is said here.
    pub(crate) fn oldest_needed(&self) -> u64 {
        let SegmentHeader { seq, oldest_needed, .. } = self.segment.header;
        let stated = self.reach.checked_sub(1).map(|back| seq.saturating_sub(back.into()));
        stated.map_or(oldest_needed, |stated| stated.max(oldest_needed))
    }

    /// The entries that can still be recognised in the batch at which the scan stopped.
    pub(crate) fn salvage(&mut self) -> Result<Option<(Index, Index)>, StorageError> {
        let seed = self.segment.seed;
        let header = BatchHeader::decode(self.window.at(self.offset, HEADER_BYTES)?, seed, self.offset);
        let Some((header, _)) = header.filter(|(header, _)| header.seq == self.expected) else {
            return Ok(None);
        };
        let body = self.window.at(self.offset + HEADER_BYTES as u64, header.body_bytes as usize)?;
        Ok(batch::salvage_indices(body, seed))
    }

    /// What stands behind the place where the scan stopped, in the last segment.
    pub(crate) fn tail(&mut self) -> Result<Tail, StorageError> {
        let mut tail = Tail::blank(self.expected);
        let (seed, file_bytes, mut from) = (self.segment.seed, self.file_bytes(), self.offset);
        while from < file_bytes {
            let piece = self.window.at(from, READ_BYTES)?;
            let is_end = from + piece.len() as u64 == file_bytes;
            if piece.iter().all(|byte| *byte == 0) {
                from += piece.len() as u64;
                continue;
            }
            tail.is_blank = false;
            // A header that begins here may end in the next piece.
            let looked = if is_end { piece.len() } else { piece.len() - HEADER_BYTES };
            for at in (0..looked).step_by(ALIGNMENT as usize) {
                let offset = from + at as u64;
                let Some((header, _)) = BatchHeader::decode(&piece[at..], seed, offset) else { continue };
                tail.is_torn = true;
                tail.highest_seq = tail.highest_seq.max(header.seq);
                tail.file_pages = tail.file_pages.max(header.file_pages);
                if header.durable_seq >= self.expected {
                    tail.proof.get_or_insert(offset);
                }
            }
            from += looked as u64;
        }
        Ok(tail)
    }
}

/// What stands behind the last good batch.
pub(crate) struct Tail {
    /// The highest number of any batch that can be seen, good or torn.
    pub(crate) highest_seq: u64,
    /// Where a header says that the bad batch was durable.
    pub(crate) proof: Option<u64>,
    /// The file was durably at least this many pages long.
    pub(crate) file_pages: u32,
    /// Whether there is nothing but zeros.
    pub(crate) is_blank: bool,
    /// Whether a batch of this use of the file begins there. What else is not zero may be of such a batch, too, or of an
    /// earlier use.
    pub(crate) is_torn: bool,
}

impl Tail {
    /// There is nothing behind the batch before `expected`.
    pub(crate) const fn blank(expected: u64) -> Self {
        let highest_seq = expected.saturating_sub(1);
        Self { highest_seq, proof: None, file_pages: 0, is_blank: true, is_torn: false }
    }
}
