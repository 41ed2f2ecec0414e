//! [`Reads`]: reads that wait for their index, and then for the state machine to get there.
//!
//! A linearizable read asks the leader for its index. All such reads queued at one moment share one round: one question to the leader, one confirmation by a quorum. (Ongaro's
//! thesis, section 6.4.) A read has no effect, so a round that got lost is simply asked again.

use std::collections::BTreeMap;
use std::time::Duration;

use consensus_api::mutation::mutated;
use consensus_api::{Error, Generation, Incarnation, Index, NodeId, ReadId, Time};

use super::freshness::Freshness;
use super::waiting_list::WaitingList;
use crate::read_level::ReadLevel;

/// The reads of one node, and those that others asked it for.
#[derive(Debug)]
pub(super) struct Reads<R> {
    deadline: Duration,
    /// How long a read that may be stale waits for a leader, when the node's state is too old.
    stale_deadline: Duration,
    retry_after: Duration,
    next_id: u64,
    queue: Vec<Queued<R>>,
    /// Reads that a lease may answer.
    leased: Vec<Queued<R>>,
    /// A round is wanted for the sake of freshness alone.
    refresh: bool,
    freshness: Freshness,
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
    asked: Time,
    deadline: Time,
}

#[derive(Debug)]
enum Round<R> {
    /// Ours, asked of the leader of that generation. There may be no reads in it: then it is for freshness.
    Local { reads: Vec<Queued<R>>, lease: bool, generation: Generation, asked: Time, retry_at: Time },
    /// Another node's, by its life and its own name for the read.
    Remote(Asker),
}

/// A read of another node: who asks, in which life, and its own name for it.
pub(super) type Asker = (NodeId, Incarnation, ReadId);

impl<R> Reads<R> {
    pub(super) fn new(deadline: Duration, stale_deadline: Duration, retry_after: Duration) -> Self {
        Self {
            deadline,
            stale_deadline,
            retry_after,
            next_id: 0,
            queue: Vec::new(),
            leased: Vec::new(),
            refresh: false,
            freshness: Freshness::default(),
            rounds: WaitingList::new(),
            answered: BTreeMap::new(),
            not_before: Time::ZERO,
            next_expiry: Time::MAX,
        }
    }

    /// Takes a read. One that can be answered at once goes straight to `ready`.
    pub(super) fn push(&mut self, now: Time, level: ReadLevel, ticket: R, ready: &mut Vec<R>) {
        let wait = match level {
            ReadLevel::Stale { max_lag } => {
                let young = |age: &Duration| *age <= max_lag || mutated("node/stale-without-bound");
                if let Some(age) = self.freshness.age(now).filter(young) {
                    self.refresh |= age > max_lag / 2 && !self.is_asking();
                    return ready.push(ticket);
                }
                self.deadline.min(self.stale_deadline)
            }
            _ => self.deadline,
        };
        let queued = Queued { ticket, asked: now, deadline: now + wait };
        self.next_expiry = self.next_expiry.min(queued.deadline);
        match level {
            ReadLevel::Linearizable | ReadLevel::Stale { .. } => self.queue.push(queued),
            ReadLevel::Lease => self.leased.push(queued),
            ReadLevel::AtLeast(index) => self.answered.entry(index).or_default().push(queued),
        }
    }

    /// Whether a round is under way that will tell how fresh the state is.
    fn is_asking(&self) -> bool {
        self.rounds.values().any(|round| matches!(round, Round::Local { lease: false, .. }))
    }

    /// Whether no read of this node waits for anything.
    pub(super) fn is_empty(&self) -> bool {
        let local = |round: &Round<R>| matches!(round, Round::Local { reads, .. } if !reads.is_empty());
        let queued = !self.queue.is_empty() || !self.leased.is_empty();
        !queued && self.answered.is_empty() && !self.rounds.values().any(local)
    }

