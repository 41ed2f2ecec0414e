//! [`Reads`]: linearizable reads that wait for their index.
//!
//! All reads queued at one moment share one round: one question to the leader, one confirmation by a quorum. (Ongaro's
//! thesis, section 6.4.) A read has no effect, so a round that got lost is simply asked again.

use std::time::Duration;

use consensus_api::{Error, Generation, NodeId, ReadId, Time};

use super::waiting_list::WaitingList;

/// The reads of one node, and those that others asked it for.
#[derive(Debug)]
pub(super) struct Reads<R> {
    deadline: Duration,
    retry_after: Duration,
    next_id: u64,
    queue: Vec<Queued<R>>,
    rounds: WaitingList<ReadId, Round<R>>,
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
    /// Another node's, by its own name for it.
    Remote { node: NodeId, id: ReadId },
}

/// Who is to be told of a round's end.
#[derive(Debug)]
pub(super) enum Asker<R> {
    /// Reads of this node.
    Local(Vec<R>),
    /// Another node, by its own name for the read.
    Remote(NodeId, ReadId),
}

impl<R> Reads<R> {
    pub(super) fn new(deadline: Duration, retry_after: Duration) -> Self {
        Self {
            deadline,
            retry_after,
            next_id: 0,
            queue: Vec::new(),
            rounds: WaitingList::new(),
            not_before: Time::ZERO,
            next_expiry: Time::MAX,
        }
    }

    pub(super) fn push(&mut self, now: Time, ticket: R) {
        let deadline = now + self.deadline;
        self.next_expiry = self.next_expiry.min(deadline);
        self.queue.push(Queued { ticket, deadline });
    }

    /// Whether nothing is queued and nothing of ours under way.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && !self.rounds.values().any(|round| matches!(round, Round::Local { .. }))
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
    pub(super) fn begin_remote(&mut self, node: NodeId, id: ReadId) -> ReadId {
        self.insert(Round::Remote { node, id })
    }

    fn insert(&mut self, round: Round<R>) -> ReadId {
        self.next_id += 1;
        let id = ReadId(self.next_id);
        self.rounds.insert(id, round);
        id
    }

    /// Ends a round: the index is known. `None` when the round is no longer waited for.
    pub(super) fn finish(&mut self, id: ReadId) -> Option<Asker<R>> {
        Some(match self.rounds.remove(id)? {
            Round::Local { reads, .. } => Asker::Local(reads.into_iter().map(|read| read.ticket).collect()),
            Round::Remote { node, id } => Asker::Remote(node, id),
        })
    }

    /// Ends a round that was refused. Our own reads are queued again, for a moment later; another node is to be told.
    pub(super) fn refused(&mut self, now: Time, id: ReadId) -> Option<(NodeId, ReadId)> {
        match self.rounds.remove(id)? {
            Round::Local { reads, .. } => {
                self.queue.extend(reads);
                self.not_before = now + self.retry_after / 16;
                None
            }
            Round::Remote { node, id } => Some((node, id)),
        }
    }

    /// Queues again what was asked of another leadership than this one, or got no answer for long.
    pub(super) fn reconsider(&mut self, now: Time, generation: Generation) {
        if self.not_before <= now {
            self.not_before = Time::ZERO;
        }
        let stale = |round: &Round<R>| match round {
            Round::Local { generation: asked, retry_at, .. } => *asked != generation || *retry_at <= now,
            Round::Remote { .. } => false,
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
            Round::Remote { .. } => None,
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
        for round in self.rounds.values_mut() {
            if let Round::Local { reads, .. } = round {
                sift(reads);
            }
        }
        self.rounds.take_where(|round| matches!(round, Round::Local { reads, .. } if reads.is_empty()));
        self.next_expiry = next;
    }

    /// Ends all reads of this node with this error.
    pub(super) fn fail(&mut self, error: &Error, failed: &mut Vec<(R, Error)>) {
        let rounds = self.rounds.take_all().flat_map(|round| match round {
            Round::Local { reads, .. } => reads,
            Round::Remote { .. } => Vec::new(),
        });
        failed.extend(self.queue.drain(..).chain(rounds).map(|read| (read.ticket, error.clone())));
    }
}
