//! The byte form of a batch: a 48-byte header, the operations, and padding.
//!
//! The header's checksum is seeded with the segment's salt and the batch's place, so that neither bytes of an earlier
//! use of the disk nor a copy that ended up elsewhere pass for a batch. It covers a checksum of the operations'
//! headers, and these cover the operations. The batches of a log are numbered without a gap and each names the
//! checksum of the one before it, so none can be missing unnoticed.

use bytes::{Buf, BufMut};
use consensus_api::mutation::mutated;
use consensus_api::{Index, Op};

use crate::operation::{self, Placed, Seed};

/// The bytes before the operations.
pub(crate) const HEADER_BYTES: usize = 48;
/// What [`BatchHeader::file_pages`] counts in.
pub(crate) const PAGE_BYTES: u64 = 4096;
/// Batches begin at multiples of this.
pub(crate) const ALIGNMENT: u64 = 8;

/// No log lives long enough to have a batch of a higher number, so one that says so was not written by it.
pub(crate) const NUMBER_MAX: u64 = u64::MAX >> 1;

const MAGIC: u32 = u32::from_le_bytes(*b"QBAT");
/// The last batch of a log that was closed.
const MAGIC_OF_END: u32 = u32::from_le_bytes(*b"QEND");

/// What the header of a batch says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BatchHeader {
    /// The bytes behind the header, padding included.
    pub(crate) body_bytes: u32,
    /// How many operations there are.
    pub(crate) op_count: u32,
    /// CRC32C over the operations' headers.
    pub(crate) ops_checksum: u32,
    /// The file was durably at least this many pages long when this was written; 0 says nothing.
    pub(crate) file_pages: u32,
    /// The batch's number: one more than that of the batch before it. Never used again, not even after a cut.
    pub(crate) seq: u64,
    /// The highest batch that was known to be synced when this one was written. It is what tells damage from a tear.
    pub(crate) durable_seq: u64,
    /// The checksum of the header before this one: the batch's, or the segment's for the first.
    pub(crate) prev_checksum: u32,
    /// One more than the number of segments before this one that are still needed; 0 says nothing.
    pub(crate) reach: u32,
    /// The log was closed with this batch: nothing was ever written behind it.
    pub(crate) is_end: bool,
}

impl BatchHeader {
    /// Its bytes, and its checksum.
    pub(crate) fn encode(&self, seed: Seed, offset: u64) -> ([u8; HEADER_BYTES], u32) {
        let mut bytes = [0; HEADER_BYTES];
        let mut out = &mut bytes[..];
        out.put_u32_le(if self.is_end { MAGIC_OF_END } else { MAGIC });
        out.put_u32_le(0);
        out.put_u32_le(self.body_bytes);
        out.put_u32_le(self.op_count);
        out.put_u32_le(self.ops_checksum);
        out.put_u32_le(self.file_pages);
        out.put_u64_le(self.seq);
        out.put_u64_le(self.durable_seq);
        out.put_u32_le(self.prev_checksum);
        out.put_u32_le(self.reach);
        let checksum = header_checksum(&bytes, seed, offset);
        bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
        (bytes, checksum)
    }

    /// Reads a header, with its checksum. `None` if what begins here is none.
    pub(crate) fn decode(bytes: &[u8], seed: Seed, offset: u64) -> Option<(Self, u32)> {
        let bytes = bytes.first_chunk::<HEADER_BYTES>()?;
        let mut from = &bytes[..];
        let magic = from.get_u32_le();
        if magic != MAGIC && magic != MAGIC_OF_END {
            return None;
        }
        let checksum = from.get_u32_le();
        if checksum != header_checksum(bytes, seed, offset) {
            return None;
        }
        let header = Self {
            body_bytes: from.get_u32_le(),
            op_count: from.get_u32_le(),
            ops_checksum: from.get_u32_le(),
            file_pages: from.get_u32_le(),
            seq: from.get_u64_le(),
            durable_seq: from.get_u64_le(),
            prev_checksum: from.get_u32_le(),
            reach: from.get_u32_le(),
            is_end: magic == MAGIC_OF_END,
        };
        (header.seq <= NUMBER_MAX).then_some((header, checksum))
    }
}

fn header_checksum(bytes: &[u8; HEADER_BYTES], seed: Seed, offset: u64) -> u32 {
    let place = crc32c::crc32c_append(seed.0, &offset.to_le_bytes());
    crc32c::crc32c_append(place, &bytes[8..])
}

