//! [`StateMachine`]: what is replicated. The one trait every user implements.

use std::io::{self, Read, Write};

use thiserror::Error;

use crate::{Applied, Index, Payload};

/// A deterministic machine: the same commands in the same order give the same state and the same answers, on every
/// node, today and when the log is replayed next year.
///
/// What a state machine promises:
/// 1. **Deterministic.** [`apply`](Self::apply) uses the position, the command and its own state: no clock, no
///    randomness, no environment, no hash order. Time is in [`Applied::time`].
/// 2. **Total.** Every command has an answer. A command that makes no sense is answered with an error *of the user's*
///    inside [`Response`](Self::Response); the entry counts as applied.
/// 3. **Restorable.** Restoring a snapshot gives the state it was taken from.
///
/// ```
/// use quorate_consensus_api::{Applied, StateMachine, snapshot_with_serde};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Default, Serialize, Deserialize)]
/// struct Counter(u64);
///
/// impl StateMachine for Counter {
///     type Command = u64;
///     type Response = u64;
///
///     fn apply(&mut self, _at: Applied, add: u64) -> u64 {
///         self.0 += add;
///         self.0
///     }
///
///     snapshot_with_serde!();
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a state machine",
    note = "implement `StateMachine` for it: a command, a response, `apply`, and `snapshot_with_serde!()`"
)]
pub trait StateMachine: Send + 'static {
    /// What clients ask for.
    type Command: Payload;
    /// What they are answered.
    type Response: Payload;
    /// A point-in-time value of the whole state.
    type Snapshot: Snapshot;

    /// Carries out one command.
    fn apply(&mut self, at: Applied, command: Self::Command) -> Self::Response;

    /// The state as it is now, as a value of its own. Called on the apply path, so it should be cheap: a clone of
    /// shared or persistent structures, not a serialisation.
    fn snapshot(&self) -> Self::Snapshot;

    /// Replaces the state by a snapshot's.
    ///
    /// # Errors
    /// [`Failure`] when the bytes are no snapshot; the node then stops.
    fn restore(&mut self, from: &mut dyn Read) -> Result<(), Failure>;

    /// As [`apply`](Self::apply), for machines that rest on something that can break, such as a disk: a failure stops
    /// the node with its cause, and the entry is not skipped. Implement it *instead of giving a meaning to* `apply`,
    /// which is then never called.
    ///
    /// # Errors
    /// [`Failure`] when the machine can no longer carry out commands.
    fn try_apply(&mut self, at: Applied, command: Self::Command) -> Result<Self::Response, Failure> {
        Ok(self.apply(at, command))
    }

    /// Carries out the commands of one entry, in order, and hands each one's answer to `reply`. For machines that gain
    /// from doing many at once, such as one transaction per entry. By default each is handed to
    /// [`try_apply`](Self::try_apply).
    ///
    /// # Errors
    /// [`Failure`] as of [`try_apply`](Self::try_apply); so is a command that is one.
    fn apply_batch(
        &mut self,
        commands: impl Iterator<Item = Result<(Applied, Self::Command), Failure>>,
        mut reply: impl FnMut(Self::Response),
    ) -> Result<(), Failure> {
        for command in commands {
            let (at, command) = command?;
            reply(self.try_apply(at, command)?);
        }
        Ok(())
    }

    /// For a machine that keeps its state itself, on a disk of its own: up to which entry it holds everything durably;
    /// [`Index::ZERO`] in the beginning. Asked once, at the start of the node: entries up to there are not applied again,
    /// and a snapshot of them is not restored.
    ///
    /// Such a machine makes an entry durable as a whole ([`apply_batch`](Self::apply_batch) gets exactly one entry's
    /// commands), together with its index; its snapshots hold that index too. Clients' sessions are refused, because
    /// their answers could not become durable with it.
    fn applied(&self) -> Option<Index> {
        None
    }

    /// A digest of the whole state, for the comparison of replicas (an option of the node); `None` when the machine makes
    /// none. Equal states give equal digests, on every machine and version. Called on the apply path, every so many
    /// entries, so it should be cheap: one that is carried along rather than computed from all.
    fn digest(&self) -> Option<u64> {
        None
    }
}

/// Why a state machine cannot go on. It stops the node; the process lives.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Failure(pub String);

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

/// A point-in-time value of a state machine, written out beside the apply path.
pub trait Snapshot: Send + 'static {
    /// Writes it in the form that [`StateMachine::restore`] reads. May take long: it runs on a thread of its own.
    ///
    /// # Errors
    /// Whatever the writer reports.
    fn write_to(self, out: &mut dyn Write) -> io::Result<()>;
}
