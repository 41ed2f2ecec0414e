//! [`Worker`]: the applier at work, on a thread of its own or on the node's task.

use std::mem;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use consensus_api::{Failure, Index, Snapshot, SnapshotMark, SnapshotStorage, StateMachine};
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use crate::applier::{Applier, PointInTime, guarded};
use crate::blocking::{ReadSnapshot, WriteSnapshot, wait};
use crate::options::ApplyOn;
use crate::replica::ApplyWork;
use crate::ticket::{ProposalTicket, ReadTicket};

/// A piece of work that changes the state.
pub(crate) type ApplyWorkOf<S> = ApplyWork<ProposalTicket<<S as StateMachine>::Response>>;

/// What a worker on a thread of its own is given.
pub(crate) enum Work<S: StateMachine> {
    Apply(Vec<ApplyWorkOf<S>>),
    /// Reads of the state as it is.
    Read(Vec<ReadTicket<S>>),
}

/// What the worker reports.
#[derive(Debug)]
pub(crate) enum Feedback {
    Applied(Index),
    /// A digest of the state after that entry, to be told to the others.
    Digest(Index, u64),
    SnapshotTaken(Result<SnapshotMark, String>),
    Failed(Failure),
}

/// An applier with what it needs to take and restore snapshots.
pub(crate) struct Worker<S: StateMachine> {
    applier: Applier<S>,
    snapshots: Arc<dyn SnapshotStorage>,
    /// Where the threads that write snapshots report.
    feedback: UnboundedSender<Feedback>,
    /// A snapshot storage may be built on the runtime.
    runtime: Handle,
    /// Writes a snapshot out.
    writing: Option<JoinHandle<()>>,
    failed: bool,
}

impl<S: StateMachine> Worker<S> {
    pub(crate) fn new(
        applier: Applier<S>,
        snapshots: Arc<dyn SnapshotStorage>,
        feedback: UnboundedSender<Feedback>,
        runtime: Handle,
    ) -> Self {
        Self { applier, snapshots, feedback, runtime, writing: None, failed: false }
    }

    /// Does this work in order, and puts what there is to report into `told`. After a failure everything is left undone;
    /// the node is about to stop.
    fn apply_all(&mut self, mut works: impl Iterator<Item = ApplyWorkOf<S>>, told: &mut Vec<Feedback>) {
        if self.failed {
            return;
        }
        match works.try_for_each(|work| self.apply(work)) {
            Ok(()) => {
                told.push(Feedback::Applied(self.applier.applied()));
                told.extend(
                    self.applier.take_digest().map(|(index, digest)| Feedback::Digest(index, digest)),
                );
            }
            Err(failure) => {
                self.failed = true;
                told.push(Feedback::Failed(failure));
            }
        }
    }

    /// Carries reads out on the state as it is; none after a failure.
    fn read_all(&self, reads: impl Iterator<Item = ReadTicket<S>>) {
        if !self.failed {
            reads.for_each(|read| read.finish(Ok(self.applier.machine())));
        }
    }

    fn apply(&mut self, work: ApplyWorkOf<S>) -> Result<(), Failure> {
        match work {
            ApplyWork::Entry { entry, tickets } => {
                if entry.index <= self.applier.applied() {
                    // A newer snapshot than the one asked for was restored, and holds it.
                    return Ok(());
                }
                let (mut tickets, mut unfinished) = (tickets.into_iter(), None);
                self.applier.apply(&entry, |reply| {
                    if let Some(ticket) = unfinished.take().or_else(|| tickets.next()) {
                        unfinished = ProposalTicket::answer(ticket, entry.index, reply);
                    }
                })
            }
            ApplyWork::Founded(members) => {
                self.applier.founded(members);
                Ok(())
            }
            ApplyWork::Restore(mark) => restore(&mut self.applier, &*self.snapshots, &mark),
            ApplyWork::Snapshot => {
                self.take_snapshot();
                Ok(())
            }
        }
    }

    /// Takes a snapshot here, and writes it out beside.
    fn take_snapshot(&mut self) {
        let point = match self.applier.snapshot() {
            Ok(point) => point,
            Err(failure) => return self.tell(Feedback::SnapshotTaken(Err(failure.0))),
        };
        let (snapshots, feedback, runtime) =
            (self.snapshots.clone(), self.feedback.clone(), self.runtime.clone());
        let write = move || {
            let _within = runtime.enter();
            let taken = guarded(|| write_out(point, &*snapshots)).map_err(|failure| failure.0);
            // The node may have stopped meanwhile.
            let _ = feedback.send(Feedback::SnapshotTaken(taken));
        };
        match thread::Builder::new().name("quorate-snapshot".to_owned()).spawn(write) {
            Ok(writing) => self.writing = Some(writing),
            Err(error) => self.tell(Feedback::SnapshotTaken(Err(error.to_string()))),
        }
    }

