//! [`Store`]: the replicated state, a map of keys to values, some of which end at a time.
//!
//! **Time is the log's.** A key is gone once the log time has reached its end, and log time moves only as commands are
//! applied: every replica loses the key at the same place in the log, today and on replay. Nothing has to be removed for
//! that. Each command also clears away a few keys that have ended ([`RECLAIMED_PER_COMMAND_MAX`]), so that memory comes
//! back at a bounded cost per command.
//!
//! **A query outside the log** sees time pass as well, on the wall clock of the node that serves it. That clock may only
//! raise a doubt, never settle it: were a key hidden here because this node's clock runs ahead, it would show again on
//! the next node, and reads would not be linearizable. So a query that concerns a key between log time and wall time is
//! [`Undecided`]. The server then sends it through the log, whose time moves on by that, and the answer holds everywhere.

use bytes::Bytes;
use quorate::{Applied, Failure, LogTime, StateMachine};

use crate::command::{Command, Condition, Lifetime, Query, Refusal, Response, Set, SetAnswer, Unit};
use crate::expiry::Expiries;
use crate::keyspace::{Keyspace, Value};
use crate::snapshot::StoreSnapshot;
use crate::{glob, integer};

/// How many ended keys a command clears away. More than the one key that most commands bring, so it catches up.
pub const RECLAIMED_PER_COMMAND_MAX: usize = 16;

/// The replicated state. Cloning is cheap: the trees are shared until one side changes.
#[derive(Clone, Default, Debug)]
pub struct Store {
    /// The time of the last command applied.
    pub(crate) time: LogTime,
    /// How often a key was changed.
    pub(crate) changes: u64,
    /// Every key that has not been cleared away, ended ones among them.
    pub(crate) keys: Keyspace,
    /// The keys of `keys` that have an end, by that end.
    pub(crate) expiries: Expiries,
}

/// The log's time does not tell yet whether a key has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Undecided;

impl StateMachine for Store {
    type Command = Command;
    type Response = Response;
    type Snapshot = StoreSnapshot;

    fn apply(&mut self, at: Applied, command: Command) -> Response {
        self.time = self.time.max(at.time);
        self.reclaim();
        match command {
            Command::Transaction { watched, commands } => self.transact(&watched, commands),
            command => self.change(command),
        }
    }

    fn snapshot(&self) -> StoreSnapshot {
        StoreSnapshot(self.clone())
    }

    fn restore(&mut self, from: &mut dyn std::io::Read) -> Result<(), Failure> {
        *self = StoreSnapshot::read_from(from)?;
        Ok(())
    }
}

/// Questions.
impl Store {
    /// Answers a query as of `now`, the wall clock of the node that serves it. At the log's own time, or before it,
    /// nothing is undecided.
    pub fn answer(&self, query: &Query, now: LogTime) -> Result<Response, Undecided> {
        let value_of = |key: &Bytes| Ok(self.at(key, now)?.map(|value| value.bytes.clone()));
        Ok(match query {
            Query::Get(key) => value_of(key)?.into(),
            Query::GetMany(keys) => Response::Values(keys.iter().map(value_of).collect::<Result<_, _>>()?),
            Query::Length(key) => Response::count(self.at(key, now)?.map_or(0, |value| value.bytes.len())),
            Query::Exists(keys) => {
                let present = keys.iter().map(|key| Ok(i64::from(self.at(key, now)?.is_some())));
                Response::Integer(present.sum::<Result<_, _>>()?)
            }
            Query::TimeToLive { key, unit } => self.time_to_live(key, *unit, now)?,
            Query::Keys(pattern) => Response::Values(self.matching(pattern, now)?),
            Query::Scan { cursor, pattern, count } => self.scan(*cursor, pattern, *count, now)?,
            Query::Count => {
                self.settled(now)?;
                Response::count(self.keys.len() - self.expiries.count_ended(self.time))
            }
            Query::Type(key) => match self.at(key, now)? {
                Some(_) => Response::TypeString,
                None => Response::TypeNone,
            },
        })
    }

