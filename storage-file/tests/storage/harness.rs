//! A store under test, and the model it is compared with: the plain replay of its batches.

use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use bytes::{Bytes, BytesMut};
use consensus_api::{
    Batch, ClusterName, Commands, EngineName, Entry, EntryKind, Generation, Identity, Incarnation, Index,
    LogReader, LogStorage, LogTime, Membership, NodeId, Op, Outline, ProposalId, Recovered, SnapshotMark,
    StorageError, StoreId, WriteSeq,
};
use quorate_storage_file::simulated::SimulatedDisk;
use quorate_storage_file::{Confirmed, FileLog, FileLogOptions};

/// Where the log under test is.
pub(crate) const FOLDER: &str = "/node-1";

pub(crate) fn identity() -> Identity {
    Identity {
        cluster: ClusterName::new("test").unwrap(),
        node: NodeId(1),
        engine: EngineName("raft"),
        store: StoreId::default(),
        incarnation: Incarnation(1),
    }
}

/// Small segments, so that even short tests go through many; and one thread, so that they go the same way each time.
pub(crate) const INLINE: FileLogOptions =
    FileLogOptions { segment_bytes: 8 << 10, inline: true, confirmed: Confirmed::Nothing };
/// As [`INLINE`], with the threads of real life.
pub(crate) const THREADED: FileLogOptions =
    FileLogOptions { segment_bytes: 8 << 10, inline: false, confirmed: Confirmed::Nothing };

pub(crate) fn open(
    disk: &SimulatedDisk,
    options: FileLogOptions,
) -> Result<(FileLog, Recovered), StorageError> {
    let mut log = FileLog::open_in(disk.folder(FOLDER), options)?;
    let recovered = log.attach(&identity())?;
    Ok((log, recovered))
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future to its end in this thread.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

/// The next news of what is durable.
pub(crate) fn durable(log: &mut FileLog) -> Result<WriteSeq, StorageError> {
    block_on(std::future::poll_fn(|cx| log.poll_durable(cx)))
}

/// What is durable if that is known at once.
pub(crate) fn poll(log: &mut FileLog) -> Poll<Result<WriteSeq, StorageError>> {
    log.poll_durable(&mut Context::from_waker(Waker::noop()))
}

pub(crate) fn read_all(log: &FileLog) -> Result<Vec<Entry>, StorageError> {
    read(log, Index::ZERO..Index(u64::MAX), usize::MAX)
}

pub(crate) fn read(log: &FileLog, range: Range<Index>, bytes_max: usize) -> Result<Vec<Entry>, StorageError> {
    block_on(log.reader().read(range, bytes_max))
}

/// What a log must hold: the replay of its batches, in the simplest words.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Model {
    pub(crate) outline: Outline,
    pub(crate) entries: BTreeMap<Index, Entry>,
}

impl Model {
    pub(crate) fn of<'a>(batches: impl IntoIterator<Item = &'a Batch>) -> Self {
        let mut model = Self::default();
        for op in batches.into_iter().flat_map(Batch::ops) {
            model.replay(op);
        }
        model
    }

    pub(crate) fn replay(&mut self, op: &Op) {
        match op {
            Op::Put(entry) if entry.index > self.outline.compacted => {
                self.entries.insert(entry.index, entry.clone());
            }
            Op::TruncateFrom(from) => self.entries.retain(|index, _| index < from),
            Op::Compact { upto, .. } => self.entries.retain(|index, _| index > upto),
            _ => {}
        }
        self.outline.replay(op);
    }

    pub(crate) fn recovered(log: &FileLog, recovered: &Recovered) -> Result<Self, StorageError> {
        let entries = read_all(log)?;
        let entries = entries.into_iter().map(|entry| (entry.index, entry)).collect();
        Ok(Self { outline: recovered.outline.clone(), entries })
    }
}

/// Asserts that the log holds some number of the batches, from the first on, and at least `acked`. Returns how many.
pub(crate) fn check(
    log: &FileLog,
    recovered: &Recovered,
    batches: &[Batch],
    acked: usize,
) -> Result<usize, String> {
    let found = Model::recovered(log, recovered).map_err(|error| error.to_string())?;
    let mut model = Model::of(&batches[..acked]);
    for count in acked..=batches.len() {
        if model == found {
            return Ok(count);
        }
        for op in batches.get(count).map_or(&[][..], Batch::ops) {
            model.replay(op);
        }
    }
    Err(format!("no prefix of at least {acked} batches gives {:?}", found.outline))
}

/// A generator that needs no crate.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

pub(crate) fn entry(index: u64, round: u64, bytes: usize) -> Entry {
    let mut body = BytesMut::new();
    Commands::push(&mut body, &vec![index as u8 | 1; bytes]).unwrap();
    let proposal = ProposalId { node: NodeId(1), incarnation: Incarnation(1), sequence: index };
    let mut entry = Entry::new(EntryKind::Commands, 1, proposal, LogTime(index), body.freeze());
    entry.index = Index(index);
    entry.generation = Generation::new(round, NodeId(1));
    entry
}

fn membership_entry(index: u64, round: u64) -> Entry {
    let body = Membership::of_voters([NodeId(1), NodeId(2), NodeId(index)]).expect("a few members").encode();
    let mut entry = Entry::new(EntryKind::Membership, 0, ProposalId::default(), LogTime(1), body);
    entry.index = Index(index);
    entry.generation = Generation::new(round, NodeId(1));
    entry
}

pub(crate) fn put(entries: impl IntoIterator<Item = Entry>) -> Batch {
    entries.into_iter().map(Op::Put).collect()
}

pub(crate) fn hard_state(number: u64) -> Op {
    Op::HardState(Bytes::copy_from_slice(&number.to_le_bytes()))
}

/// Batches such as engines write, and some that none would: holes, overwriting, truncation, compaction, hints.
pub(crate) fn batches(seed: u64, count: usize) -> Vec<Batch> {
    let mut dice = Dice(seed);
    let (mut last, mut round, mut compacted) = (0, 1, 0);
    let mut batch_of = |_| {
        let mut batch = Batch::new();
        match dice.below(12) {
            0 => batch.push(Op::Watermark(Index(last))),
            1 => {
                round += 1;
                batch.push(hard_state(round));
            }
            2 if last > compacted + 1 => {
                last -= dice.below(last - compacted).min(3);
                batch.push(Op::TruncateFrom(Index(last + 1)));
                round += 1;
            }
            3 if last > compacted + 4 => {
                compacted += 1 + dice.below(last - compacted - 1);
                let generation = Generation::new(round, NodeId(1));
                let membership = Membership::of_voters([NodeId(1)]).expect("a few members");
                batch.push(Op::SnapshotMark(SnapshotMark {
                    index: Index(compacted),
                    generation,
                    membership,
                }));
                batch.push(Op::Compact { upto: Index(compacted), generation });
            }
            4 => {
                last += 1;
                batch.push(Op::Put(membership_entry(last, round)));
            }
            5 => {
                let hole = last + 2 + dice.below(3);
                batch.push(Op::Put(entry(hole, round, 10)));
                last = hole;
            }
            6 => batch.push(Op::Put(entry(last.max(1), round, 33))),
            _ => {}
        }
        for _ in 0..dice.below(4) {
            last += 1;
            batch.push(Op::Put(entry(last, round, dice.below(700) as usize)));
        }
        batch
    };
    (0..count).map(&mut batch_of).collect()
}
