//! The promises of [`SnapshotStorage`], one function each.
//!
//! Each takes `fresh`, as the functions for the log do: snapshots are kept beside a log and reached through it.

use bytes::Bytes;
use consensus_api::{
    Delivery, LogStorage, SNAPSHOT_CHUNK_BYTES_MAX, SnapshotReader, SnapshotStorage, SnapshotWriter,
    StorageError, StoreId,
};

use super::waiting::wait;
use super::workload::{identity, mark};
use super::{Broken, require};

const ALL_OR_NOTHING: &str = "SnapshotStorage promise 1 (All or nothing)";
const NEWEST_WINS: &str = "SnapshotStorage promise 2 (Newest wins)";
const READER_STAYS_WHOLE: &str = "SnapshotStorage promise 4 (A reader stays whole)";
const GONE_ON_WITH: &str = "SnapshotStorage promise 5 (Gone on with as it was)";
const READ_AT: &str = "SnapshotReader::read_at (bounds)";

/// All promises that can be checked from outside.
///
/// # Errors
/// The first promise that is broken.
pub fn all<O: FnMut() -> S, S: LogStorage>(mut fresh: impl FnMut() -> O) -> Result<(), Broken> {
    let fresh = &mut fresh;
    read_at(fresh)?;
    check_all_or_nothing(fresh(), true)?;
    check_newest_wins(fresh(), true)?;
    check_gone_on_with(fresh(), true)?;
    a_reader_stays_whole(fresh)
}

/// The promises that do not speak of opening the storage again.
///
/// # Errors
/// The first promise that is broken.
pub fn all_volatile<S: LogStorage>(mut make: impl FnMut() -> S) -> Result<(), Broken> {
    let mut fresh = || {
        let mut log = Some(make());
        move || log.take().expect("a log that forgets is opened once")
    };
    let fresh = &mut fresh;
    read_at(fresh)?;
    check_all_or_nothing(fresh(), false)?;
    check_newest_wins(fresh(), false)?;
    check_gone_on_with(fresh(), false)?;
    a_reader_stays_whole(fresh)
}

/// An open log and its snapshots.
struct Shelf<S> {
    promise: &'static str,
    storage: Box<dyn SnapshotStorage>,
    /// Last, so that the snapshots are let go of first.
    _log: S,
}

type Making = Box<dyn SnapshotWriter>;

impl<S: LogStorage> Shelf<S> {
    fn open(mut log: S, promise: &'static str) -> Result<Self, Broken> {
        let attached = log.attach(&identity());
        attached.map_err(|error| Broken::new(promise, format!("the log cannot be attached: {error}")))?;
        let storage = log.snapshots();
        require(storage.is_available(), promise, || "this log keeps no snapshots at all".to_owned())?;
        Ok(Self { promise, storage, _log: log })
    }

    /// The outcome of a call, and the promise it breaks if it failed.
    fn done<T>(&self, what: &str, outcome: Result<Result<T, StorageError>, String>) -> Result<T, Broken> {
        let outcome = outcome.and_then(|outcome| outcome.map_err(|error| error.to_string()));
        outcome.map_err(|problem| Broken::new(self.promise, format!("{what}: {problem}")))
    }

    /// Begins a snapshot of these bytes and writes them all, without finishing it.
    fn begin(&self, index: u64, bytes: &Bytes) -> Result<Making, Broken> {
        let mut writer = self.done("begin", wait(self.storage.begin(&mark(index, 1))))?;
        for start in (0..bytes.len()).step_by(SNAPSHOT_CHUNK_BYTES_MAX) {
            let end = bytes.len().min(start + SNAPSHOT_CHUNK_BYTES_MAX);
            self.done("append", wait(writer.append(bytes.slice(start..end))))?;
            require(writer.len() == end as u64, self.promise, || {
                format!("{end} bytes were appended, and the writer says {}", writer.len())
            })?;
        }
        Ok(writer)
    }

    /// Receives these bytes from that disk up to `upto`, from wherever the storage says that it is.
    fn receive(&self, index: u64, store: u128, bytes: &Bytes, upto: usize) -> Result<Making, Broken> {
        let delivery = Delivery { mark: mark(index, 1), store: StoreId(store), len: bytes.len() as u64 };
        let mut writer = self.done("receive", wait(self.storage.receive(&delivery)))?;
        while (writer.len() as usize) < upto {
            let at = writer.len() as usize;
            let end = upto.min(at + SNAPSHOT_CHUNK_BYTES_MAX);
            self.done("append", wait(writer.append(bytes.slice(at..end))))?;
            require(writer.len() == end as u64, self.promise, || {
                format!("of {end} bytes that are there, the writer says {}", writer.len())
            })?;
        }
        Ok(writer)
    }

