//! A process that writes and says what was acknowledged: this test binary, started again.

use std::future::poll_fn;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use consensus_api::{
    Batch, ClusterName, Commands, EngineName, Entry, EntryKind, Generation, Identity, Incarnation, Index,
    LogReader, LogStorage, LogTime, NodeId, Op, ProposalId, StoreId, WriteSeq,
};
use quorate_storage_file::disk::RealFolder;
use quorate_storage_file::faulty::{Failure, FaultPlan, Operation};
use quorate_storage_file::{FileLog, FileLogOptions};

const FOLDER: &str = "QUORATE_TEST_FOLDER";
const FAILS_AT: &str = "QUORATE_TEST_FAILS_AT";

pub(crate) fn identity() -> Identity {
    Identity {
        cluster: ClusterName::new("processes").unwrap(),
        node: NodeId(1),
        engine: EngineName("raft"),
        store: StoreId::default(),
        incarnation: Incarnation(1),
    }
}

pub(crate) const OPTIONS: fn() -> FileLogOptions =
    || FileLogOptions { segment_bytes: 256 << 10, ..FileLogOptions::default() };

fn entry(index: u64) -> Entry {
    let mut body = BytesMut::new();
    Commands::push(&mut body, &vec![index as u8; index as usize % 900]).unwrap();
    let proposal = ProposalId { node: NodeId(1), incarnation: Incarnation(1), sequence: index };
    let mut entry = Entry::new(EntryKind::Commands, 1, proposal, LogTime(index), body.freeze());
    entry.index = Index(index);
    entry.generation = Generation::new(1, NodeId(1));
    entry
}

/// What fails in a process, from the n-th on.
#[derive(Clone, Copy)]
pub(crate) enum Failing {
    /// Syncs, counted from the moment when the log is open.
    Syncs(u64),
    /// Reads, counted from the beginning.
    Reads(u64),
}

/// Starts a process that writes to that folder until it is killed, or until something fails.
pub(crate) fn start(folder: &Path, failing: Option<Failing>) -> (Child, BufReader<ChildStdout>) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["writer::write_until_the_end", "--exact", "--nocapture"]).env(FOLDER, folder);
    match failing {
        Some(Failing::Syncs(at)) => drop(command.env(FAILS_AT, format!("sync {at}"))),
        Some(Failing::Reads(at)) => drop(command.env(FAILS_AT, format!("read {at}"))),
        None => {}
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    (child, output)
}

/// The entries that the process said were acknowledged: the last of them; and what it said at its end.
pub(crate) fn listen(output: &mut impl BufRead, lines_max: usize) -> (u64, Option<String>) {
    let mut acked = 0;
    for line in output.lines().map_while(Result::ok).filter(|line| line.contains(':')).take(lines_max) {
        match line.split_once("acked: ") {
            Some((_, number)) => acked = number.parse().unwrap(),
            None if line.contains("failed: ") => return (acked, Some(line)),
            None => {}
        }
    }
    (acked, None)
}

/// Opens the folder, and checks that entries are there from the first on, each as it was written. Returns how many.
pub(crate) fn entries_in(folder: &Path) -> u64 {
    let mut log = FileLog::open_with(folder, OPTIONS()).unwrap();
    let last = log.attach(&identity()).unwrap().outline.last();
    let mut next = 1;
    while next <= last.0 {
        let read = log.reader();
        let read =
            futures::executor::block_on(async move { read.read(Index(next)..last.next(), 1 << 20).await });
        for found in read.unwrap() {
            assert_eq!(found, entry(next));
            next += 1;
        }
    }
    last.0
}

/// Does nothing unless it was started by [`start`].
#[test]
fn write_until_the_end() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let plan = FaultPlan::default();
    let folder = plan.over(Arc::new(RealFolder::open(Path::new(&folder)).unwrap()));
    let mut out = std::io::stdout();
    let fails = std::env::var(FAILS_AT).unwrap_or_default();
    let number = |kind| fails.strip_prefix(kind).map(|number| number.parse::<u64>().unwrap());
    // And all that come after: one may hit a file that is only made ready.
    let fail = |operation, at| {
        (at..at + 1000).for_each(|nth| plan.fail(operation, nth, Failure::Error(std::io::ErrorKind::Other)));
    };
    if let Some(at) = number("read ") {
        fail(Operation::Read, at);
    }
    let mut log = FileLog::open_in(folder, OPTIONS()).unwrap();
    let mut last = match log.attach(&identity()) {
        Ok(recovered) => recovered.outline.last().0,
        Err(error) => return writeln!(out, "failed: {error}").unwrap(),
    };
    if let Some(at) = number("sync ") {
        fail(Operation::Sync, at);
    }
    loop {
        for _ in 0..=last % 7 {
            last += 1;
            let mut batch: Batch = [Op::Put(entry(last))].into_iter().collect();
            if last.is_multiple_of(5) {
                batch.push(Op::HardState(Bytes::copy_from_slice(&last.to_le_bytes())));
            }
            if log.submit(WriteSeq(last), batch).is_err() {
                break;
            }
        }
        match futures::executor::block_on(poll_fn(|cx| log.poll_durable(cx))) {
            Ok(seq) => writeln!(out, "acked: {}", seq.0).unwrap(),
            Err(error) => {
                writeln!(out, "failed: {error}").unwrap();
                let again = log.poll_durable(&mut Context::from_waker(Waker::noop()));
                assert!(matches!(again, Poll::Ready(Err(_))), "nothing is acknowledged after a failure");
                return;
            }
        }
    }
}
