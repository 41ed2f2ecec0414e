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

/// Appends an operation. Its checksum holds in a segment of that seed.
pub(crate) fn encode(op: &Op, seed: Seed, out: &mut Vec<u8>) {
    let start = out.len();
    out.put_bytes(0, HEADER_BYTES);
    let kind = encode_payload(op, out);
    let payload = start + HEADER_BYTES;
    let len = out.len() - payload;
    let mut covered = [0; 8];
    covered[0] = kind;
    covered[4..].copy_from_slice(&(len as u32).to_le_bytes());
    let checksum = checksum(seed, covered, &out[payload..payload + guarded_len(kind, len)]);
    out[start..start + 8].copy_from_slice(&covered);
    out[start + 8..start + 12].copy_from_slice(&checksum.to_le_bytes());
    out.resize((start + HEADER_BYTES + len).next_multiple_of(8), 0);
}

/// Gives the operation at the front of `bytes`, as [`encode`] has left it, the checksum that holds in a segment of that
/// seed. Returns how many bytes it takes.
pub(crate) fn seed_again(bytes: &mut [u8], seed: Seed) -> usize {
    let covered: [u8; 8] = std::array::from_fn(|at| bytes[at]);
    let [kind, _, _, _, len @ ..] = covered;
    let len = u32::from_le_bytes(len) as usize;
    let checksum = checksum(seed, covered, &bytes[HEADER_BYTES..HEADER_BYTES + guarded_len(kind, len)]);
    bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
    (HEADER_BYTES + len).next_multiple_of(8)
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
const fn guarded_len(kind: u8, len: usize) -> usize {
    if kind == PUT && len > record::HEADER_BYTES { record::HEADER_BYTES } else { len }
}

/// What the checksums of a segment begin with: its salt, hashed once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seed(pub(crate) u32);

impl Seed {
    pub(crate) fn of(salt: u64) -> Self {
        Self(crc32c::crc32c(&salt.to_le_bytes()))
    }
}

fn checksum(seed: Seed, header: [u8; 8], guarded: &[u8]) -> u32 {
    // One piece is quicker than two, and nearly all are of this length.
    if let Ok(guarded) = <&[u8; record::HEADER_BYTES]>::try_from(guarded) {
        let mut piece = [0; 8 + record::HEADER_BYTES];
        piece[..8].copy_from_slice(&header);
        piece[8..].copy_from_slice(guarded);
        return crc32c::crc32c_append(seed.0, &piece);
    }
    crc32c::crc32c_append(crc32c::crc32c_append(seed.0, &header), guarded)
}

/// An operation where it stands in the log.
#[derive(Debug)]
pub(crate) enum Placed<'a> {
    /// Puts an entry, which is here without its body.
    Put(Entry, &'a [u8]),
    Other(Op),
}

impl Placed<'_> {
    /// The operation by itself, its body copied.
    #[cfg(feature = "tool")]
    pub(crate) fn into_op(self) -> Op {
        match self {
            Self::Put(entry, body) => Op::Put(Entry { body: Bytes::copy_from_slice(body), ..entry }),
            Self::Other(op) => op,
        }
    }
}

/// Reads the operation at the front of `bytes`, and says how many bytes it takes. The error says in words what is wrong.
#[inline]
pub(crate) fn decode(bytes: &[u8], seed: Seed) -> Result<(Placed<'_>, usize), String> {
    let (kind, payload, taken) = take(bytes, seed)?;
    if kind == PUT {
        let (entry, body_len) = record::check(payload).map_err(|error| error.to_string())?;
        let body = &payload[record::HEADER_BYTES..];
        return if body.len() == body_len { Ok((Placed::Put(entry, body), taken)) } else { Err(too_long()) };
    }
    Ok((Placed::Other(decode_other(kind, payload)?), taken))
}

fn too_long() -> String {
    "an operation is longer than its kind".to_owned()
}

fn decode_other(kind: u8, mut payload: &[u8]) -> Result<Op, String> {
    let op = match kind {
        HARD_STATE => Op::HardState(Bytes::copy_from_slice(std::mem::take(&mut payload))),
        TRUNCATE_FROM => Op::TruncateFrom(Index(take_u64(&mut payload)?)),
        COMPACT => {
            let (upto, generation) = take_position(&mut payload)?;
            Op::Compact { upto, generation }
        }
        SNAPSHOT_MARK => {
            let (index, generation) = take_position(&mut payload)?;
            let membership = Membership::decode(std::mem::take(&mut payload));
            let membership = membership.map_err(|error| error.to_string())?;
            Op::SnapshotMark(SnapshotMark { index, generation, membership })
        }
        WATERMARK => Op::Watermark(Index(take_u64(&mut payload)?)),
        _ => return Err(format!("unknown kind of operation {kind}: it was written by a newer version")),
    };
    if payload.is_empty() { Ok(op) } else { Err(too_long()) }
}

/// Reads the operation at the front of `bytes`, whose body may be damaged: the index of the entry it puts, if it does,
/// and how many bytes it takes. For telling which entries a damage concerns.
pub(crate) fn decode_index(bytes: &[u8], seed: Seed) -> Result<(Option<Index>, usize), String> {
    let (kind, payload, taken) = take(bytes, seed)?;
    let header = (kind == PUT).then(|| record::decode_header(payload));
    Ok((header.and_then(Result::ok).map(|(entry, _)| entry.index), taken))
}

/// The kind of the operation at the front of `bytes`, its payload, and how many bytes it takes in all.
#[inline]
fn take(bytes: &[u8], seed: Seed) -> Result<(u8, &[u8], usize), String> {
    let header = bytes.first_chunk::<HEADER_BYTES>().ok_or("an operation is cut short")?;
    let [kind, _, _, _, len @ .., _, _, _, _, _, _, _, _] = *header;
    let len = u32::from_le_bytes(len) as usize;
    let stated = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
    let whole = (HEADER_BYTES + len).next_multiple_of(8);
    if whole > bytes.len() {
        return Err("an operation is cut short".to_owned());
    }
    let payload = &bytes[HEADER_BYTES..HEADER_BYTES + len];
    let covered = *bytes.first_chunk::<8>().ok_or("an operation is cut short")?;
    let found = checksum(seed, covered, &payload[..guarded_len(kind, len)]);
    if found != stated {
        return Err(format!("an operation has checksum {found:08x} instead of {stated:08x}"));
    }
    Ok((kind, payload, whole))
}

fn take_u64(payload: &mut &[u8]) -> Result<u64, String> {
    payload.try_get_u64_le().map_err(|_| "an operation is shorter than its kind".to_owned())
}

fn take_position(payload: &mut &[u8]) -> Result<(Index, Generation), String> {
    let index = Index(take_u64(payload)?);
    let round = take_u64(payload)?;
    Ok((index, Generation::new(round, NodeId(take_u64(payload)?))))
}
