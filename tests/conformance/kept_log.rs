//! [`KeptLog`]: a log that can be opened again within a test, whole unless it is told to have a [`Flaw`].

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use async_trait::async_trait;
use quorate::{
    Batch, Entry, Identity, Index, LogReader, LogStorage, MemoryLog, MemoryReader, Op, Recovered,
    SnapshotStorage, StorageError, StoreId, WriteSeq,
};

use crate::broken::snapshots::{Shelf, ShelfFlaw};

/// What is wrong with a [`KeptLog`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flaw {
    None,
    /// Whoever comes may have it.
    TakesAnyone,
    /// A store with a new number each time.
    DrawsStoreAgain,
    /// Two batches under way change places.
    SwapsBatches,
    /// Reports what was never handed in.
    ReportsTooMuch,
    /// A put removes what stands above, as an append would.
    AppendsOnly,
    /// A late put brings a compacted entry back.
    Resurrects,
    /// A hint alone is never written.
    LosesHints,
    /// The newest batch waits for the next.
    WritesLate,
    /// Of a batch with several operations, the last is not written.
    TearsBatches,
    /// Half of a batch is visible before the other.
    ShowsHalves,
    /// Reads whatever there is, however large.
    ReadsTooMuch,
    /// Reads nothing if the first entry does not fit.
    ReadsNothing,
    /// Reports before it has written.
    SpeaksTooSoon,
    /// Goes on after a failure.
    GoesOn,
}

/// What outlives the log.
#[derive(Default)]
pub(crate) struct Disk {
    owner: Option<Identity>,
    stores: u64,
    batches: Vec<Batch>,
    /// How many operations are left until the power fails.
    pub(crate) power: Option<u64>,
    pub(crate) shelf: Shelf,
    /// Compacted entries that came back.
    resurrected: Vec<Entry>,
}

impl Disk {
    /// One operation; `false` once the power has failed.
    fn operate(&mut self) -> bool {
        match &mut self.power {
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                *left > 0
            }
        }
    }
}

pub(crate) type SharedDisk = Arc<Mutex<Disk>>;

pub(crate) fn lock(disk: &SharedDisk) -> MutexGuard<'_, Disk> {
    disk.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A log on such a disk.
pub(crate) struct KeptLog {
    disk: SharedDisk,
    memory: MemoryLog,
    flaw: Flaw,
    shelf_flaw: ShelfFlaw,
    waiting: Vec<Batch>,
    newest: WriteSeq,
    compacted: Index,
    failed: bool,
}

impl KeptLog {
    pub(crate) fn on(disk: &SharedDisk, flaw: Flaw, shelf_flaw: ShelfFlaw) -> Self {
        let (disk, memory) = (disk.clone(), MemoryLog::new());
        let (newest, compacted) = (WriteSeq(0), Index::ZERO);
        Self { disk, memory, flaw, shelf_flaw, waiting: Vec::new(), newest, compacted, failed: false }
    }

    /// What becomes of a batch on its way to the disk.
    fn flawed(&mut self, batch: Batch) -> Batch {
        let mut ops = Vec::new();
        let several = batch.ops().len() > 1;
        let loses = self.flaw == Flaw::LosesHints && batch.is_lazy();
        for op in batch.into_ops() {
            match op {
                Op::Put(entry) if entry.index <= self.compacted && self.flaw == Flaw::Resurrects => {
                    lock(&self.disk).resurrected.push(entry);
                }
                Op::Put(entry) if self.flaw == Flaw::AppendsOnly => {
                    ops.extend([Op::TruncateFrom(entry.index), Op::Put(entry)]);
                }
                Op::Compact { upto, generation } => {
                    self.compacted = self.compacted.max(upto);
                    ops.push(Op::Compact { upto, generation });
                }
                op => ops.push(op),
            }
        }
        if self.flaw == Flaw::TearsBatches && several {
            ops.pop();
        }
        if loses {
            ops.clear();
        }
        ops.into_iter().collect()
    }

    /// Writes what waits.
    fn write(&mut self) -> Result<(), StorageError> {
        let mut batches = std::mem::take(&mut self.waiting);
        if self.flaw == Flaw::SwapsBatches && batches.len() > 1 {
            batches.swap(0, 1);
        }
        for batch in batches {
            let batch = self.flawed(batch);
            self.memory.submit(WriteSeq(1), batch.clone())?;
            let mut disk = lock(&self.disk);
            if !disk.operate() && self.flaw != Flaw::SpeaksTooSoon {
                self.failed = self.flaw != Flaw::GoesOn;
                return Err(StorageError::Poisoned);
            }
            if disk.power != Some(0) {
                disk.batches.push(batch);
            }
        }
        Ok(())
    }
}

