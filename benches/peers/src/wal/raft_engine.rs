//! raft-engine, with files filled beforehand and without compression: the payload does not compress.

use std::path::Path;

use ::raft_engine::{Config, Engine as Inner, LogBatch, MessageExt, ReadableSize, RecoveryMode};
use bytes::Bytes;
use raft_rs::eraftpb::Entry;

use super::Log;
use crate::load::Failure;

const GROUP: u64 = 1;

struct Entries;

impl MessageExt for Entries {
    type Entry = Entry;

    fn index(entry: &Entry) -> u64 {
        entry.index
    }
}

/// As its defaults have it, but for what is said above.
pub struct Engine {
    inner: Inner,
    batch: LogBatch,
}

/// It opens only what is consistent to the last byte.
pub struct Strict(Engine);

/// Small files, as for the test of damage.
pub struct Small(Engine);

impl Engine {
    fn with(dir: &Path, change: impl FnOnce(&mut Config)) -> Result<(Self, Vec<Bytes>), Failure> {
        let mut config = Config {
            dir: dir.to_str().ok_or("the folder has a name in UTF-8")?.to_owned(),
            batch_compression_threshold: ReadableSize(0),
            ..Config::default()
        };
        change(&mut config);
        let inner = Inner::open(config)?;
        let mut entries = Vec::new();
        if let (Some(first), Some(last)) = (inner.first_index(GROUP), inner.last_index(GROUP)) {
            inner.fetch_entries_to::<Entries>(GROUP, first, last + 1, None, &mut entries)?;
        }
        let found = entries.into_iter().map(|entry| entry.data).collect();
        Ok((Self { inner, batch: LogBatch::default() }, found))
    }
}

fn small(config: &mut Config) {
    config.target_file_size = ReadableSize::kb(10);
}

impl Log for Engine {
    fn open(dir: &Path) -> Result<(Self, Vec<Bytes>), Failure> {
        Self::with(dir, |config| {
            config.enable_log_recycle = true;
            config.prefill_for_recycle = true;
            config.prefill_limit = Some(ReadableSize::mb(512));
        })
    }

    fn append(&mut self, first: u64, payloads: &[Bytes]) -> Result<(), Failure> {
        let entry =
            |(index, payload): (u64, &Bytes)| Entry { index, data: payload.clone(), ..Entry::default() };
        let entries: Vec<Entry> = (first..).zip(payloads).map(entry).collect();
        self.batch.add_entries::<Entries>(GROUP, &entries)?;
        self.inner.write(&mut self.batch, true)?;
        Ok(())
    }

    fn close(self) -> Result<(), Failure> {
        Ok(())
    }
}

impl Log for Small {
    fn open(dir: &Path) -> Result<(Self, Vec<Bytes>), Failure> {
        let (log, found) = Engine::with(dir, small)?;
        Ok((Self(log), found))
    }

    fn append(&mut self, first: u64, payloads: &[Bytes]) -> Result<(), Failure> {
        self.0.append(first, payloads)
    }

    fn close(self) -> Result<(), Failure> {
        self.0.close()
    }
}

impl Log for Strict {
    fn open(dir: &Path) -> Result<(Self, Vec<Bytes>), Failure> {
        let (log, found) = Engine::with(dir, |config| {
            small(config);
            config.recovery_mode = RecoveryMode::AbsoluteConsistency;
        })?;
        Ok((Self(log), found))
    }

    fn append(&mut self, first: u64, payloads: &[Bytes]) -> Result<(), Failure> {
        self.0.append(first, payloads)
    }

    fn close(self) -> Result<(), Failure> {
        self.0.close()
    }
}
