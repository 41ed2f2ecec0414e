//! [`History`]: what clients asked and what they were told.

use std::collections::BTreeMap;

use consensus_api::{Error, NodeId, Time};
use node::ReadLevel;

use super::machine::KEYS;
use super::member::{Answer, OpId};

/// Every operation of every client.
#[derive(Clone, Debug, Default)]
pub struct History {
    operations: BTreeMap<OpId, Operation>,
    open: u64,
    /// Of the writes that were answered the last one in the log.
    last_answered: Option<Answer>,
}

/// One operation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operation {
    /// The node it was asked of, and which life of it.
    pub asked: (NodeId, u64),
    /// When.
    pub invoked: Time,
    /// When it was answered.
    pub answered: Option<Time>,
    /// What it is.
    pub kind: Kind,
    /// What it writes to, or reads.
    pub key: u64,
    /// What came of it.
    pub result: Result,
}

/// What an operation is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It writes.
    Write,
    /// It reads.
    Read {
        /// How much it must see.
        level: ReadLevel,
        /// So many commands were before the first that it need not have seen, as far as its client knows. Of reads at
        /// [`ReadLevel::AtLeast`] only.
        floor: u64,
    },
}

impl Kind {
    /// A linearizable read.
    pub const READ: Self = Self::Read { level: ReadLevel::Linearizable, floor: 0 };

    /// Whether it is a read that must be in the one order with all writes, as real time has it.
    pub const fn is_linearizable_read(self) -> bool {
        matches!(self, Self::Read { level: ReadLevel::Linearizable | ReadLevel::Lease, .. })
    }
}

/// What came of an operation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Result {
    /// Not answered yet.
    Open,
    /// A write's answer: its position, and how many commands were before it.
    Wrote(Answer),
    /// A read's answer.
    Read {
        /// How many commands were applied.
        seen: u64,
        /// The last one applied to the key.
        value: Option<u64>,
    },
    /// It certainly did not happen.
    Failed,
    /// Nobody can tell.
    Unknown,
}

impl History {
    pub(crate) fn begin(&mut self, asked: (NodeId, u64), invoked: Time, kind: Kind) -> OpId {
        let op = self.operations.len() as u64 + 1;
        let key = op % KEYS;
        let operation = Operation { asked, invoked, answered: None, kind, key, result: Result::Open };
        self.operations.insert(op, operation);
        self.open += 1;
        op
    }

    pub(crate) fn end(&mut self, op: OpId, now: Time, result: Result) {
        if let Some(operation) = self.operations.get_mut(&op).filter(|it| it.result == Result::Open) {
            if let Result::Wrote(answer) = result {
                let newer = |known: &Answer| (known.0, known.1) < (answer.0, answer.1);
                self.last_answered = self.last_answered.filter(|known| !newer(known)).or(Some(answer));
            }
            operation.answered = Some(now);
            operation.result = result;
            self.open -= 1;
        }
    }

    /// A read is answered, by a node that needs nobody else if it is `alone`. The name under which it counts.
    pub(crate) fn read_answered(
        &mut self,
        op: OpId,
        now: Time,
        seen: u64,
        value: Option<u64>,
        alone: bool,
    ) -> &'static str {
        let asked = self.operations.get(&op).map(|it| (it.kind, it.invoked == now && !alone));
        self.end(op, now, Result::Read { seen, value });
        match asked {
            Some((Kind::Read { level: ReadLevel::Lease, .. }, true)) => "reads out of a lease",
            Some((Kind::Read { level: ReadLevel::Lease, .. }, false)) => "lease reads confirmed by a quorum",
            Some((Kind::Read { level: ReadLevel::AtLeast(_), .. }, _)) => "reads of one's own writes",
            Some((Kind::Read { level: ReadLevel::Stale { .. }, .. }, true)) => "stale reads at once",
            Some((Kind::Read { level: ReadLevel::Stale { .. }, .. }, false)) => "stale reads that asked",
            _ => "reads answered",
        }
    }

    pub(crate) fn fail(&mut self, op: OpId, now: Time, error: &Error) {
        let result = if error.may_have_happened() { Result::Unknown } else { Result::Failed };
        self.end(op, now, result);
    }

    /// The node is gone: whoever asked it will not be told.
    pub(crate) fn lose(&mut self, asked: (NodeId, u64), now: Time) {
        let lost = self.operations.iter().filter(|(_, it)| it.asked == asked && it.result == Result::Open);
        for op in lost.map(|(op, _)| *op).collect::<Vec<_>>() {
            self.end(op, now, Result::Unknown);
        }
    }

    /// Of the writes that were answered the last one in the log.
    pub(crate) const fn last_answered(&self) -> Option<Answer> {
        self.last_answered
    }

    /// Whether nobody has answered it yet.
    pub fn is_open(&self, op: u64) -> bool {
        self.operations.get(&op).is_some_and(|it| it.result == Result::Open)
    }

    /// How many operations have not been answered.
    pub const fn open(&self) -> u64 {
        self.open
    }

    /// The operations, in the order in which they were asked.
    pub fn operations(&self) -> impl Iterator<Item = (u64, &Operation)> {
        self.operations.iter().map(|(op, operation)| (*op, operation))
    }
}
