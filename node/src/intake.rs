//! [`Intake`]: what has happened since the last round, collected from wherever it comes from.

use std::mem;
use std::task::{Context, Poll};

use consensus_api::{Arrival, Entry, LogStorage, StateMachine, StorageError, Transport, WriteSeq};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::chunks::ChunkReport;
use crate::driver::Request;
use crate::replica::Load;
use crate::worker::Feedback;

/// Entries being read from the log, and what for.
pub(crate) type Loading = BoxFuture<'static, (Load, Result<Vec<Entry>, StorageError>)>;

/// Where things come from, and what has come.
pub(crate) struct Intake<S: StateMachine> {
    from_handles: UnboundedReceiver<Request<S>>,
    from_worker: UnboundedReceiver<Feedback>,
    from_chunks: UnboundedReceiver<ChunkReport>,
    loading: FuturesUnordered<Loading>,
    asleep: Asleep,
    pub(crate) requests: Vec<Request<S>>,
    /// Every handle is gone: nobody can ask for anything any more.
    pub(crate) abandoned: bool,
    pub(crate) arrivals: Vec<Arrival>,
    pub(crate) feedback: Vec<Feedback>,
    pub(crate) loaded: Vec<(Load, Result<Vec<Entry>, StorageError>)>,
    pub(crate) chunk_reports: Vec<ChunkReport>,
    pub(crate) durable: Option<Result<WriteSeq, StorageError>>,
}

/// The sources that had nothing more when they were last asked, and will wake the task when they have. They need not
/// be asked again before it is woken: asking costs more than much of what they bring.
#[derive(Clone, Copy, Default)]
#[allow(clippy::struct_excessive_bools, reason = "one for each source, independent of the others")]
struct Asleep {
    handles: bool,
    transport: bool,
    worker: bool,
    loading: bool,
    chunks: bool,
    log: bool,
}

/// Things of one kind taken in per round.
const INTAKE_MAX: usize = 1024;

impl<S: StateMachine> Intake<S> {
    pub(crate) fn new(
        from_handles: UnboundedReceiver<Request<S>>,
        from_worker: UnboundedReceiver<Feedback>,
        from_chunks: UnboundedReceiver<ChunkReport>,
    ) -> Self {
        Self {
            from_handles,
            from_worker,
            from_chunks,
            loading: FuturesUnordered::new(),
            asleep: Asleep::default(),
            requests: Vec::new(),
            abandoned: false,
            arrivals: Vec::new(),
            feedback: Vec::new(),
            loaded: Vec::new(),
            chunk_reports: Vec::new(),
            durable: None,
        }
    }

    /// The task was woken, and nobody says by whom.
    pub(crate) fn woken(&mut self) {
        self.asleep = Asleep::default();
    }

    /// Entries are being read.
    pub(crate) fn load(&mut self, loading: Loading) {
        self.loading.push(loading);
        self.asleep.loading = false;
    }

    /// Asks the log, to which something was just given: one that is done at once says so at once.
    pub(crate) fn poll_log(&mut self, cx: &mut Context<'_>, log: &mut impl LogStorage) {
        let durable = log.poll_durable(cx);
        self.asleep.log = durable.is_pending();
        if let Poll::Ready(durable) = durable {
            self.durable = Some(durable);
        }
    }

    /// Collects what has come. Whether anything has. `log` is asked only if it has anything to say: it has nothing, and
    /// need not wake anybody, while nothing is being written.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        transport: &mut impl Transport,
        log: Option<&mut impl LogStorage>,
    ) -> bool {
        let was_abandoned = self.abandoned;
        self.poll_handles(cx);
        while !self.asleep.transport && self.arrivals.len() < INTAKE_MAX {
            match transport.poll_arrival(cx) {
                Poll::Ready(arrival) => self.arrivals.push(arrival),
                Poll::Pending => self.asleep.transport = true,
            }
        }
        poll_many(&mut self.from_worker, cx, &mut self.asleep.worker, &mut self.feedback);
        poll_many(&mut self.from_chunks, cx, &mut self.asleep.chunks, &mut self.chunk_reports);
        while !self.asleep.loading {
            match self.loading.poll_next_unpin(cx) {
                Poll::Ready(Some(loaded)) => self.loaded.push(loaded),
                // The next one to be pushed is asked for.
                Poll::Ready(None) | Poll::Pending => self.asleep.loading = true,
            }
        }
        if let Some(log) = log.filter(|_| !self.asleep.log) {
            self.poll_log(cx, log);
        }
        !(self.requests.is_empty()
            && self.arrivals.is_empty()
            && self.feedback.is_empty()
            && self.chunk_reports.is_empty()
            && self.loaded.is_empty()
            && self.durable.is_none()
            && self.abandoned == was_abandoned)
    }

    /// Whether anything was read from the log, or is told of a snapshot on its way. Rare.
    pub(crate) const fn has_fetched(&self) -> bool {
        !(self.loaded.is_empty() && self.chunk_reports.is_empty())
    }

    fn poll_handles(&mut self, cx: &mut Context<'_>) {
        if self.asleep.handles || self.abandoned {
            return;
        }
        match self.from_handles.poll_recv_many(cx, &mut self.requests, INTAKE_MAX) {
            Poll::Ready(0) => self.abandoned = true,
            Poll::Ready(_) => {}
            Poll::Pending => self.asleep.handles = true,
        }
    }

    /// Takes no more requests; those that came are still there.
    pub(crate) fn close(&mut self) -> Vec<Request<S>> {
        self.from_handles.close();
        let mut late = mem::take(&mut self.requests);
        while let Ok(request) = self.from_handles.try_recv() {
            late.push(request);
        }
        late
    }
}

fn poll_many<M>(from: &mut UnboundedReceiver<M>, cx: &mut Context<'_>, asleep: &mut bool, came: &mut Vec<M>) {
    if !*asleep {
        // A sender that is gone says so by itself, sooner or later.
        *asleep = !matches!(from.poll_recv_many(cx, came, INTAKE_MAX), Poll::Ready(1..));
    }
}