    fn finish(&self, writer: Making) -> Result<(), Broken> {
        self.done("finish", wait(writer.finish()))
    }

    fn keep(&self, index: u64, bytes: &Bytes) -> Result<(), Broken> {
        self.finish(self.begin(index, bytes)?)
    }

    fn latest(&self) -> Result<Option<Box<dyn SnapshotReader>>, Broken> {
        self.done("latest", wait(self.storage.latest()))
    }

    fn newest(&self) -> Result<Box<dyn SnapshotReader>, Broken> {
        let latest = self.latest()?;
        latest.ok_or_else(|| Broken::new(self.promise, "a finished snapshot is not there"))
    }

    /// The bytes from `from` on, in steps of at most `step`.
    fn read(&self, reader: &dyn SnapshotReader, from: u64, step: usize) -> Result<Vec<u8>, Broken> {
        let mut bytes = Vec::new();
        loop {
            let at = from + bytes.len() as u64;
            let part = self.done("read_at", wait(reader.read_at(at, step)))?;
            require(part.len() <= step, self.promise, || {
                format!("{} bytes were read, {step} asked for", part.len())
            })?;
            if part.is_empty() {
                return Ok(bytes);
            }
            bytes.extend_from_slice(&part);
            require(from + bytes.len() as u64 <= reader.len(), self.promise, || {
                format!("more is read than the {} bytes it says it has", reader.len())
            })?;
        }
    }

    /// The newest one must be this.
    fn expect(&self, when: &str, index: u64, bytes: &Bytes) -> Result<(), Broken> {
        let reader = self.newest()?;
        let found = reader.mark().index.0;
        require(*reader.mark() == mark(index, 1), self.promise, || {
            format!(
                "{when}, the newest is of entry {found}, and should be of {index} with its mark as it was begun"
            )
        })?;
        let same = self.read(&*reader, 0, SNAPSHOT_CHUNK_BYTES_MAX)? == *bytes;
        require(same && reader.len() == bytes.len() as u64, self.promise, || {
            format!("{when}, the snapshot of entry {index} has other bytes than were written")
        })
    }

    /// There must be none.
    fn expect_none(&self, when: &str) -> Result<(), Broken> {
        let latest = self.latest()?.map(|reader| reader.mark().index);
        require(latest.is_none(), self.promise, || format!("{when}, there is a snapshot: {latest:?}"))
    }
}

/// Bytes that differ from snapshot to snapshot.
fn contents(seed: u64, len: usize) -> Bytes {
    (0..len as u64).map(|at| (at.wrapping_mul(31) ^ (at >> 8) ^ seed) as u8).collect()
}

/// Promise 1: a snapshot that was not finished is not there, and leaves the one before; not even after a crash.
///
/// # Errors
/// How it is broken.
pub fn all_or_nothing<O: FnMut() -> S, S: LogStorage>(fresh: &mut impl FnMut() -> O) -> Result<(), Broken> {
    check_all_or_nothing(fresh(), true)
}

fn check_all_or_nothing<O: FnMut() -> S, S: LogStorage>(mut open: O, reopens: bool) -> Result<(), Broken> {
    let (first, second, large) =
        (contents(1, 5_000), contents(2, 70_000), contents(3, 3 * SNAPSHOT_CHUNK_BYTES_MAX / 2));
    let mut shelf = Shelf::open(open(), ALL_OR_NOTHING)?;
    shelf.expect_none("on a new storage")?;
    let writer = shelf.begin(5, &first)?;
    shelf.expect_none("with one unfinished")?;
    drop(writer);
    shelf.expect_none("with one abandoned")?;
    shelf.keep(5, &first)?;
    shelf.expect("once it was finished", 5, &first)?;
    let writer = shelf.begin(8, &second)?;
    shelf.expect("with a newer one unfinished", 5, &first)?;
    drop(writer);
    shelf.expect("with a newer one abandoned", 5, &first)?;
    if reopens {
        // What a crash leaves: a writer that never got to its end.
        std::mem::forget(shelf.begin(8, &second)?);
        drop(shelf);
        shelf = Shelf::open(open(), ALL_OR_NOTHING)?;
        shelf.expect("after it was opened again with a newer one unfinished", 5, &first)?;
    }
    shelf.keep(8, &large)?;
    shelf.expect("once it was finished", 8, &large)?;
    if reopens {
        drop(shelf);
        shelf = Shelf::open(open(), ALL_OR_NOTHING)?;
        shelf.expect("after it was opened again", 8, &large)?;
    }
    Ok(())
}

/// Promise 2: the newest is the one with the highest index, in whatever order they were finished.
///
/// # Errors
/// How it is broken.
pub fn newest_wins<O: FnMut() -> S, S: LogStorage>(fresh: &mut impl FnMut() -> O) -> Result<(), Broken> {
    check_newest_wins(fresh(), true)
}

