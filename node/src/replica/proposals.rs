//! [`Proposals`]: commands that wait to be proposed, and entries that wait to be applied.
//!
//! *Patterns of Distributed Systems*, "Request Waiting List". An entry waits under the name its node gave it, never under
//! an index: at that index another node's entry may end up.

use std::time::Duration;

use bytes::Bytes;
use consensus_api::mutation::mutated;
use consensus_api::{Entry, EntryKind, Error, Generation, Identity, LogTime, ProposalId, Time};

use super::queue::{Portion, Queue, Wanted};
use super::waiting_list::WaitingList;

/// The proposals of one node.
#[derive(Debug)]
pub(super) struct Proposals<P> {
    identity: Identity,
    deadline: Duration,
    entry_bytes_max: usize,
    sequence: u64,
    queue: Queue<P>,
    /// A digest to tell the others, for which nobody waits; until when, and its bytes. A newer one takes its place.
    digest: Option<(Time, Bytes)>,
    /// Counts batches, in the order in which they take effect.
    order: u64,
    /// The place, in that order, of the newest batch that took effect.
    newest_taken: u64,
    /// Batches that certainly did not happen, by their place in the order: they go again before anything queued since.
    again: WaitingList<u64, Waiting<P>>,
    /// Batches under way, by the sequence of the entry.
    waiting: WaitingList<u64, Waiting<P>>,
    /// Nothing expires before this.
    next_expiry: Time,
}

/// A batch of commands on its way through the cluster.
#[derive(Debug)]
struct Waiting<P> {
    /// Its place among the batches of this node.
    order: u64,
    /// The leadership it was handed to.
    generation: Generation,
    what: Portion<P>,
}

/// Why what was under way has no known outcome.
pub(super) const TIMED_OUT: &str = "no answer came before the request's deadline";
pub(super) const LEADER_LOST: &str =
    "the leader it was handed to is gone, and its successor may or may not take it up";
pub(super) const IN_SNAPSHOT: &str = "the node took over a snapshot that may contain it";
pub(crate) const NODE_STOPPED: &str = "the node stopped while the request was under way";

impl<P> Proposals<P> {
    pub(super) fn new(identity: Identity, deadline: Duration, entry_bytes_max: usize) -> Self {
        Self {
            identity,
            deadline,
            entry_bytes_max,
            sequence: 0,
            order: 0,
            newest_taken: 0,
            queue: Queue::new(),
            digest: None,
            again: WaitingList::new(),
            waiting: WaitingList::new(),
            next_expiry: Time::MAX,
        }
    }

    pub(super) fn push(&mut self, now: Time, wanted: Wanted, ticket: P) {
        let deadline = now + self.deadline;
        self.next_expiry = self.next_expiry.min(deadline);
        self.queue.push(wanted, ticket, deadline);
    }

    pub(super) fn push_digest(&mut self, now: Time, body: Bytes) {
        self.digest = Some((now + self.deadline, body));
    }

