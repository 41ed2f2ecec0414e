//! `Simple`: a plain `write` becomes a queue with a durable watermark: in order, one write at a time, dead after an
//! error, and nobody sleeps through a result.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use futures::channel::oneshot;
use quorate_consensus_api::{
    Batch, ClusterName, EngineName, Entry, Generation, Identity, Incarnation, Index, LogReader, LogStorage,
    NodeId, Op, Recovered, Simple, SimpleLog, StorageError, StoreId, WriteSeq,
};

/// What the test sees of a [`Gated`] log.
#[derive(Default)]
struct Seen {
    /// Batches handed to `write`, in order.
    started: Vec<Batch>,
    /// Opens the gate of the write under way.
    gate: Option<oneshot::Sender<io::Result<()>>>,
    attached: usize,
}

/// A log whose writes end when the test says so.
#[derive(Clone, Default)]
struct Gated(Arc<Mutex<Seen>>);

impl Gated {
    fn seen<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.0.lock().expect("no test panics with the lock held"))
    }

    fn finish_write(&self, result: io::Result<()>) {
        let gate = self.seen(|seen| seen.gate.take()).expect("a write is under way");
        gate.send(result).expect("the write waits");
    }

    fn started(&self) -> Vec<Batch> {
        self.seen(|seen| seen.started.clone())
    }
}

#[async_trait]
impl SimpleLog for Gated {
    fn open(&mut self, _: &Identity) -> Result<Recovered, StorageError> {
        self.seen(|seen| seen.attached += 1);
        Ok(Recovered::default())
    }

    async fn write(&self, batch: Batch) -> Result<(), StorageError> {
        let (gate, opened) = oneshot::channel();
        self.seen(|seen| {
            seen.started.push(batch);
            assert!(seen.gate.replace(gate).is_none(), "a second write was begun beside the first");
        });
        opened.await.expect("the test opens every gate").map_err(StorageError::io("cannot write", "log"))
    }

    async fn read(&self, range: Range<Index>, _: usize) -> Result<Vec<Entry>, StorageError> {
        Ok(vec![Entry::noop(Generation::ZERO, range.start)])
    }
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A storage under test, its log and its task.
struct Bench {
    log: Gated,
    storage: Simple<Gated>,
    wakes: Arc<Wakes>,
}

impl Bench {
    fn new() -> Self {
        let log = Gated::default();
        Self { storage: Simple::new(log.clone()), log, wakes: Arc::default() }
    }

    fn poll(&mut self) -> Poll<Result<WriteSeq, StorageError>> {
        let waker = Waker::from(self.wakes.clone());
        self.storage.poll_durable(&mut Context::from_waker(&waker))
    }

    fn submit(&mut self, seq: u64) {
        self.storage.submit(WriteSeq(seq), batch(seq)).expect("not poisoned");
    }

