//! [`Medium`]: the disk of a simulated node, where it is more than a model: a log storage of yours, on a disk of yours
//! that can lose what was not synced.

use std::fmt;
use std::ops::Range;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use consensus_api::{
    Batch, Entry, Identity, Index, LogReader, LogStorage, Recovered, SNAPSHOT_CHUNK_BYTES_MAX, SnapshotMark,
    SnapshotStorage, StorageError, WriteSeq,
};

use crate::Random;

/// What may happen to a disk besides a loss of power.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum DiskFault {
    /// One of the next writes or syncs fails.
    Error,
    /// One of the next writes finds no room.
    Full,
    /// A bit of what was synced flips while the node is down.
    FlippedBit,
    /// A sector of what was synced reads as zeros while the node is down.
    ZeroedSector,
    /// An older copy of the files is put in place of those that are there, while the node is down. (That an image of the
    /// whole disk is brought back nobody can tell, and no consensus survives it at a quorum's expense.)
    RolledBack,
    /// Another disk is there, with nothing on it.
    Wiped,
}

impl DiskFault {
    /// Its name, for counts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "disk errors",
            Self::Full => "full disks",
            Self::FlippedBit => "flipped bits",
            Self::ZeroedSector => "zeroed sectors",
            Self::RolledBack => "disks rolled back",
            Self::Wiped => "disks wiped",
        }
    }
}

/// A disk on which a log lies. The simulator opens the log on it, lets the power fail, and opens it again.
///
/// The log must do all its work in the call that asks for it, in the same order each time: no threads, no waiting.
pub trait Medium: fmt::Debug + 'static {
    /// The log.
    type Log: LogStorage;

    /// Opens the log.
    ///
    /// # Errors
    /// Whatever the log says to what lies there.
    fn open(&mut self) -> Result<Self::Log, StorageError>;

    /// The power will fail in the midst of the work: at the operation of the disk that comes after so many others.
    fn let_power_fail_after(&mut self, operations: u64);

    /// The power fails, if it has not already, and comes back.
    fn crash(&mut self);

    /// The process is gone, and everything it held open; the power stays.
    fn kill(&mut self);

    /// Lets something go wrong. `false` if this disk cannot.
    fn strike(&mut self, fault: DiskFault, chance: &mut Random) -> bool;

    /// What was to go wrong and has not yet does not any more.
    fn calm(&mut self);
}

/// What was found when a log was opened.
pub(crate) struct Opened {
    pub(crate) recovered: Recovered,
    pub(crate) entries: Vec<Entry>,
    pub(crate) snapshot: Option<(SnapshotMark, Bytes)>,
}

/// A medium with the log on it, as the simulator uses it.
pub(crate) trait Backing: fmt::Debug {
    fn open(&mut self, identity: &Identity) -> Result<Opened, StorageError>;
    fn submit(&mut self, seq: WriteSeq, batch: Batch) -> Result<(), StorageError>;
    /// Does what was submitted.
    fn work(&mut self) -> Result<Option<WriteSeq>, StorageError>;
    fn read(&self, range: Range<Index>, bytes_max: usize) -> Result<Vec<Entry>, StorageError>;
    fn keep(&mut self, mark: &SnapshotMark, bytes: &Bytes) -> Result<(), StorageError>;
    fn crash(&mut self, random: &mut Random);
    /// The process ends in order, and closes its files.
    fn close(&mut self);
    fn strike(&mut self, fault: DiskFault, chance: &mut Random) -> bool;
    fn calm(&mut self);
}

/// The one implementation.
pub(crate) struct OnMedium<M: Medium> {
    pub(crate) medium: M,
    pub(crate) log: Option<M::Log>,
}

impl<M: Medium> fmt::Debug for OnMedium<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnMedium").field("medium", &self.medium).finish_non_exhaustive()
    }
}

/// The result of something that does all its work at once.
fn at_once<T>(work: impl Future<Output = T>) -> T {
    let mut work = Box::pin(work);
    match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => {
            panic!("a log on a simulated disk works in the caller's thread, and waits for nothing")
        }
    }
}

async fn read_snapshot(from: &dyn SnapshotStorage) -> Result<Option<(SnapshotMark, Bytes)>, StorageError> {
    let Some(reader) = from.latest().await? else { return Ok(None) };
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < reader.len() {
        bytes.extend_from_slice(&reader.read_at(bytes.len() as u64, SNAPSHOT_CHUNK_BYTES_MAX).await?);
    }
    Ok(Some((reader.mark().clone(), bytes.into())))
}

impl<M: Medium> Backing for OnMedium<M> {
    fn open(&mut self, identity: &Identity) -> Result<Opened, StorageError> {
        let mut log = self.medium.open()?;
        let recovered = log.attach(identity)?;
        let entries = at_once(log.reader().read(Index(1)..Index(u64::MAX), usize::MAX))?;
        let snapshot = at_once(read_snapshot(&*log.snapshots()))?;
        self.log = Some(log);
        Ok(Opened { recovered, entries, snapshot })
    }

    fn submit(&mut self, seq: WriteSeq, batch: Batch) -> Result<(), StorageError> {
        self.log.as_mut().map_or(Ok(()), |log| log.submit(seq, batch))
    }

    fn work(&mut self) -> Result<Option<WriteSeq>, StorageError> {
        let Some(log) = &mut self.log else { return Ok(None) };
        match log.poll_durable(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(durable) => durable.map(Some),
            Poll::Pending => Ok(None),
        }
    }

    fn read(&self, range: Range<Index>, bytes_max: usize) -> Result<Vec<Entry>, StorageError> {
        self.log.as_ref().map_or(Ok(Vec::new()), |log| at_once(log.reader().read(range, bytes_max)))
    }

    fn keep(&mut self, mark: &SnapshotMark, bytes: &Bytes) -> Result<(), StorageError> {
        let Some(log) = &self.log else { return Ok(()) };
        let snapshots = log.snapshots();
        at_once(async {
            let mut writer = snapshots.begin(mark).await?;
            writer.append(bytes.clone()).await?;
            writer.finish().await
        })
    }

    fn crash(&mut self, random: &mut Random) {
        self.medium.let_power_fail_after(random.below(6));
        drop(self.work()); // in the midst of which the power fails
        self.medium.crash();
        self.log = None;
    }

    fn close(&mut self) {
        self.log = None;
        self.medium.kill();
    }

    fn strike(&mut self, fault: DiskFault, chance: &mut Random) -> bool {
        self.medium.strike(fault, chance)
    }

    fn calm(&mut self) {
        self.medium.calm();
    }
}
