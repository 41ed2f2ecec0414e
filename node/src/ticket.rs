//! Who waits for an answer: [`ProposalTicket`] and [`ReadTicket`].

use consensus_api::{Error, Index};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// What a write ends with: where it stands and its answer.
pub(crate) type Written<A> = Result<(Index, A), Error>;

/// Who waits for a command's answer, and the share of the node's budget that the command holds until then.
#[derive(Debug)]
pub(crate) struct ProposalTicket<A> {
    pub(crate) answer: oneshot::Sender<Written<A>>,
    pub(crate) budget: OwnedSemaphorePermit,
}

impl<A> ProposalTicket<A> {
    /// Answers. Whoever waited may be gone: the write stands all the same.
    pub(crate) fn answer(self, answer: Written<A>) {
        drop(self.budget);
        let _ = self.answer.send(answer);
    }
}

/// What a read does with the state, or with the reason why there is none.
pub(crate) type ReadFn<S> = Box<dyn FnOnce(Result<&S, Error>) + Send>;

/// A read that waits for its turn.
pub(crate) struct ReadTicket<S> {
    pub(crate) read: ReadFn<S>,
    pub(crate) budget: OwnedSemaphorePermit,
}

impl<S> ReadTicket<S> {
    /// Carries the read out on this state, or tells why it could not be.
    pub(crate) fn finish(self, state: Result<&S, Error>) {
        drop(self.budget);
        (self.read)(state);
    }
}