    fn wakes(&self) -> usize {
        self.wakes.0.swap(0, Ordering::Relaxed)
    }
}

/// A batch that tells which one it is.
fn batch(seq: u64) -> Batch {
    Batch::from_iter([Op::Put(Entry::noop(Generation::ZERO, Index(seq)))])
}

fn durable(polled: Poll<Result<WriteSeq, StorageError>>) -> u64 {
    match polled {
        Poll::Ready(Ok(WriteSeq(seq))) => seq,
        other => panic!("not durable: {other:?}"),
    }
}

fn disk_error() -> io::Result<()> {
    Err(io::Error::other("the disk is gone"))
}

#[test]
fn writes_become_durable_in_order_one_at_a_time() {
    let mut bench = Bench::new();
    assert!(bench.poll().is_pending());
    bench.submit(1);
    assert!(bench.poll().is_pending());
    assert_eq!(bench.log.started(), [batch(1)]);
    bench.submit(4);
    assert!(bench.poll().is_pending());
    assert_eq!(bench.log.started(), [batch(1)], "the second write waits for the first");
    bench.log.finish_write(Ok(()));
    assert_eq!(durable(bench.poll()), 1);
    assert!(bench.poll().is_pending());
    assert_eq!(bench.log.started(), [batch(1), batch(4)]);
    bench.log.finish_write(Ok(()));
    assert_eq!(durable(bench.poll()), 4);
    assert!(bench.poll().is_pending(), "there is no news");
}

#[test]
fn what_queues_behind_a_write_becomes_one_write() {
    let mut bench = Bench::new();
    bench.submit(1);
    assert!(bench.poll().is_pending());
    (2..=9).for_each(|seq| bench.submit(seq));
    bench.log.finish_write(Ok(()));
    assert_eq!(durable(bench.poll()), 1);
    assert!(bench.poll().is_pending());
    bench.log.finish_write(Ok(()));
    assert_eq!(durable(bench.poll()), 9);
    let started = bench.log.started();
    assert_eq!(started.len(), 2);
    assert_eq!(started[1], (2..=9).flat_map(|seq| batch(seq).into_ops()).collect());
}

#[test]
fn a_submission_and_a_finished_write_wake_whoever_waits() {
    let mut bench = Bench::new();
    assert!(bench.poll().is_pending());
    bench.submit(1);
    assert_eq!(bench.wakes(), 1, "there is something to write");
    assert!(bench.poll().is_pending());
    bench.log.finish_write(Ok(()));
    assert_eq!(bench.wakes(), 1, "there is something to report");
    assert_eq!(durable(bench.poll()), 1);
    assert!(bench.poll().is_pending());
    bench.submit(2);
    assert_eq!(bench.wakes(), 1);
}

#[test]
fn a_failed_write_is_told_once_and_poisons_the_storage() {
    let mut bench = Bench::new();
    bench.submit(1);
    assert!(bench.poll().is_pending());
    bench.submit(2);
    bench.log.finish_write(disk_error());
    assert!(matches!(bench.poll(), Poll::Ready(Err(StorageError::Io { .. }))));
    assert!(matches!(bench.poll(), Poll::Ready(Err(StorageError::Poisoned))));
    assert!(matches!(bench.storage.submit(WriteSeq(3), batch(3)), Err(StorageError::Poisoned)));
    assert!(matches!(bench.poll(), Poll::Ready(Err(StorageError::Poisoned))));
    assert_eq!(bench.log.started(), [batch(1)], "nothing is written after a failure");
}

#[test]
fn a_full_disk_is_told_as_such() {
    let mut bench = Bench::new();
    bench.submit(1);
    assert!(bench.poll().is_pending());
    bench.log.finish_write(Err(io::ErrorKind::StorageFull.into()));
    assert!(matches!(bench.poll(), Poll::Ready(Err(StorageError::Full { .. }))));
}

#[test]
fn reads_do_not_wait_for_the_write_under_way() {
    let mut bench = Bench::new();
    bench.submit(1);
    assert!(bench.poll().is_pending());
    let reader = bench.storage.reader().clone();
    let read = reader.read(Index(7)..Index(8), usize::MAX).now_or_never();
    let entries = read.expect("at once").expect("the log can be read");
    assert_eq!(entries, [Entry::noop(Generation::ZERO, Index(7))]);
}

#[test]
fn a_storage_is_attached_before_it_is_read_and_not_after() {
    let identity = Identity {
        cluster: ClusterName::new("test").expect("a name"),
        node: NodeId(1),
        engine: EngineName("test"),
        store: StoreId::default(),
        incarnation: Incarnation(1),
    };
    let mut bench = Bench::new();
    assert_eq!(bench.storage.attach(&identity).expect("a new log"), Recovered::default());
    let reader = bench.storage.reader();
    assert!(matches!(bench.storage.attach(&identity), Err(StorageError::Unsupported { .. })));
    assert_eq!(bench.log.seen(|seen| seen.attached), 1);
    drop(reader);
}

#[test]
fn hard_states_that_queue_become_the_newest_one() {
    let mut bench = Bench::new();
    let hard_state = |byte: u8| Batch::from_iter([Op::HardState(Bytes::copy_from_slice(&[byte]))]);
    for byte in 1..=3 {
        bench.storage.submit(WriteSeq(u64::from(byte)), hard_state(byte)).expect("not poisoned");
    }
    assert!(bench.poll().is_pending());
    assert_eq!(bench.log.started(), [hard_state(3)]);
}
