//! [`Transaction`]: what a client has said since MULTI, to be carried out as one by EXEC.
//!
//! All of it becomes one command of the store, and so one place in the log: nothing comes between, and after a crash
//! there is all of it or nothing. What a client watches is compared at that place, too.

use bytes::Bytes;

use crate::command::{Command, Response};
use crate::limits::Limits;
use crate::reply::Reply;
use crate::request::Request;

/// A word that begins, ends or guards a transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Boundary {
    Multi,
    Exec,
    Discard,
    /// The transaction to come does not take place if one of these keys changes before it.
    Watch(Vec<Bytes>),
    Unwatch,
}

/// The transaction of one connection, between MULTI and EXEC.
#[derive(Debug, Default)]
pub struct Transaction {
    open: Option<Queue>,
}

/// What is to be carried out.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Queue {
    pub commands: Vec<Command>,
    /// An answer for each word of the client, where it is known already; the others come from the store, in order.
    pub frame: Vec<Option<Reply>>,
    bytes: usize,
    failed: bool,
}

const EXEC_ABORTED: Reply =
    Reply::Error(std::borrow::Cow::Borrowed("EXECABORT Transaction discarded because of previous errors."));

fn error(text: &'static str) -> Request {
    Request::Answered(Reply::Error(text.into()))
}

impl Transaction {
    /// Takes up a request of so many bytes: what is to be done about it now.
    pub fn take_up(&mut self, request: Request, bytes: usize, limits: &Limits) -> Request {
        match (&mut self.open, request) {
            (open @ None, Request::Boundary(Boundary::Multi)) => {
                *open = Some(Queue::default());
                Request::Answered(Reply::OK)
            }
            (None, Request::Boundary(Boundary::Exec)) => error("ERR EXEC without MULTI"),
            (None, Request::Boundary(Boundary::Discard)) => error("ERR DISCARD without MULTI"),
            (None, request) => request,
            (Some(_), Request::Boundary(Boundary::Multi)) => error("ERR MULTI calls can not be nested"),
            (Some(_), Request::Boundary(Boundary::Watch(_))) => {
                error("ERR WATCH inside MULTI is not allowed")
            }
            (open, Request::Boundary(Boundary::Discard)) => {
                *open = None;
                Request::Boundary(Boundary::Unwatch)
            }
            (open, Request::Boundary(Boundary::Exec)) => {
                let queue = open.take().unwrap_or_default();
                if queue.failed { Request::Abandon(EXEC_ABORTED) } else { Request::Execute(queue) }
            }
            (Some(queue), request) => queue.push(request, bytes, limits),
        }
    }
}

impl Queue {
    fn push(&mut self, request: Request, bytes: usize, limits: &Limits) -> Request {
        self.bytes += bytes;
        if self.bytes > limits.request_bytes_max {
            self.failed = true;
            let bytes_max = limits.request_bytes_max;
            let text = format!("ERR a transaction takes at most {bytes_max} bytes of commands; split it");
            return Request::Answered(Reply::error(text));
        }
        let known = match request {
            Request::Query(query) => {
                self.commands.push(Command::Query(query));
                None
            }
            Request::Command(command) => {
                self.commands.push(command);
                None
            }
            Request::Boundary(_) => Some(Reply::OK),
            Request::Answered(reply) => Some(reply),
            Request::Session(words) if words[0].eq_ignore_ascii_case(b"quit") => {
                return Request::Session(words);
            }
            Request::Session(_) | Request::Admin(_) => {
                self.failed = true;
                return error("ERR Command not allowed inside a transaction");
            }
            Request::Rejected(reply) => {
                self.failed = true;
                return Request::Answered(reply);
            }
            ended @ (Request::Execute(_) | Request::Abandon(_)) => return ended,
        };
        self.frame.push(known);
        Request::Answered(Reply::Simple("QUEUED"))
    }
}

/// The answer to EXEC: one answer for each word that was queued.
pub fn framed(frame: Vec<Option<Reply>>, response: Response) -> Reply {
    let Response::Many(responses) = response else { return response.into() };
    let mut responses = responses.into_iter();
    let answers = frame.into_iter().map(|known| known.or_else(|| responses.next().map(Reply::from)));
    Reply::Array(answers.map(|answer| answer.unwrap_or(Reply::Nil)).collect())
}