    /// The value under a key, if that is certain.
    fn at(&self, key: &Bytes, now: LogTime) -> Result<Option<&Value>, Undecided> {
        match self.live(key) {
            Some(value) if value.has_ended(now) => Err(Undecided),
            value => Ok(value),
        }
    }

    /// Whether it is certain which keys there are.
    fn settled(&self, now: LogTime) -> Result<(), Undecided> {
        if self.expiries.any_ends_between(self.time, now) { Err(Undecided) } else { Ok(()) }
    }

    /// As Redis counts: -2 without the key, -1 without an end, seconds rounded to the nearest.
    fn time_to_live(&self, key: &Bytes, unit: Unit, now: LogTime) -> Result<Response, Undecided> {
        let Some(value) = self.at(key, now)? else { return Ok(Response::Integer(-2)) };
        let Some(end) = value.end else { return Ok(Response::Integer(-1)) };
        let millis = i64::try_from(end.millis_since(self.time.max(now))).unwrap_or(i64::MAX);
        Ok(Response::Integer(match unit {
            Unit::Seconds => millis.saturating_add(500) / 1000,
            Unit::Millis => millis,
        }))
    }

    fn matching(&self, pattern: &[u8], now: LogTime) -> Result<Vec<Option<Bytes>>, Undecided> {
        self.settled(now)?;
        let live = self.keys.iter().filter(|pair| !pair.value.has_ended(self.time));
        let matching = live.map(|pair| &pair.key).filter(|key| glob::matches(pattern, key));
        let mut matching: Vec<_> = matching.cloned().map(Some).collect();
        matching.sort_unstable();
        Ok(matching)
    }

    fn scan(&self, cursor: u64, pattern: &[u8], count: u64, now: LogTime) -> Result<Response, Undecided> {
        let (page, cursor) = self.keys.page(cursor, usize::try_from(count).unwrap_or(usize::MAX));
        let live = page.into_iter().filter(|pair| !pair.value.has_ended(self.time));
        let mut keys = Vec::new();
        for pair in live.filter(|pair| glob::matches(pattern, &pair.key)) {
            if pair.value.has_ended(now) {
                return Err(Undecided);
            }
            keys.push(pair.key.clone());
        }
        Ok(Response::Page { cursor, keys })
    }

    /// What a transaction that watches this key compares. `None` while there is no such key.
    pub fn version(&self, key: &Bytes) -> Option<u64> {
        self.live(key).map(|value| value.version)
    }

    /// The value under a key by log time.
    fn live(&self, key: &Bytes) -> Option<&Value> {
        self.keys.get(key).filter(|value| !value.has_ended(self.time))
    }
}

/// Changes.
impl Store {
    /// All commands, as one; or none, if a key that was watched has changed since.
    fn transact(&mut self, watched: &[(Bytes, Option<u64>)], commands: Vec<Command>) -> Response {
        let unchanged = |(key, version): &(Bytes, Option<u64>)| self.version(key) == *version;
        if !watched.iter().all(unchanged) {
            return Response::Aborted;
        }
        Response::Many(commands.into_iter().map(|command| self.change(command)).collect())
    }

    /// Carries out one command.
    fn change(&mut self, command: Command) -> Response {
        match command {
            Command::Set(set) => self.set(set),
            Command::SetMany(pairs) => {
                for (key, value) in pairs {
                    self.put(key, value, None);
                }
                Response::Ok
            }
            Command::Delete(keys) => {
                Response::Integer(keys.iter().map(|key| i64::from(self.remove(key))).sum())
            }
            Command::Add { key, delta } => self.add(key, delta),
            Command::Append { key, tail, value_bytes_max } => self.append(key, &tail, value_bytes_max),
            Command::Expire { key, millis } => self.expire(key, millis).into(),
            Command::Persist { key } => self.persist(key).into(),
            Command::CompareAndSet { key, old, new } => self.compare_and_set(&key, &old, new).into(),
            Command::Clear => {
                (self.keys, self.expiries) = (Keyspace::default(), Expiries::default());
                Response::Ok
            }
            Command::Query(query) => self.answer(&query, self.time).expect("the log's own time decides"),
            Command::Transaction { .. } => Response::Refused(Refusal::Nested),
        }
    }

