//! [`Applier`]: the state machine, and how far it has come.

mod point_in_time;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::{Bytes, BytesMut};
use consensus_api::mutation::mutated;
use consensus_api::{
    Applied, Entry, EntryKind, Error, Failure, Generation, Index, LogTime, Membership, Payload, SessionId,
    SessionOp, SnapshotMark, StateMachine,
};

use self::point_in_time::Envelope;
pub use self::point_in_time::PointInTime;
use crate::divergence::Divergence;
use crate::sessions::{Limits, Receipt, Sessions};

/// A state machine with its position in the log: applies entries, takes and restores snapshots. Synchronous.
#[derive(Debug)]
pub struct Applier<S> {
    machine: S,
    applied: Index,
    generation: Generation,
    membership: Membership,
    time: LogTime,
    sessions: Sessions,
    divergence: Divergence,
    /// What the state machine holds on its own, if it keeps its state itself. Entries up to there are not applied again.
    own: Option<Index>,
}

/// What a command was answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply<A> {
    /// By the state machine.
    Answer(A),
    /// In a session.
    Session(Result<SessionAnswer, Error>),
}

/// What a request in a session was answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SessionAnswer {
    /// A session was opened.
    Opened(SessionId),
    /// The command was carried out, now or earlier, and this is the state machine's answer in its byte form: the same
    /// bytes however often one asks.
    Answered(Bytes),
    /// The command was carried out, once; but its answer cannot be told, because it has no byte form or was too large to
    /// be remembered.
    CarriedOut,
    /// The session is closed.
    Closed,
}

impl<S: StateMachine> Applier<S> {
    /// A state machine at the beginning of the log.
    pub fn new(machine: S, founders: Membership) -> Self {
        Self {
            own: machine.applied(),
            machine,
            divergence: Divergence::new(0),
            applied: Index::ZERO,
            generation: Generation::ZERO,
            membership: founders,
            time: LogTime::ZERO,
            sessions: Sessions::new(Limits::IN_FORCE),
        }
    }

    /// Compares digests of the state with the other replicas every so many entries; 0 for never.
    #[must_use]
    pub fn comparing_every(mut self, entries: u64) -> Self {
        self.divergence = Divergence::new(entries);
        self
    }

    /// The cluster begins with these members.
    pub fn founded(&mut self, members: Membership) {
        self.membership = members;
    }

    /// A digest of the state that the other replicas are to be told of: for which entry, and which.
    pub fn take_digest(&mut self) -> Option<(Index, u64)> {
        self.divergence.take_own()
    }

    /// The state, for reading.
    pub const fn machine(&self) -> &S {
        &self.machine
    }

    /// The state machine, with what was applied to it.
    pub fn into_machine(self) -> S {
        self.machine
    }

    /// Everything up to here is applied.
    pub const fn applied(&self) -> Index {
        self.applied
    }

    /// Applies one entry, and hands each command's reply to `reply`.
    ///
    /// # Errors
    /// [`Failure`] when the state machine fails or panics, or a command cannot be decoded. The entry then does not
    /// count as applied, and nothing more may be.
    pub fn apply(&mut self, entry: &Entry, reply: impl FnMut(Reply<S::Response>)) -> Result<(), Failure> {
        if entry.index != self.applied.next() {
            return Err(Failure(format!("entry {} does not follow entry {}", entry.index, self.applied)));
        }
        self.time = self.time.max(entry.time);
        match entry.kind {
            // The state machine holds it already.
            _ if self.own.is_some_and(|own| own >= entry.index) => {}
            EntryKind::Commands => self.apply_commands(entry, reply)?,
            EntryKind::Sessions => self.apply_sessions(entry, reply)?,
            EntryKind::Digest => self.divergence.told(entry, &self.membership)?,
            EntryKind::Membership | EntryKind::Noop => {}
        }
        if entry.kind == EntryKind::Membership {
            self.membership = Membership::decode(&entry.body).map_err(|error| Failure(error.to_string()))?;
        }
        self.applied = entry.index;
        self.generation = entry.generation;
        if self.divergence.is_due(entry.index) {
            let machine = &self.machine;
            let digest = guarded(|| Ok(machine.digest()))?;
            self.divergence.computed(entry.index, digest);
        }
        Ok(())
    }

    fn apply_commands(
        &mut self,
        entry: &Entry,
        mut reply: impl FnMut(Reply<S::Response>),
    ) -> Result<(), Failure> {
        let reached = Cell::new(self.at(entry, 0));
        let commands = (0..).zip(entry.commands()).map(|(offset, command)| {
            let at = Applied { offset, ..reached.get() };
            reached.set(at);
            let command = command.map_err(|error| Failure(error.to_string()))?;
            Ok((at, S::Command::decode(command).map_err(|error| Failure(error.to_string()))?))
        });
        let (machine, mut answered) = (&mut self.machine, 0);
        let applied = guarded(|| {
            machine.apply_batch(commands, |answer| {
                answered += 1;
                reply(Reply::Answer(answer));
            })
        });
        applied.map_err(|failure| failed(reached.get(), &failure.0))?;
        if answered == entry.count {
            return Ok(());
        }
        let cause = format!("the state machine gave {answered} answers to {} commands", entry.count);
        Err(failed(reached.get(), &cause))
    }

