//! [`Applier`]: the state machine, and how far it has come.

use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use consensus_api::{
    Applied, Entry, EntryKind, Failure, Generation, Index, LogTime, Membership, Payload, Snapshot,
    SnapshotMark, StateMachine,
};

/// A state machine with its position in the log: applies entries, takes and restores snapshots. Synchronous.
#[derive(Debug)]
pub struct Applier<S> {
    machine: S,
    applied: Index,
    generation: Generation,
    membership: Membership,
    time: LogTime,
}

/// The bytes before the state machine's own in a snapshot: the envelope's version and the log's time.
const ENVELOPE_BYTES: usize = 16;
const ENVELOPE_VERSION: u64 = 1;

impl<S: StateMachine> Applier<S> {
    /// A state machine at the beginning of the log.
    pub fn new(machine: S, founders: Membership) -> Self {
        Self {
            machine,
            applied: Index::ZERO,
            generation: Generation::ZERO,
            membership: founders,
            time: LogTime::ZERO,
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

    /// Applies one entry, and hands each command's answer to `answer`.
    ///
    /// # Errors
    /// [`Failure`] when the state machine fails or panics, or a command cannot be decoded. The entry then does not
    /// count as applied, and nothing more may be.
    pub fn apply(&mut self, entry: &Entry, mut answer: impl FnMut(S::Response)) -> Result<(), Failure> {
        if entry.index != self.applied.next() {
            return Err(Failure(format!("entry {} does not follow entry {}", entry.index, self.applied)));
        }
        self.time = self.time.max(entry.time);
        for (offset, command) in entry.commands().enumerate() {
            let at = Applied { index: entry.index, offset: offset as u32, time: self.time };
            let command = command.map_err(|error| failed(at, &error.to_string()))?;
            let machine = &mut self.machine;
            let applied = guarded(|| {
                let command = S::Command::decode(command).map_err(|error| Failure(error.to_string()))?;
                machine.try_apply(at, command)
            });
            answer(applied.map_err(|failure| failed(at, &failure.0))?);
        }
        if entry.kind == EntryKind::Membership {
            self.membership = Membership::decode(&entry.body).map_err(|error| Failure(error.to_string()))?;
        }
        self.applied = entry.index;
        self.generation = entry.generation;
        Ok(())
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
        Ok(PointInTime { mark, time: self.time, state })
    }

    /// Replaces the state by a snapshot's.
    ///
    /// # Errors
    /// [`Failure`] when the bytes are no snapshot of this state machine.
    pub fn restore(&mut self, mark: SnapshotMark, from: &mut dyn Read) -> Result<(), Failure> {
        let mut envelope = [0; ENVELOPE_BYTES];
        from.read_exact(&mut envelope)?;
        let (version, time) = envelope.split_at(8);
        if version != ENVELOPE_VERSION.to_le_bytes() {
            return Err(Failure("the snapshot was written by a newer version".to_owned()));
        }
        let machine = &mut self.machine;
        guarded(|| machine.restore(from))?;
        self.time = LogTime(time.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)));
        self.applied = mark.index;
        self.generation = mark.generation;
        self.membership = mark.membership;
        Ok(())
    }
}

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
        Applier::new(Sum::default(), Membership::of_voters([NodeId(1)]))
    }

    #[test]
    fn log_time_is_a_running_maximum_and_survives_a_snapshot() {
        let mut one = applier();
        let mut answers = Vec::new();
        one.apply(&entry(1, 50, &[1, 2]), |answer| answers.push(answer)).unwrap();
        one.apply(&entry(2, 20, &[3]), |answer| answers.push(answer)).unwrap();
        assert_eq!(answers, [1, 3, 6]);
        let point = one.snapshot().unwrap();
        let (mark, mut bytes) = (point.mark.clone(), Vec::new());
        point.write_to(&mut bytes).unwrap();
        let mut two = applier();
        two.restore(mark.clone(), &mut &bytes[..]).unwrap();
        assert_eq!((two.applied(), mark.generation), (Index(2), Generation::new(3, NodeId(1))));
        two.apply(&entry(3, 10, &[4]), |answer| answers.push(answer)).unwrap();
        assert_eq!(answers, [1, 3, 6, 10]);
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
}
