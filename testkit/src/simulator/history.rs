//! [`History`]: what clients asked and what they were told.

use std::collections::BTreeMap;

use consensus_api::{Error, NodeId, Time};

use super::machine::KEYS;
use super::member::{Answer, OpId};

/// Every operation of every client.
#[derive(Clone, Debug, Default)]
pub struct History {
    operations: BTreeMap<OpId, Operation>,
    open: u64,
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
    /// Whether it writes.
    pub write: bool,
    /// What it writes to, or reads.
    pub key: u64,
    /// What came of it.
    pub result: Result,
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
    pub(crate) fn begin(&mut self, asked: (NodeId, u64), invoked: Time, write: bool) -> OpId {
        let op = self.operations.len() as u64 + 1;
        let key = op % KEYS;
        let operation = Operation { asked, invoked, answered: None, write, key, result: Result::Open };
        self.operations.insert(op, operation);
        self.open += 1;
        op
    }

    pub(crate) fn end(&mut self, op: OpId, now: Time, result: Result) {
        if let Some(operation) = self.operations.get_mut(&op).filter(|it| it.result == Result::Open) {
            operation.answered = Some(now);
            operation.result = result;
            self.open -= 1;
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
