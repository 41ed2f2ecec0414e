//! [`Command`], [`Query`] and [`Response`]: what the store is asked and what it answers, in the form that travels through
//! the log. The words of the Redis protocol are left behind in [`request`](crate::request).

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What changes the store; and a query that has to keep its place among the changes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Command {
    /// SET, SETNX, GETSET.
    Set(Set),
    /// MSET: all of them or, should the proposal fail, none.
    SetMany(Vec<(Bytes, Bytes)>),
    /// DEL.
    Delete(Vec<Bytes>),
    /// INCR, INCRBY, DECR, DECRBY.
    Add { key: Bytes, delta: i64 },
    /// APPEND. The limit travels with the command: taken from each replica's own options, it could part them.
    Append { key: Bytes, tail: Bytes, value_bytes_max: u64 },
    /// EXPIRE, PEXPIRE: the key lives that much longer from the log time on; not at all if that is negative.
    Expire { key: Bytes, millis: i64 },
    /// PERSIST.
    Persist { key: Bytes },
    /// CAS: `new` takes the place of `old`, and only of `old`. The time to live stays.
    CompareAndSet { key: Bytes, old: Bytes, new: Bytes },
    /// FLUSHALL.
    Clear,
    /// A question, answered at its place in the log and by the log's time.
    Query(Query),
    /// MULTI to EXEC: all of them with nothing between, unless a watched key no longer has the version beside it.
    Transaction { watched: Vec<(Bytes, Option<u64>)>, commands: Vec<Command> },
}

/// What SET and its relatives have in common.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Set {
    pub key: Bytes,
    pub value: Bytes,
    pub condition: Condition,
    pub lifetime: Lifetime,
    pub answer: SetAnswer,
}

/// Whether a set takes place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Condition {
    Always,
    /// NX.
    IfAbsent,
    /// XX.
    IfPresent,
}

/// How long what was set lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Lifetime {
    Unlimited,
    /// EX, PX: milliseconds from the log time on.
    Millis(u64),
    /// KEEPTTL: as long as what it replaces.
    Kept,
}

/// What a set is answered with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum SetAnswer {
    /// SET: OK, or nil if the condition did not hold.
    Done,
    /// SETNX: 1, or 0 if the condition did not hold.
    Flag,
    /// GETSET, SET with GET: the value before, whether or not it was replaced.
    Previous,
}

/// What leaves the store as it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Query {
    /// GET.
    Get(Bytes),
    /// MGET.
    GetMany(Vec<Bytes>),
    /// STRLEN.
    Length(Bytes),
    /// EXISTS. A key named twice counts twice.
    Exists(Vec<Bytes>),
    /// TTL, PTTL.
    TimeToLive { key: Bytes, unit: Unit },
    /// KEYS: those that match the pattern.
    Keys(Bytes),
    /// SCAN: those of some more keys that match the pattern.
    Scan { cursor: u64, pattern: Bytes, count: u64 },
    /// DBSIZE.
    Count,
    /// TYPE.
    Type(Bytes),
}

/// What a time to live is counted in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Unit {
    Seconds,
    Millis,
}

/// What the store answers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Response {
    Ok,
    Nil,
    Integer(i64),
    Value(Bytes),
    Values(Vec<Option<Bytes>>),
    /// Some keys, and where the next ones begin.
    Page {
        cursor: u64,
        keys: Vec<Bytes>,
    },
    /// What each command of a transaction is answered.
    Many(Vec<Response>),
    /// A transaction did not take place: a watched key has changed.
    Aborted,
    /// The type of a key that is there: everything is a string.
    TypeString,
    /// The type of a key that is not there.
    TypeNone,
    /// Nothing was changed.
    Refused(Refusal),
}

/// Why the store does not carry out a command. A client's mistake, and the same on every replica.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Refusal {
    /// The value is not a 64-bit integer.
    NotAnInteger,
    /// The sum does not fit into 64 bits.
    Overflow,
    /// The value would grow beyond the limit.
    TooLong,
    /// A transaction within a transaction.
    Nested,
}

impl Response {
    /// How many there are of something.
    pub fn count(count: usize) -> Self {
        Self::Integer(i64::try_from(count).unwrap_or(i64::MAX))
    }
}

impl From<Option<Bytes>> for Response {
    fn from(value: Option<Bytes>) -> Self {
        value.map_or(Self::Nil, Self::Value)
    }
}

impl From<bool> for Response {
    fn from(happened: bool) -> Self {
        Self::Integer(i64::from(happened))
    }
}
