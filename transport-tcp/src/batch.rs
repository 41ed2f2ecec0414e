//! [`Batch`]: the frames of one write.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;

use bytes::{Buf, Bytes, BytesMut};
use consensus_api::{Frame, Lane};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::frame::{HEADER_BYTES, Kind, Sealer};
use crate::pace::Pace;
use crate::silence::Silence;

/// Parts up to this size are copied next to their neighbours; larger ones are written from where they are. A copy of
/// 16 KiB costs about what a further slice costs the system call.
const COPY_BYTES_MAX: usize = 16 << 10;
/// Slices handed to one system call.
const SLICES_MAX: usize = 64;

/// Encoded frames on their way into a socket. Small frames lie side by side, large parts are shared with their owner,
/// and all of it goes out in one vectored write if the socket takes it.
#[derive(Debug)]
pub(crate) struct Batch {
    sealer: Sealer,
    pieces: VecDeque<Bytes>,
    small: BytesMut,
}

impl Batch {
    pub(crate) fn new(sealer: Sealer) -> Self {
        Self { sealer, pieces: VecDeque::new(), small: BytesMut::new() }
    }

    /// Adds a frame.
    pub(crate) fn push(&mut self, kind: Kind, lane: Lane, frame: &Frame) {
        let header = self.sealer.seal(kind, lane, frame);
        self.small.reserve(HEADER_BYTES);
        self.small.extend_from_slice(&header);
        for part in [&frame.head, &frame.body] {
            if part.len() <= COPY_BYTES_MAX {
                self.small.extend_from_slice(part);
            } else {
                self.seal_small();
                self.pieces.push_back(part.clone());
            }
        }
    }

    fn seal_small(&mut self) {
        if !self.small.is_empty() {
            self.pieces.push_back(self.small.split().freeze());
        }
    }

    /// Writes all of it. That the socket took more after it had been full is a sign of life from the other side, whose
    /// system must have taken what filled it.
    pub(crate) async fn write_to(
        &mut self,
        to: &mut (impl AsyncWrite + Unpin),
        silence: &Silence,
        mut pace: Option<&mut Pace>,
    ) -> io::Result<()> {
        self.seal_small();
        while !self.pieces.is_empty() {
            let mut bytes_max = usize::MAX;
            if let Some(pace) = &pace {
                bytes_max = pace.piece_bytes_max();
                // It is we who are slow: that says nothing about the other side.
                if pace.wait().await {
                    silence.broken();
                }
            }
            let mut waited = false;
            let written = poll_fn(|cx| {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                let (mut count, mut bytes) = (0, 0);
                for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
                    if bytes == bytes_max {
                        break;
                    }
                    let piece = &piece[..piece.len().min(bytes_max - bytes)];
                    *slice = IoSlice::new(piece);
                    (count, bytes) = (count + 1, bytes + piece.len());
                }
                let written = Pin::new(&mut *to).poll_write_vectored(cx, &slices[..count]);
                waited |= written.is_pending();
                written
            })
            .await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            if waited {
                silence.broken();
            }
            if let Some(pace) = &mut pace {
                pace.spend(written);
            }
            self.advance(written);
        }
        to.flush().await
    }

    fn advance(&mut self, mut written: usize) {
        while let Some(piece) = self.pieces.front_mut() {
            if written < piece.len() {
                piece.advance(written);
                return;
            }
            written -= piece.len();
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
