//! [`Driver`]: the thin asynchronous shell around a replica. One task per node.
//!
//! *Patterns of Distributed Systems*, "Singular Update Queue": everything that changes a node goes through this one
//! task. Each round takes in all that has happened, lets the replica advance once, and carries out what it asks for.
//! There is no timer on the hot path: what queued while the last round ran goes together in the next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use consensus_api::{
    Arrival, Clock, Engine, Entry, Error, LogReader, LogStorage, Membership, SessionOp, StateMachine,
    StorageError, Time, Transport,
};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::Instrument;

use crate::alarm::Alarm;
use crate::board::{Board, SHUT_DOWN};
use crate::chunks::{ChunkOrder, ChunkReport};
use crate::errand::Errand;
use crate::meter::{Meter, Reading};
use crate::read_level::ReadLevel;
use crate::replica::{Load, Outputs, Replica};
use crate::ticket::{ProposalTicket, ReadTicket};
use crate::worker::{Feedback, Work, WorkerPort};

/// What a handle asks of its node.
pub(crate) enum Request<S: StateMachine> {
    Propose { command: Bytes, ticket: ProposalTicket<S::Response> },
    ProposeInSession { op: SessionOp, command: Bytes, ticket: ProposalTicket<S::Response> },
    Read { level: ReadLevel, ticket: ReadTicket<S> },
    Administer { errand: Errand, answer: oneshot::Sender<Result<(), Error>> },
    Members(oneshot::Sender<Membership>),
    Stop(oneshot::Sender<()>),
}

type Tickets<S> = Outputs<ProposalTicket<<S as StateMachine>::Response>, ReadTicket<S>>;
type Loading = BoxFuture<'static, (Load, Result<Vec<Entry>, StorageError>)>;

/// A node at work.
pub(crate) struct Driver<S: StateMachine, E: Engine, L: LogStorage, T> {
    pub(crate) replica: Replica<E, ProposalTicket<S::Response>, ReadTicket<S>>,
    pub(crate) log: L,
    pub(crate) reader: L::Reader,
    pub(crate) transport: T,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) alarm: Alarm,
    pub(crate) requests: UnboundedReceiver<Request<S>>,
    pub(crate) worker: WorkerPort<S>,
    pub(crate) feedback: UnboundedReceiver<Feedback>,
    pub(crate) chunk_orders: UnboundedSender<ChunkOrder>,
    pub(crate) chunk_reports: UnboundedReceiver<ChunkReport>,
    pub(crate) chunks: JoinHandle<()>,
    pub(crate) board: Board,
    pub(crate) meter: Meter,
    /// Who waits for the end of an errand, by ticket.
    pub(crate) errands: BTreeMap<u64, oneshot::Sender<Result<(), Error>>>,
    pub(crate) errand: u64,
    pub(crate) stopping: Option<Stopping>,
    pub(crate) grace: Duration,
    pub(crate) loads: FuturesUnordered<Loading>,
    pub(crate) incoming: Vec<Request<S>>,
    pub(crate) out: Tickets<S>,
}

/// An orderly stop under way.
#[derive(Default)]
pub(crate) struct Stopping {
    deadline: Time,
    waiting: Vec<oneshot::Sender<()>>,
}

/// Rounds in one go before other tasks get their turn.
const ROUNDS_MAX: usize = 16;
/// Things of one kind taken in per round.
const INTAKE_MAX: usize = 1024;

