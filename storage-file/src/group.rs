//! A group: batches that were submitted, in the bytes in which they will be written.
//!
//! A batch is encoded when it is submitted, by whoever submits it: the entries are in that processor's cache, and the
//! log's thread, which has a sync under way meanwhile, need not fetch them. What is left to it is the header, which says
//! where the batch stands. Whether that is still the segment it was encoded for is known only then; if not, its
//! operations get other checksums ([`Group::seal`]).

use consensus_api::{Batch, WriteSeq};

use crate::batch::{self, Body, HEADER_BYTES, Place};
use crate::operation::Seed;
use crate::parts::{self, Part};

/// A buffer that one huge group has blown up is not kept.
const BUFFER_KEPT_BYTES: usize = 4 << 20;

/// Batches that can go out in one write: encoded one behind the other, as they will stand in the segment.
#[derive(Default)]
pub(crate) struct Group {
    bytes: Vec<u8>,
    parts: Vec<Part>,
    batches: Vec<Encoded>,
    /// How many of the batches are written. The others wait for room.
    written: usize,
}

/// One batch of a group.
#[derive(Clone, Copy)]
pub(crate) struct Encoded {
    pub(crate) seq: WriteSeq,
    pub(crate) is_lazy: bool,
    /// Where it begins and ends in the group's bytes. Nowhere if it has no operations.
    pub(crate) start: usize,
    pub(crate) end: usize,
    first_part: usize,
    end_of_parts: usize,
    seed: Seed,
    body: Body,
}

impl Encoded {
    /// Whether there is nothing to write.
    pub(crate) const fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

impl Group {
    /// Encodes a batch behind the others, for a segment of that seed. Its header stays blank.
    pub(crate) fn push(&mut self, seq: WriteSeq, batch: Batch, seed: Seed) {
        let (start, first_part) = (self.bytes.len(), self.parts.len());
        let is_lazy = batch.is_lazy();
        let mut body = Body::default();
        if !batch.is_empty() {
            self.bytes.reserve(batch::encoded_len(batch.ops()));
            self.bytes.resize(start + HEADER_BYTES, 0);
            for op in batch.into_ops() {
                let offset = self.bytes.len() - start - HEADER_BYTES;
                let bytes = body.push(&op, seed, &mut self.bytes);
                parts::push(&mut self.parts, first_part, op, offset as u64, bytes);
            }
        }
        let (end, end_of_parts) = (self.bytes.len(), self.parts.len());
        self.batches.push(Encoded { seq, is_lazy, start, end, first_part, end_of_parts, seed, body });
    }

    /// Gives a batch its header, at the place it gets. Returns the header's checksum.
    pub(crate) fn seal(&mut self, number: usize, place: &Place) -> u32 {
        let batch = &mut self.batches[number];
        let (header, body) = self.bytes[batch.start..batch.end].split_at_mut(HEADER_BYTES);
        if batch.seed != place.seed {
            // The log has moved on to another segment since.
            batch.body = Body::seed_again(body, place.seed);
            batch.seed = place.seed;
        }
        let (bytes, checksum) = batch.body.header(body.len(), place).encode(place.seed, place.offset);
        header.copy_from_slice(&bytes);
        checksum
    }

    /// The bytes of all batches, one behind the other.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The batches, written ones included.
    pub(crate) fn batches(&self) -> &[Encoded] {
        &self.batches
    }

    /// What a batch changes. Places count from the beginning of its body.
    pub(crate) fn parts(&self, batch: &Encoded) -> &[Part] {
        &self.parts[batch.first_part..batch.end_of_parts]
    }

    /// How many batches are written.
    pub(crate) const fn written(&self) -> usize {
        self.written
    }

    /// So many batches are written.
    pub(crate) fn set_written(&mut self, count: usize) {
        self.written = count;
    }

    /// Whether all batches are written.
    pub(crate) fn is_done(&self) -> bool {
        self.written == self.batches.len()
    }

    /// Makes room for others.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(BUFFER_KEPT_BYTES);
        self.parts.clear();
        self.batches.clear();
        self.written = 0;
    }
}

#[cfg(test)]
mod tests;
