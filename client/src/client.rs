//! [`Client`]: exactly-once commands and reads, on whichever member answers.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use consensus_api::{Error, Index, NodeId, Payload, Queryable, SessionOp};
use node::{Node, ReadLevel, SessionAnswer};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use crate::connection::Remote;
use crate::endpoint::{Endpoint, InProcess, Reply, Request, encode};
use crate::options::{ClientOptions, PAUSE_MAX};
use crate::session::{Numbered, Session};

/// A client of a cluster that replicates `S`. Cheap to clone; clones share one session, and may be used at the same time.
///
/// A command is numbered once and asked for until it is answered, of one member after the other: the leader first, as
/// far as known. The replicas carry a number out once. So a command that is answered was carried out exactly once, through
/// any number of lost answers, restarts and changes of leadership; one that ends with an error was carried out at most
/// once, and [`Error::may_have_happened`] says whether it may have been. Dropping the future gives the command up: it is
/// then carried out at most once. Commands asked for at the same time may be carried out in any order.
///
/// Reads go to the members in turn.
pub struct Client<S> {
    shared: Arc<Shared>,
    machine: PhantomData<fn(S)>,
}

struct Shared {
    members: Vec<(NodeId, Arc<dyn Endpoint>)>,
    options: ClientOptions,
    /// The member that took the last command, by place.
    preferred: AtomicUsize,
    /// Counts reads.
    turn: AtomicUsize,
    /// The highest index that a command of this client was applied at.
    written: AtomicU64,
    session: Mutex<Option<Arc<Session>>>,
}

/// Where one request has got to.
struct Attempts {
    begun: Instant,
    deadline: Instant,
    at: usize,
    pause: Duration,
    /// Some attempt may have been carried out.
    uncertain: bool,
}

const NO_ANSWER: &str = "no member answered before the client's deadline";
const ANSWER_GONE: &str = "it was carried out, but its answer was too large to be remembered";
const SESSION_GONE: &str = "the session ended while the command was under way";

impl<S: Queryable> Client<S> {
    /// A client of nodes in this process.
    pub fn in_process<D: 'static>(
        nodes: impl IntoIterator<Item = Node<S, D>>,
        options: ClientOptions,
    ) -> Self {
        let endpoint = |node: Node<S, D>| {
            let endpoint: Arc<dyn Endpoint> = Arc::new(InProcess::new(node.clone()));
            (node.id(), endpoint)
        };
        Self::new(nodes.into_iter().map(endpoint), options)
    }

    /// A client of members in other processes: the cluster's name, and each member with its client port (`host:port`),
    /// which [`ClientPort`](crate::ClientPort) opens. Nothing is connected before something is asked.
    pub fn remote<A: Into<String>>(
        cluster: impl Into<String>,
        members: impl IntoIterator<Item = (impl Into<NodeId>, A)>,
        options: ClientOptions,
    ) -> Self {
        let cluster = cluster.into();
        let endpoint = |(member, address): (_, A)| {
            let endpoint: Arc<dyn Endpoint> = Arc::new(Remote::new(cluster.clone(), address));
            (member, endpoint)
        };
        let members = members.into_iter().map(|(member, address)| endpoint((member.into(), address)));
        Self::new(members, options)
    }

    /// A client that reaches each member in a way of its own.
    pub fn new(
        members: impl IntoIterator<Item = (NodeId, Arc<dyn Endpoint>)>,
        options: ClientOptions,
    ) -> Self {
        let shared = Shared {
            members: members.into_iter().collect(),
            options,
            preferred: AtomicUsize::new(0),
            turn: AtomicUsize::new(0),
            written: AtomicU64::new(0),
            session: Mutex::new(None),
        };
        Self { shared: Arc::new(shared), machine: PhantomData }
    }

    /// Has a command carried out, once.
    ///
    /// # Errors
    /// [`Error`] says whether the command may have been carried out. [`Error::OutcomeUnknown`] is the end of a command of
    /// which no member could say anything before [`ClientOptions::deadline`].
    pub async fn execute(&self, command: &S::Command) -> Result<S::Response, Error> {
        let (index, answer) = self.shared.execute(encode(command)?).await?;
        self.shared.written.fetch_max(index.0, Ordering::Relaxed);
        S::Response::decode(answer).map_err(undecodable)
    }

    /// Asks a question, linearizably: the answer has seen all that was answered before.
    ///
    /// # Errors
    /// [`Error`]; a question changes nothing, and can be asked again.
    pub async fn query(&self, query: &S::Query) -> Result<S::Answer, Error> {
        self.query_at(ReadLevel::Linearizable, query).await
    }

    /// As [`query`](Self::query), at a level of one's choice.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn query_at(&self, level: ReadLevel, query: &S::Query) -> Result<S::Answer, Error> {
        let answer = self.shared.query(level, encode(query)?).await?;
        S::Answer::decode(answer).map_err(undecodable)
    }

    /// The level at which a question sees all that this client has written, on whichever member.
    pub fn own_writes(&self) -> ReadLevel {
        ReadLevel::AtLeast(Index(self.shared.written.load(Ordering::Relaxed)))
    }

    /// Ends the session, if there is one. The replicas then forget its answers at once, rather than after a while. No
    /// command may be under way.
    ///
    /// # Errors
    /// [`Error`] when no member took it; the session then ends by itself.
    pub async fn close(&self) -> Result<(), Error> {
        let session = self.shared.session.lock().await.take();
        let Some(session) = session else { return Ok(()) };
        let op = SessionOp::Close { session: session.id };
        self.shared.session_request(op, &mut self.shared.attempts()).await.map(drop)
    }
}

