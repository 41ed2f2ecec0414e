//! Who waits for an answer: [`ProposalTicket`] and [`ReadTicket`].

use consensus_api::{Error, Index};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::applier::{Reply, SessionAnswer};

/// What a write ends with: where it stands and its answer.
pub(crate) type Written<A> = Result<(Index, A), Error>;

/// The way back for the answer of a write that was handed over.
pub(crate) type HandedOver<A> = Result<oneshot::Receiver<Written<A>>, Error>;

/// Who waits for the answer of a command or of several, and the share of the node's budget that they hold until then.
#[derive(Debug)]
pub(crate) struct ProposalTicket<A> {
    pub(crate) waiter: Waiter<A>,
    pub(crate) budget: OwnedSemaphorePermit,
}

/// Who waits for a command's answer.
#[derive(Debug)]
pub(crate) enum Waiter<A> {
    /// For the state machine's own.
    Command(oneshot::Sender<Written<A>>),
    /// For those of several commands, all at once.
    Batch(Box<Gathering<A>>),
    /// For a session's.
    Session(oneshot::Sender<Written<SessionAnswer>>),
}

impl<A> ProposalTicket<A> {
    /// Answers. Whoever waited may be gone: the write stands all the same. A ticket that waits for more answers is
    /// given back.
    pub(crate) fn answer(self, index: Index, reply: Reply<A>) -> Option<Self> {
        let Self { waiter, budget } = self;
        // A waiter is asked for in the same breath as the kind of entry, so each gets a reply of its own kind.
        match (waiter, reply) {
            (Waiter::Command(waiter), Reply::Answer(answer)) => {
                drop(budget);
                drop(waiter.send(Ok((index, answer))));
            }
            (Waiter::Batch(mut gathering), Reply::Answer(answer)) => {
                gathering.answers.push(answer);
                if gathering.answers.len() < gathering.count {
                    return Some(Self { waiter: Waiter::Batch(gathering), budget });
                }
                drop(budget);
                drop(gathering.waiter.send(Ok((index, gathering.answers))));
            }
            (Waiter::Session(waiter), Reply::Session(answer)) => {
                drop(budget);
                drop(waiter.send(answer.map(|answer| (index, answer))));
            }
            (waiter, _) => debug_assert!(false, "{} got another's reply", waiter.kind()),
        }
        None
    }

    /// Ends without an answer.
    pub(crate) fn fail(self, error: Error) {
        drop(self.budget);
        match self.waiter {
            Waiter::Command(waiter) => drop(waiter.send(Err(error))),
            Waiter::Batch(gathering) => drop(gathering.waiter.send(Err(error))),
            Waiter::Session(waiter) => drop(waiter.send(Err(error))),
        }
    }
}

/// The answers of a batch, as they come.
#[derive(Debug)]
pub(crate) struct Gathering<A> {
    waiter: oneshot::Sender<Written<Vec<A>>>,
    answers: Vec<A>,
    count: usize,
}

impl<A> Waiter<A> {
    pub(crate) fn of_batch(waiter: oneshot::Sender<Written<Vec<A>>>, count: usize) -> Self {
        Self::Batch(Box::new(Gathering { waiter, answers: Vec::with_capacity(count), count }))
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Command(_) => "a command",
            Self::Batch(_) => "a batch",
            Self::Session(_) => "a session",
        }
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
