//! [`Sessions`]: which commands of which client were carried out, and what they were answered.
//!
//! A client whose request got no answer cannot know whether it was carried out. If it names its commands (session,
//! sequence), it may simply ask again: the replicas remember what they answered, and answer the same. Ongaro's thesis,
//! section 6.3; *Patterns of Distributed Systems*, "Idempotent Receiver".
//!
//! This is part of the replicated state: every replica goes through the same changes at the same entries, so it depends
//! on nothing but the log. Time is log time. What is remembered is bounded: by the client, who says up to where it has
//! its answers; by each session's longest idleness; and by [`Limits`], which push out the session that would expire
//! first. A command of a session that is gone is refused, and never carried out a second time.

mod stored;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use consensus_api::{LogTime, SessionId};

pub(crate) use self::stored::SessionsStored;

/// Bounds on what is remembered. They are the same on every replica of every version that shares a log: a replica with
/// other bounds would forget at other entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Limits {
    /// Sessions.
    pub(crate) sessions_max: usize,
    /// All answers together, with what remembering one takes.
    pub(crate) answers_bytes_max: usize,
    /// One answer. Of a larger one it is only remembered that the command was carried out.
    pub(crate) answer_bytes_max: usize,
    /// How far the numbers of a session's commands may reach beyond the lowest unacknowledged one.
    pub(crate) window: u64,
    /// The longest idleness that a session may ask for, in milliseconds.
    pub(crate) idle_max_ms: u64,
}

impl Limits {
    /// The bounds in force.
    pub(crate) const IN_FORCE: Self = Self {
        sessions_max: 65_536,
        answers_bytes_max: 64 << 20,
        answer_bytes_max: 1 << 20,
        window: 1024,
        idle_max_ms: 7 * 24 * 60 * 60 * 1000,
    };
}

/// What remembering an answer takes beyond its bytes.
const ANSWER_OVERHEAD_BYTES: usize = 64;

/// All sessions of a replica.
#[derive(Clone, Debug)]
pub(crate) struct Sessions {
    limits: Limits,
    /// Shared with snapshots being written: taking one copies the table, not the answers.
    table: BTreeMap<SessionId, Arc<Session>>,
    /// The same sessions by when they end.
    by_end: BTreeSet<(LogTime, SessionId)>,
    answers_bytes: usize,
}

/// One client's session.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Session {
    idle_max_ms: u64,
    /// It ends when log time passes this.
    ends: LogTime,
    /// The client has all answers below.
    acknowledged: u64,
    answers: BTreeMap<u64, Remembered>,
}

/// What is remembered of a command that was carried out.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Remembered {
    Answer(Bytes),
    /// It was too large to keep.
    TooLarge,
}

impl Remembered {
    fn cost_bytes(&self) -> usize {
        ANSWER_OVERHEAD_BYTES + if let Self::Answer(answer) = self { answer.len() } else { 0 }
    }
}

/// What is to be done with a command that came in a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Receipt {
    /// It is new: carry it out, and [`remember`](Sessions::remember) the answer.
    New,
    /// It was carried out before, and answered this.
    Repeated(Bytes),
    /// It was carried out before; the answer was too large to be remembered.
    CarriedOut,
    /// The client had said that it no longer waits for it. It may have been carried out before.
    Acknowledged,
    /// It is not to be carried out.
    Refused(&'static str),
    /// There is no such session.
    Unknown,
}

const BEYOND_WINDOW: &str = "the command's number is too far beyond the session's oldest unanswered one";

impl Sessions {
    pub(crate) const fn new(limits: Limits) -> Self {
        Self { limits, table: BTreeMap::new(), by_end: BTreeSet::new(), answers_bytes: 0 }
    }

    /// Opens a session. If there are too many, the one that would end first makes room.
    pub(crate) fn open(&mut self, id: SessionId, idle_max_ms: u64, now: LogTime) {
        self.expire(now);
        while self.table.len() >= self.limits.sessions_max {
            self.end_first(None);
        }
        let idle_max_ms = idle_max_ms.min(self.limits.idle_max_ms);
        let ends = LogTime(now.0.saturating_add(idle_max_ms));
        let session = Session { idle_max_ms, ends, acknowledged: 0, answers: BTreeMap::new() };
        self.by_end.insert((ends, id));
        self.table.insert(id, Arc::new(session));
    }

    /// Ends a session, if it is there.
    pub(crate) fn close(&mut self, id: SessionId, now: LogTime) {
        self.expire(now);
        self.end(id);
    }

    /// A command came in. Using a session keeps it alive.
    pub(crate) fn receive(
        &mut self,
        id: SessionId,
        sequence: u64,
        acknowledged: u64,
        now: LogTime,
    ) -> Receipt {
        self.expire(now);
        let Some(session) = self.table.get_mut(&id) else { return Receipt::Unknown };
        let session = Arc::make_mut(session);
        self.by_end.remove(&(session.ends, id));
        session.ends = LogTime(now.0.saturating_add(session.idle_max_ms));
        self.by_end.insert((session.ends, id));
        if acknowledged > session.acknowledged {
            session.acknowledged = acknowledged;
            let kept = session.answers.split_off(&acknowledged);
            let forgotten = std::mem::replace(&mut session.answers, kept);
            self.answers_bytes -= forgotten.values().map(Remembered::cost_bytes).sum::<usize>();
        }
        if sequence < session.acknowledged {
            return Receipt::Acknowledged;
        }
        match session.answers.get(&sequence) {
            Some(Remembered::Answer(answer)) => Receipt::Repeated(answer.clone()),
            Some(Remembered::TooLarge) => Receipt::CarriedOut,
            None if sequence - session.acknowledged >= self.limits.window => Receipt::Refused(BEYOND_WINDOW),
            None => Receipt::New,
        }
    }

    /// The command was carried out, and answered this; `None` when the answer has no byte form. If all answers together
    /// take too much, other sessions make room, and after the last of them the answer itself.
    pub(crate) fn remember(&mut self, id: SessionId, sequence: u64, answer: Option<Bytes>) {
        let Limits { answers_bytes_max: bytes_max, answer_bytes_max, .. } = self.limits;
        let answer = answer.filter(|answer| answer.len() <= answer_bytes_max);
        let mut remembered = answer.map_or(Remembered::TooLarge, Remembered::Answer);
        while self.answers_bytes + remembered.cost_bytes() > bytes_max && self.end_first(Some(id)) {}
        if self.answers_bytes + remembered.cost_bytes() > bytes_max {
            remembered = Remembered::TooLarge;
        }
        let Some(session) = self.table.get_mut(&id) else { return };
        self.answers_bytes += remembered.cost_bytes();
        let before = Arc::make_mut(session).answers.insert(sequence, remembered);
        assert!(before.is_none(), "a command is carried out once in its session");
    }

    /// Ends what was not used for too long.
    fn expire(&mut self, now: LogTime) {
        while let Some((ends, id)) = self.by_end.first().copied()
            && ends < now
        {
            self.end(id);
        }
    }

    /// Ends the session that would end first, but not that one. Whether there was one.
    fn end_first(&mut self, spared: Option<SessionId>) -> bool {
        let first = self.by_end.iter().map(|(_, id)| *id).find(|id| Some(*id) != spared);
        first.is_some_and(|id| self.end(id))
    }

    fn end(&mut self, id: SessionId) -> bool {
        let Some(session) = self.table.remove(&id) else { return false };
        self.by_end.remove(&(session.ends, id));
        self.answers_bytes -= session.answers.values().map(Remembered::cost_bytes).sum::<usize>();
        true
    }
}
