//! [`Driver`]: the thin asynchronous shell around a replica. One task per node.
//!
//! *Patterns of Distributed Systems*, "Singular Update Queue": everything that changes a node goes through this one
//! task. Each round takes in all that has happened, lets the replica advance, and carries out what it asks for. What
//! follows from that at once (a write that is durable already, an entry that is applied) belongs to the same round. There
//! is no timer on the hot path: what queued while the last round ran goes together in the next.

mod outlet;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use consensus_api::{
    Arrival, Clock, Engine, Error, Index, LogStorage, LogTime, Membership, SessionOp, StateMachine, Time,
    Transport,
};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::Instrument;

use crate::alarm::Alarm;
use crate::board::{Board, SHUT_DOWN};
use crate::chunks::{ChunkOrder, ChunkReport};
use crate::errand::Errand;
use crate::intake::Intake;
use crate::meter::{Meter, Reading};
use crate::read_level::ReadLevel;
use crate::replica::{OutgoingFrame, Replica};
use crate::ticket::{ProposalTicket, ReadTicket};
use crate::worker::{Feedback, WorkerPort};

/// What a handle asks of its node. What is rare and large is boxed: every request moves in the room of the largest.
pub(crate) enum Request<S: StateMachine> {
    Propose { command: Bytes, ticket: ProposalTicket<S::Response> },
    ProposeBatch { count: u32, commands: Bytes, ticket: ProposalTicket<S::Response> },
    ProposeInSession { op: Box<SessionOp>, command: Bytes, ticket: ProposalTicket<S::Response> },
    Read { level: ReadLevel, ticket: ReadTicket<S> },
    Administer { errand: Box<Errand>, answer: oneshot::Sender<Result<(), Error>> },
    Members(oneshot::Sender<Membership>),
    Snapshot(oneshot::Sender<Result<Index, Error>>),
    Stop(oneshot::Sender<()>),
}

/// A node at work.
pub(crate) struct Driver<S: StateMachine, E: Engine, L: LogStorage, T> {
    pub(crate) replica: Replica<E, ProposalTicket<S::Response>, ReadTicket<S>>,
    pub(crate) log: L,
    pub(crate) reader: L::Reader,
    pub(crate) transport: T,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) alarm: Alarm,
    pub(crate) intake: Intake<S>,
    pub(crate) worker: WorkerPort<S>,
    pub(crate) chunk_orders: UnboundedSender<ChunkOrder>,
    pub(crate) chunks: JoinHandle<()>,
    pub(crate) board: Board,
    pub(crate) meter: Meter,
    /// Who waits for the end of an errand, by ticket.
    pub(crate) errands: BTreeMap<u64, oneshot::Sender<Result<(), Error>>>,
    /// Who waits for a snapshot, by ticket.
    pub(crate) snapshots: BTreeMap<u64, oneshot::Sender<Result<Index, Error>>>,
    /// The last ticket given out.
    pub(crate) ticket: u64,
    pub(crate) stopping: Option<Stopping>,
    pub(crate) grace: Duration,
    /// Frames on their way out.
    pub(crate) frames: Vec<OutgoingFrame>,
}

/// An orderly stop under way.
#[derive(Default)]
pub(crate) struct Stopping {
    deadline: Time,
    waiting: Vec<oneshot::Sender<()>>,
}

/// Rounds in one go before other tasks get their turn.
const ROUNDS_MAX: usize = 16;
/// How often the replica advances before the sources are asked again.
const ADVANCES_MAX: usize = 4;

