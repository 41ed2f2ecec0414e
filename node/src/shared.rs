//! [`Shared`]: what the handles of a node share: the way in, and the budget of what may be under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use consensus_api::{ClusterName, Error, Identity, NodeId, SessionOp, StateMachine};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use crate::applier::SessionAnswer;
use crate::driver::Request;
use crate::options::Options;
use crate::status::Status;
use crate::ticket::{HandedOver, ProposalTicket, Waiter};

/// What the handles of a node share.
pub(crate) struct Shared<S: StateMachine> {
    pub(crate) cluster: ClusterName,
    pub(crate) node: NodeId,
    requests: mpsc::UnboundedSender<Request<S>>,
    budget: Arc<Semaphore>,
    queueing: AtomicUsize,
    pub(crate) request_bytes_max: usize,
    pub(crate) command_bytes_max: usize,
    pub(crate) batch_bytes_max: usize,
    pub(crate) status: watch::Receiver<Status>,
}

impl<S: StateMachine> Shared<S> {
    pub(crate) fn new(
        identity: &Identity,
        requests: mpsc::UnboundedSender<Request<S>>,
        status: watch::Receiver<Status>,
        options: &Options,
    ) -> Self {
        Self {
            cluster: identity.cluster.clone(),
            node: identity.node,
            requests,
            budget: Arc::new(Semaphore::new(options.request_bytes_max)),
            queueing: AtomicUsize::new(0),
            request_bytes_max: options.request_bytes_max,
            command_bytes_max: options.command_bytes_max,
            batch_bytes_max: options.batch_bytes_max(),
            status,
        }
    }
}

/// What a command counts for beyond its own bytes.
const COMMAND_OVERHEAD_BYTES: usize = 128;

/// What a command takes of the budget.
pub(crate) fn cost_of(command: &Bytes) -> usize {
    command.len() + COMMAND_OVERHEAD_BYTES
}

impl<S: StateMachine> Shared<S> {
    /// A share of the budget, if there is room and nobody waits for it.
    pub(crate) fn try_budget(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        if self.queueing.load(Ordering::Relaxed) > 0 {
            return None;
        }
        self.budget.clone().try_acquire_many_owned(self.share(bytes)).ok()
    }

    /// A share of the budget, first come, first served.
    pub(crate) async fn budget(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Error> {
        self.queueing.fetch_add(1, Ordering::Relaxed);
        let queueing = Queueing(&self.queueing);
        let permit = self.budget.clone().acquire_many_owned(self.share(bytes)).await;
        drop(queueing);
        permit.map_err(|_| self.stopped())
    }

    /// A request as large as the whole budget takes all of it, rather than wait for ever.
    fn share(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.min(self.request_bytes_max)).unwrap_or(u32::MAX)
    }

    pub(crate) fn hand_over(&self, command: Bytes, budget: OwnedSemaphorePermit) -> HandedOver<S::Response> {
        let (answer, receiver) = oneshot::channel();
        let ticket = ProposalTicket { waiter: Waiter::Command(answer), budget };
        self.send(Request::Propose { command, ticket })?;
        Ok(receiver)
    }

    /// Hands over so many commands, in the form that they have in an entry.
    pub(crate) fn hand_over_batch(
        &self,
        count: u32,
        commands: Bytes,
        budget: OwnedSemaphorePermit,
    ) -> HandedOver<Vec<S::Response>> {
        let (answers, receiver) = oneshot::channel();
        let ticket = ProposalTicket { waiter: Waiter::of_batch(answers, count as usize), budget };
        self.send(Request::ProposeBatch { count, commands, ticket })?;
        Ok(receiver)
    }

    pub(crate) fn hand_over_in_session(
        &self,
        op: SessionOp,
        command: Bytes,
        budget: OwnedSemaphorePermit,
    ) -> HandedOver<SessionAnswer> {
        let (answer, receiver) = oneshot::channel();
        let ticket = ProposalTicket { waiter: Waiter::Session(answer), budget };
        self.send(Request::ProposeInSession { op: Box::new(op), command, ticket })?;
        Ok(receiver)
    }

    pub(crate) fn send(&self, request: Request<S>) -> Result<(), Error> {
        self.requests.send(request).map_err(|_| self.stopped())
    }

    pub(crate) fn stopped(&self) -> Error {
        let cause = self.status.borrow().stopped.clone();
        Error::Stopped { cause: cause.unwrap_or_else(|| "its runtime is gone".into()) }
    }
}

/// Counts one who waits for the budget, for as long as it lives.
struct Queueing<'a>(&'a AtomicUsize);

impl Drop for Queueing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
