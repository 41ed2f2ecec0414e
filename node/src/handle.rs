//! [`Node`]: the handle of a running node.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use consensus_api::{ClusterName, Error, Index, NodeId, Payload, SessionOp, StateMachine};
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};

use crate::applier::SessionAnswer;
use crate::builder::{Builder, NoStorage, NoTransport};
use crate::driver::Request;
use crate::read_level::ReadLevel;
use crate::replica::NODE_STOPPED;
use crate::shared::{Shared, cost_of};
use crate::status::Status;
use crate::ticket::{HandedOver, ReadFn, ReadTicket, Written};

/// A running node. Cheap to clone; the node stops when the last clone is dropped, or at [`shutdown`](Self::shutdown).
///
/// `D` is the engine that [`builder`](Self::builder) starts with until another is named; it says nothing about the
/// engine that this node runs.
pub struct Node<S: StateMachine, D = ()> {
    shared: Arc<Shared<S>>,
    default_engine: PhantomData<fn() -> D>,
}

/// What a read counts for in the budget of requests, in bytes.
const READ_BYTES: usize = 256;
impl<S: StateMachine, D> Node<S, D> {
    /// Begins a node: the cluster's name, the node's own id, the ids of all founding members (itself included), and its
    /// state machine. Storage and transport are still to be given.
    pub fn builder(
        cluster: impl Into<String>,
        node: impl Into<NodeId>,
        members: impl IntoIterator<Item = impl Into<NodeId>>,
        machine: S,
    ) -> Builder<S, D, D, NoStorage, NoTransport> {
        let members = members.into_iter().map(Into::into).collect();
        Builder::new(cluster.into(), node.into(), members, machine)
    }

    pub(crate) fn new(shared: Shared<S>) -> Self {
        Self { shared: Arc::new(shared), default_engine: PhantomData }
    }

    pub(crate) fn shared(&self) -> &Shared<S> {
        &self.shared
    }

    /// The node's id.
    pub fn id(&self) -> NodeId {
        self.shared.node
    }

    /// The name of its cluster.
    pub fn cluster(&self) -> &ClusterName {
        &self.shared.cluster
    }

    /// The largest command that it takes, in bytes.
    pub fn command_bytes_max(&self) -> usize {
        self.shared.command_bytes_max
    }

    /// Proposes a command; the answer is what this node's state machine gave for it, after the command was committed.
    /// Works on every node: one that does not lead forwards.
    ///
    /// The command is handed over by this call, in the order of calls, unless the node's budget is used up; then it
    /// waits for its turn when the future is first polled. Dropping the future ends the waiting, not the write.
    ///
    /// # Errors
    /// [`Error`] says whether the command may have been carried out.
    pub fn propose(
        &self,
        command: S::Command,
    ) -> impl Future<Output = Result<S::Response, Error>> + Send + use<S, D> {
        let written = self.propose_indexed(command);
        async move { written.await.map(|(_, answer)| answer) }
    }

    /// As [`propose`](Self::propose), and tells the index at which the command was applied: a read at
    /// [`ReadLevel::AtLeast`] that index sees the write, on whichever node.
    ///
    /// # Errors
    /// As [`propose`](Self::propose).
    pub fn propose_indexed(
        &self,
        command: S::Command,
    ) -> impl Future<Output = Result<(Index, S::Response), Error>> + Send + use<S, D> {
        self.hand_over_when_room(self.encode(&command), Shared::hand_over)
    }

    /// Hands over a request of a client's session: `command`, in its byte form, is carried out once, however often it
    /// is handed over, to whichever node, and answered the same. `command` is empty when a session is opened or closed.
    ///
    /// This is what a client is built on that keeps the numbers of its commands; see [`SessionOp`]. Two attempts at one
    /// command may be under way at once.
    ///
    /// # Errors
    /// As [`propose`](Self::propose), of this attempt; and [`Error::SessionExpired`]. An [`Error::OutcomeUnknown`] is no
    /// harm here: the same request may be handed over again.
    pub fn propose_in_session(
        &self,
        op: SessionOp,
        command: Bytes,
    ) -> impl Future<Output = Result<(Index, SessionAnswer), Error>> + Send + use<S, D> {
        let checked = match op {
            SessionOp::Command { .. } => self.check(command),
            SessionOp::Open { .. } | SessionOp::Close { .. } => Ok(Bytes::new()),
        };
        self.hand_over_when_room(checked, move |shared, command, permit| {
            shared.hand_over_in_session(op, command, permit)
        })
    }

