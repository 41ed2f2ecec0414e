//! Reading a segment through, and the question every log must answer after a crash: torn, or damaged?
//!
//! A crash leaves a *torn* tail: writes that were under way, in any mixture of old and new sectors. Nobody was told that
//! they are durable, so they may be cut. *Damage* looks the same where it stands, but what it hit was acknowledged, and
//! cutting it would break a promise. The proof lies behind it: every batch states up to which batch everything was
//! durable when it was written. If anything behind the bad place says that the bad batch was, it is damage.

use std::collections::VecDeque;

use bytes::Bytes;
use consensus_api::StorageError;

use crate::batch::{self, ALIGNMENT, BatchHeader, HEADER_BYTES, Placed};
use crate::segment::{self, REMEDY, Segment, SegmentHeader};

/// A batch read back.
pub(crate) struct Batch {
    pub(crate) ops: Vec<Placed>,
    /// Where its body begins in the segment.
    pub(crate) body_at: u64,
}

/// Goes through the batches of a segment, from the first.
pub(crate) struct Scan<'a> {
    segment: &'a Segment,
    bytes: &'a Bytes,
    /// Where the next batch begins.
    pub(crate) offset: u64,
    /// The number it must have.
    pub(crate) expected: u64,
    prev_checksum: u32,
    /// Everything before this place is durable: later batches say so.
    pub(crate) settled: u64,
    /// Where the batches end of which no later one says so yet.
    unsettled: VecDeque<(u64, u64)>,
    /// The file was durably at least this many pages long.
    pub(crate) file_pages: u32,
    /// Beside the segment's header, batches say how many segments before this one are needed: one more than that.
    reach: u32,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(segment: &'a Segment, bytes: &'a Bytes) -> Self {
        let (expected, prev_checksum) = (segment.header.first_batch, segment.checksum);
        Self {
            segment,
            bytes,
            offset: segment::HEADER_BYTES,
            expected,
            prev_checksum,
            settled: 0,
            unsettled: VecDeque::new(),
            file_pages: 0,
            reach: 0,
        }
    }

    /// The next batch, if all of it is there. The error says what is wrong; then the scan stays where it is.
    pub(crate) fn next(&mut self) -> Result<Batch, String> {
        let salt = self.segment.header.salt;
        let at = self.bytes.get(self.offset as usize..).unwrap_or_default();
        let (header, checksum) =
            BatchHeader::decode(at, salt, self.offset).ok_or("there is no batch header here")?;
        if header.seq != self.expected || header.prev_checksum != self.prev_checksum {
            return Err(format!("here is batch {}, which does not follow the one before it", header.seq));
        }
        let body_at = self.offset + HEADER_BYTES as u64;
        let body = self.body_at(body_at, header.body_bytes).ok_or("the batch is cut short")?;
        let ops = batch::decode_body(&header, &body, salt)?;
        self.offset = body_at + u64::from(header.body_bytes);
        self.expected = self.expected.saturating_add(1);
        self.prev_checksum = checksum;
        self.settle(&header);
        Ok(Batch { ops, body_at })
    }

    fn settle(&mut self, header: &BatchHeader) {
        while let Some((_, end)) = self.unsettled.front().filter(|(seq, _)| *seq <= header.durable_seq) {
            self.settled = *end;
            self.unsettled.pop_front();
        }
        self.unsettled.push_back((header.seq, self.offset));
        self.file_pages = self.file_pages.max(header.file_pages);
        if header.reach > 0 {
            self.reach = header.reach;
        }
    }

    /// The oldest segment that must be there, as far as is said here.
    pub(crate) fn oldest_needed(&self) -> u64 {
        let SegmentHeader { seq, oldest_needed, .. } = self.segment.header;
        let stated = self.reach.checked_sub(1).map(|back| seq.saturating_sub(back.into()));
        stated.map_or(oldest_needed, |stated| stated.max(oldest_needed))
    }

    fn body_at(&self, body_at: u64, body_bytes: u32) -> Option<Bytes> {
        let end = body_at.checked_add(body_bytes.into())?;
        let range = usize::try_from(body_at).ok()?..usize::try_from(end).ok()?;
        (body_bytes.is_multiple_of(ALIGNMENT as u32) && range.end <= self.bytes.len())
            .then(|| self.bytes.slice(range))
    }

    /// What stands behind the place where the scan stopped, in the last segment.
    pub(crate) fn tail(&self) -> Tail {
        let highest_seq = self.expected.saturating_sub(1);
        let mut tail = Tail { highest_seq, proof: None, file_pages: 0, is_blank: true };
        let start = (self.offset as usize).min(self.bytes.len());
        let rest = &self.bytes[start..];
        tail.is_blank = rest.iter().all(|byte| *byte == 0);
        if tail.is_blank {
            return tail;
        }
        for at in (0..rest.len()).step_by(ALIGNMENT as usize) {
            let offset = self.offset + at as u64;
            let Some((header, _)) = BatchHeader::decode(&rest[at..], self.segment.header.salt, offset) else {
                continue;
            };
            tail.highest_seq = tail.highest_seq.max(header.seq);
            tail.file_pages = tail.file_pages.max(header.file_pages);
            if header.durable_seq >= self.expected {
                tail.proof.get_or_insert(offset);
            }
        }
        tail
    }

    /// The error for damage at the place where the scan stopped.
    pub(crate) fn damage(&self, found: &str, proof: &str, intact: consensus_api::Index) -> StorageError {
        let salt = self.segment.header.salt;
        let at = self.bytes.get(self.offset as usize..).unwrap_or_default();
        let header =
            BatchHeader::decode(at, salt, self.offset).filter(|(header, _)| header.seq == self.expected);
        let body = header.map(|(header, _)| {
            let start = self.offset as usize + HEADER_BYTES;
            let end = start.saturating_add(header.body_bytes as usize).min(self.bytes.len());
            self.bytes.slice(start..end)
        });
        let concerned = match body.and_then(|body| batch::salvage_indices(body, salt)) {
            Some((low, high)) => format!("the batch held entries {low} to {high}"),
            None => "which entries the batch held can no longer be told".to_owned(),
        };
        let problem = format!(
            "batch {}: {found}. It was acknowledged: {proof}. {concerned}; before it the log reached entry \
             {intact}. Nothing was changed; {REMEDY}",
            self.expected
        );
        StorageError::Corrupt { file: self.segment.path.clone(), offset: self.offset, problem }
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
}