impl<S: StateMachine, E: Engine, L: LogStorage, T: Transport> Driver<S, E, L, T> {
    /// Runs the node until it stops.
    pub(crate) async fn run(mut self) {
        let identity = self.replica.identity();
        let span = tracing::info_span!("node", id = identity.node.0, cluster = %identity.cluster);
        std::future::poll_fn(|cx| self.poll(cx)).instrument(span).await;
        let cause = self.replica.stopped().unwrap_or(SHUT_DOWN).to_owned();
        let mut waiting = self.stopping.take().unwrap_or_default().waiting;
        for request in self.intake.close() {
            let error = Error::Stopped { cause: cause.as_str().into() };
            match request {
                Request::Propose { ticket, .. }
                | Request::ProposeBatch { ticket, .. }
                | Request::ProposeInSession { ticket, .. } => ticket.fail(error),
                Request::Read { ticket, .. } => ticket.finish(Err(error)),
                Request::Administer { answer, .. } => drop(answer.send(Err(error))),
                Request::Snapshot(answer) => drop(answer.send(Err(error))),
                Request::Members(_) => {}
                Request::Stop(done) => waiting.push(done),
            }
        }
        let Self { worker, chunk_orders, chunks, log, reader, transport, intake, .. } = self;
        drop((chunk_orders, transport, intake));
        let _ = chunks.await;
        worker.end().await;
        // Closing a log may wait for the disk. Whoever asked for the stop may open the folder once it is closed.
        let _ = tokio::task::spawn_blocking(move || drop((reader, log))).await;
        for done in waiting {
            let _ = done.send(());
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.intake.woken();
        self.alarm.woken();
        let mut again = true;
        for _ in 0..ROUNDS_MAX {
            // A log that has nothing to write has nothing to tell, unless it waits for room.
            let tells = self.replica.is_writing() || !self.log.has_room();
            let came = self.intake.poll(cx, &mut self.transport, tells.then_some(&mut self.log));
            if !came && !again {
                return Poll::Pending;
            }
            // After all that is taken in has come, lest a lease be judged by a time before it: the process may have
            // stood still between.
            let (mut now, wall) = (self.clock.now(), self.clock.wall());
            self.take_in(now, wall);
            again = self.advance(cx, &mut now, wall);
            self.stop_if_quiet(now);
            if let Some(cause) = self.replica.stopped().map(str::to_owned) {
                self.carry_out(cx, &mut now);
                self.board.publish_end(&self.replica, cause);
                return Poll::Ready(());
            }
            again |= self.alarm.poll(cx, self.replica.deadline().min(self.board.due()));
            if self.board.publish_if_due(&self.replica, &self.transport, now) {
                self.meter.show(&self.reading());
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Lets the replica advance, carries out what it asks for, and tells it what follows from that at once, such as a
    /// write that is durable already. Whether more may follow.
    fn advance(&mut self, cx: &mut Context<'_>, now: &mut Time, wall: LogTime) -> bool {
        for _ in 0..ADVANCES_MAX {
            self.replica.advance(*now, wall);
            if !self.carry_out(cx, now) {
                return false;
            }
        }
        true
    }

    fn reading(&self) -> Reading {
        Reading {
            standing: self.replica.standing(),
            applied: self.replica.applied_index(),
            snapshot: self.replica.snapshot_index(),
            cached_bytes: self.replica.cached_bytes(),
        }
    }

    /// Hands what has come to the replica.
    fn take_in(&mut self, now: Time, wall: LogTime) {
        self.take_requests(now);
        for arrival in self.intake.arrivals.drain(..) {
            match &arrival {
                Arrival::Frame { frame, .. } => self.meter.received(frame.len()),
                _ => self.board.connection_changed(),
            }
            self.replica.arrival(now, wall, arrival);
        }
        self.take_feedback(now);
        if self.intake.has_fetched() {
            self.take_fetched(now);
        }
        self.take_durable(now);
        self.replica.set_room(self.log.has_room());
    }

    /// Takes in what the state machine has done. Whether anything.
    fn take_feedback(&mut self, now: Time) -> bool {
        if self.intake.feedback.is_empty() {
            return false;
        }
        for feedback in self.intake.feedback.drain(..) {
            match feedback {
                Feedback::Applied(index) => self.replica.applied(now, index),
                Feedback::Digest(index, digest) => self.replica.tell_digest(now, index, digest),
                Feedback::SnapshotTaken(mark) => {
                    if mark.is_ok() {
                        self.meter.snapshot_taken();
                    }
                    self.replica.snapshot_taken(now, mark);
                }
                Feedback::Failed(failure) => self.replica.stop(failure.0),
            }
        }
        true
    }

    /// Takes in how far the log is durable. Whether there is news.
    fn take_durable(&mut self, now: Time) -> bool {
        match self.intake.durable.take() {
            Some(Ok(seq)) => {
                self.meter.write_ended(now);
                self.replica.durable(now, seq);
                true
            }
            Some(Err(error)) => {
                self.replica.stop(format!("the log could not be written: {error}"));
                true
            }
            None => false,
        }
    }

    /// Takes in what was read from the log, and how snapshots on their way are doing.
    fn take_fetched(&mut self, now: Time) {
        for (load, entries) in self.intake.loaded.drain(..) {
            self.replica.loaded(now, &load, entries);
        }
        for report in self.intake.chunk_reports.drain(..) {
            match report {
                ChunkReport::Read { to, chunk } => self.replica.chunk_read(now, to, chunk),
                ChunkReport::Written { from, index, offset } => {
                    self.replica.chunk_written(from, index, offset);
                }
                ChunkReport::Received { from, mark, total } => {
                    self.meter.snapshot_received();
                    self.replica.snapshot_received(now, from, mark, total);
                }
                ChunkReport::Failed { cause } => {
                    self.replica
                        .note(format!("a snapshot could not be received, and is asked for again: {cause}"));
                }
            }
        }
    }

    fn take_requests(&mut self, now: Time) {
        if self.intake.abandoned && self.stopping.is_none() {
            self.begin_to_stop(now);
        }
        let mut requests = std::mem::take(&mut self.intake.requests);
        for request in requests.drain(..) {
            match request {
                Request::Propose { command, ticket } => {
                    self.meter.proposed(1, command.len());
                    self.replica.propose(now, command, ticket);
                }
                Request::ProposeBatch { count, commands, ticket } => {
                    self.meter.proposed(count, commands.len());
                    self.replica.propose_batch(now, count, commands, ticket);
                }
                Request::ProposeInSession { op, command, ticket } => {
                    self.meter.proposed(1, command.len());
                    self.replica.propose_in_session(now, *op, command, ticket);
                }
                Request::Read { level, ticket } => {
                    self.meter.read();
                    self.replica.read_at(now, level, ticket);
                }
                Request::Administer { errand, answer } => {
                    self.ticket += 1;
                    self.errands.insert(self.ticket, answer);
                    self.replica.administer(now, *errand, self.ticket);
                }
                Request::Snapshot(answer) => {
                    self.ticket += 1;
                    self.snapshots.insert(self.ticket, answer);
                    self.replica.take_snapshot(self.ticket);
                }
                Request::Members(answer) => {
                    // Whoever asked may be gone.
                    let _ = answer.send(self.replica.engine().membership().clone());
                }
                Request::Stop(done) => {
                    self.begin_to_stop(now).waiting.push(done);
                }
            }
        }
        self.intake.requests = requests;
    }

    /// An orderly stop begins, unless it has: a leader hands over before it goes.
    fn begin_to_stop(&mut self, now: Time) -> &mut Stopping {
        if self.stopping.is_none() {
            self.replica.hand_over(now);
        }
        let deadline = now + self.grace;
        self.stopping.get_or_insert(Stopping { deadline, waiting: Vec::new() })
    }

    fn stop_if_quiet(&mut self, now: Time) {
        if let Some(stopping) = &self.stopping {
            self.replica.refuse_queued(SHUT_DOWN);
            if self.replica.is_quiet() || now >= stopping.deadline {
                self.replica.stop(SHUT_DOWN.to_owned());
            }
            self.alarm.set_no_later_than(stopping.deadline);
        }
    }
}