    /// Hands over at once if there is room, else when the future is polled and there is.
    pub(crate) fn hand_over_when_room<A, H>(
        &self,
        command: Result<Bytes, Error>,
        hand_over: H,
    ) -> impl Future<Output = Written<A>> + Send + use<S, D, A, H>
    where
        A: Send + 'static,
        H: FnOnce(&Shared<S>, Bytes, OwnedSemaphorePermit) -> HandedOver<A> + Send + 'static,
    {
        let handing = command.and_then(|command| match self.shared.try_budget(cost_of(&command)) {
            Some(permit) => Ok(Handing::Done(hand_over(&self.shared, command, permit)?)),
            None => Ok(Handing::Waits { shared: self.shared.clone(), command, hand_over }),
        });
        async move {
            let answer = match handing? {
                Handing::Done(answer) => answer,
                Handing::Waits { shared, command, hand_over } => {
                    let permit = shared.budget(cost_of(&command)).await?;
                    hand_over(&shared, command, permit)?
                }
            };
            answer.await.unwrap_or(Err(Error::OutcomeUnknown { reason: NODE_STOPPED }))
        }
    }

    /// As [`propose`](Self::propose), but never waits for room: a node whose budget is used up answers
    /// [`Error::Busy`].
    ///
    /// # Errors
    /// As [`propose`](Self::propose), and [`Error::Busy`].
    pub fn try_propose(
        &self,
        command: S::Command,
    ) -> impl Future<Output = Result<S::Response, Error>> + Send + use<S, D> {
        let busy = Error::Busy { bytes_max: self.shared.request_bytes_max };
        let handed = self.encode(&command).and_then(|command| {
            let permit = self.shared.try_budget(cost_of(&command)).ok_or(busy)?;
            self.shared.hand_over(command, permit)
        });
        async move {
            let answered = handed?.await.unwrap_or(Err(Error::OutcomeUnknown { reason: NODE_STOPPED }));
            answered.map(|(_, answer)| answer)
        }
    }

    /// Reads the state, linearizably: `read` sees every write that was answered, on whichever node, before this call.
    /// It runs beside the state machine's work, so it should be short.
    ///
    /// # Errors
    /// [`Error::NoLeader`] when no leader confirmed the read in time, [`Error::Stopped`] when the node has stopped. A
    /// read changes nothing, so it can be tried again.
    pub fn read<A, F>(&self, read: F) -> impl Future<Output = Result<A, Error>> + Send + use<S, D, A, F>
    where
        A: Send + 'static,
        F: FnOnce(&S) -> A + Send + 'static,
    {
        self.read_at(ReadLevel::Linearizable, read)
    }

    /// As [`read`](Self::read), at a level of one's choice.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use consensus_api::{Error, StateMachine};
    /// # use quorate_node::{Node, ReadLevel};
    /// # async fn levels<S: StateMachine<Command = u64>>(node: Node<S>, total: fn(&S) -> u64) -> Result<(), Error> {
    /// let (written_at, _) = node.propose_indexed(5).await?;
    /// let mine = node.read_at(ReadLevel::AtLeast(written_at), total).await?;
    /// let recent = node.read_at(ReadLevel::Stale { max_lag: Duration::from_secs(2) }, total).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`read`](Self::read). [`Error::NoLeader`] is also the end of a read at [`ReadLevel::AtLeast`] whose entry did
    /// not arrive within the request's deadline, and of one at [`ReadLevel::Stale`] on a node whose state may be older
    /// than asked for and that finds no leader within the longest election timeout.
    pub fn read_at<A, F>(
        &self,
        level: ReadLevel,
        read: F,
    ) -> impl Future<Output = Result<A, Error>> + Send + use<S, D, A, F>
    where
        A: Send + 'static,
        F: FnOnce(&S) -> A + Send + 'static,
    {
        let shared = self.shared.clone();
        let (sender, receiver) = oneshot::channel();
        let read: ReadFn<S> = Box::new(move |state| {
            let panicked = |_| Error::Refused { reason: "the read panicked".to_owned() };
            let answer =
                state.and_then(|state| catch_unwind(AssertUnwindSafe(|| read(state))).map_err(panicked));
            drop(sender.send(answer));
        });
        let request = move |read, budget| Request::Read { level, ticket: ReadTicket { read, budget } };
        let early = shared.try_budget(READ_BYTES);
        let (handed, late) = match early {
            Some(budget) => (shared.send(request(read, budget)), None),
            None => (Ok(()), Some(read)),
        };
        async move {
            handed?;
            if let Some(read) = late {
                let budget = shared.budget(READ_BYTES).await?;
                shared.send(request(read, budget))?;
            }
            receiver.await.unwrap_or_else(|_| Err(shared.stopped()))
        }
    }