    /// Whether there is nothing to propose.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.again.is_empty() && self.digest.is_none()
    }

    /// Whether nothing is queued and nothing under way that anyone waits for.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.again.is_empty() && self.waiting.is_empty()
    }

    /// Whether there is something to propose that can be proposed now. What goes again waits until nothing is under way:
    /// else the earlier could come behind the later.
    pub(super) fn may_propose(&self) -> bool {
        if self.again.is_empty() { !self.is_idle() } else { self.waiting.is_empty() }
    }

    /// Whether something waits that was handed to an earlier leadership. Until its fate is known, proposing anything
    /// else could put the later before the earlier.
    pub(super) fn waits_for_earlier(&self, generation: Generation) -> bool {
        self.waiting.values().any(|waiting| waiting.generation < generation)
    }

    /// The next entry to propose, which from now on waits for its answer. `None` when there is nothing.
    pub(super) fn next_entry(
        &mut self,
        wall: LogTime,
        generation: Generation,
        failed: &mut Vec<(P, Error)>,
    ) -> Option<Entry> {
        let mut waiting = loop {
            match self.again.pop_first() {
                // A later one took effect while it waited to go again.
                Some(waiting) if waiting.order < self.newest_taken => self.overtaken(waiting, failed),
                Some(waiting) => break waiting,
                None => break self.next_batch()?,
            }
        };
        waiting.generation = generation;
        self.sequence += 1;
        let proposal = ProposalId {
            node: self.identity.node,
            incarnation: self.identity.incarnation,
            sequence: self.sequence,
        };
        let Portion { kind, count, body, deadline, .. } = &waiting.what;
        let entry = Entry::new(*kind, *count, proposal, wall, body.clone());
        self.next_expiry = self.next_expiry.min(*deadline);
        self.waiting.insert(self.sequence, waiting);
        Some(entry)
    }

    fn next_batch(&mut self) -> Option<Waiting<P>> {
        let what = self.queue.next(self.entry_bytes_max).or_else(|| self.next_digest())?;
        self.order += 1;
        Some(Waiting { order: self.order, generation: Generation::ZERO, what })
    }

    fn next_digest(&mut self) -> Option<Portion<P>> {
        let (deadline, body) = self.digest.take()?;
        Some(Portion { kind: EntryKind::Digest, count: 0, body, tickets: Vec::new(), deadline })
    }

    /// Whether this node, in this life, gave that name.
    pub(super) fn are_ours(&self, proposal: ProposalId) -> bool {
        proposal.node == self.identity.node && proposal.incarnation == self.identity.incarnation
    }

    /// The entry of that name is about to be applied: who waits for its commands.
    pub(super) fn take(&mut self, proposal: ProposalId) -> Vec<P> {
        if !self.are_ours(proposal) {
            return Vec::new();
        }
        let Some(waiting) = self.waiting.remove(proposal.sequence) else { return Vec::new() };
        self.newest_taken = self.newest_taken.max(waiting.order);
        waiting.what.tickets
    }

    /// The entry of that sequence was accepted under this generation.
    pub(super) fn accepted(&mut self, sequence: u64, generation: Generation) {
        if let Some(waiting) = self.waiting.get_mut(sequence) {
            waiting.generation = generation;
        }
    }

    /// The entry of that sequence did not happen: it goes again.
    pub(super) fn not_taken(&mut self, sequence: u64, failed: &mut Vec<(P, Error)>) {
        if let Some(waiting) = self.waiting.remove(sequence) {
            self.go_again(waiting, failed);
        }
    }

    /// Nothing handed to a leadership before this one can happen any more: it goes again.
    pub(super) fn settle(&mut self, generation: Generation, failed: &mut Vec<(P, Error)>) {
        for (_, waiting) in self.waiting.take_where(|waiting| waiting.generation < generation) {
            self.go_again(waiting, failed);
        }
    }

    /// Nobody can tell what becomes of what was handed to a leadership before this one.
    pub(super) fn give_up(&mut self, generation: Generation, failed: &mut Vec<(P, Error)>) {
        self.end_unknown(|waiting| waiting.generation < generation, LEADER_LOST, failed);
    }

    fn end_unknown(
        &mut self,
        ends: impl Fn(&Waiting<P>) -> bool,
        reason: &'static str,
        failed: &mut Vec<(P, Error)>,
    ) {
        for (_, waiting) in self.waiting.take_where(ends) {
            if mutated("node/unknown-proposed-again") && reason != NODE_STOPPED {
                self.again.insert(waiting.order, waiting);
                continue;
            }
            let unknown = |ticket| (ticket, Error::OutcomeUnknown { reason });
            failed.extend(waiting.what.tickets.into_iter().map(unknown));
        }
    }

    /// Proposes a batch anew that did not happen; unless a later one already took effect, for then it would come out of
    /// order, and its proposer is told instead.
    fn go_again(&mut self, waiting: Waiting<P>, failed: &mut Vec<(P, Error)>) {
        if waiting.order > self.newest_taken {
            self.again.insert(waiting.order, waiting);
        } else {
            self.overtaken(waiting, failed);
        }
    }

    fn overtaken(&self, waiting: Waiting<P>, failed: &mut Vec<(P, Error)>) {
        let error = Error::NoLeader { waited: self.deadline, removed: None };
        failed.extend(waiting.what.tickets.into_iter().map(|ticket| (ticket, error.clone())));
    }

    /// What was handed to this leadership or an earlier one may be contained in a snapshot: nobody can tell.
    pub(super) fn swallow(&mut self, generation: Generation, failed: &mut Vec<(P, Error)>) {
        let swallowed = self.waiting.values().filter(|waiting| waiting.generation <= generation);
        self.newest_taken = swallowed.map(|waiting| waiting.order).fold(self.newest_taken, u64::max);
        self.end_unknown(|waiting| waiting.generation <= generation, IN_SNAPSHOT, failed);
    }

    /// Ends the entry of that sequence without its outcome known.
    pub(super) fn unknown(&mut self, sequence: u64, reason: &'static str, failed: &mut Vec<(P, Error)>) {
        if let Some(waiting) = self.waiting.remove(sequence) {
            failed.extend(
                waiting.what.tickets.into_iter().map(|ticket| (ticket, Error::OutcomeUnknown { reason })),
            );
        }
    }

    /// Ends an entry with this error. It did not happen.
    pub(super) fn refuse(&mut self, sequence: u64, error: &Error, failed: &mut Vec<(P, Error)>) {
        if let Some(waiting) = self.waiting.remove(sequence) {
            failed.extend(waiting.what.tickets.into_iter().map(|ticket| (ticket, error.clone())));
        }
    }

    pub(super) fn next_expiry(&self) -> Time {
        self.next_expiry
    }

    /// Ends what has reached its deadline.
    pub(super) fn expire(&mut self, now: Time, failed: &mut Vec<(P, Error)>) {
        if now < self.next_expiry || mutated("node/requests-never-expire") {
            return;
        }
        let no_leader = Error::NoLeader { waited: self.deadline, removed: None };
        self.end_unknown(|waiting| waiting.what.deadline <= now, TIMED_OUT, failed);
        for (_, late) in self.again.take_where(|waiting| waiting.what.deadline <= now) {
            failed.extend(late.what.tickets.into_iter().map(|ticket| (ticket, no_leader.clone())));
        }
        failed.extend(self.queue.take_late(now).map(|ticket| (ticket, no_leader.clone())));
        let batches = self.waiting.values().chain(self.again.values()).map(|waiting| waiting.what.deadline);
        let deadlines = batches.chain(self.queue.deadline());
        self.next_expiry = deadlines.min().unwrap_or(Time::MAX);
    }

    /// Ends everything that has not been proposed with this error: it did not happen.
    pub(super) fn fail_queued(&mut self, error: &Error, failed: &mut Vec<(P, Error)>) {
        let again = self.again.take_all().flat_map(|waiting| waiting.what.tickets);
        failed.extend(again.chain(self.queue.take_all()).map(|ticket| (ticket, error.clone())));
        self.digest = None;
    }

    /// Ends everything that was proposed: nobody can tell.
    pub(super) fn fail_waiting(&mut self, failed: &mut Vec<(P, Error)>) {
        self.end_unknown(|_| true, NODE_STOPPED, failed);
    }
}

