//! Backends that break one promise each. The suite must fail every one of them, and name that promise.

pub(crate) mod snapshots;
mod transports;

use testkit::conformance::{self, Broken};

use crate::kept_log::{Flaw, KeptLog, SharedDisk, lock};
use snapshots::ShelfFlaw;

#[track_caller]
fn assert_breaks(promise: &str, found: Result<(), Broken>) {
    let broken = found.expect_err("the suite found nothing wrong");
    assert!(broken.to_string().starts_with(promise), "not {promise}, but {broken}");
    assert_eq!(broken.to_string().lines().count(), 1, "one line says it all: {broken}");
}

fn log_with(flaw: Flaw) -> Result<(), Broken> {
    conformance::log_storage::all(|| {
        let disk = SharedDisk::default();
        move || KeptLog::on(&disk, flaw, ShelfFlaw::None)
    })
}

pub(crate) fn crashes_of(flaw: Flaw) -> Result<(), Broken> {
    conformance::crashes(|| {
        let disk = SharedDisk::default();
        move |fails_at| {
            lock(&disk).power = fails_at;
            Ok(KeptLog::on(&disk, flaw, ShelfFlaw::None))
        }
    })
}

fn snapshots_with(flaw: ShelfFlaw) -> Result<(), Broken> {
    conformance::snapshot_storage::all(|| {
        let disk = SharedDisk::default();
        move || KeptLog::on(&disk, Flaw::None, flaw)
    })
}

#[test]
fn logs() {
    let flaws = [
        (Flaw::TearsBatches, "LogStorage promise 1 (Atomic)"),
        (Flaw::WritesLate, "LogStorage promise 2 (Durable)"),
        (Flaw::TakesAnyone, "LogStorage promise 5 (Attached)"),
        (Flaw::DrawsStoreAgain, "LogStorage promise 5 (Attached)"),
        (Flaw::SwapsBatches, "LogStorage promise 6 (Ordered)"),
        (Flaw::ReportsTooMuch, "LogStorage promise 6 (Ordered)"),
        (Flaw::AppendsOnly, "LogStorage promise 7 (Holes)"),
        (Flaw::Resurrects, "LogStorage promise 8 (Compacted stays compacted)"),
        (Flaw::LosesHints, "LogStorage::submit"),
        (Flaw::ShowsHalves, "LogReader promise 1 (whole batches)"),
        (Flaw::ReadsTooMuch, "LogReader::read (bytes_max)"),
        (Flaw::ReadsNothing, "LogReader::read (bytes_max)"),
    ];
    for (flaw, promise) in flaws {
        assert_breaks(promise, log_with(flaw));
    }
}

#[test]
fn logs_when_the_power_fails() {
    assert_breaks("LogStorage promise 2 (Durable)", crashes_of(Flaw::SpeaksTooSoon));
    assert_breaks("LogStorage promise 3 (Poisoned)", crashes_of(Flaw::GoesOn));
    assert_breaks("LogStorage promise 1 (Atomic)", crashes_of(Flaw::TearsBatches));
}

#[test]
fn a_disk_whose_power_never_fails_proves_nothing() {
    let found = conformance::crashes(|| {
        let disk = SharedDisk::default();
        move |_| Ok(KeptLog::on(&disk, Flaw::None, ShelfFlaw::None))
    });
    assert_breaks("The suite of crashes", found);
}

#[test]
fn snapshots() {
    let flaws = [
        (ShelfFlaw::ShowsUnfinished, "SnapshotStorage promise 1 (All or nothing)"),
        (ShelfFlaw::LastFinishedWins, "SnapshotStorage promise 2 (Newest wins)"),
        (ShelfFlaw::PullsFromReaders, "SnapshotStorage promise 4 (A reader stays whole)"),
        (ShelfFlaw::ReadsTooMuch, "SnapshotReader::read_at (bounds)"),
        (ShelfFlaw::MixesDisks, "SnapshotStorage promise 5 (Gone on with as it was)"),
    ];
    for (flaw, promise) in flaws {
        assert_breaks(promise, snapshots_with(flaw));
    }
}

#[test]
#[should_panic(expected = "LogStorage promise 5 (Attached): a new log is not empty")]
fn a_place_that_is_not_fresh_is_told() {
    let disk = SharedDisk::default();
    conformance::log_storage(|| || KeptLog::on(&disk, Flaw::None, ShelfFlaw::None));
}