impl Shared {
    fn attempts(&self) -> Attempts {
        let begun = Instant::now();
        Attempts {
            begun,
            deadline: begun + self.options.deadline,
            at: self.preferred.load(Ordering::Relaxed),
            pause: self.options.pause,
            uncertain: false,
        }
    }

    async fn execute(&self, command: Bytes) -> Result<(Index, Bytes), Error> {
        let mut attempts = self.attempts();
        loop {
            let session = self.session(&mut attempts).await?;
            let left = attempts.deadline.saturating_duration_since(Instant::now());
            let number = timeout(left, session.number()).await.map_err(|_| attempts.late())?;
            match self.carry_out(&session, &number, &command, &mut attempts).await {
                // Nothing of it was carried out, so another session may take it up.
                Err(Error::SessionExpired { .. }) if !attempts.uncertain => self.forget(&session).await,
                Err(Error::SessionExpired { .. }) => {
                    self.forget(&session).await;
                    return Err(Error::OutcomeUnknown { reason: SESSION_GONE });
                }
                Ok((index, SessionAnswer::Answered(answer))) => return Ok((index, answer)),
                Ok(_) => return Err(Error::OutcomeUnknown { reason: ANSWER_GONE }),
                Err(error) => return Err(error),
            }
        }
    }

    /// Asks for one number until it is answered.
    async fn carry_out(
        &self,
        session: &Session,
        number: &Numbered<'_>,
        command: &Bytes,
        attempts: &mut Attempts,
    ) -> Result<(Index, SessionAnswer), Error> {
        loop {
            let op = SessionOp::Command {
                session: session.id,
                sequence: number.sequence,
                acknowledged: session.acknowledged(),
            };
            let request = Request::Session { op, command: command.clone() };
            match self.attempt(request, attempts).await {
                Ok(Reply::Session(index, answer)) => return Ok((index, answer)),
                Ok(Reply::Query(_)) => attempts.uncertain = true,
                Err(error) => self.consider(error, attempts).await?,
            }
        }
    }

    /// The session; a new one if there is none.
    async fn session(&self, attempts: &mut Attempts) -> Result<Arc<Session>, Error> {
        let left = attempts.deadline.saturating_duration_since(Instant::now());
        let mut current = timeout(left, self.session.lock()).await.map_err(|_| attempts.late())?;
        if let Some(session) = &*current {
            return Ok(session.clone());
        }
        let idle_max_ms = u64::try_from(self.options.session_idle_max.as_millis()).unwrap_or(u64::MAX);
        let id = loop {
            // Opening one twice does no harm: the other ends by itself.
            if let (_, SessionAnswer::Opened(id)) =
                self.session_request(SessionOp::Open { idle_max_ms }, attempts).await?
            {
                break id;
            }
        };
        Ok(current.insert(Arc::new(Session::new(id))).clone())
    }

