//! [`Registers`]: a value per key, agreed on key by key, without a leader and without a log.
//!
//! Each key is an instance of Paxos whose value may change (Rystsov 2018, "CASPaxos: Replicated State Machines without
//! logs"): a proposer asks a quorum for promises, takes the state of the highest ballot among what they have accepted,
//! changes it, and has a quorum accept the outcome. A write-once register ([`Change::Init`]) is single-decree Paxos as
//! Lamport tells it.
//!
//! The state machine here is pure. Requests, messages, durable writes and time go in; messages, writes (of a journal, as
//! operations of [`consensus_api::LogStorage`]) and answers come out. What an acceptor has promised and accepted is in
//! its journal before it is spoken of.
//!
//! * **A read finishes what it finds half done.** If a quorum reports one and the same ballot, that state is chosen and is
//!   the answer; otherwise the state is proposed anew, as it is (CASSANDRA-12126; scylladb #6299).
//! * **A condition that does not hold is a read,** and keeps to the same rule.
//! * **A change bears a name,** and the state remembers the last [`RECENT_CHANGES_MAX`] of them, and the last of each keeper:
//!   whoever was left in doubt asks again under the same name, and is told of its own success instead of changing the state
//!   twice; or, where it could be told once and cannot any more, of just that.
//!
//! Members are fixed. Deleted keys leave a tombstone, which stays.

mod acceptor;
mod messages;
mod proposer;
mod state;

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use bytes::Bytes;
use consensus_api::{After, Effects, Entry, Generation, Membership, MessageError, NodeId, Time, WriteSeq};

pub use acceptor::Accepted;
pub use messages::{Body, Message};
pub use state::{Answer, Change, ChangeId, RECENT_CHANGES_MAX, State};

use self::acceptor::{Cell, Journal};
use self::proposer::Task;
use crate::dice::Dice;

/// Names a request within one life of its keeper.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestId(pub u64);

/// What a request ended with.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Ending {
    /// It was carried out.
    Done(Answer),
    /// No quorum could be reached in time. It did not happen.
    NotDone,
    /// No quorum answered in time. It may have happened, or may yet: ask again under the same [`ChangeId`].
    Unknown,
    /// It was asked for again, and whether it took effect before is remembered no more. It takes no effect now.
    Forgotten,
}

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    /// Names the request; no other in this life has the same.
    pub request: RequestId,
    /// Names the change, in all its repetitions.
    pub id: ChangeId,
    /// It may have been asked for before, here or elsewhere, under this name. `false` says that it certainly was not.
    pub again: bool,
    /// The change.
    pub change: Change,
}

/// A keeper of registers: acceptor of all keys, proposer of those that are asked for here. See the
/// [module's page](self).
#[derive(Clone, Debug)]
pub struct Registers {
    node: NodeId,
    membership: Membership,
    cells: BTreeMap<Bytes, Cell>,
    journal: Journal,
    /// Keys with a promise that is being written, and the number of that write.
    unsynced: BTreeMap<Bytes, WriteSeq>,
    tasks: BTreeMap<Bytes, Task>,
    endings: Vec<(RequestId, Ending)>,
    /// Counts questions that promise nothing.
    looks: u64,
    times: Times,
    now: Time,
    dice: Dice,
}

/// A fingerprint of the protocol's state: without times, dice, and how often the journal was written.
impl Hash for Registers {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { node, membership, cells, unsynced, tasks, endings, .. } = self;
        (node, membership, cells, tasks, endings).hash(state);
        unsynced.keys().for_each(|key| key.hash(state));
    }
}

/// The times of a keeper.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Times {
    /// What was said is said again after so long without an answer. 100 ms by default.
    pub retry_after: Duration,
    /// The longest wait before the second attempt after a lost one; it doubles each time, up to `retry_after` and more.
    /// About a round trip; 2 ms by default.
    pub back_off: Duration,
    /// Requests end after so long. 5 s by default.
    pub deadline: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            retry_after: Duration::from_millis(100),
            back_off: Duration::from_millis(2),
            deadline: Duration::from_secs(5),
        }
    }
}

impl Registers {
    /// A keeper as of what its journal holds: all entries of it, in order. `seed` differs from life to life.
    ///
    /// # Errors
    /// [`MessageError`] when the entries are no journal of a keeper.
    pub fn recover(
        node: NodeId,
        membership: Membership,
        entries: &[Entry],
        (times, now, seed): (Times, Time, u64),
    ) -> Result<Self, MessageError> {
        let (journal, cells) = Journal::read(membership.clone(), entries)?;
        let mut dice = Dice::new(seed, node);
        let looks = dice.roll();
        Ok(Self {
            node,
            membership,
            cells,
            journal,
            unsynced: BTreeMap::new(),
            tasks: BTreeMap::new(),
            endings: Vec::new(),
            looks,
            times,
            now,
            dice,
        })
    }

    /// Takes a request. Those for one key are carried out one after the other.
    pub fn request(&mut self, now: Time, key: Bytes, asked: Asked, effects: &mut Effects<Message>) {
        self.now = self.now.max(now);
        self.enqueue(&key, asked);
        self.proceed(&key, effects);
    }

    /// A member said something.
    pub fn message(&mut self, now: Time, from: NodeId, message: Message, effects: &mut Effects<Message>) {
        self.now = self.now.max(now);
        if !self.membership.is_voter(from) || from == self.node {
            return;
        }
        let Message { key, ballot, body } = message;
        match body {
            Body::Prepare => self.on_prepare(from, key, ballot, effects),
            Body::Accept(state) => self.on_accept(from, key, ballot, state, effects),
            Body::Promise(accepted) => self.on_promise(from, &key, ballot, accepted, effects),
            Body::Accepted => self.on_accepted(from, &key, ballot, effects),
            Body::Nack(promised) => self.on_nack(&key, ballot, promised),
            Body::Look => {
                let accepted = self.cells.get(&key).and_then(|cell| cell.accepted.clone());
                // What is not durable may be forgotten, and must not be taken for chosen.
                let after = self.unsynced.get(&key).map_or(After::Now, |seq| After::Durable(*seq));
                effects.send(from, after, Message { key, ballot, body: Body::Seen(accepted) });
            }
            Body::Seen(accepted) => self.on_seen(from, &key, ballot, accepted, effects),
        }
    }