    /// Where the node stood a moment ago: role and leader at once, positions within a few milliseconds.
    pub fn status(&self) -> Status {
        self.shared.status.borrow().clone()
    }

    /// The status as it changes.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.shared.status.clone()
    }

    /// Waits until this node knows a leader, itself or another.
    ///
    /// # Errors
    /// [`Error::Stopped`] when the node has stopped.
    pub async fn leader(&self) -> Result<NodeId, Error> {
        let mut status = self.watch();
        let settled = status.wait_for(|status| status.leader.is_some() || status.stopped.is_some()).await;
        settled.ok().and_then(|status| status.leader).ok_or_else(|| self.shared.stopped())
    }

    /// Stops the node in good order: takes no more requests, finishes those under way (for a while), closes the log,
    /// and returns once the folder may be opened again. Nothing that was acknowledged is lost; so it would not be by
    /// killing the process either.
    pub async fn shutdown(&self) {
        let (done, stopped) = oneshot::channel();
        if self.shared.send(Request::Stop(done)).is_ok() {
            let _ = stopped.await;
        }
    }

    fn encode(&self, command: &S::Command) -> Result<Bytes, Error> {
        // Taken, for the author's code may propose something itself.
        let mut buffer = ENCODED.take();
        if buffer.capacity() < ENCODED_BYTES_MIN {
            buffer.reserve(ENCODED_BYTES);
        }
        let encoded =
            command.encode(&mut buffer).map_err(|error| Error::Refused { reason: error.to_string() });
        let bytes = buffer.split().freeze();
        ENCODED.set(buffer);
        encoded.and_then(|()| self.check(bytes))
    }

    /// Checks a command in its byte form.
    fn check(&self, command: Bytes) -> Result<Bytes, Error> {
        let (bytes, bytes_max) = (command.len(), self.shared.command_bytes_max);
        if bytes > bytes_max {
            return Err(Error::TooLarge { bytes, bytes_max });
        }
        // A command that cannot be read back would stop every node that applies it, at every start. Better one error.
        let unreadable =
            |error| Error::Refused { reason: format!("the command does not decode again: {error}") };
        S::Command::decode(command.clone()).map_err(unreadable)?;
        Ok(command)
    }
}

/// Commands are encoded into pieces of memory of this size.
const ENCODED_BYTES: usize = 32 << 10;
/// A piece with less room left is given up for the next.
const ENCODED_BYTES_MIN: usize = 1 << 10;

thread_local! {
    /// Commands are put into their byte form here, so that a small one costs no allocation of its own.
    static ENCODED: Cell<BytesMut> = Cell::new(BytesMut::new());
}

/// A command on its way from a handle to its node.
enum Handing<S: StateMachine, A, H> {
    /// It is there, and is answered here.
    Done(oneshot::Receiver<Written<A>>),
    /// It waits for room.
    Waits { shared: Arc<Shared<S>>, command: Bytes, hand_over: H },
}

impl<S: StateMachine, D> Clone for Node<S, D> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), default_engine: PhantomData }
    }
}

impl<S: StateMachine, D> fmt::Debug for Node<S, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({})", self.shared.node)
    }
}
