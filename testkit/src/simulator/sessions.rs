//! Clients with sessions: they number their commands, and ask for each again and again, of any node, also while an
//! earlier attempt is under way and sometimes after it was answered.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use consensus_api::{Engine, Error, Payload, Role, SessionId, SessionOp};
use node::SessionAnswer;

use super::member::OpId;
use super::run::Checked;
use super::{Happening, Simulation, Violation};

/// The tickets, and the commands, of clients with sessions have this bit; others do not.
pub(crate) const IN_SESSION: u64 = 1 << 63;

/// Everything asked in sessions, by ticket.
#[derive(Clone, Debug, Default)]
pub struct Numbered {
    requests: BTreeMap<u64, Request>,
    clients: BTreeMap<u64, Option<SessionId>>,
    newest: u64,
}

/// One request in a session: a command, or the opening of the session.
#[derive(Clone, Debug)]
pub struct Request {
    client: u64,
    /// The session; `None` for the request that opens one.
    pub session: Option<SessionId>,
    /// The number of the command in its session.
    pub sequence: u64,
    /// What it was answered, in its byte form, if it was.
    pub answer: Option<Bytes>,
    /// Nobody waits for it any more: the session has ended.
    pub ended: bool,
}

/// Commands of one session that are under way at one time.
const UNDER_WAY_MAX: usize = 3;

impl Numbered {
    /// The requests by their tickets, which are their commands' numbers, too.
    pub fn requests(&self) -> impl Iterator<Item = (u64, &Request)> {
        self.requests.iter().map(|(ticket, request)| (*ticket, request))
    }

    /// Whether nobody waits for anything.
    pub(crate) fn is_idle(&self) -> bool {
        self.requests.values().all(|request| request.answer.is_some() || request.ended)
    }

    fn begin(&mut self, client: u64) -> Option<u64> {
        let session = *self.clients.entry(client).or_default();
        let of_session = |request: &&Request| request.client == client && request.session == session;
        let open = |request: &&Request| of_session(request) && request.answer.is_none() && !request.ended;
        let limit = if session.is_some() { UNDER_WAY_MAX } else { 1 };
        if self.requests.values().filter(open).count() >= limit {
            return None;
        }
        let sequence = self.requests.values().filter(of_session).count() as u64 + 1;
        self.newest += 1;
        let ticket = IN_SESSION | self.newest;
        self.requests.insert(ticket, Request { client, session, sequence, answer: None, ended: false });
        Some(ticket)
    }

    fn lowest_open(&self, session: SessionId) -> u64 {
        let open = |request: &&Request| request.session == Some(session) && request.answer.is_none();
        let lowest = self.requests.values().filter(open).map(|request| request.sequence).min();
        lowest.unwrap_or(u64::MAX)
    }

    fn end_session(&mut self, session: SessionId) {
        let of_session = self.requests.values_mut().filter(|request| request.session == Some(session));
        of_session.filter(|request| request.answer.is_none()).for_each(|request| request.ended = true);
        self.clients.values_mut().filter(|of| **of == Some(session)).for_each(|of| *of = None);
    }
}

impl<E: Engine> Simulation<E> {
    /// A client with a session asks something new, and will ask again.
    pub(super) fn ask_in_session(&mut self, client: u64) -> Checked {
        let wait = self.chances.session.between(10_000, 1_000_000);
        self.at(self.now + Duration::from_micros(wait), Happening::AskInSession { client });
        match self.numbered.begin(client) {
            Some(ticket) => self.ask_for(ticket),
            None => Ok(()),
        }
    }

    /// Asks for a numbered command, for the first time or again.
    pub(super) fn ask_for(&mut self, ticket: u64) -> Checked {
        let now = self.now;
        let Some(request) = self.numbered.requests.get(&ticket).cloned() else { return Ok(()) };
        if request.ended || (request.answer.is_some() && !self.chances.session.one_in(3)) {
            return Ok(());
        }
        let wait = self.chances.session.between(1_000, 3_000_000);
        self.at(now + Duration::from_micros(wait), Happening::AskFor { ticket });
        let at = self.someone_to_ask();
        let idle_max_ms = self.chances.session.between(500, 60_000);
        let mut command = BytesMut::new();
        let op = match request.session {
            None => SessionOp::Open { idle_max_ms },
            Some(session) => {
                let encoded = (ticket, Vec::<u8>::new()).encode(&mut command);
                encoded.map_err(|error| Violation { property: "commands encode", what: error.0 })?;
                let acknowledged = self.numbered.lowest_open(session).min(request.sequence);
                SessionOp::Command { session, sequence: request.sequence, acknowledged }
            }
        };
        let member = &mut self.members[at];
        let local = member.local(now);
        if let Some(running) = member.running.as_mut().filter(|_| now >= member.paused_until) {
            running.replica.propose_in_session(local, op, command.freeze(), ticket);
            self.count("requests in sessions");
            return self.settle(at);
        }
        Ok(())
    }

    /// Whom to ask next: anybody; once faults have stopped, anybody who knows of a leader or needs none. Who was removed
    /// may never hear of one again, and a client goes elsewhere.
    fn someone_to_ask(&mut self) -> usize {
        let decides = |member: &super::Member<E>| {
            let standing = member.engine().map(Engine::standing);
            standing.is_some_and(|it| it.leader.is_some() || it.role == Role::Peer)
        };
        let all = 0..self.members.len();
        let useful: Vec<usize> = all.clone().filter(|at| decides(&self.members[*at])).collect();
        let choice = if self.is_calm() && !useful.is_empty() { useful } else { all.collect() };
        choice[self.chances.session.below(choice.len() as u64) as usize]
    }

    /// A request in a session got its reply.
    pub(super) fn replied(&mut self, ticket: OpId, reply: Result<SessionAnswer, Error>) -> Checked {
        let Some(request) = self.numbered.requests.get_mut(&ticket) else { return Ok(()) };
        let client = request.client;
        match reply {
            Ok(SessionAnswer::Opened(session)) if request.answer.is_none() => {
                request.answer = Some(Bytes::new());
                self.numbered.clients.insert(client, Some(session));
                self.count("sessions opened");
            }
            Ok(SessionAnswer::Answered(answer)) => {
                let before = request.answer.replace(answer.clone());
                self.count("commands in sessions answered");
                if let Some(before) = before {
                    self.count("commands in sessions answered again");
                    self.checkers.repeated(ticket, &before, &answer)?;
                }
            }
            Err(Error::SessionExpired { session }) => {
                self.numbered.end_session(session);
                self.count("sessions expired");
            }
            // Only a command whose answer the client has may be one that it no longer waits for.
            other => self.checkers.unanswered(ticket, request, &other)?,
        }
        Ok(())
    }
}
