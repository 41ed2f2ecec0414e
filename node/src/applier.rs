//! [`Applier`]: the state machine, and how far it has come.

use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::{Bytes, BytesMut};
use consensus_api::{
    Applied, Entry, EntryKind, Error, Failure, Generation, Index, LogTime, Membership, Payload, SessionId,
    SessionOp, Snapshot, SnapshotMark, StateMachine,
};

use crate::sessions::{Limits, Receipt, Sessions, SessionsStored};

/// A state machine with its position in the log: applies entries, takes and restores snapshots. Synchronous.
#[derive(Debug)]
pub struct Applier<S> {
    machine: S,
    applied: Index,
    generation: Generation,
    membership: Membership,
    time: LogTime,
    sessions: Sessions,
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

/// A snapshot begins with this and the log's time, 8 bytes each. The sessions follow, then the state machine's own.
const ENVELOPE_VERSION: u64 = 2;
/// Snapshots of this version hold no sessions.
const ENVELOPE_VERSION_WITHOUT_SESSIONS: u64 = 1;

impl<S: StateMachine> Applier<S> {
    /// A state machine at the beginning of the log.
    pub fn new(machine: S, founders: Membership) -> Self {
        Self {
            machine,
            applied: Index::ZERO,
            generation: Generation::ZERO,
            membership: founders,
            time: LogTime::ZERO,
            sessions: Sessions::new(Limits::IN_FORCE),
        }
    }

