//! storage-file, through the seam that `node` uses: submit a batch, wait until it is reported durable.

use std::future::poll_fn;
use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use consensus_api::{
    Batch, ClusterName, Commands, EngineName, Entry, EntryKind, Generation, Identity, Incarnation, Index,
    LogReader, LogStorage, LogTime, NodeId, Op, ProposalId, StoreId, WriteSeq,
};
use futures::executor::block_on;
use storage_file::disk::{Folder, RealFolder};
use storage_file::faulty::{FaultPlan, Operation};
use storage_file::{FileLog, FileLogOptions};

use super::{Log, Running, payload};
use crate::load::Failure;

/// Entries that are kept: three segments, about.
const KEPT: u64 = 500_000;
/// Compacted at a time: half a segment, about.
const COMPACTED: u64 = 90_000;

/// A log as by default, with a thread of its own.
pub struct Files {
    log: FileLog,
    seq: WriteSeq,
    durable: WriteSeq,
    last: u64,
    compacted: u64,
}

/// A log without threads: what suits one writer that waits for each batch.
pub struct Inline(Files);

/// A log with small segments, as for the test of damage.
pub struct Small(Files);

impl Files {
    fn with(dir: &Path, options: FileLogOptions) -> Result<(Self, Vec<Bytes>), Failure> {
        Self::over(Arc::new(RealFolder::open(dir)?), options)
    }

    fn over(folder: Arc<dyn Folder>, options: FileLogOptions) -> Result<(Self, Vec<Bytes>), Failure> {
        let mut log = FileLog::open_in(folder, options)?;
        let recovered = log.attach(&Identity {
            cluster: ClusterName::new("bench").ok_or("a name has 1 to 64 bytes")?,
            node: NodeId(1),
            engine: EngineName("raft"),
            store: StoreId::default(),
            incarnation: Incarnation(7),
        })?;
        let last = recovered.outline.last();
        let mut found = Vec::new();
        while (found.len() as u64) < last.0 {
            let next = Index(found.len() as u64 + 1);
            let entries = block_on(log.reader().read(next..last.next(), 1 << 20))?;
            if entries.is_empty() {
                return Err(format!("{next} cannot be read").into());
            }
            for entry in entries {
                found.push(entry.commands().next().ok_or("every entry holds a command")??);
            }
        }
        let (seq, durable) = (WriteSeq(0), WriteSeq(0));
        Ok((Self { log, seq, durable, last: last.0, compacted: 0 }, found))
    }
}

fn entry(index: u64, payload: &[u8]) -> Result<Op, Failure> {
    let mut body = BytesMut::with_capacity(payload.len() + 4);
    Commands::push(&mut body, payload)?;
    let proposal = ProposalId { node: NodeId(1), incarnation: Incarnation(7), sequence: index };
    let mut entry = Entry::new(EntryKind::Commands, 1, proposal, LogTime::ZERO, body.freeze());
    entry.index = Index(index);
    entry.generation = Generation { round: 1, node: NodeId(1) };
    Ok(Op::Put(entry))
}

impl Files {
    /// A log that has run for a while already, as raft-engine's is with its files filled beforehand.
    fn in_use(folder: Arc<dyn Folder>, options: FileLogOptions) -> Result<(Self, Vec<Bytes>), Failure> {
        let (mut files, found) = Self::over(folder, options)?;
        let payloads: Vec<Bytes> = (0..256).map(payload).collect();
        while files.compacted < KEPT {
            files.append(files.last + 1, &payloads)?;
        }
        Ok((files, found))
    }

    /// Hands in a batch of these payloads.
    fn submit(&mut self, payloads: &[Bytes]) -> Result<(), Failure> {
        let mut batch = Batch::new();
        for payload in payloads {
            self.last += 1;
            batch.push(entry(self.last, payload)?);
        }
        // What is compacted is used again.
        if self.last > self.compacted + KEPT + COMPACTED {
            self.compacted += COMPACTED;
            let generation = Generation { round: 1, node: NodeId(1) };
            batch.push(Op::Compact { upto: Index(self.compacted), generation });
        }
        self.seq = WriteSeq(self.seq.0 + 1);
        Ok(self.log.submit(self.seq, batch)?)
    }

    /// Waits until that batch is durable.
    fn wait(&mut self, seq: WriteSeq) -> Result<(), Failure> {
        while self.durable < seq {
            self.durable = block_on(poll_fn(|cx| self.log.poll_durable(cx)))?;
        }
        Ok(())
    }
}

/// A log as by default, that gets its next batch while one is being synced. The calls of the other logs return when a batch is
/// durable, so one writer cannot do this with them.
pub(super) fn ahead(dir: &Path) -> Result<Running, Failure> {
    let plan = FaultPlan::default();
    let folder = plan.over(Arc::new(RealFolder::open(dir)?));
    let (mut files, _) = Files::in_use(folder, FileLogOptions::default())?;
    let payloads: Vec<Bytes> = (0..256).map(payload).collect();
    let append = move |count: usize| {
        files.submit(&payloads[..count])?;
        files.wait(WriteSeq(files.seq.0 - 1))
    };
    let syncs = move || plan.count(Operation::Sync);
    Ok(Running { append: Box::new(append), syncs: Some(Box::new(syncs)) })
}

impl Log for Files {
    fn open(dir: &Path) -> Result<(Self, Vec<Bytes>), Failure> {
        Self::in_use(Arc::new(RealFolder::open(dir)?), FileLogOptions::default())
    }

    fn append(&mut self, _first: u64, payloads: &[Bytes]) -> Result<(), Failure> {
        self.submit(payloads)?;
        self.wait(self.seq)
    }

    fn close(self) -> Result<(), Failure> {
        drop(self.log);
        Ok(())
    }
}

impl Log for Inline {
    fn open(dir: &Path) -> Result<(Self, Vec<Bytes>), Failure> {
        let options = FileLogOptions { inline: true, ..FileLogOptions::default() };
        Files::in_use(Arc::new(RealFolder::open(dir)?), options).map(|(files, found)| (Self(files), found))
    }

    fn append(&mut self, first: u64, payloads: &[Bytes]) -> Result<(), Failure> {
        self.0.append(first, payloads)
    }

    fn close(self) -> Result<(), Failure> {
        self.0.close()
    }
}

impl Log for Small {
    fn open(dir: &Path) -> Result<(Self, Vec<Bytes>), Failure> {
        let (log, found) =
            Files::with(dir, FileLogOptions { segment_bytes: 20 << 10, ..FileLogOptions::default() })?;
        Ok((Self(log), found))
    }

    fn append(&mut self, first: u64, payloads: &[Bytes]) -> Result<(), Failure> {
        self.0.append(first, payloads)
    }

    fn close(self) -> Result<(), Failure> {
        self.0.close()
    }
}
