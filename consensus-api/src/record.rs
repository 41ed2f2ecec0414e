//! The one byte form of an [`Entry`], shared by disk and wire.
//!
//! ```text
//!  0  u32  length of the body
//!  4  u32  checksum: CRC32C over bytes 32 .. 72 and the body
//!  8  u64  generation, round        ┐ may be stamped again by an engine,
//! 16  u64  generation, node         │ so outside the checksum; storage and
//! 24  u64  index                    ┘ transport cover them with their own
//! 32  u8   kind      33  u8  flags      34  u16  reserved, 0
//! 36  u32  number of commands
//! 40  u64  proposal, node
//! 48  u64  proposal, incarnation
//! 56  u64  proposal, sequence
//! 64  u64  log time, milliseconds since the Unix epoch
//! 72  ..   body
//! ```
//!
//! All numbers are little-endian. The body's length is covered because a wrong length moves the checksum's end.

use bytes::{Buf, BufMut, Bytes};
use thiserror::Error;

use crate::{Entry, EntryKind, Generation, Incarnation, Index, LogTime, NodeId, ProposalId};

/// The bytes before the body.
pub const HEADER_BYTES: usize = 72;
/// Where the checksummed part of the header begins.
const FIXED_FROM: usize = 32;
/// The largest body. A longer length in a header is damage, and is refused before anything is allocated.
pub const BODY_BYTES_MAX: usize = 64 << 20;

/// Bytes that are no record, or no whole one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The bytes end inside the record.
    #[error("the record is cut short: {have} of {need} bytes")]
    Short {
        /// Bytes there.
        have: usize,
        /// Bytes needed.
        need: usize,
    },
    /// A length beyond the limit.
    #[error("a record of {bytes} bytes exceeds the limit of {bytes_max}")]
    TooLarge {
        /// The length stated.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// A kind this version does not know.
    #[error("unknown kind of entry {kind}: it was written by a newer version")]
    Kind {
        /// The number found.
        kind: u8,
    },
    /// A field that is kept for later versions is in use.
    #[error("a reserved field is not zero: the record was written by a newer version")]
    Reserved,
    /// The bytes are not what was written.
    #[error("checksum {found:08x} instead of {stated:08x}")]
    Checksum {
        /// As computed.
        found: u32,
        /// As stated.
        stated: u32,
    },
    /// The body holds fewer commands than the header says.
    #[error("the body lacks {commands_missing} of its commands")]
    Body {
        /// How many are missing.
        commands_missing: u32,
    },
}

/// The checksum of an entry: over all that the proposing node fixed, not over generation and index.
pub fn checksum(entry: &Entry) -> u32 {
    let header = header(entry);
    crc32c::crc32c_append(crc32c::crc32c(&header[FIXED_FROM..]), &entry.body)
}

/// The first [`HEADER_BYTES`] of an entry's record.
pub fn header(entry: &Entry) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    let mut out = &mut bytes[..];
    out.put_u32_le(entry.body.len() as u32);
    out.put_u32_le(entry.checksum);
    out.put_u64_le(entry.generation.round);
    out.put_u64_le(entry.generation.node.0);
    out.put_u64_le(entry.index.0);
    out.put_u8(entry.kind as u8);
    out.put_u8(entry.flags);
    out.put_u16_le(0);
    out.put_u32_le(entry.count);
    out.put_u64_le(entry.proposal.node.0);
    out.put_u64_le(entry.proposal.incarnation.0);
    out.put_u64_le(entry.proposal.sequence);
    out.put_u64_le(entry.time.0);
    bytes
}

/// Appends the whole record.
pub fn encode(entry: &Entry, out: &mut impl BufMut) {
    out.put_slice(&header(entry));
    out.put_slice(&entry.body);
}

/// Takes one record off the front of `bytes`, sharing its body. On an error `bytes` is left as it was.
///
/// # Errors
/// [`RecordError`] says what is wrong. [`RecordError::Short`] may only mean that more bytes have yet to come.
pub fn decode(bytes: &mut Bytes) -> Result<Entry, RecordError> {
    let (mut entry, body_len) = check(bytes)?;
    let end = HEADER_BYTES + body_len;
    entry.body = bytes.slice(HEADER_BYTES..end);
    bytes.advance(end);
    Ok(entry)
}

/// Checks the record at the front of `bytes` where it stands, and copies nothing: the entry without its body, and the
/// body's length.
///
/// # Errors
/// As [`decode`].
#[inline]
pub fn check(bytes: &[u8]) -> Result<(Entry, usize), RecordError> {
    let (entry, body_len) = decode_header(bytes)?;
    let need = HEADER_BYTES + body_len;
    if bytes.len() < need {
        return Err(RecordError::Short { have: bytes.len(), need });
    }
    let found = crc32c::crc32c(&bytes[FIXED_FROM..need]);
    if found != entry.checksum {
        return Err(RecordError::Checksum { found, stated: entry.checksum });
    }
    Ok((entry, body_len))
}

/// Reads a record's header: the entry without its body, and the body's length. Nothing is checked against the
/// checksum, which needs the body.
///
/// # Errors
/// [`RecordError::Short`], [`RecordError::TooLarge`], [`RecordError::Kind`] or [`RecordError::Reserved`].
#[inline]
pub fn decode_header(bytes: &[u8]) -> Result<(Entry, usize), RecordError> {
    if bytes.len() < HEADER_BYTES {
        return Err(RecordError::Short { have: bytes.len(), need: HEADER_BYTES });
    }
    let mut from = &bytes[..HEADER_BYTES];
    let body_len = from.get_u32_le() as usize;
    if body_len > BODY_BYTES_MAX {
        return Err(RecordError::TooLarge { bytes: body_len, bytes_max: BODY_BYTES_MAX });
    }
    let checksum = from.get_u32_le();
    let generation = Generation { round: from.get_u64_le(), node: NodeId(from.get_u64_le()) };
    let index = Index(from.get_u64_le());
    let kind = from.get_u8();
    let kind = EntryKind::from_u8(kind).ok_or(RecordError::Kind { kind })?;
    let flags = from.get_u8();
    let reserved = from.get_u16_le();
    if flags != 0 || reserved != 0 {
        return Err(RecordError::Reserved);
    }
    let count = from.get_u32_le();
    let proposal = ProposalId {
        node: NodeId(from.get_u64_le()),
        incarnation: Incarnation(from.get_u64_le()),
        sequence: from.get_u64_le(),
    };
    let time = LogTime(from.get_u64_le());
    let body = Bytes::new();
    Ok((Entry { generation, index, kind, flags, count, proposal, time, checksum, body }, body_len))
}