impl<S: StateMachine, E: Engine, L: LogStorage, T: Transport> Driver<S, E, L, T> {
    /// Runs the node until it stops.
    pub(crate) async fn run(mut self) {
        let identity = self.replica.identity();
        let span = tracing::info_span!("node", id = identity.node.0, cluster = %identity.cluster);
        std::future::poll_fn(|cx| self.poll(cx)).instrument(span).await;
        let cause = self.replica.stopped().unwrap_or(SHUT_DOWN).to_owned();
        self.requests.close();
        let mut waiting = self.stopping.take().unwrap_or_default().waiting;
        while let Ok(request) = self.requests.try_recv() {
            let error = Error::Stopped { cause: cause.as_str().into() };
            match request {
                Request::Propose { ticket, .. } | Request::ProposeInSession { ticket, .. } => {
                    ticket.fail(error);
                }
                Request::Read { ticket, .. } => ticket.finish(Err(error)),
                Request::Administer { answer, .. } => drop(answer.send(Err(error))),
                Request::Members(_) => {}
                Request::Stop(done) => waiting.push(done),
            }
        }
        let Self { worker, chunk_orders, chunks, log, reader, transport, loads, .. } = self;
        drop((chunk_orders, transport, loads));
        let _ = chunks.await;
        worker.end().await;
        // Closing a log may wait for the disk. Whoever asked for the stop may open the folder once it is closed.
        let _ = tokio::task::spawn_blocking(move || drop((reader, log))).await;
        for done in waiting {
            let _ = done.send(());
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..ROUNDS_MAX {
            let now = self.clock.now();
            let took = self.take_in(now, cx);
            // Anew, lest a lease be judged by a time before the read came in: the process may have stood still between.
            let now = self.clock.now();
            self.replica.advance(now, self.clock.wall());
            let gave = self.carry_out(now);
            self.stop_if_quiet(now);
            if let Some(cause) = self.replica.stopped().map(str::to_owned) {
                self.carry_out(now);
                self.board.publish_end(&self.replica, cause);
                return Poll::Ready(());
            }
            let rang = self.alarm.poll(cx, self.replica.deadline().min(self.board.due()));
            if self.board.publish_if_due(&self.replica, &self.transport, now) {
                self.meter.show(&self.reading());
            }
            if !took && !gave && !rang {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn reading(&self) -> Reading {
        Reading {
            standing: self.replica.standing(),
            applied: self.replica.applied_index(),
            snapshot: self.replica.snapshot_index(),
            cached_bytes: self.replica.cached_bytes(),
        }
    }

    /// Takes in what has happened. Whether anything has.
    fn take_in(&mut self, now: Time, cx: &mut Context<'_>) -> bool {
        let wall = self.clock.wall();
        let mut took = self.take_requests(now, cx);
        for _ in 0..INTAKE_MAX {
            let Poll::Ready(arrival) = self.transport.poll_arrival(cx) else { break };
            match &arrival {
                Arrival::Frame { frame, .. } => self.meter.received(frame.len()),
                _ => self.board.connection_changed(),
            }
            self.replica.arrival(self.clock.now(), wall, arrival);
            took = true;
        }
        while let Poll::Ready(Some(feedback)) = self.feedback.poll_recv(cx) {
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
            took = true;
        }
        while let Poll::Ready(Some((load, entries))) = self.loads.poll_next_unpin(cx) {
            self.replica.loaded(now, &load, entries);
            took = true;
        }
        took |= self.take_chunk_reports(now, cx);
        while let Poll::Ready(durable) = self.log.poll_durable(cx) {
            took = true;
            match durable {
                Ok(seq) => {
                    self.meter.write_ended(now);
                    self.replica.durable(now, seq);
                }
                Err(error) => {
                    self.replica.stop(format!("the log could not be written: {error}"));
                    break;
                }
            }
        }
        // Whoever waits in `poll_durable` is woken when this changes.
        self.replica.set_room(self.log.has_room());
        took
    }

    /// Takes in how snapshots on their way are doing.
    fn take_chunk_reports(&mut self, now: Time, cx: &mut Context<'_>) -> bool {
        let mut took = false;
        while let Poll::Ready(Some(report)) = self.chunk_reports.poll_recv(cx) {
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
            took = true;
        }
        took
    }

    fn take_requests(&mut self, now: Time, cx: &mut Context<'_>) -> bool {
        let mut incoming = std::mem::take(&mut self.incoming);
        let took = match self.requests.poll_recv_many(cx, &mut incoming, INTAKE_MAX) {
            Poll::Pending => false,
            Poll::Ready(0) if self.stopping.is_some() => false,
            Poll::Ready(0) => {
                // Every handle is gone.
                self.begin_to_stop(now);
                true
            }
            Poll::Ready(_) => true,
        };
        for request in incoming.drain(..) {
            match request {
                Request::Propose { command, ticket } => {
                    self.meter.proposed(command.len());
                    self.replica.propose(now, command, ticket);
                }
                Request::ProposeInSession { op, command, ticket } => {
                    self.meter.proposed(command.len());
                    self.replica.propose_in_session(now, op, command, ticket);
                }
                Request::Read { level, ticket } => {
                    self.meter.read();
                    self.replica.read_at(now, level, ticket);
                }
                Request::Administer { errand, answer } => {
                    self.errand += 1;
                    self.errands.insert(self.errand, answer);
                    self.replica.administer(now, errand, self.errand);
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
        self.incoming = incoming;
        took
    }

    /// Carries out what the replica asks for. Whether it asked for anything.
    fn carry_out(&mut self, now: Time) -> bool {
        let mut out = std::mem::take(&mut self.out);
        std::mem::swap(self.replica.outputs(), &mut out);
        let mut gave = false;
        if let Some((seq, batch)) = out.write.take() {
            gave = true;
            self.meter.write_began(now);
            if let Err(error) = self.log.submit(seq, batch) {
                self.replica.stop(format!("the log could not be written: {error}"));
            }
        }
        let mut blocked = None;
        for frame in out.frames.drain(..) {
            gave = true;
            let (lane, bytes) = (frame.lane, frame.frame.len());
            // Behind a forwarded proposal that was not sent none is: they keep their order.
            let sent = match blocked.filter(|_| frame.forwards.is_some()) {
                Some(error) => Err(error),
                None => self.transport.send(frame.to, frame.lane, frame.frame),
            };
            if let Err(error) = sent {
                blocked = blocked.or(frame.forwards.map(|_| error));
                self.meter.dropped();
                self.replica.not_sent(now, frame.to, frame.forwards, error);
            } else {
                self.meter.sent(lane, bytes);
            }
        }
        if !out.apply.is_empty() {
            gave = true;
            self.hand_over(Work::Apply(std::mem::take(&mut out.apply)));
        }
        if !out.reads.is_empty() {
            gave = true;
            self.hand_over(Work::Read(std::mem::take(&mut out.reads)));
        }
        for (ticket, error) in out.failed.drain(..) {
            self.meter.failed(&error);
            ticket.fail(error);
        }
        for (ticket, error) in out.failed_reads.drain(..) {
            self.meter.failed(&error);
            ticket.finish(Err(error));
        }
        self.administer(&mut out);
        for load in out.loads.drain(..) {
            gave = true;
            let reader = self.reader.clone();
            self.loads.push(Box::pin(async move {
                let entries = reader.read(load.range.clone(), load.bytes_max).await;
                (load, entries)
            }));
        }
        let reads = out.chunk_reads.drain(..).map(ChunkOrder::Read);
        for order in reads.chain(out.chunk_writes.drain(..).map(ChunkOrder::Write)) {
            gave = true;
            // The task that takes orders lives as long as this sender.
            let _ = self.chunk_orders.send(order);
        }
        self.out = out;
        gave
    }

    /// Tells operators what became of their errands, and the transport where members are found.
    fn administer(&mut self, out: &mut Tickets<S>) {
        for (ticket, result) in out.administered.drain(..) {
            // Whoever waited may be gone: it stands all the same.
            let _ = self.errands.remove(&ticket).map(|answer| answer.send(result));
        }
        for (node, address) in out.addresses.drain(..) {
            match address {
                Some(address) => self.transport.set_address(node, &address),
                None => self.transport.forget(node),
            }
        }
    }

    fn hand_over(&mut self, work: Work<S>) {
        if !self.worker.handle(work) {
            self.replica.stop("the thread of its state machine is gone".to_owned());
        }
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
