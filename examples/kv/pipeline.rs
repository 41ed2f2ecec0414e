//! [`Pipeline`]: the commands of one connection that are under way, and the rule that keeps them in order.
//!
//! A client may send many commands before it reads an answer. They have to take effect in the order in which it sent
//! them, and none should wait for the one before:
//!
//! * **Changes are proposed as they come.** A node keeps the proposals of one handle in order.
//! * **A query behind a change is proposed too.** So it has its place in the log, and waits for nothing.
//! * **Queries on their own make a burst:** one read answers all of them, from one state. While a burst is
//!   under way, what follows is held back: a query might otherwise see a change that was sent after it.
//!
//! * **A watch is a read of versions,** which has to see everything that was sent before it, and waits for that.
//!
//! Answers leave in the order of the commands, whichever is ready first.

use std::collections::VecDeque;
use std::future::Future;
use std::mem::take;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use quorate::{Error, Index, LogTime, Node};

use crate::admin::carry_out;
use crate::command::{Command, Query, Response};
use crate::level::Level;
use crate::reply::{Protocol, Reply};
use crate::request::Request;
use crate::store::{Store, Undecided};
use crate::transaction::{Boundary, Queue, framed};

/// What is under way on one connection.
pub struct Pipeline {
    node: Node<Store>,
    /// The commands in order, except for the burst, which stands behind them.
    slots: VecDeque<Slot>,
    /// How many of the slots are proposals.
    proposals: usize,
    burst: Burst,
    /// The keys that the next transaction depends on, with their versions.
    watched: Vec<Watched>,
    /// What queries must have seen.
    pub level: Level,
    /// The newest change that was answered.
    written: Index,
}

/// For a transaction: what of its answer is known already.
type Frame = Option<Vec<Option<Reply>>>;

/// Keys that one connection may watch.
const WATCHED_MAX: usize = 1024;

/// A key and its version when it was first watched.
type Watched = (Bytes, Option<u64>);

/// The place of one command in the order of answers.
enum Slot {
    Answered(Reply),
    Proposed(Awaited<(Index, Response)>, Frame),
    /// The cluster was asked something.
    Administered(Pin<Box<dyn Future<Output = Reply> + Send>>),
}

/// Queries to be answered by one read.
enum Burst {
    /// None, or some that wait for more to join them.
    Gathering(Vec<Query>),
    Reading {
        count: usize,
        read: Awaited<Outcome>,
    },
    /// A WATCH, which is no burst but stands where one would.
    Watching(Awaited<Vec<Watched>>),
}

/// All queries of a burst answered; or all of them handed back, because the log's time has to decide.
type Outcome = Result<Vec<Response>, Vec<Query>>;

type Awaited<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

impl Pipeline {
    pub fn new(node: Node<Store>) -> Self {
        Self {
            node,
            slots: VecDeque::new(),
            proposals: 0,
            burst: Burst::Gathering(Vec::new()),
            watched: Vec::new(),
            level: Level::default(),
            written: Index::ZERO,
        }
    }

    /// How many commands are under way.
    pub fn len(&self) -> usize {
        let burst = match &self.burst {
            Burst::Gathering(queries) => queries.len(),
            Burst::Reading { count, .. } => *count,
            Burst::Watching(_) => 1,
        };
        self.slots.len() + burst
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes up a command, or gives it back if it has to wait for those before it.
    pub fn offer(&mut self, cx: &mut Context<'_>, request: Request) -> Result<(), Request> {
        let Burst::Gathering(burst) = &mut self.burst else { return Err(request) };
        match request {
            Request::Query(query) if self.proposals > 0 => self.propose(cx, Command::Query(query), None),
            Request::Query(query) => burst.push(query),
            Request::Command(command) if burst.is_empty() => self.propose(cx, command, None),
            Request::Answered(reply) | Request::Rejected(reply) if burst.is_empty() => {
                self.slots.push_back(Slot::Answered(reply));
            }
            Request::Boundary(Boundary::Watch(keys)) if burst.is_empty() && self.slots.is_empty() => {
                self.burst = Burst::Watching(Box::pin(self.node.read(move |store| versions(store, keys))));
            }
            Request::Boundary(Boundary::Unwatch) if burst.is_empty() => {
                self.watched.clear();
                self.slots.push_back(Slot::Answered(Reply::OK));
            }
            Request::Abandon(reply) if burst.is_empty() => {
                self.watched.clear();
                self.slots.push_back(Slot::Answered(reply));
            }
            Request::Execute(queue) if burst.is_empty() => self.execute(cx, queue),
            Request::Admin(admin) if burst.is_empty() => {
                let answer = Box::pin(carry_out(self.node.clone(), admin));
                self.slots.push_back(Slot::Administered(answer));
            }
            held_back => return Err(held_back),
        }
        Ok(())
    }

    /// Sends off the queries that have gathered.
    pub fn send_burst(&mut self) {
        if let Burst::Gathering(queries) = &mut self.burst
            && !queries.is_empty()
        {
            let (count, queries) = (queries.len(), take(queries));
            let level = self.level.of_node(self.written);
            let read = Box::pin(self.node.read_at(level, move |store| answer(store, queries)));
            self.burst = Burst::Reading { count, read };
        }
    }

    /// Appends the answers that are ready to `out`, in order, until it holds `bytes_max`.
    pub fn gather(&mut self, cx: &mut Context<'_>, protocol: Protocol, out: &mut BytesMut, bytes_max: usize) {
        while out.len() < bytes_max && self.poll_first(cx).is_ready() {
            if let Some(Slot::Answered(reply)) = self.slots.pop_front() {
                reply.write(protocol, out);
            }
        }
    }

    /// Ready once the first command is answered.
    pub fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.slots.is_empty() {
            ready!(self.poll_burst(cx));
        }
        let Some(first) = self.slots.front_mut() else { return Poll::Pending };
        let (answer, frame) = match first {
            Slot::Answered(_) => return Poll::Ready(()),
            Slot::Administered(answer) => {
                let reply = ready!(answer.as_mut().poll(cx));
                *first = Slot::Answered(reply);
                return Poll::Ready(());
            }
            Slot::Proposed(answer, frame) => (answer, frame),
        };
        let (answered, frame) = (ready!(answer.as_mut().poll(cx)), frame.take());
        let reply = reply_to(answered, frame, &mut self.written);
        *first = Slot::Answered(reply);
        self.proposals -= 1;
        Poll::Ready(())
    }