#[cfg(test)]
mod tests {
    use consensus_api::{ClusterName, EngineName, Incarnation, NodeId, StoreId};

    use super::*;

    #[test]
    fn what_waits_to_go_again_does_not_go_behind_a_later_one() {
        let cluster = ClusterName::new("x").unwrap();
        let (node, engine, store, incarnation) = (NodeId(1), EngineName("x"), StoreId(1), Incarnation(1));
        let identity = Identity { cluster, node, engine, store, incarnation };
        let mut proposals = Proposals::new(identity, Duration::from_secs(1), 1024);
        let mut failed = Vec::new();
        let mut propose = |proposals: &mut Proposals<&'static str>, ticket| {
            proposals.push(Time::ZERO, Wanted::Command(Bytes::new()), ticket);
            let entry = proposals.next_entry(LogTime::ZERO, Generation::ZERO, &mut failed).unwrap();
            entry.proposal
        };
        let (first, second) = (propose(&mut proposals, "first"), propose(&mut proposals, "second"));
        // The leader refused the first, and took the second.
        proposals.not_taken(first.sequence, &mut failed);
        assert_eq!(proposals.take(second), ["second"]);
        assert!(proposals.may_propose());
        assert!(proposals.next_entry(LogTime::ZERO, Generation::ZERO, &mut failed).is_none());
        assert!(matches!(failed[..], [("first", Error::NoLeader { .. })]), "{failed:?}");
    }
}
