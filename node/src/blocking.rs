//! Waiting for a future on a thread that has nothing else to do, and snapshots as plain readers and writers.

use std::future::Future;
use std::io::{self, Read, Write};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use bytes::{Buf, Bytes, BytesMut};
use consensus_api::{SNAPSHOT_CHUNK_BYTES_MAX, SnapshotReader, SnapshotWriter, StorageError};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future. Blocks the thread.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

/// A snapshot as a plain reader.
pub(crate) struct ReadSnapshot<'a> {
    snapshot: &'a dyn SnapshotReader,
    offset: u64,
    chunk: Bytes,
}

impl<'a> ReadSnapshot<'a> {
    pub(crate) fn new(snapshot: &'a dyn SnapshotReader) -> Self {
        Self { snapshot, offset: 0, chunk: Bytes::new() }
    }
}

impl Read for ReadSnapshot<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.chunk.is_empty() && self.offset < self.snapshot.len() {
            self.chunk = wait(self.snapshot.read_at(self.offset, SNAPSHOT_CHUNK_BYTES_MAX))
                .map_err(io::Error::other)?;
            self.offset += self.chunk.len() as u64;
        }
        let len = out.len().min(self.chunk.len());
        self.chunk.copy_to_slice(&mut out[..len]);
        Ok(len)
    }
}

/// A snapshot in the making as a plain writer.
pub(crate) struct WriteSnapshot {
    snapshot: Box<dyn SnapshotWriter>,
    chunk: BytesMut,
}

impl WriteSnapshot {
    pub(crate) fn new(snapshot: Box<dyn SnapshotWriter>) -> Self {
        Self { snapshot, chunk: BytesMut::with_capacity(SNAPSHOT_CHUNK_BYTES_MAX) }
    }

    /// Makes the snapshot durable.
    pub(crate) fn finish(mut self) -> Result<(), StorageError> {
        self.flush_chunk()?;
        wait(self.snapshot.finish())
    }

    fn flush_chunk(&mut self) -> Result<(), StorageError> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        wait(self.snapshot.append(self.chunk.split().freeze()))
    }
}

impl Write for WriteSnapshot {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len().min(SNAPSHOT_CHUNK_BYTES_MAX - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..len]);
        if self.chunk.len() == SNAPSHOT_CHUNK_BYTES_MAX {
            self.flush()?;
        }
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flush_chunk().map_err(io::Error::other)
    }
}