    /// No further command is to use this session.
    async fn forget(&self, session: &Arc<Session>) {
        let mut current = self.session.lock().await;
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, session)) {
            *current = None;
        }
    }

    /// Opens or closes a session. Repeating that does no harm, so nothing of it is uncertain.
    async fn session_request(
        &self,
        op: SessionOp,
        attempts: &mut Attempts,
    ) -> Result<(Index, SessionAnswer), Error> {
        loop {
            let asked = self.attempt(Request::Session { op, command: Bytes::new() }, attempts).await;
            match asked {
                Ok(Reply::Session(index, answer)) => return Ok((index, answer)),
                Ok(Reply::Query(_)) | Err(Error::OutcomeUnknown { .. }) => {
                    self.consider(
                        Error::NoLeader { waited: attempts.begun.elapsed(), removed: None },
                        attempts,
                    )
                    .await?;
                }
                Err(error) => self.consider(error, attempts).await?,
            }
        }
    }

    async fn query(&self, level: ReadLevel, query: Bytes) -> Result<Bytes, Error> {
        let mut attempts = self.attempts();
        attempts.at = self.turn.fetch_add(1, Ordering::Relaxed);
        loop {
            let asked = self.attempt(Request::Query { level, query: query.clone() }, &mut attempts).await;
            match asked {
                Ok(Reply::Query(answer)) => return Ok(answer),
                Ok(Reply::Session(..)) | Err(Error::OutcomeUnknown { .. }) => {
                    self.consider(
                        Error::NoLeader { waited: attempts.begun.elapsed(), removed: None },
                        &mut attempts,
                    )
                    .await?;
                }
                Err(error) => self.consider(error, &mut attempts).await?,
            }
        }
    }

    /// One attempt, at the member whose turn it is.
    async fn attempt(&self, request: Request, attempts: &mut Attempts) -> Result<Reply, Error> {
        let left = attempts.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(attempts.late());
        }
        let writes = matches!(request, Request::Session { .. });
        let places = self.members.len().max(1);
        let Some((_, member)) = self.members.get(attempts.at % places) else {
            return Err(Error::Refused { reason: "the client knows no member; give it some".to_owned() });
        };
        let asked = timeout(left.min(self.options.attempt_max), member.ask(request)).await;
        let reply = asked.unwrap_or(Err(Error::OutcomeUnknown { reason: NO_ANSWER }));
        if reply.is_ok() && writes {
            let leader = member.leader().and_then(|leader| self.place_of(leader));
            self.preferred.store(leader.unwrap_or(attempts.at % places), Ordering::Relaxed);
        }
        reply
    }

    fn place_of(&self, leader: NodeId) -> Option<usize> {
        self.members.iter().position(|(member, _)| *member == leader)
    }

    /// Goes on to the next member after a pause, if that may help; else ends with the error that says most.
    async fn consider(&self, error: Error, attempts: &mut Attempts) -> Result<(), Error> {
        attempts.uncertain |= error.may_have_happened();
        let passes = match error {
            Error::SessionExpired { .. } => return Err(error),
            Error::Refused { .. } | Error::TooLarge { .. } => attempts.uncertain,
            _ => true,
        };
        if !passes {
            return Err(error);
        }
        let now = Instant::now();
        if now >= attempts.deadline {
            return Err(attempts.late());
        }
        attempts.at += 1;
        sleep(attempts.pause.min(attempts.deadline - now)).await;
        attempts.pause = (attempts.pause * 2).min(PAUSE_MAX);
        Ok(())
    }
}

impl Attempts {
    /// The end of a request at its deadline.
    fn late(&self) -> Error {
        if self.uncertain {
            Error::OutcomeUnknown { reason: NO_ANSWER }
        } else {
            Error::NoLeader { waited: self.begun.elapsed(), removed: None }
        }
    }
}

fn undecodable(error: consensus_api::PayloadError) -> Error {
    // It was carried out; what is wrong is that client and members are not built from the same machine.
    tracing::warn!("an answer does not decode, so client and members differ in their types: {error}");
    Error::OutcomeUnknown { reason: "its answer does not decode; client and members differ in their types" }
}

impl<S> Clone for Client<S> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), machine: PhantomData }
    }
}

impl<S> fmt::Debug for Client<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members: Vec<_> = self.shared.members.iter().map(|(member, _)| member).collect();
        f.debug_struct("Client").field("members", &members).finish_non_exhaustive()
    }
}