    /// Begins a round with everything queued, if there is anything and it is time. Says whether a lease may answer it.
    pub(super) fn begin(&mut self, now: Time, generation: Generation) -> Option<(ReadId, bool)> {
        let lease = self.queue.is_empty() && !self.refresh;
        if now < self.not_before || (lease && self.leased.is_empty()) {
            return None;
        }
        let reads = if lease { &mut self.leased } else { &mut self.queue };
        let reads = std::mem::take(reads);
        self.refresh &= lease;
        let retry_at = now + self.retry_after;
        Some((self.insert(Round::Local { reads, lease, generation, asked: now, retry_at }), lease))
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
            Round::Remote(asker) => Some(asker),
            local @ Round::Local { .. } => {
                self.end_local(now, local, index);
                None
            }
        }
    }

    /// The leader answered a round of this node: with its index, or refusing it.
    pub(super) fn answered(&mut self, now: Time, id: ReadId, index: Option<Index>) {
        if self.rounds.get_mut(id).is_some_and(|round| matches!(round, Round::Local { .. }))
            && let Some(local) = self.rounds.remove(id)
        {
            self.end_local(now, local, index);
        }
    }

    /// Our own reads wait for the state machine; or, refused, are queued again for a moment later.
    fn end_local(&mut self, now: Time, round: Round<R>, index: Option<Index>) {
        let Round::Local { reads, lease, asked, .. } = round else { return };
        let Some(index) = index else {
            self.not_before = now + self.retry_after / 16;
            return self.queue_again(lease, reads);
        };
        if !lease {
            self.freshness.learned(index, asked);
        }
        if !reads.is_empty() {
            self.answered.entry(index).or_default().extend(reads);
        }
    }

    fn queue_again(&mut self, lease: bool, reads: Vec<Queued<R>>) {
        if lease { self.leased.extend(reads) } else { self.queue.extend(reads) }
    }

    /// Hands out the reads that a state machine which has come this far can answer.
    pub(super) fn ready(&mut self, applied: Index, ready: &mut Vec<R>) {
        self.freshness.applied(applied);
        while let Some(first) = self.answered.first_entry().filter(|first| *first.key() <= applied) {
            ready.extend(first.remove().into_iter().map(|read| read.ticket));
        }
    }

    /// Queues again what was asked of another leadership than this one, or got no answer for long.
    pub(super) fn reconsider(&mut self, now: Time, generation: Generation) {
        if self.not_before <= now {
            self.not_before = Time::ZERO;
        }
        if self.rounds.is_empty() {
            return;
        }
        let stale = |round: &Round<R>| match round {
            Round::Local { generation: asked, retry_at, .. } => *asked != generation || *retry_at <= now,
            Round::Remote(_) => false,
        };
        for (_, round) in self.rounds.take_where(stale) {
            if let Round::Local { reads, lease, .. } = round {
                self.queue_again(lease, reads);
            }
        }
    }

    /// When something is to be done at the latest.
    pub(super) fn next_deadline(&self) -> Time {
        let retry = self.rounds.values().filter_map(|round| match round {
            Round::Local { retry_at, .. } => Some(*retry_at),
            Round::Remote(_) => None,
        });
        let queued = !self.queue.is_empty() || !self.leased.is_empty();
        let paused = queued.then_some(self.not_before).filter(|at| *at > Time::ZERO);
        retry.chain(paused).min().unwrap_or(Time::MAX).min(self.next_expiry)
    }

    /// Ends what has reached its deadline.
    pub(super) fn expire(&mut self, now: Time, failed: &mut Vec<(R, Error)>) {
        if now < self.next_expiry {
            return;
        }
        let mut next = Time::MAX;
        let mut sift = |reads: &mut Vec<Queued<R>>| {
            let late = reads.extract_if(.., |read| read.deadline <= now);
            failed.extend(late.map(|read| {
                let waited = now.since(read.asked);
                (read.ticket, Error::NoLeader { waited, removed: None })
            }));
            next = reads.iter().map(|read| read.deadline).min().map_or(next, |first| next.min(first));
        };
        sift(&mut self.queue);
        sift(&mut self.leased);
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
        let queued = self.queue.drain(..).chain(self.leased.drain(..));
        let reads = queued.chain(answered).chain(rounds);
        failed.extend(reads.map(|read| (read.ticket, error.clone())));
    }
}