    fn apply_sessions(
        &mut self,
        entry: &Entry,
        mut reply: impl FnMut(Reply<S::Response>),
    ) -> Result<(), Failure> {
        for (offset, command) in (0..).zip(entry.commands()) {
            let at = self.at(entry, offset);
            let command = command.map_err(|error| failed(at, &error.to_string()))?;
            let answer = self.apply_in_session(at, command);
            reply(Reply::Session(answer.map_err(|failure| failed(at, &failure.0))?));
        }
        Ok(())
    }

    fn at(&self, entry: &Entry, offset: u32) -> Applied {
        Applied { index: entry.index, offset, time: self.time }
    }

    fn carry_out(&mut self, at: Applied, command: Bytes) -> Result<S::Response, Failure> {
        let (machine, mut given) = (&mut self.machine, None);
        guarded(|| {
            let command = S::Command::decode(command).map_err(|error| Failure(error.to_string()))?;
            machine.apply_batch(std::iter::once(Ok((at, command))), |answer| given = Some(answer))
        })?;
        given.ok_or_else(|| Failure("the state machine gave no answer".to_owned()))
    }

    /// A command that came in a session: carried out once, and answered the same ever after.
    fn apply_in_session(
        &mut self,
        at: Applied,
        mut command: Bytes,
    ) -> Result<Result<SessionAnswer, Error>, Failure> {
        let op = SessionOp::decode(&mut command).map_err(|error| Failure(error.to_string()))?;
        let (session, sequence, acknowledged) = match op {
            SessionOp::Open { .. } if self.own.is_some() => {
                return Ok(Err(Error::Refused { reason: NO_SESSIONS.to_owned() }));
            }
            SessionOp::Open { idle_max_ms } => {
                self.sessions.open(at.into(), idle_max_ms, at.time);
                return Ok(Ok(SessionAnswer::Opened(at.into())));
            }
            SessionOp::Close { session } => {
                self.sessions.close(session, at.time);
                return Ok(Ok(SessionAnswer::Closed));
            }
            SessionOp::Command { session, sequence, acknowledged } => (session, sequence, acknowledged),
        };
        Ok(match self.sessions.receive(session, sequence, acknowledged, at.time) {
            Receipt::New => {
                let answer = self.carry_out(at, command)?;
                let mut bytes = BytesMut::new();
                let bytes = answer.encode(&mut bytes).ok().map(|()| bytes.freeze());
                if !mutated("node/answers-not-remembered") {
                    self.sessions.remember(session, sequence, bytes.clone());
                }
                Ok(bytes.map_or(SessionAnswer::CarriedOut, SessionAnswer::Answered))
            }
            Receipt::Repeated(answer) => Ok(SessionAnswer::Answered(answer)),
            Receipt::CarriedOut => Ok(SessionAnswer::CarriedOut),
            Receipt::Acknowledged => Err(Error::OutcomeUnknown { reason: ACKNOWLEDGED }),
            Receipt::Refused(reason) => Err(Error::Refused { reason: reason.to_owned() }),
            Receipt::Unknown => Err(Error::SessionExpired { session }),
        })
    }

    /// The state as it is now.
    ///
    /// # Errors
    /// [`Failure`] when the state machine panics.
    pub fn snapshot(&self) -> Result<PointInTime<S::Snapshot>, Failure> {
        let short = u64::from(mutated("node/snapshot-of-the-wrong-index"));
        let mark = SnapshotMark {
            index: Index(self.applied.0.saturating_sub(short)),
            generation: self.generation,
            membership: self.membership.clone(),
        };
        let state = guarded(|| Ok(self.machine.snapshot()))?;
        let envelope = Envelope { time: self.time, sessions: self.sessions.store() };
        Ok(PointInTime::new(mark, envelope, state))
    }

    /// Replaces the state by a snapshot's. A state machine that holds as much on its own keeps what it has.
    ///
    /// # Errors
    /// [`Failure`] when the bytes are no snapshot of this state machine.
    pub fn restore(&mut self, mark: SnapshotMark, from: &mut dyn Read) -> Result<(), Failure> {
        let (time, sessions) = point_in_time::open(Limits::IN_FORCE, from)?;
        if self.own.is_none_or(|own| own < mark.index) {
            let machine = &mut self.machine;
            guarded(|| machine.restore(from))?;
        }
        self.time = if mutated("node/log-time-not-restored") { LogTime::ZERO } else { time };
        if !mutated("node/snapshot-without-sessions") {
            self.sessions = sessions;
        }
        self.applied = mark.index;
        self.generation = mark.generation;
        self.membership = mark.membership;
        Ok(())
    }
}

const NO_SESSIONS: &str =
    "this state machine keeps its state itself, and the answers of sessions could not be kept with it";
const ACKNOWLEDGED: &str = "the client had said that it no longer waits for the answer to this command";

/// Carries out what the state machine's author wrote: a panic there is a failure like any other.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(Failure("the state machine panicked".to_owned())))
}

fn failed(at: Applied, cause: &str) -> Failure {
    Failure(format!("entry {} command {} could not be applied: {cause}", at.index, at.offset))
}
