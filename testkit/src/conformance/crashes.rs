//! [`crashing_log_storage`]: the power fails at every single operation of the disk, for those who have a disk that can.

use std::task::{Context, Poll, Waker};

use consensus_api::{Batch, LogStorage, StorageError, WriteSeq};

use super::driven_log::Driven;
use super::log_storage::{ATOMIC, DURABLE, POISONED, diagnose};
use super::workload::batches;
use super::{Broken, insist, require};

const SUITE: &str = "The suite of crashes";

/// More operations than so many batches can need.
const OPERATIONS_MAX: u64 = 20_000;

/// Lets the power fail at every operation of the disk, and checks that the log is then atomic, durable and poisoned.
///
/// `fresh` makes a new, empty disk, and returns what opens the log on it. That is called with `Some(n)`: the power fails
/// during the disk's `n`-th operation from now, which may still have happened or not; it and all that follow fail. And
/// then with `None`: the power is back, all that was not synced is lost, and the disk works.
///
/// ```
/// # use consensus_api::{LogStorage, StorageError};
/// # struct MyDisk;
/// # impl MyDisk { fn new() -> Self { Self } fn power_is_back(&self) {} fn power_fails_at(&self, n: u64) {} }
/// # struct MyLog;
/// # impl MyLog { fn on(_: &MyDisk) -> Result<node::MemoryLog, StorageError> { Err(StorageError::Poisoned) } }
/// # fn in_your_test() {
/// quorate_testkit::conformance::crashing_log_storage(|| {
///     let disk = MyDisk::new();
///     move |fails_at| {
///         disk.power_is_back();
///         if let Some(n) = fails_at {
///             disk.power_fails_at(n);
///         }
///         MyLog::on(&disk)
///     }
/// });
/// # }
/// ```
///
/// # Panics
/// With the promise that is broken.
pub fn crashing_log_storage<O, S>(fresh: impl FnMut() -> O)
where
    O: FnMut(Option<u64>) -> Result<S, StorageError>,
    S: LogStorage,
{
    insist(crashes(fresh));
}

/// As [`crashing_log_storage`], and returns what is broken.
///
/// # Errors
/// The first promise that is broken.
pub fn crashes<O, S>(mut fresh: impl FnMut() -> O) -> Result<(), Broken>
where
    O: FnMut(Option<u64>) -> Result<S, StorageError>,
    S: LogStorage,
{
    let batches = batches(3, 24);
    for fails_at in 1..=OPERATIONS_MAX {
        let mut open = fresh();
        let (durable, finished) = match open(Some(fails_at)) {
            Ok(log) => run(log, &batches)?,
            Err(_) => (0, false),
        };
        let log = open(None).map_err(|error| {
            Broken::new(
                ATOMIC,
                format!("after a crash in operation {fails_at} the log cannot be opened: {error}"),
            )
        })?;
        let found = Driven::attach(log, ATOMIC).and_then(|log| diagnose(&log, &batches, durable));
        found.map_err(|broken| {
            Broken::new(broken.promise, format!("a crash in operation {fails_at}: {}", broken.what))
        })?;
        if finished {
            return require(fails_at > 1, SUITE, || {
                "the power never failed; what `fresh` returns must heed the number it is given".to_owned()
            });
        }
    }
    Err(Broken::new(SUITE, format!("the power still failed in operation {OPERATIONS_MAX}")))
}

/// Writes until done or the power fails. Returns how many batches were reported durable, and whether that is all.
fn run<S: LogStorage>(log: S, batches: &[Batch]) -> Result<(usize, bool), Broken> {
    let Ok(mut log) = Driven::attach(log, DURABLE) else { return Ok((0, false)) };
    let mut numbers: Vec<WriteSeq> = Vec::new();
    for (at, batch) in batches.iter().enumerate() {
        let submitted = log.submit(batch.clone());
        // Now one by one, now in groups.
        let settles = at % 5 < 2 || at + 1 == batches.len();
        let went_well = submitted.is_ok_and(|seq| {
            numbers.push(seq);
            !settles || log.settle().is_ok()
        });
        if !went_well {
            let durable = numbers.iter().filter(|seq| **seq <= log.durable()).count();
            stays_poisoned(log.storage(), batch)?;
            return Ok((durable, false));
        }
    }
    Ok((batches.len(), true))
}

/// After a failure every later call fails.
fn stays_poisoned<S: LogStorage>(log: &mut S, batch: &Batch) -> Result<(), Broken> {
    for seq in 1..=3 {
        // The first refusal may have come from `submit`, and its cause still wait to be told.
        let poll = log.poll_durable(&mut Context::from_waker(Waker::noop()));
        require(matches!(poll, Poll::Ready(Err(_))), POISONED, || {
            format!("after a failed write, durability was polled for and it returned {poll:?}, not an error")
        })?;
        let submitted = log.submit(WriteSeq(1_000_000 + seq), batch.clone());
        require(submitted.is_err(), POISONED, || "after a failed write, another batch was taken".to_owned())?;
    }
    Ok(())
}