    /// The state, for reading.
    pub const fn machine(&self) -> &S {
        &self.machine
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
    pub fn apply(&mut self, entry: &Entry, mut reply: impl FnMut(Reply<S::Response>)) -> Result<(), Failure> {
        if entry.index != self.applied.next() {
            return Err(Failure(format!("entry {} does not follow entry {}", entry.index, self.applied)));
        }
        self.time = self.time.max(entry.time);
        for (offset, command) in entry.commands().enumerate() {
            let at = Applied { index: entry.index, offset: offset as u32, time: self.time };
            let command = command.map_err(|error| failed(at, &error.to_string()))?;
            let applied = if entry.kind == EntryKind::Sessions {
                self.apply_in_session(at, command).map(Reply::Session)
            } else {
                self.carry_out(at, command).map(Reply::Answer)
            };
            reply(applied.map_err(|failure| failed(at, &failure.0))?);
        }
        if entry.kind == EntryKind::Membership {
            self.membership = Membership::decode(&entry.body).map_err(|error| Failure(error.to_string()))?;
        }
        self.applied = entry.index;
        self.generation = entry.generation;
        Ok(())
    }

    fn carry_out(&mut self, at: Applied, command: Bytes) -> Result<S::Response, Failure> {
        let machine = &mut self.machine;
        guarded(|| {
            let command = S::Command::decode(command).map_err(|error| Failure(error.to_string()))?;
            machine.try_apply(at, command)
        })
    }

    /// A command that came in a session: carried out once, and answered the same ever after.
    fn apply_in_session(
        &mut self,
        at: Applied,
        mut command: Bytes,
    ) -> Result<Result<SessionAnswer, Error>, Failure> {
        let op = SessionOp::decode(&mut command).map_err(|error| Failure(error.to_string()))?;
        let (session, sequence, acknowledged) = match op {
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
                self.sessions.remember(session, sequence, bytes.clone());
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
        let mark = SnapshotMark {
            index: self.applied,
            generation: self.generation,
            membership: self.membership.clone(),
        };
        let state = guarded(|| Ok(self.machine.snapshot()))?;
        Ok(PointInTime { mark, time: self.time, sessions: self.sessions.store(), state })
    }

    /// Replaces the state by a snapshot's.
    ///
    /// # Errors
    /// [`Failure`] when the bytes are no snapshot of this state machine.
    pub fn restore(&mut self, mark: SnapshotMark, from: &mut dyn Read) -> Result<(), Failure> {
        let (mut version, mut time) = ([0; 8], [0; 8]);
        from.read_exact(&mut version)?;
        from.read_exact(&mut time)?;
        let limits = Limits::IN_FORCE;
        let sessions = match u64::from_le_bytes(version) {
            ENVELOPE_VERSION => Sessions::restore(limits, from)?,
            ENVELOPE_VERSION_WITHOUT_SESSIONS => Sessions::new(limits),
            _ => return Err(Failure("the snapshot was written by a newer version".to_owned())),
        };
        let machine = &mut self.machine;
        guarded(|| machine.restore(from))?;
        self.time = LogTime(u64::from_le_bytes(time));
        self.sessions = sessions;
        self.applied = mark.index;
        self.generation = mark.generation;
        self.membership = mark.membership;
        Ok(())
    }
}

const ACKNOWLEDGED: &str = "the client had said that it no longer waits for the answer to this command";

/// Carries out what the state machine's author wrote: a panic there is a failure like any other.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(Failure("the state machine panicked".to_owned())))
}

fn failed(at: Applied, cause: &str) -> Failure {
    Failure(format!("entry {} command {} could not be applied: {cause}", at.index, at.offset))
}

/// A state at one point of the log, to be written out.
#[derive(Debug)]
pub struct PointInTime<T> {
    /// The point.
    pub mark: SnapshotMark,
    time: LogTime,
    sessions: SessionsStored,
    state: T,
}

impl<T: Snapshot> PointInTime<T> {
    /// Writes the snapshot with its envelope.
    ///
    /// # Errors
    /// Whatever the writer reports.
    pub fn write_to(self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&ENVELOPE_VERSION.to_le_bytes())?;
        out.write_all(&self.time.0.to_le_bytes())?;
        self.sessions.write_to(out)?;
        self.state.write_to(out)
    }
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use consensus_api::{Commands, NodeId, ProposalId, snapshot_with_serde};
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Clone, Default, Serialize, Deserialize)]
    struct Sum(u64, Vec<LogTime2>);

    #[derive(Clone, Serialize, Deserialize)]
    struct LogTime2(u64);

    impl StateMachine for Sum {
        type Command = u64;
        type Response = u64;

        fn apply(&mut self, at: Applied, add: u64) -> u64 {
            assert!(add != 13, "unlucky");
            self.0 += add;
            self.1.push(LogTime2(at.time.0));
            self.0
        }

        snapshot_with_serde!();
    }

    fn entry(index: u64, time: u64, commands: &[u64]) -> Entry {
        let mut body = BytesMut::new();
        for command in commands {
            let mut bytes = BytesMut::new();
            command.encode(&mut bytes).unwrap();
            Commands::push(&mut body, &bytes).unwrap();
        }
        let count = commands.len() as u32;
        let (kind, body) = (EntryKind::Commands, body.freeze());
        let mut entry = Entry::new(kind, count, ProposalId::default(), LogTime(time), body);
        entry.index = Index(index);
        entry.generation = Generation::new(3, NodeId(1));
        entry
    }

    fn applier() -> Applier<Sum> {
        Applier::new(Sum::default(), Membership::of_voters([NodeId(1)]).expect("a few members"))
    }

    #[test]
    fn log_time_is_a_running_maximum_and_survives_a_snapshot() {
        let mut one = applier();
        let mut answers = Vec::new();
        one.apply(&entry(1, 50, &[1, 2]), |reply| answers.push(reply)).unwrap();
        one.apply(&entry(2, 20, &[3]), |reply| answers.push(reply)).unwrap();
        assert_eq!(answers, [1, 3, 6].map(Reply::Answer));
        let point = one.snapshot().unwrap();
        let (mark, mut bytes) = (point.mark.clone(), Vec::new());
        point.write_to(&mut bytes).unwrap();
        let mut two = applier();
        two.restore(mark.clone(), &mut &bytes[..]).unwrap();
        assert_eq!((two.applied(), mark.generation), (Index(2), Generation::new(3, NodeId(1))));
        two.apply(&entry(3, 10, &[4]), |reply| answers.push(reply)).unwrap();
        assert_eq!(answers, [1, 3, 6, 10].map(Reply::Answer));
        assert!(two.machine().1.iter().all(|time| time.0 == 50));
    }

    #[test]
    fn a_panic_or_an_undecodable_command_fails_and_is_not_skipped() {
        let mut applier = applier();
        let failure = applier.apply(&entry(1, 0, &[1, 13]), drop).unwrap_err();
        assert!(failure.0.contains("entry 1 command 1"), "{failure}");
        assert_eq!(applier.applied(), Index::ZERO);
        let mut broken = entry(1, 0, &[1]);
        broken.body = Bytes::from_static(&[9, 0, 0, 0, 1]);
        assert!(applier.apply(&broken, drop).is_err());
    }

    fn in_session(index: u64, time: u64, commands: &[(SessionOp, u64)]) -> Entry {
        let mut body = BytesMut::new();
        for (op, command) in commands {
            let mut bytes = BytesMut::new();
            command.encode(&mut bytes).unwrap();
            Commands::push_in_session(&mut body, op, &bytes).unwrap();
        }
        let (kind, count) = (EntryKind::Sessions, commands.len() as u32);
        let mut entry = Entry::new(kind, count, ProposalId::default(), LogTime(time), body.freeze());
        entry.index = Index(index);
        entry
    }

    fn replies(applier: &mut Applier<Sum>, entry: &Entry) -> Vec<Result<SessionAnswer, Error>> {
        let mut replies = Vec::new();
        applier
            .apply(entry, |reply| match reply {
                Reply::Session(reply) => replies.push(reply),
                Reply::Answer(answer) => panic!("{answer} outside a session"),
            })
            .unwrap();
        replies
    }

    #[test]
    fn a_repeated_command_is_answered_the_same_bytes_also_out_of_a_snapshot_and_never_carried_out_again() {
        let mut one = applier();
        let opened = replies(&mut one, &in_session(1, 10, &[(SessionOp::Open { idle_max_ms: 100 }, 0)]));
        let session = SessionId { index: Index(1), offset: 0 };
        assert_eq!(opened, [Ok(SessionAnswer::Opened(session))]);
        let command = |sequence| SessionOp::Command { session, sequence, acknowledged: 1 };
        let twice = [(command(1), 5), (command(2), 7), (command(1), 5)];
        let first = replies(&mut one, &in_session(2, 20, &twice));
        assert_eq!(first[0], first[2]);
        assert_eq!(one.machine().0, 12);

        let point = one.snapshot().unwrap();
        let (mark, mut bytes) = (point.mark.clone(), Vec::new());
        point.write_to(&mut bytes).unwrap();
        let mut two = applier();
        two.restore(mark, &mut &bytes[..]).unwrap();
        let again = in_session(3, 30, &twice);
        assert_eq!(replies(&mut two, &again), first);
        assert_eq!(replies(&mut one, &again), first);
        assert_eq!((one.machine().0, two.machine().0), (12, 12));

        let late = in_session(4, 131, &twice[..1]);
        assert_eq!(replies(&mut one, &late), [Err(Error::SessionExpired { session })]);
        assert_eq!(one.machine().0, 12, "never a silent second time");
    }

    #[test]
    fn a_snapshot_from_before_there_were_sessions_is_understood() {
        let mut bytes = [1_u64.to_le_bytes(), 77_u64.to_le_bytes()].concat();
        bytes.extend_from_slice(&[12, 0]);
        let mut applier = applier();
        let mark = SnapshotMark { index: Index(9), ..SnapshotMark::default() };
        applier.restore(mark, &mut &bytes[..]).unwrap();
        assert_eq!((applier.machine().0, applier.applied()), (12, Index(9)));
    }
}
