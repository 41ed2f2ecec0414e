//! The frame: a fixed header, then the two parts of the payload. `docs/wire-format.md` is its specification.
//!
//! ```text
//!  0  u16  magic, the bytes "qF"
//!  2  u8   protocol version; 0 until the handshake has agreed on one
//!  3  u8   kind
//!  4  u16  flags; bit 0: a receiver that does not know the kind must close
//!  6  u8   lane         7  u8  reserved, 0
//!  8  u32  length of the head
//! 12  u32  length of the body
//! 16  u32  group; 0 is the only one so far
//! 20  u32  sequence: the frames sent before on this connection
//! 24  u32  CRC32C over head and body
//! 28  u32  CRC32C over bytes 0 .. 28
//! 32  ..   head, then body
//! ```

use bytes::{Buf, BufMut, Bytes};
use consensus_api::{Frame, Lane};
use thiserror::Error;

/// The bytes before the payload.
pub(crate) const HEADER_BYTES: usize = 32;
/// What every frame begins with.
pub(crate) const MAGIC: [u8; 2] = *b"qF";
/// The version in the header of handshake frames, whose layout never changes.
pub(crate) const VERSION_UNAGREED: u8 = 0;
/// The consensus group whose frames these are: the only one so far.
pub(crate) const GROUP: u32 = 0;
/// Flag: skipping a frame of an unknown kind would be wrong.
const MANDATORY: u16 = 1;
/// Where the header's own checksum stands; it covers what is before it.
const CHECKSUM_AT: usize = 28;

/// What a frame is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Who is speaking. The first frame in each direction.
    Hello = 1,
    /// Why the other's hello was not accepted. The last frame.
    Refusal = 2,
    /// A frame of the node's.
    Message = 3,
    /// Is somebody there?
    Ping = 4,
    /// Yes.
    Pong = 5,
    /// That its sender knows the shared secret. After the hello, where both have one.
    Proof = 6,
}

impl Kind {
    fn from_u8(kind: u8) -> Option<Self> {
        [Self::Hello, Self::Refusal, Self::Message, Self::Ping, Self::Pong, Self::Proof]
            .into_iter()
            .find(|known| *known as u8 == kind)
    }

    /// Nothing is lost with a ping that is not understood; with anything else, sense is.
    fn flags(self) -> u16 {
        if matches!(self, Self::Ping | Self::Pong) { 0 } else { MANDATORY }
    }
}

/// Bytes that are not the frame that was sent, or not a frame at all. The connection is closed: after one of these
/// nobody knows where the next frame begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum FrameError {
    #[error("it does not speak this protocol{}", accent(*first))]
    Magic { first: [u8; 2] },
    #[error("a frame's header is damaged: checksum {found:08x} instead of {stated:08x}")]
    HeaderChecksum { found: u32, stated: u32 },
    #[error("a frame's payload is damaged: checksum {found:08x} instead of {stated:08x}")]
    PayloadChecksum { found: u32, stated: u32 },
    #[error("a frame of protocol version {found} on a connection of version {agreed}")]
    Version { found: u8, agreed: u8 },
    #[error("a frame of {bytes} bytes exceeds the limit of {bytes_max}")]
    TooLarge { bytes: u64, bytes_max: usize },
    #[error("frame {found} arrived where frame {expected} was due")]
    Sequence { found: u32, expected: u32 },
    #[error("a frame of the unknown kind {kind}, which must not be skipped: it is from a newer version")]
    Kind { kind: u8 },
    #[error("a frame uses the field {field}, which this version keeps at 0: it is from a newer version")]
    Reserved { field: &'static str },
    #[error("a frame of kind {kind:?} has no place here")]
    OutOfPlace { kind: Kind },
    #[error("its {what} cannot be read")]
    Malformed { what: &'static str },
}

/// A guess at what a stranger speaks, for the operator who pointed it here.
fn accent(first: [u8; 2]) -> &'static str {
    match &first {
        b"HT" | b"GE" | b"PO" | b"PU" | b"HE" | b"DE" | b"OP" | b"CO" | b"PR" => "; it may speak HTTP",
        [0x16, 0x03] => "; it may speak TLS",
        b"SS" => "; it may speak SSH",
        _ => "",
    }
}