    fn set(&mut self, Set { key, value, condition, lifetime, answer }: Set) -> Response {
        // A plain SET, and most are plain, need not look at what was there.
        let looks =
            condition != Condition::Always || lifetime == Lifetime::Kept || answer == SetAnswer::Previous;
        let before = if looks { self.live(&key) } else { None };
        let happens = match condition {
            Condition::Always => true,
            Condition::IfAbsent => before.is_none(),
            Condition::IfPresent => before.is_some(),
        };
        let end = match lifetime {
            Lifetime::Unlimited => None,
            Lifetime::Millis(millis) => Some(LogTime(self.time.0.saturating_add(millis))),
            Lifetime::Kept => before.and_then(|before| before.end),
        };
        let response = match answer {
            SetAnswer::Previous => before.map(|before| before.bytes.clone()).into(),
            SetAnswer::Flag => happens.into(),
            SetAnswer::Done if happens => Response::Ok,
            SetAnswer::Done => Response::Nil,
        };
        if happens {
            self.put(key, value, end);
        }
        response
    }

    fn add(&mut self, key: Bytes, delta: i64) -> Response {
        let (before, end) = match self.live(&key) {
            None => (0, None),
            Some(value) => match integer::parse(&value.bytes) {
                None => return Response::Refused(Refusal::NotAnInteger),
                Some(before) => (before, value.end),
            },
        };
        let Some(after) = before.checked_add(delta) else {
            return Response::Refused(Refusal::Overflow);
        };
        self.put(key, after.to_string().into(), end);
        Response::Integer(after)
    }

    fn append(&mut self, key: Bytes, tail: &[u8], value_bytes_max: u64) -> Response {
        let (head, end) =
            self.live(&key).map_or((Bytes::new(), None), |value| (value.bytes.clone(), value.end));
        let length = head.len() + tail.len();
        if length as u64 > value_bytes_max {
            return Response::Refused(Refusal::TooLong);
        }
        self.put(key, [&head, tail].concat().into(), end);
        Response::count(length)
    }

    fn expire(&mut self, key: Bytes, millis: i64) -> bool {
        let Some(bytes) = self.live(&key).map(|value| value.bytes.clone()) else { return false };
        match u64::try_from(millis) {
            Ok(millis) if millis > 0 => {
                self.put(key, bytes, Some(LogTime(self.time.0.saturating_add(millis))));
            }
            _ => drop(self.remove(&key)),
        }
        true
    }

    fn persist(&mut self, key: Bytes) -> bool {
        let Some(value) = self.live(&key).filter(|value| value.end.is_some()) else { return false };
        let bytes = value.bytes.clone();
        self.put(key, bytes, None);
        true
    }

    fn compare_and_set(&mut self, key: &Bytes, old: &[u8], new: Bytes) -> bool {
        let Some(end) = self.live(key).filter(|value| value.bytes == old).map(|value| value.end) else {
            return false;
        };
        self.put(key.clone(), new, end);
        true
    }

    fn put(&mut self, key: Bytes, bytes: Bytes, end: Option<LogTime>) {
        self.changes += 1;
        self.place(key, Value { bytes, end, version: self.changes });
    }

    /// Every value passes here, so that map and index agree.
    pub(crate) fn place(&mut self, key: Bytes, value: Value) {
        let end = value.end;
        if let Some(end) = end {
            self.expiries.insert(end, key.clone());
        }
        let Some(before) = self.keys.insert(key, value) else { return };
        if let Some(end_before) = before.value.end.filter(|before| Some(*before) != end) {
            self.expiries.remove(end_before, &before.key);
        }
    }

    /// Whether there was such a key.
    fn remove(&mut self, key: &Bytes) -> bool {
        let Some(before) = self.keys.remove(key) else { return false };
        if let Some(end) = before.value.end {
            self.expiries.remove(end, key);
        }
        !before.value.has_ended(self.time)
    }

    fn reclaim(&mut self) {
        for _ in 0..RECLAIMED_PER_COMMAND_MAX {
            let Some(key) = self.expiries.pop_ended(self.time) else { return };
            self.keys.remove(&key);
        }
    }
}
