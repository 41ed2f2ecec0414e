//! okaywal, with segments of 16 MiB instead of 1 MiB. An entry of it is one batch; each payload is a chunk.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use ::okaywal::{Configuration, Entry, EntryId, LogManager, SegmentReader, WriteAheadLog};
use bytes::Bytes;

use super::Log;
use crate::load::Failure;

/// Takes down what is recovered; throws away what is checkpointed.
#[derive(Clone, Debug, Default)]
struct Found(Arc<Mutex<Vec<Bytes>>>);

impl LogManager for Found {
    fn recover(&mut self, entry: &mut Entry<'_>) -> io::Result<()> {
        if let Some(chunks) = entry.read_all_chunks()? {
            let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            found.extend(chunks.into_iter().map(Bytes::from));
        }
        Ok(())
    }

    fn checkpoint_to(
        &mut self,
        _last: EntryId,
        _entries: &mut SegmentReader,
        _wal: &WriteAheadLog,
    ) -> io::Result<()> {
        Ok(())
    }
}

/// The log.
pub struct Wal(WriteAheadLog);

impl Log for Wal {
    fn open(dir: &Path) -> Result<(Self, Vec<Bytes>), Failure> {
        let found = Found::default();
        let config = Configuration::default_for(dir)
            .preallocate_bytes(16 << 20)
            .checkpoint_after_bytes(12 << 20)
            .buffer_bytes(128 << 10);
        let log = config.open(found.clone())?;
        let found = std::mem::take(&mut *found.0.lock().unwrap_or_else(PoisonError::into_inner));
        Ok((Self(log), found))
    }

    fn append(&mut self, _first: u64, payloads: &[Bytes]) -> Result<(), Failure> {
        let mut entry = self.0.begin_entry()?;
        for payload in payloads {
            entry.write_chunk(payload)?;
        }
        entry.commit()?;
        Ok(())
    }

    fn close(self) -> Result<(), Failure> {
        Ok(self.0.shutdown()?)
    }
}