    fn tell(&self, feedback: Feedback) {
        // The node may have stopped meanwhile.
        let _ = self.feedback.send(feedback);
    }
}

impl<S: StateMachine> Drop for Worker<S> {
    /// Waits for a snapshot being written: it must not appear in the folder after somebody else has opened it.
    fn drop(&mut self) {
        if let Some(writing) = self.writing.take() {
            let _ = writing.join();
        }
    }
}

/// Restores the newest snapshot, which must not be older than `mark`.
pub(crate) fn restore<S: StateMachine>(
    applier: &mut Applier<S>,
    snapshots: &dyn SnapshotStorage,
    mark: &SnapshotMark,
) -> Result<(), Failure> {
    let newest = wait(snapshots.latest()).map_err(|error| Failure(error.to_string()))?;
    let newest = newest.filter(|newest| newest.mark().index >= mark.index);
    let newest = newest.ok_or_else(|| Failure(format!("the snapshot of entry {} is gone", mark.index)))?;
    applier.restore(newest.mark().clone(), &mut ReadSnapshot::new(&*newest))
}

fn write_out<T: Snapshot>(
    point: PointInTime<T>,
    snapshots: &dyn SnapshotStorage,
) -> Result<SnapshotMark, Failure> {
    let mark = point.mark.clone();
    let writer = wait(snapshots.begin(&mark)).map_err(|error| Failure(error.to_string()))?;
    let mut writer = WriteSnapshot::new(writer);
    point.write_to(&mut writer)?;
    writer.finish().map_err(|error| Failure(error.to_string()))?;
    Ok(mark)
}

/// The way to a worker, wherever it runs.
pub(crate) enum WorkerPort<S: StateMachine> {
    Thread { work: mpsc::Sender<Work<S>>, ended: oneshot::Receiver<()> },
    Inline(Box<Worker<S>>),
}

impl<S: StateMachine> WorkerPort<S> {
    pub(crate) fn new(worker: Worker<S>, apply_on: ApplyOn, name: String) -> std::io::Result<Self> {
        if apply_on == ApplyOn::Inline {
            return Ok(Self::Inline(Box::new(worker)));
        }
        let (sender, receiver) = mpsc::channel();
        let (ends, ended) = oneshot::channel();
        let run = move || {
            let mut worker = worker;
            let runtime = worker.runtime.clone();
            let _within = runtime.enter();
            let (feedback, mut told) = (worker.feedback.clone(), Vec::new());
            for work in receiver {
                match work {
                    Work::Apply(works) => worker.apply_all(works.into_iter(), &mut told),
                    Work::Read(reads) => worker.read_all(reads.into_iter()),
                }
                // The node may have stopped meanwhile.
                told.drain(..).for_each(|told| drop(feedback.send(told)));
            }
            drop(worker);
            let _ = ends.send(());
        };
        thread::Builder::new().name(name).spawn(run)?;
        Ok(Self::Thread { work: sender, ended })
    }

    /// Hands over what is to be applied, and empties `works`; what a worker on this task has to report is in `told` at
    /// once. `false` if the worker is gone, which takes a bug.
    pub(crate) fn apply(&mut self, works: &mut Vec<ApplyWorkOf<S>>, told: &mut Vec<Feedback>) -> bool {
        match self {
            Self::Thread { work, .. } => work.send(Work::Apply(mem::take(works))).is_ok(),
            Self::Inline(worker) => {
                worker.apply_all(works.drain(..), told);
                true
            }
        }
    }

    /// Hands over reads, as [`apply`](Self::apply) does what is to be applied.
    pub(crate) fn read(&mut self, reads: &mut Vec<ReadTicket<S>>) -> bool {
        match self {
            Self::Thread { work, .. } => work.send(Work::Read(mem::take(reads))).is_ok(),
            Self::Inline(worker) => {
                worker.read_all(reads.drain(..));
                true
            }
        }
    }

    /// Lets the worker finish what it was given, and waits for it.
    pub(crate) async fn end(self) {
        if let Self::Thread { work, ended } = self {
            drop(work);
            let _ = ended.await;
        }
    }
}