impl LogStorage for KeptLog {
    type Reader = KeptReader;

    fn attach(&mut self, identity: &Identity) -> Result<Recovered, StorageError> {
        let mut disk = lock(&self.disk);
        let owner = disk.owner.get_or_insert_with(|| identity.clone()).clone();
        let same = owner.cluster == identity.cluster
            && owner.node == identity.node
            && owner.engine == identity.engine;
        if !same && self.flaw != Flaw::TakesAnyone {
            return Err(StorageError::Unsupported { what: "this log is another's" });
        }
        disk.stores += 1;
        let number = if self.flaw == Flaw::DrawsStoreAgain { disk.stores } else { 1 };
        let batches = disk.batches.clone();
        drop(disk);
        for batch in batches {
            let compactions = batch
                .ops()
                .iter()
                .filter_map(|op| if let Op::Compact { upto, .. } = op { Some(*upto) } else { None });
            self.compacted = compactions.fold(self.compacted, Index::max);
            self.memory.submit(WriteSeq(0), batch)?;
        }
        let recovered = self.memory.attach(identity)?;
        Ok(Recovered { store: StoreId(u128::from(number)), ..recovered })
    }

    fn submit(&mut self, seq: WriteSeq, batch: Batch) -> Result<(), StorageError> {
        if self.failed {
            return Err(StorageError::Poisoned);
        }
        self.newest = seq;
        if self.flaw == Flaw::ShowsHalves {
            self.write()?;
            let mut ops = batch.into_ops();
            let rest = ops.split_off(ops.len() / 2);
            self.waiting.extend([ops.into_iter().collect(), rest.into_iter().collect()]);
            let first = self.waiting.remove(0);
            lock(&self.disk).batches.push(first.clone());
            return self.memory.submit(seq, first);
        }
        self.waiting.push(batch);
        Ok(())
    }

    fn poll_durable(&mut self, cx: &mut Context<'_>) -> Poll<Result<WriteSeq, StorageError>> {
        if self.failed {
            return Poll::Ready(Err(StorageError::Poisoned));
        }
        let late = self.flaw == Flaw::WritesLate;
        if self.waiting.is_empty() {
            return self.memory.poll_durable(cx).map(|report| report.map(|_| self.newest));
        }
        let held = if late { self.waiting.pop() } else { None };
        let written = self.write();
        self.waiting.extend(held);
        if late {
            let reported = self.newest;
            let batch = self.waiting[0].clone();
            // Readers see it, the disk does not.
            return Poll::Ready(self.memory.submit(WriteSeq(1), batch).map(|()| reported));
        }
        let beyond = u64::from(self.flaw == Flaw::ReportsTooMuch);
        Poll::Ready(written.map(|()| WriteSeq(self.newest.0 + beyond)))
    }

    fn reader(&self) -> KeptReader {
        KeptReader { disk: self.disk.clone(), memory: self.memory.reader(), flaw: self.flaw }
    }

    fn snapshots(&self) -> Box<dyn SnapshotStorage> {
        Shelf::open(&self.disk, self.shelf_flaw)
    }
}

/// Reads a [`KeptLog`].
#[derive(Clone)]
pub(crate) struct KeptReader {
    disk: SharedDisk,
    memory: MemoryReader,
    flaw: Flaw,
}

#[async_trait]
impl LogReader for KeptReader {
    async fn read(&self, range: Range<Index>, bytes_max: usize) -> Result<Vec<Entry>, StorageError> {
        let unlimited = self.flaw == Flaw::ReadsTooMuch;
        let mut entries = lock(&self.disk).resurrected.clone();
        entries.retain(|entry| range.contains(&entry.index));
        entries.extend(self.memory.read(range, if unlimited { usize::MAX } else { bytes_max }).await?);
        if self.flaw == Flaw::ReadsNothing
            && entries.first().is_some_and(|entry| entry.record_len() > bytes_max)
        {
            entries.clear();
        }
        Ok(entries)
    }
}

#[test]
fn without_a_flaw_it_keeps_all_promises() {
    let fresh = || {
        let disk = SharedDisk::default();
        move || KeptLog::on(&disk, Flaw::None, ShelfFlaw::None)
    };
    assert_eq!(testkit::conformance::log_storage::all(fresh), Ok(()));
    assert_eq!(testkit::conformance::snapshot_storage::all(fresh), Ok(()));
    assert_eq!(crate::broken::crashes_of(Flaw::None), Ok(()));
}
