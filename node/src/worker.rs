//! [`Worker`]: the applier at work, on a thread of its own or on the node's task.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use consensus_api::{Error, Failure, Index, Snapshot, SnapshotMark, SnapshotStorage, StateMachine};
use tokio::sync::mpsc::UnboundedSender;

use crate::applier::{Applier, PointInTime};
use crate::blocking::{ReadSnapshot, WriteSnapshot, wait};
use crate::options::ApplyOn;
use crate::replica::ApplyWork;
use crate::ticket::{ProposalTicket, ReadTicket};

/// What the worker is given.
pub(crate) enum Work<S: StateMachine> {
    Apply(Vec<ApplyWork<ProposalTicket<S::Response>>>),
    /// Reads for when everything up to the index is applied.
    Read(Index, Vec<ReadTicket<S>>),
}

/// What the worker reports.
#[derive(Debug)]
pub(crate) enum Feedback {
    Applied(Index),
    SnapshotTaken(Result<SnapshotMark, String>),
    Failed(Failure),
}

/// An applier with the reads that wait for it.
pub(crate) struct Worker<S: StateMachine> {
    applier: Applier<S>,
    reads: BTreeMap<Index, Vec<ReadTicket<S>>>,
    snapshots: Arc<dyn SnapshotStorage>,
    feedback: UnboundedSender<Feedback>,
    failed: bool,
}

impl<S: StateMachine> Worker<S> {
    pub(crate) fn new(
        applier: Applier<S>,
        snapshots: Arc<dyn SnapshotStorage>,
        feedback: UnboundedSender<Feedback>,
    ) -> Self {
        Self { applier, reads: BTreeMap::new(), snapshots, feedback, failed: false }
    }

    /// Does one piece of work. After a failure everything is left undone; the node is about to stop.
    pub(crate) fn handle(&mut self, work: Work<S>) {
        if self.failed {
            return;
        }
        match work {
            Work::Apply(works) => {
                if let Err(failure) = works.into_iter().try_for_each(|work| self.apply(work)) {
                    self.failed = true;
                    self.tell(Feedback::Failed(failure));
                    return;
                }
                self.tell(Feedback::Applied(self.applier.applied()));
            }
            Work::Read(index, reads) => self.reads.entry(index).or_default().extend(reads),
        }
        while let Some(first) =
            self.reads.first_entry().filter(|first| *first.key() <= self.applier.applied())
        {
            for read in first.remove() {
                read.finish(Ok(self.applier.machine()));
            }
        }
    }

    fn apply(&mut self, work: ApplyWork<ProposalTicket<S::Response>>) -> Result<(), Failure> {
        match work {
            ApplyWork::Entry { entry, tickets } => {
                if entry.index <= self.applier.applied() {
                    // A newer snapshot than the one asked for was restored, and holds it.
                    return Ok(());
                }
                let mut tickets = tickets.into_iter();
                self.applier.apply(&entry, |answer| {
                    if let Some(ticket) = tickets.next() {
                        ticket.answer(Ok(answer));
                    }
                })
            }
            ApplyWork::Restore(mark) => restore(&mut self.applier, &*self.snapshots, &mark),
            ApplyWork::Snapshot => {
                let (snapshots, feedback) = (self.snapshots.clone(), self.feedback.clone());
                let point = self.applier.snapshot();
                thread::spawn(move || {
                    let taken = write_out(point, &*snapshots);
                    // The node may have stopped meanwhile.
                    let _ = feedback.send(Feedback::SnapshotTaken(taken));
                });
                Ok(())
            }
        }
    }

    fn tell(&self, feedback: Feedback) {
        // The node may have stopped meanwhile.
        let _ = self.feedback.send(feedback);
    }
}

impl<S: StateMachine> Drop for Worker<S> {
    fn drop(&mut self) {
        let stopped = Error::Stopped { cause: "the node was shut down".into() };
        for read in std::mem::take(&mut self.reads).into_values().flatten() {
            read.finish(Err(stopped.clone()));
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
) -> Result<SnapshotMark, String> {
    let mark = point.mark.clone();
    let writer = wait(snapshots.begin(&mark)).map_err(|error| error.to_string())?;
    let mut writer = WriteSnapshot::new(writer);
    point.write_to(&mut writer).map_err(|error| error.to_string())?;
    writer.finish().map_err(|error| error.to_string())?;
    Ok(mark)
}

/// The way to a worker, wherever it runs.
pub(crate) enum WorkerPort<S: StateMachine> {
    Thread(mpsc::Sender<Work<S>>),
    Inline(Box<Worker<S>>),
}

impl<S: StateMachine> WorkerPort<S> {
    pub(crate) fn new(worker: Worker<S>, apply_on: ApplyOn, name: String) -> std::io::Result<Self> {
        if apply_on == ApplyOn::Inline {
            return Ok(Self::Inline(Box::new(worker)));
        }
        let (sender, receiver) = mpsc::channel();
        let run = move || {
            let mut worker = worker;
            receiver.into_iter().for_each(|work| worker.handle(work));
        };
        thread::Builder::new().name(name).spawn(run)?;
        Ok(Self::Thread(sender))
    }

    pub(crate) fn handle(&mut self, work: Work<S>) {
        match self {
            // The thread ends only after this sender is gone.
            Self::Thread(sender) => drop(sender.send(work)),
            Self::Inline(worker) => worker.handle(work),
        }
    }
}