/// Where a batch goes, and what it follows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) seed: Seed,
    pub(crate) offset: u64,
    pub(crate) seq: u64,
    pub(crate) durable_seq: u64,
    pub(crate) prev_checksum: u32,
    pub(crate) file_pages: u32,
    pub(crate) reach: u32,
    pub(crate) is_end: bool,
}

/// The bytes a batch takes.
pub(crate) fn encoded_len(ops: &[Op]) -> usize {
    HEADER_BYTES + ops.iter().map(operation::encoded_len).sum::<usize>()
}

/// What the header of a batch says of its operations.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Body {
    op_count: u32,
    ops_checksum: u32,
}

impl Body {
    /// Appends an operation to the body that ends where `out` does. Returns the bytes it takes.
    pub(crate) fn push(&mut self, op: &Op, seed: Seed, out: &mut Vec<u8>) -> usize {
        let at = out.len();
        operation::encode(op, seed, out);
        self.count(&out[at..]);
        out.len() - at
    }

    /// Gives all operations of a body the checksums that they have in a segment of that seed.
    pub(crate) fn seed_again(mut bytes: &mut [u8], seed: Seed) -> Self {
        let mut body = Self::default();
        while !bytes.is_empty() {
            let taken = operation::seed_again(bytes, seed);
            body.count(bytes);
            bytes = &mut bytes[taken..];
        }
        body
    }

    fn count(&mut self, op: &[u8]) {
        self.op_count += 1;
        self.ops_checksum = crc32c::crc32c_append(self.ops_checksum, &op[..operation::HEADER_BYTES]);
    }

    /// The header of a batch that has this body, of so many bytes, at that place.
    pub(crate) fn header(self, bytes: usize, place: &Place) -> BatchHeader {
        BatchHeader {
            body_bytes: bytes as u32,
            op_count: self.op_count,
            ops_checksum: self.ops_checksum,
            file_pages: place.file_pages,
            seq: place.seq,
            durable_seq: place.durable_seq,
            prev_checksum: place.prev_checksum,
            reach: place.reach,
            is_end: place.is_end,
        }
    }
}

/// Appends a batch, with `padding` zeros behind its operations. Returns its header's checksum.
pub(crate) fn encode(ops: &[Op], padding: usize, place: &Place, out: &mut Vec<u8>) -> u32 {
    let start = out.len();
    out.put_bytes(0, HEADER_BYTES);
    let mut body = Body::default();
    for op in ops {
        body.push(op, place.seed, out);
    }
    out.put_bytes(0, padding);
    let header = body.header(out.len() - start - HEADER_BYTES, place);
    let (bytes, checksum) = header.encode(place.seed, place.offset);
    out[start..start + HEADER_BYTES].copy_from_slice(&bytes);
    checksum
}

/// Hands the operations of a batch to `each`, with where each stands in the body and how many bytes it takes. The error
/// says in words what is wrong; then none of them counts, those handed over before included. `headers` is room to work
/// in.
pub(crate) fn decode_body<'a>(
    header: &BatchHeader,
    body: &'a [u8],
    seed: Seed,
    headers: &mut Vec<u8>,
    mut each: impl FnMut(Placed<'a>, usize, usize),
) -> Result<(), String> {
    headers.clear();
    let mut offset = 0;
    for _ in 0..header.op_count {
        let at = &body[offset..];
        let (op, bytes) = match operation::decode(at, seed) {
            Err(_) if mutated("file/torn-batch-kept") => return Ok(()),
            decoded => decoded?,
        };
        headers.extend_from_slice(&at[..operation::HEADER_BYTES]);
        each(op, offset, bytes);
        offset += bytes;
    }
    if crc32c::crc32c(headers) != header.ops_checksum {
        return Err("the operations are not those the batch was written with".to_owned());
    }
    Ok(())
}

/// The entries that can still be recognised in a damaged batch: the lowest and the highest index.
pub(crate) fn salvage_indices(mut body: &[u8], seed: Seed) -> Option<(Index, Index)> {
    let mut found: Option<(Index, Index)> = None;
    while body.len() >= operation::HEADER_BYTES {
        let (index, bytes) = match operation::decode_index(body, seed) {
            Ok(decoded) => decoded,
            // Operations are aligned, so the next intact one is found by looking at every place it may begin.
            Err(_) => (None, ALIGNMENT as usize),
        };
        if let Some(index) = index {
            let (low, high) = found.unwrap_or((index, index));
            found = Some((low.min(index), high.max(index)));
        }
        body = &body[bytes..];
    }
    found
}
