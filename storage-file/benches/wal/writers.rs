//! One writer, which waits for each batch or keeps a further one under way, and many that share syncs.

use std::future::poll_fn;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use consensus_api::{
    Batch, ClusterName, Commands, EngineName, Entry, EntryKind, Generation, Identity, Incarnation, Index,
    LogStorage, LogTime, NodeId, Op, ProposalId, StoreId, WriteSeq,
};
use quorate_storage_file::disk::RealFolder;
use quorate_storage_file::faulty::{FaultPlan, Operation};
use quorate_storage_file::{FileLog, FileLogOptions};

pub(crate) fn identity() -> Identity {
    Identity {
        cluster: ClusterName::new("bench").unwrap(),
        node: NodeId(1),
        engine: EngineName("raft"),
        store: StoreId::default(),
        incarnation: Incarnation(1),
    }
}

/// A body of one command of that many bytes.
pub(crate) fn body(bytes: usize) -> Bytes {
    let mut body = BytesMut::new();
    Commands::push(&mut body, &vec![7; bytes]).unwrap();
    body.freeze()
}

pub(crate) fn entry(index: u64, body: &Bytes) -> Entry {
    let mut entry = Entry::new(EntryKind::Commands, 1, ProposalId::default(), LogTime(index), body.clone());
    entry.index = Index(index);
    entry.generation = Generation::new(1, NodeId(1));
    entry
}

/// The bytes that a batch of so many entries takes in the log.
pub(crate) fn batch_bytes_of(entries: usize, payload: usize) -> usize {
    48 + entries * (16 + entry(1, &body(payload)).record_len()).next_multiple_of(8)
}

/// The same of 256 bytes each.
pub(crate) fn batch_bytes(entries: usize) -> usize {
    batch_bytes_of(entries, 256)
}

pub(crate) fn wait(log: &mut FileLog) -> WriteSeq {
    futures::executor::block_on(poll_fn(|cx| log.poll_durable(cx))).unwrap()
}

/// A log whose first large segment is ready.
fn warm(mut log: FileLog) -> (FileLog, u64) {
    log.attach(&identity()).unwrap();
    let body = body(256);
    let mut last = 0;
    for _ in 0..20 {
        let batch: Batch = (0..256).map(|at| Op::Put(entry(last + 1 + at, &body))).collect();
        last += 256;
        log.submit(WriteSeq(last), batch).unwrap();
        wait(&mut log);
        std::thread::sleep(Duration::from_millis(25));
    }
    (log, last)
}

/// One writer. Behind it the log is compacted, as it is in any service that runs for a while: so segments are used again,
/// and none has to be filled with zeros.
pub(crate) struct One {
    log: FileLog,
    plan: FaultPlan,
    /// The batch submitted last.
    seq: u64,
    /// What comes to the log is there already.
    next: Batch,
    last: u64,
    entries: u64,
    compacted: u64,
}

/// Entries that are kept: three segments, about.
const KEPT: u64 = 500_000;
/// Compacted at a time: half a segment, about.
const COMPACTED: u64 = 90_000;

impl One {
    /// A writer of batches of so many entries.
    pub(crate) fn new(path: &Path, entries: u64) -> Self {
        let plan = FaultPlan::default();
        let folder = plan.over(Arc::new(RealFolder::open(path).unwrap()));
        let (log, last) = warm(FileLog::open_in(folder, FileLogOptions::default()).unwrap());
        let (seq, next) = (last, Batch::new());
        let mut writer = Self { log, plan, seq, next, last, entries: 256, compacted: 0 };
        writer.next = writer.batch();
        while writer.compacted < KEPT {
            writer.per_second(0.2, 1);
        }
        writer.entries = entries;
        writer.per_second(0.01, 1);
        writer
    }

    /// Batches per second, so many under way at a time: with 1 the writer waits for each, with 2 it hands in the next one
    /// as soon as one is being synced. Each has a sync of its own: batches that shared one all the same count once.
    pub(crate) fn per_second(&mut self, seconds: f64, under_way: u64) -> f64 {
        let (first, syncs_before) = (self.seq, self.plan.count(Operation::Sync));
        let mut durable = first;
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs_f64(seconds) {
            while self.seq < durable + under_way {
                let begun = |writer: &Self| writer.plan.count(Operation::Sync) - syncs_before;
                while self.seq > durable && begun(self) < self.seq - first {
                    std::thread::yield_now();
                }
                self.seq += 1;
                self.log.submit(WriteSeq(self.seq), std::mem::take(&mut self.next)).unwrap();
                self.next = self.batch();
            }
            durable = wait(&mut self.log).0;
        }
        let elapsed = begin.elapsed();
        let syncs = self.plan.count(Operation::Sync) - syncs_before;
        let count = syncs.min(durable - first);
        while durable < self.seq {
            durable = wait(&mut self.log).0;
        }
        f64::from(u32::try_from(count).unwrap()) / elapsed.as_secs_f64()
    }

    /// The next batch. Each entry has bytes of its own, as in a service: they are in this processor's cache, not in that
    /// of the log's thread.
    fn batch(&mut self) -> Batch {
        let first = self.last + 1;
        let entries = (first..first + self.entries).map(|at| Op::Put(entry(at, &body(256))));
        let compact = (self.last > self.compacted + KEPT + COMPACTED).then(|| {
            self.compacted += COMPACTED;
            Op::Compact { upto: Index(self.compacted), generation: Generation::new(1, NodeId(1)) }
        });
        let batch = entries.chain(compact).collect();
        self.last += self.entries;
        batch
    }
}

/// Appends and syncs per second of so many writers, each of which waits for its own entry.
pub(crate) fn many(path: &Path, writers: u64, seconds: f64) -> (f64, f64) {
    let plan = FaultPlan::default();
    let folder = plan.over(Arc::new(RealFolder::open(path).unwrap()));
    let (mut log, first) = warm(FileLog::open_in(folder, FileLogOptions::default()).unwrap());
    let body = body(256);
    let (mut last, mut durable) = (first, first);
    let before = plan.count(Operation::Sync);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs_f64(seconds) {
        while last < durable + writers {
            last += 1;
            log.submit(WriteSeq(last), [Op::Put(entry(last, &body))].into_iter().collect()).unwrap();
        }
        durable = wait(&mut log).0;
    }
    let elapsed = begin.elapsed().as_secs_f64();
    let syncs = plan.count(Operation::Sync) - before;
    drop(log);
    std::fs::remove_dir_all(path).unwrap();
    // Both are small enough to be counted in 32 bits.
    let per_second = |count: u64| f64::from(u32::try_from(count).unwrap()) / elapsed;
    (per_second(durable - first), per_second(syncs))
}