/// A frame's header, decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) version: u8,
    pub(crate) kind: u8,
    pub(crate) flags: u16,
    pub(crate) lane: u8,
    pub(crate) head_len: u32,
    pub(crate) body_len: u32,
    pub(crate) group: u32,
    pub(crate) sequence: u32,
    pub(crate) payload_checksum: u32,
}

impl Header {
    /// The bytes of the payload. 64 bits, because two lengths of 32 bits may not fit into 32.
    pub(crate) fn payload_len(&self) -> u64 {
        u64::from(self.head_len) + u64::from(self.body_len)
    }

    /// Whether a receiver that does not know the kind may carry on.
    pub(crate) fn is_mandatory(&self) -> bool {
        self.flags & MANDATORY != 0
    }

    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut out = &mut bytes[..];
        out.put_slice(&MAGIC);
        out.put_u8(self.version);
        out.put_u8(self.kind);
        out.put_u16_le(self.flags);
        out.put_u8(self.lane);
        out.put_u8(0);
        out.put_u32_le(self.head_len);
        out.put_u32_le(self.body_len);
        out.put_u32_le(self.group);
        out.put_u32_le(self.sequence);
        out.put_u32_le(self.payload_checksum);
        let checksum = crc32c::crc32c(&bytes[..CHECKSUM_AT]);
        bytes[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a header and checks all in it that does not depend on the connection.
    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, FrameError> {
        let mut from = &bytes[..];
        let first = [from.get_u8(), from.get_u8()];
        if first != MAGIC {
            return Err(FrameError::Magic { first });
        }
        let version = from.get_u8();
        let kind = from.get_u8();
        let flags = from.get_u16_le();
        let lane = from.get_u8();
        let reserved = from.get_u8();
        let head_len = from.get_u32_le();
        let body_len = from.get_u32_le();
        let group = from.get_u32_le();
        let sequence = from.get_u32_le();
        let payload_checksum = from.get_u32_le();
        let stated = from.get_u32_le();
        let found = crc32c::crc32c(&bytes[..CHECKSUM_AT]);
        if found != stated {
            return Err(FrameError::HeaderChecksum { found, stated });
        }
        for (field, in_use) in [
            ("reserved", reserved != 0),
            ("flags", flags & !MANDATORY != 0),
            ("lane", lane > Lane::Bulk as u8),
        ] {
            if in_use {
                return Err(FrameError::Reserved { field });
            }
        }
        Ok(Self { version, kind, flags, lane, head_len, body_len, group, sequence, payload_checksum })
    }

    /// The kind, if this version knows it.
    pub(crate) fn known_kind(&self) -> Option<Kind> {
        Kind::from_u8(self.kind)
    }
}

/// Numbers and seals the frames of one direction of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Sealer {
    version: u8,
    sequence: u32,
}

impl Sealer {
    /// For the handshake.
    pub(crate) const fn new() -> Self {
        Self { version: VERSION_UNAGREED, sequence: 0 }
    }

    /// From now on frames are of this version.
    pub(crate) fn agree(&mut self, version: u8) {
        self.version = version;
    }

    /// The header of the next frame. The caller has checked the lengths: they fit, as limits are below 2^32.
    pub(crate) fn seal(&mut self, kind: Kind, lane: Lane, frame: &Frame) -> [u8; HEADER_BYTES] {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        Header {
            version: self.version,
            kind: kind as u8,
            flags: kind.flags(),
            lane: lane as u8,
            head_len: frame.head.len() as u32,
            body_len: frame.body.len() as u32,
            group: GROUP,
            sequence,
            payload_checksum: crc32c::crc32c_append(crc32c::crc32c(&frame.head), &frame.body),
        }
        .encode()
    }

    /// The bytes of a frame that has one part, and a small one: hello, refusal, pong.
    pub(crate) fn whole(&mut self, kind: Kind, head: Bytes) -> Vec<u8> {
        let frame = Frame { head, body: Bytes::new() };
        let mut bytes = self.seal(kind, Lane::Control, &frame).to_vec();
        bytes.extend_from_slice(&frame.head);
        bytes
    }
}

#[cfg(test)]
mod tests;