fn check_newest_wins<O: FnMut() -> S, S: LogStorage>(mut open: O, reopens: bool) -> Result<(), Broken> {
    let mut shelf = Shelf::open(open(), NEWEST_WINS)?;
    shelf.keep(10, &contents(10, 300))?;
    shelf.keep(7, &contents(7, 200))?;
    shelf.expect("after one of 10 and then one of 7", 10, &contents(10, 300))?;
    let (older, newer) = (shelf.begin(20, &contents(20, 100))?, shelf.begin(30, &contents(30, 0))?);
    shelf.finish(newer)?;
    shelf.finish(older)?;
    shelf.expect("after 30 was finished before 20", 30, &contents(30, 0))?;
    if reopens {
        drop(shelf);
        shelf = Shelf::open(open(), NEWEST_WINS)?;
        shelf.expect("after it was opened again", 30, &contents(30, 0))?;
    }
    shelf.keep(300, &contents(44, 64))?;
    shelf.expect("after one of 300", 300, &contents(44, 64))
}

/// Promise 5: what is gone on with is the beginning of what came before, of the same snapshot from the same disk.
///
/// # Errors
/// How it is broken.
pub fn gone_on_with<O: FnMut() -> S, S: LogStorage>(fresh: &mut impl FnMut() -> O) -> Result<(), Broken> {
    check_gone_on_with(fresh(), true)
}

fn check_gone_on_with<O: FnMut() -> S, S: LogStorage>(mut open: O, reopens: bool) -> Result<(), Broken> {
    let large = 5 * SNAPSHOT_CHUNK_BYTES_MAX / 2;
    let (first, other) = (contents(1, large), contents(2, large));
    let mut shelf = Shelf::open(open(), GONE_ON_WITH)?;
    drop(shelf.receive(5, 7, &first, large / 2)?);
    shelf.expect_none("with one received in part")?;
    if reopens {
        drop(shelf);
        shelf = Shelf::open(open(), GONE_ON_WITH)?;
    }
    shelf.finish(shelf.receive(5, 7, &first, large)?)?;
    shelf.expect("once all of it was received", 5, &first)?;
    drop(shelf.receive(8, 7, &first, large / 2)?);
    if reopens {
        std::mem::forget(shelf.receive(8, 7, &first, large / 2)?);
        drop(shelf);
        shelf = Shelf::open(open(), GONE_ON_WITH)?;
    }
    shelf.finish(shelf.receive(8, 9, &other, large)?)?;
    shelf.expect("once one of the same mark was received from another disk", 8, &other)
}

/// Promise 4: whoever has opened a snapshot reads it to its end, whatever is finished meanwhile.
///
/// # Errors
/// How it is broken.
pub fn a_reader_stays_whole<O: FnMut() -> S, S: LogStorage>(
    fresh: &mut impl FnMut() -> O,
) -> Result<(), Broken> {
    let mut open = fresh();
    let shelf = Shelf::open(open(), READER_STAYS_WHOLE)?;
    let old = contents(1, 40_000);
    shelf.keep(5, &old)?;
    let reader = shelf.newest()?;
    let begun = shelf.done("read_at", wait(reader.read_at(0, 1_000)))?;
    for index in [9, 12] {
        shelf.keep(index, &contents(index, 50_000))?;
    }
    let rest = shelf.read(&*reader, begun.len() as u64, 4_096)?;
    require(
        [&begun[..], &rest[..]].concat() == old && reader.mark().index.0 == 5,
        READER_STAYS_WHOLE,
        || "a reader of the older snapshot read other bytes once newer ones were finished".to_owned(),
    )?;
    shelf.expect("with a reader of an older one open", 12, &contents(12, 50_000))
}

/// A read returns at most what was asked for, at least one byte before the end, and none at the end.
///
/// # Errors
/// How it is broken.
pub fn read_at<O: FnMut() -> S, S: LogStorage>(fresh: &mut impl FnMut() -> O) -> Result<(), Broken> {
    let mut open = fresh();
    let shelf = Shelf::open(open(), READ_AT)?;
    let bytes = contents(9, 10_007);
    shelf.keep(3, &bytes)?;
    let reader = shelf.newest()?;
    require(reader.len() == 10_007, READ_AT, || {
        format!("10007 bytes were written, it has {}", reader.len())
    })?;
    for (from, step) in [(0, 1_000), (0, 20_000), (4_095, 700), (9_999, 1), (10_006, 5), (10_007, 5)] {
        let read = shelf.read(&*reader, from, step)?;
        require(read == bytes[from as usize..], READ_AT, || {
            format!(
                "{} bytes were read from {from} on in steps of {step}, and not what stands there",
                read.len()
            )
        })?;
    }
    Ok(())
}