    /// Ready with the answers to the burst in their slots; or with proposals there, if it is left to the log.
    fn poll_burst(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (count, read) = match &mut self.burst {
            Burst::Gathering(_) => return Poll::Pending,
            Burst::Watching(_) => return self.poll_watch(cx),
            Burst::Reading { count, read } => (count, read),
        };
        let (count, outcome) = (*count, ready!(read.as_mut().poll(cx)));
        self.burst = Burst::Gathering(Vec::new());
        match outcome {
            Ok(Ok(responses)) => {
                self.slots.extend(responses.into_iter().map(|response| Slot::Answered(response.into())));
            }
            Ok(Err(undecided)) => {
                for query in undecided {
                    self.propose(cx, Command::Query(query), None);
                }
            }
            Err(error) => {
                self.slots.extend((0..count).map(|_| Slot::Answered(error.clone().into())));
            }
        }
        Poll::Ready(())
    }

    /// Ready once it is known which versions the watched keys have.
    fn poll_watch(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Burst::Watching(read) = &mut self.burst else { return Poll::Pending };
        let reply = match ready!(read.as_mut().poll(cx)) {
            Ok(versions) if self.watched.len() + versions.len() > WATCHED_MAX => {
                Reply::error(format!("ERR at most {WATCHED_MAX} keys can be watched"))
            }
            Ok(versions) => {
                // A key that is watched already keeps its older version.
                for (key, version) in versions {
                    if self.watched.iter().all(|(watched, _)| *watched != key) {
                        self.watched.push((key, version));
                    }
                }
                Reply::OK
            }
            Err(error) => error.into(),
        };
        self.burst = Burst::Gathering(Vec::new());
        self.slots.push_back(Slot::Answered(reply));
        Poll::Ready(())
    }

    /// Proposes a transaction as one command.
    fn execute(&mut self, cx: &mut Context<'_>, queue: Queue) {
        let Queue { commands, frame, .. } = queue;
        let watched = take(&mut self.watched);
        self.propose(cx, Command::Transaction { watched, commands }, Some(frame));
    }

    /// Hands a command over to the node. That is done by the call; if the node has no room at the moment, by the first
    /// poll. So the order of commands is the order of proposals.
    fn propose(&mut self, cx: &mut Context<'_>, command: Command, frame: Frame) {
        let mut answer: Awaited<_> = Box::pin(self.node.propose_indexed(command));
        self.slots.push_back(match answer.as_mut().poll(cx) {
            Poll::Ready(result) => Slot::Answered(reply_to(result, frame, &mut self.written)),
            Poll::Pending => {
                self.proposals += 1;
                Slot::Proposed(answer, frame)
            }
        });
    }
}

fn reply_to(result: Result<(Index, Response), Error>, frame: Frame, written: &mut Index) -> Reply {
    match result {
        Ok((index, response)) => {
            *written = index.max(*written);
            match frame {
                Some(frame) => framed(frame, response),
                None => response.into(),
            }
        }
        Err(error) => error.into(),
    }
}

fn versions(store: &Store, keys: Vec<Bytes>) -> Vec<Watched> {
    let version = |key: Bytes| (store.version(&key), key);
    keys.into_iter().map(version).map(|(version, key)| (key, version)).collect()
}

/// Answers a burst from one state, or hands all of it back.
fn answer(store: &Store, queries: Vec<Query>) -> Outcome {
    let now = wall_time();
    let responses: Result<_, Undecided> = queries.iter().map(|query| store.answer(query, now)).collect();
    responses.map_err(|Undecided| queries)
}

/// The wall clock of this node, for queries outside the log.
pub fn wall_time() -> LogTime {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    LogTime(wall.as_millis() as u64)
}
