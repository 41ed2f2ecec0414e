//! [`Reads`]: linearizable reads that wait for their index, and then for the state machine to get there.
//!
//! All reads queued at one moment share one round: one question to the leader, one confirmation by a quorum. (Ongaro's
//! thesis, section 6.4.) A read has no effect, so a round that got lost is simply asked again.

use std::collections::BTreeMap;
use std::time::Duration;

use consensus_api::{Error, Generation, Incarnation, Index, NodeId, ReadId, Time};

use super::waiting_list::WaitingList;

/// The reads of one node, and those that others asked it for.
#[derive(Debug)]
pub(super) struct Reads<R> {
    deadline: Duration,
    retry_after: Duration,
    next_id: u64,
    queue: Vec<Queued<R>>,
    rounds: WaitingList<ReadId, Round<R>>,
    /// Reads whose index is known.
    answered: BTreeMap<Index, Vec<Queued<R>>>,
    /// After a refusal, nothing is asked before this: the leader may not be known yet.
    not_before: Time,
    next_expiry: Time,
}

#[derive(Debug)]
struct Queued<R> {
    ticket: R,
    deadline: Time,
}

#[derive(Debug)]
enum Round<R> {
    /// Ours, asked of the leader of that generation.
    Local { reads: Vec<Queued<R>>, generation: Generation, retry_at: Time },
    /// Another node's, by its life and its own name for the read.
    Remote(Asker),
}

/// A read of another node: who asks, in which life, and its own name for it.
pub(super) type Asker = (NodeId, Incarnation, ReadId);

impl<R> Reads<R> {
    pub(super) fn new(deadline: Duration, retry_after: Duration) -> Self {
        Self {
            deadline,
            retry_after,
            next_id: 0,
            queue: Vec::new(),
            rounds: WaitingList::new(),
            answered: BTreeMap::new(),
            not_before: Time::ZERO,
            next_expiry: Time::MAX,
        }
    }

    pub(super) fn push(&mut self, now: Time, ticket: R) {
        let deadline = now + self.deadline;
        self.next_expiry = self.next_expiry.min(deadline);
        self.queue.push(Queued { ticket, deadline });
    }

    /// Whether no read of this node waits for anything.
    pub(super) fn is_empty(&self) -> bool {
        let local = |round: &Round<R>| matches!(round, Round::Local { .. });
        self.queue.is_empty() && self.answered.is_empty() && !self.rounds.values().any(local)
    }

    /// Begins a round with everything queued, if there is anything and it is time.
    pub(super) fn begin(&mut self, now: Time, generation: Generation) -> Option<ReadId> {
        if self.queue.is_empty() || now < self.not_before {
            return None;
        }
        let reads = std::mem::take(&mut self.queue);
        let retry_at = now + self.retry_after;
        Some(self.insert(Round::Local { reads, generation, retry_at }))
    }

    /// Begins a round for another node.
    pub(super) fn begin_remote(&mut self, node: NodeId, incarnation: Incarnation, id: ReadId) -> ReadId {
        self.insert(Round::Remote((node, incarnation, id)))
    }

    fn insert(&mut self, round: Round<R>) -> ReadId {
        self.next_id += 1;
        let id = ReadId(self.next_id);
        self.rounds.insert(id, round);
        id
    }

    /// The engine ended a round: with its index, or refusing it. If it was another node's, that one is to be told.
    pub(super) fn ended(&mut self, now: Time, id: ReadId, index: Option<Index>) -> Option<Asker> {
        match self.rounds.remove(id)? {
            Round::Remote(asker) => return Some(asker),
            Round::Local { reads, .. } => self.end_local(now, reads, index),
        }
        None
    }

    /// The leader answered a round of this node: with its index, or refusing it.
    pub(super) fn answered(&mut self, now: Time, id: ReadId, index: Option<Index>) {
        let ours = |round: &mut Round<R>| match round {
            Round::Local { reads, .. } => Some(std::mem::take(reads)),
            Round::Remote(_) => None,
        };
        if let Some(reads) = self.rounds.get_mut(id).and_then(ours) {
            self.rounds.remove(id);
            self.end_local(now, reads, index);
        }
    }

    /// Our own reads wait for the state machine; or, refused, are queued again for a moment later.
    fn end_local(&mut self, now: Time, reads: Vec<Queued<R>>, index: Option<Index>) {
        if let Some(index) = index {
            self.answered.entry(index).or_default().extend(reads);
        } else {
            self.queue.extend(reads);
            self.not_before = now + self.retry_after / 16;
        }
    }

    /// Hands out the reads that a state machine which has come this far can answer.
    pub(super) fn ready(&mut self, applied: Index, ready: &mut Vec<R>) {
        while let Some(first) = self.answered.first_entry().filter(|first| *first.key() <= applied) {
            ready.extend(first.remove().into_iter().map(|read| read.ticket));
        }
    }

    /// Queues again what was asked of another leadership than this one, or got no answer for long.
    pub(super) fn reconsider(&mut self, now: Time, generation: Generation) {
        if self.not_before <= now {
            self.not_before = Time::ZERO;
        }
        let stale = |round: &Round<R>| match round {
            Round::Local { generation: asked, retry_at, .. } => *asked != generation || *retry_at <= now,
            Round::Remote(_) => false,
        };
        for (_, round) in self.rounds.take_where(stale) {
            if let Round::Local { reads, .. } = round {
                self.queue.extend(reads);
            }
        }
    }

    /// When something is to be done at the latest.
    pub(super) fn next_deadline(&self) -> Time {
        let retry = self.rounds.values().filter_map(|round| match round {
            Round::Local { retry_at, .. } => Some(*retry_at),
            Round::Remote(_) => None,
        });
        let paused = (!self.queue.is_empty()).then_some(self.not_before).filter(|at| *at > Time::ZERO);
        retry.chain(paused).min().unwrap_or(Time::MAX).min(self.next_expiry)
    }

    /// Ends what has reached its deadline.
    pub(super) fn expire(&mut self, now: Time, failed: &mut Vec<(R, Error)>) {
        if now < self.next_expiry {
            return;
        }
        let error = Error::NoLeader { waited: self.deadline };
        let mut next = Time::MAX;
        let mut sift = |reads: &mut Vec<Queued<R>>| {
            let late = reads.extract_if(.., |read| read.deadline <= now);
            failed.extend(late.map(|read| (read.ticket, error.clone())));
            next = reads.iter().map(|read| read.deadline).min().map_or(next, |first| next.min(first));
        };
        sift(&mut self.queue);
        self.answered.values_mut().for_each(&mut sift);
        for round in self.rounds.values_mut() {
            if let Round::Local { reads, .. } = round {
                sift(reads);
            }
        }
        self.answered.retain(|_, reads| !reads.is_empty());
        self.rounds.take_where(|round| matches!(round, Round::Local { reads, .. } if reads.is_empty()));
        self.next_expiry = next;
    }

    /// Ends all reads of this node with this error.
    pub(super) fn fail(&mut self, error: &Error, failed: &mut Vec<(R, Error)>) {
        let rounds = self.rounds.take_all().flat_map(|round| match round {
            Round::Local { reads, .. } => reads,
            Round::Remote(_) => Vec::new(),
        });
        let answered = std::mem::take(&mut self.answered).into_values().flatten();
        let reads = self.queue.drain(..).chain(answered).chain(rounds);
        failed.extend(reads.map(|read| (read.ticket, error.clone())));
    }
}
