//! [`Decoder`]: bytes of one direction of a connection in, frames out, every check in between.

use std::io;

use bytes::{Buf, BytesMut};
use consensus_api::Frame;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::frame::{FrameError, GROUP, HEADER_BYTES, Header, Kind, MAGIC, VERSION_UNAGREED};

/// Asked of the socket at once before the handshake: a stranger costs no more.
const HANDSHAKE_READ_BYTES: usize = 1 << 10;
/// Asked of the socket at once afterwards. Frames share the buffer they came in, so that one small frame kept for long
/// keeps that much; larger frames get a buffer of their own size.
const READ_BYTES: usize = 64 << 10;

/// Takes frames off a stream of bytes. A payload is neither allocated nor waited for until its header has passed every
/// check, and is handed out without being copied.
#[derive(Debug)]
pub(crate) struct Decoder {
    bytes: BytesMut,
    /// The header of the frame whose payload is not complete.
    header: Option<Header>,
    version: u8,
    sequence: u32,
    payload_bytes_max: usize,
    read_bytes: usize,
}

impl Decoder {
    /// For the handshake: frames of no version, and small.
    pub(crate) fn new(payload_bytes_max: usize) -> Self {
        Self {
            bytes: BytesMut::new(),
            header: None,
            version: VERSION_UNAGREED,
            sequence: 0,
            payload_bytes_max,
            read_bytes: HANDSHAKE_READ_BYTES,
        }
    }

    /// From now on frames are of this version, and up to this size.
    pub(crate) fn agree(&mut self, version: u8, payload_bytes_max: usize) {
        self.version = version;
        self.payload_bytes_max = payload_bytes_max;
        self.read_bytes = READ_BYTES;
    }

    /// The next whole frame, or `None` when more bytes are needed. After an error the stream is of no use.
    pub(crate) fn next(&mut self) -> Result<Option<(Kind, Frame)>, FrameError> {
        loop {
            let Some(header) = self.header()? else { return Ok(None) };
            let payload_len = header.payload_len() as usize; // checked against the limit, which is a usize
            if self.bytes.len() < payload_len {
                return Ok(None);
            }
            self.header = None;
            let payload = self.bytes.split_to(payload_len);
            let found = crc32c::crc32c(&payload);
            if found != header.payload_checksum {
                return Err(FrameError::PayloadChecksum { found, stated: header.payload_checksum });
            }
            let Some(kind) = header.known_kind() else { continue };
            if header.group != GROUP {
                continue; // of a consensus that this node takes no part in
            }
            let mut body = payload.freeze();
            let head = body.split_to(header.head_len as usize);
            return Ok(Some((kind, Frame { head, body })));
        }
    }

    /// The header of the frame under way, once it is there and has passed.
    fn header(&mut self) -> Result<Option<Header>, FrameError> {
        if self.header.is_some() {
            return Ok(self.header);
        }
        // A stranger may never send as much as a header: the first two bytes give it away.
        if let Some(&first) = self.bytes.first_chunk::<2>()
            && first != MAGIC
        {
            return Err(FrameError::Magic { first });
        }
        let Some(bytes) = self.bytes.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let header = Header::decode(bytes)?;
        if header.version != self.version {
            return Err(FrameError::Version { found: header.version, agreed: self.version });
        }
        if header.payload_len() > self.payload_bytes_max as u64 {
            return Err(FrameError::TooLarge {
                bytes: header.payload_len(),
                bytes_max: self.payload_bytes_max,
            });
        }
        if header.sequence != self.sequence {
            return Err(FrameError::Sequence { found: header.sequence, expected: self.sequence });
        }
        if header.known_kind().is_none() && header.is_mandatory() {
            return Err(FrameError::Kind { kind: header.kind });
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.bytes.advance(HEADER_BYTES);
        self.header = Some(header);
        Ok(self.header)
    }

    /// Reads once from the socket. 0 means that the other side has closed.
    pub(crate) async fn fill(&mut self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<usize> {
        self.make_room();
        from.read_buf(&mut self.bytes).await
    }

    /// Takes bytes as if they had been read from a socket.
    #[cfg(test)]
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.make_room();
        self.bytes.extend_from_slice(bytes);
    }

    /// The bytes it holds on to.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Room for the payload under way, whole; otherwise for a read that is worth its system call.
    fn make_room(&mut self) {
        let room = self.bytes.capacity() - self.bytes.len();
        let (missing, worthwhile) = match &self.header {
            Some(header) => ((header.payload_len() as usize).saturating_sub(self.bytes.len()), 1),
            None => (HEADER_BYTES, self.read_bytes / 8),
        };
        if room < missing.max(worthwhile) {
            self.bytes.reserve(missing.max(self.read_bytes));
        }
    }
}

#[cfg(test)]
mod tests;
