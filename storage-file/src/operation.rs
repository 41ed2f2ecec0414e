//! The byte form of one operation of a batch: a 16-byte header and a payload, padded to 8 bytes.
//!
//! An operation is checked on its own, so that a reader can fetch one entry out of a large batch. An entry's body is
//! not hashed again: its record brings its own checksum from the node that proposed it.

use bytes::{Buf, BufMut, Bytes};
use consensus_api::{Entry, Generation, Index, Membership, NodeId, Op, SnapshotMark, record};

/// The bytes before the payload.
pub(crate) const HEADER_BYTES: usize = 16;

const PUT: u8 = 1;
const HARD_STATE: u8 = 2;
const TRUNCATE_FROM: u8 = 3;
const COMPACT: u8 = 4;
const SNAPSHOT_MARK: u8 = 5;
const WATERMARK: u8 = 6;

/// The bytes an operation takes, header and padding included.
pub(crate) fn encoded_len(op: &Op) -> usize {
    let payload = match op {
        Op::Put(entry) => entry.record_len(),
        Op::HardState(bytes) => bytes.len(),
        Op::TruncateFrom(_) | Op::Watermark(_) => 8,
        Op::Compact { .. } => 24,
        Op::SnapshotMark(mark) => 24 + mark.membership.encode().len(),
    };
    (HEADER_BYTES + payload).next_multiple_of(8)
}

/// Appends an operation.
pub(crate) fn encode(op: &Op, salt: u64, out: &mut Vec<u8>) {
    let start = out.len();
    out.put_bytes(0, HEADER_BYTES);
    let kind = encode_payload(op, out);
    let payload = start + HEADER_BYTES;
    let len = out.len() - payload;
    out[start] = kind;
    out[start + 4..start + 8].copy_from_slice(&(len as u32).to_le_bytes());
    let guarded = payload + guarded_len(kind, len);
    let checksum = checksum(salt, &out[start..start + 8], &out[payload..guarded]);
    out[start + 8..start + 12].copy_from_slice(&checksum.to_le_bytes());
    out.resize((start + HEADER_BYTES + len).next_multiple_of(8), 0);
}

fn encode_payload(op: &Op, out: &mut Vec<u8>) -> u8 {
    match op {
        Op::Put(entry) => {
            record::encode(entry, out);
            PUT
        }
        Op::HardState(bytes) => {
            out.put_slice(bytes);
            HARD_STATE
        }
        Op::TruncateFrom(from) => {
            out.put_u64_le(from.0);
            TRUNCATE_FROM
        }
        Op::Compact { upto, generation } => {
            put_position(*upto, *generation, out);
            COMPACT
        }
        Op::SnapshotMark(mark) => {
            put_position(mark.index, mark.generation, out);
            out.put_slice(&mark.membership.encode());
            SNAPSHOT_MARK
        }
        Op::Watermark(index) => {
            out.put_u64_le(index.0);
            WATERMARK
        }
    }
}

fn put_position(index: Index, generation: Generation, out: &mut Vec<u8>) {
    out.put_u64_le(index.0);
    out.put_u64_le(generation.round);
    out.put_u64_le(generation.node.0);
}

/// How much of the payload the operation's own checksum covers.
fn guarded_len(kind: u8, len: usize) -> usize {
    if kind == PUT { record::HEADER_BYTES.min(len) } else { len }
}

fn checksum(salt: u64, header: &[u8], payload: &[u8]) -> u32 {
    let seed = crc32c::crc32c(&salt.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(seed, header), payload)
}

/// Takes one operation off the front of `bytes`. The error says in words what is wrong.
pub(crate) fn decode(bytes: &mut Bytes, salt: u64) -> Result<Op, String> {
    let (kind, mut payload) = take(bytes, salt)?;
    let op = match kind {
        PUT => Op::Put(decode_entry(&mut payload)?),
        // Copied, because it outlives the buffer it stands in.
        HARD_STATE => Op::HardState(Bytes::copy_from_slice(&payload.split_off(0))),
        TRUNCATE_FROM => Op::TruncateFrom(Index(take_u64(&mut payload)?)),
        COMPACT => {
            let (upto, generation) = take_position(&mut payload)?;
            Op::Compact { upto, generation }
        }
        SNAPSHOT_MARK => {
            let (index, generation) = take_position(&mut payload)?;
            let membership = Membership::decode(&payload.split_off(0)).map_err(|error| error.to_string())?;
            Op::SnapshotMark(SnapshotMark { index, generation, membership })
        }
        WATERMARK => Op::Watermark(Index(take_u64(&mut payload)?)),
        _ => return Err(format!("unknown kind of operation {kind}: it was written by a newer version")),
    };
    if payload.is_empty() { Ok(op) } else { Err("an operation is longer than its kind".to_owned()) }
}

/// Takes one operation off the front of `bytes`, whose body may be damaged, and returns the index of the entry it puts,
/// if it does. For telling which entries a damage concerns.
pub(crate) fn decode_index(bytes: &mut Bytes, salt: u64) -> Result<Option<Index>, String> {
    let (kind, payload) = take(bytes, salt)?;
    let header = (kind == PUT).then(|| record::decode_header(&payload));
    Ok(header.and_then(Result::ok).map(|(entry, _)| entry.index))
}

fn take(bytes: &mut Bytes, salt: u64) -> Result<(u8, Bytes), String> {
    let header = bytes.first_chunk::<HEADER_BYTES>().ok_or("an operation is cut short")?;
    let kind = header[0];
    let len = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
    let stated = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
    let whole = (HEADER_BYTES + len).next_multiple_of(8);
    if whole > bytes.len() {
        return Err("an operation is cut short".to_owned());
    }
    let payload = bytes.slice(HEADER_BYTES..HEADER_BYTES + len);
    let found = checksum(salt, &bytes[..8], &payload[..guarded_len(kind, len)]);
    if found != stated {
        return Err(format!("an operation has checksum {found:08x} instead of {stated:08x}"));
    }
    bytes.advance(whole);
    Ok((kind, payload))
}

fn decode_entry(payload: &mut Bytes) -> Result<Entry, String> {
    record::decode(payload).map_err(|error| error.to_string())
}

fn take_u64(payload: &mut Bytes) -> Result<u64, String> {
    payload.try_get_u64_le().map_err(|_| "an operation is shorter than its kind".to_owned())
}

fn take_position(payload: &mut Bytes) -> Result<(Index, Generation), String> {
    let index = Index(take_u64(payload)?);
    let round = take_u64(payload)?;
    Ok((index, Generation::new(round, NodeId(take_u64(payload)?))))
}