    /// Everything written up to this number is durable.
    pub fn durable(&mut self, now: Time, seq: WriteSeq, effects: &mut Effects<Message>) {
        self.now = self.now.max(now);
        self.unsynced.retain(|_, written| *written > seq);
        let keys: Vec<Bytes> = self.tasks.keys().cloned().collect();
        for key in keys {
            self.on_own_durable(&key, seq, effects);
        }
        self.journal.compact(&self.cells, effects);
    }

    /// The time of [`deadline`](Self::deadline) has come.
    pub fn tick(&mut self, now: Time, effects: &mut Effects<Message>) {
        self.now = self.now.max(now);
        let due = self.tasks.iter().filter(|(_, task)| task.deadline() <= self.now);
        let keys: Vec<Bytes> = due.map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.expire(&key);
            self.on_due(&key, effects);
        }
    }

    /// When to call [`tick`](Self::tick) next.
    pub fn deadline(&self) -> Time {
        self.tasks.values().map(Task::deadline).min().unwrap_or(Time::MAX)
    }

    /// Whether a message that was held back until its write was durable may still be said.
    pub fn still_true(&self, message: &Message) -> bool {
        match &message.body {
            Body::Prepare | Body::Promise(_) | Body::Accepted => {
                self.cells.get(&message.key).is_some_and(|cell| cell.promised == message.ballot)
            }
            _ => true,
        }
    }

    /// Requests that have ended, since this was last asked.
    pub fn take_endings(&mut self) -> Vec<(RequestId, Ending)> {
        std::mem::take(&mut self.endings)
    }

    /// What this member has accepted last in a register, and the highest ballot it has promised there.
    pub fn cell(&self, key: &[u8]) -> Option<(Generation, Option<&Accepted>)> {
        self.cells.get(key).map(|cell| (cell.promised, cell.accepted.as_ref()))
    }

    /// Phase 1, the acceptor's side (Lamport 2001, section 2.2).
    fn on_prepare(&mut self, from: NodeId, key: Bytes, ballot: Generation, effects: &mut Effects<Message>) {
        if ballot.node != from {
            return;
        }
        let Some(after) = self.promise(&key, ballot, effects) else {
            return self.nack(from, key, ballot, effects);
        };
        let accepted = self.cells.get(&key).and_then(|cell| cell.accepted.clone());
        effects.send(from, after, Message { key, ballot, body: Body::Promise(accepted) });
    }

    /// Phase 2, the acceptor's side. Accepting a ballot promises it, too (frankenpaxos' CASPaxos forgot to).
    fn on_accept(
        &mut self,
        from: NodeId,
        key: Bytes,
        ballot: Generation,
        state: State,
        effects: &mut Effects<Message>,
    ) {
        if ballot.node != from {
            return;
        }
        if self.cells.get(&key).is_some_and(|cell| cell.promised > ballot) {
            return self.nack(from, key, ballot, effects);
        }
        let held = self.cells.get(&key).and_then(|cell| cell.accepted.as_ref());
        let after = if held.is_some_and(|held| held.ballot == ballot) {
            After::Durable(effects.newest_write())
        } else {
            After::Durable(self.accept(&key, ballot, state, effects))
        };
        effects.send(from, after, Message { key, ballot, body: Body::Accepted });
    }

    fn nack(&self, to: NodeId, key: Bytes, ballot: Generation, effects: &mut Effects<Message>) {
        let promised = self.cells.get(&key).map_or(Generation::ZERO, |cell| cell.promised);
        effects.send(to, After::Now, Message { key, ballot, body: Body::Nack(promised) });
    }

    /// Promises a ballot for a key, and says what to wait for before that is spoken of; `None` if a higher one is promised.
    /// An attempt of this member at a lower ballot is over.
    fn promise(&mut self, key: &Bytes, ballot: Generation, effects: &mut Effects<Message>) -> Option<After> {
        let cell = self.cells.entry(key.clone()).or_default();
        if ballot < cell.promised {
            return None;
        }
        if ballot > cell.promised {
            cell.promised = ballot;
            let seq = self.journal.write(key, cell, effects);
            self.unsynced.insert(key.clone(), seq);
            self.overtaken(key, ballot);
        }
        Some(self.unsynced.get(key).map_or(After::Now, |seq| After::Durable(*seq)))
    }

    /// Accepts a state at a ballot that is not below the promise.
    fn accept(
        &mut self,
        key: &Bytes,
        ballot: Generation,
        state: State,
        effects: &mut Effects<Message>,
    ) -> WriteSeq {
        let cell = self.cells.entry(key.clone()).or_default();
        assert!(ballot >= cell.promised, "nothing is accepted below the promise");
        let higher = cell.accepted.as_ref().is_none_or(|old| old.ballot < ballot);
        assert!(higher, "the ballot of what is accepted only grows");
        let overtakes = ballot > cell.promised;
        cell.promised = ballot;
        cell.accepted = Some(Accepted { ballot, state });
        let seq = self.journal.write(key, cell, effects);
        self.unsynced.insert(key.clone(), seq);
        if overtakes {
            self.overtaken(key, ballot);
        }
        seq
    }

    fn others(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.membership.voters().iter().copied().filter(|member| *member != self.node)
    }
}
