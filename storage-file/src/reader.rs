//! [`FileReader`]: reads entries while others are being written.
//!
//! It asks the index where they are and reads them in a thread of its own, so that neither a runtime nor the log's
//! thread waits for it. One thread serves all readers of a log: a node reads from its own cache, and comes here to
//! catch up a peer or after a restart.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use consensus_api::{Entry, Index, LogReader, StorageError};

use crate::batch::{ALIGNMENT, BatchHeader, HEADER_BYTES};
use crate::extents::Extent;
use crate::operation::{self, Placed, Seed};
use crate::segment::REMEDY;
use crate::shared::Shared;
use crate::worker::Worker;

/// Reads the entries of a [`FileLog`](crate::FileLog).
#[derive(Clone)]
pub struct FileReader {
    shared: Arc<Shared>,
    worker: Worker,
}

impl FileReader {
    pub(crate) fn new(shared: Arc<Shared>, worker: Worker) -> Self {
        Self { shared, worker }
    }
}

impl fmt::Debug for FileReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileReader")
    }
}

#[async_trait]
impl LogReader for FileReader {
    async fn read(&self, range: Range<Index>, bytes_max: usize) -> Result<Vec<Entry>, StorageError> {
        // One look at the index, so that what is read is the log at one moment. Removed files stay open in it.
        let extents = self.shared.extents().find(&range, bytes_max as u64);
        if extents.is_empty() {
            return Ok(Vec::new());
        }
        self.worker.run(move || read(&extents, bytes_max)).await
    }
}

fn read(extents: &[Extent], bytes_max: usize) -> Result<Vec<Entry>, StorageError> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut bytes = 0;
    for extent in extents {
        for entry in read_extent(extent)? {
            if bytes >= bytes_max && !entries.is_empty() {
                return Ok(entries);
            }
            bytes += entry.record_len();
            entries.push(entry);
        }
    }
    Ok(entries)
}

pub(crate) fn read_extent(extent: &Extent) -> Result<Vec<Entry>, StorageError> {
    let segment = &extent.segment;
    let mut bytes = vec![0; extent.bytes as usize];
    let read = segment.file.read_at(&mut bytes, extent.offset);
    read.map_err(StorageError::io("cannot read", &segment.path))?;
    let bytes = Bytes::from(bytes);
    let mut entries = Vec::new();
    let mut expected = extent.first;
    let mut passed = 0;
    while passed < bytes.len() {
        let (rest, offset) = (&bytes[passed..], extent.offset + passed as u64);
        if let Some(between) = between_operations(rest, segment.seed, offset) {
            passed += between;
            continue;
        }
        let (op, taken) = match operation::decode(rest, segment.seed) {
            Ok(decoded) => decoded,
            Err(problem) => return Err(damaged(extent, offset, expected, &problem)),
        };
        passed += taken;
        match op {
            Placed::Put(entry, body) if entry.index == expected => {
                entries.push(Entry { body: bytes.slice_ref(body), ..entry });
                if expected == extent.last {
                    return Ok(entries);
                }
                expected = expected.next();
            }
            Placed::Put(entry, _) if entry.index > expected => {
                return Err(damaged(extent, offset, expected, "another entry stands here"));
            }
            // It was overwritten, truncated or compacted; or it puts nothing.
            _ => {}
        }
    }
    Err(damaged(extent, extent.offset + u64::from(extent.bytes), expected, "the batch ends before it"))
}

/// The bytes of what stands here between two operations: a batch's header, or filling. `None` if it is neither.
fn between_operations(at: &[u8], seed: Seed, offset: u64) -> Option<usize> {
    if at.iter().take(ALIGNMENT as usize).all(|byte| *byte == 0) {
        return Some(ALIGNMENT as usize);
    }
    BatchHeader::decode(at, seed, offset).map(|_| HEADER_BYTES)
}

fn damaged(extent: &Extent, offset: u64, index: Index, problem: &str) -> StorageError {
    let problem = format!("entry {index} (of {} to {}): {problem}; {REMEDY}", extent.first, extent.last);
    StorageError::Corrupt { file: extent.segment.path.clone(), offset, problem }
}
