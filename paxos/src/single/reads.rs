//! Linearizable reads without a leader and without writing: a quorum is asked for the highest slot in which each has
//! accepted anything, and the read waits until everything up to the highest of these is chosen, and applied.
//!
//! A write that was answered before the read began was accepted by a phase-2 quorum before. Every phase-1 quorum has a
//! member in common with it, and that one names the write's slot or a higher one. (Charapko, Ailijiang, Demirbas 2019,
//! "Linearizable Quorum Reads in Paxos".) What the quorum names may be half done: then it is finished first, by its
//! proposer or else by the reader; for a later read may find it done, or another reader may have seen it
//! (CASSANDRA-12126).

use std::hash::{Hash, Hasher};

use consensus_api::{After, Effects, Index, Moment, NodeId, ReadId, Refusal, Time};

use super::{Body, Message, Paxos, PollRound};
use crate::quorum::Phase;

/// The reads of one member.
#[derive(Clone, Hash, Debug)]
pub(super) struct Reads {
    /// How many polls there have been.
    polls: u64,
    /// The number of the poll before the first: drawn at random for each life, so that an answer to an earlier life's
    /// question answers none of this one's (tsoracle #224).
    base: Base,
    polling: Option<Poll>,
    /// Reads for the next poll.
    gathering: Vec<(ReadId, Moment)>,
    /// Reads that wait until everything up to their slot is chosen.
    waiting: Vec<(Index, ReadId, Moment)>,
}

/// A question to everyone, for all reads that had gathered.
#[derive(Clone, Hash, Debug)]
struct Poll {
    reads: Vec<(ReadId, Moment)>,
    heard: Vec<NodeId>,
    last: Index,
}

/// A random number. No part of the fingerprint.
#[derive(Clone, Copy, Debug)]
struct Base(u64);

impl Hash for Base {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Reads {
    pub(super) fn new(base: u64) -> Self {
        Self { polls: 0, base: Base(base), polling: None, gathering: Vec::new(), waiting: Vec::new() }
    }

    /// The highest slot that a read waits for.
    pub(super) fn target(&self) -> Index {
        self.waiting.iter().map(|(slot, ..)| *slot).max().unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.polling.is_none() && self.gathering.is_empty() && self.waiting.is_empty()
    }

    const fn round(&self) -> PollRound {
        PollRound(self.base.0.wrapping_add(self.polls))
    }

    /// The oldest read, by when it was asked.
    fn oldest(&self) -> Option<Time> {
        let polling = self.polling.iter().flat_map(|poll| &poll.reads);
        let asked = polling.chain(&self.gathering).map(|(_, since)| since.0);
        asked.chain(self.waiting.iter().map(|(.., since)| since.0)).min()
    }
}

impl Paxos {
    /// Someone wants to read.
    pub(super) fn on_read(&mut self, id: ReadId, effects: &mut Effects<Message>) {
        self.reads.gathering.push((id, Moment(self.timers.now)));
        self.begin_poll(effects);
    }

    /// Asks everyone, unless a question is under way: reads that come meanwhile share the next one.
    fn begin_poll(&mut self, effects: &mut Effects<Message>) {
        if self.reads.polling.is_some() || self.reads.gathering.is_empty() {
            return;
        }
        let last = self.log.last().max(self.commit);
        self.reads.polls += 1;
        let reads = std::mem::take(&mut self.reads.gathering);
        self.reads.polling = Some(Poll { reads, heard: vec![self.node], last });
        self.poll_again(effects);
        self.count_answers(effects);
    }

    /// Asks those who have not answered.
    pub(super) fn poll_again(&mut self, effects: &mut Effects<Message>) {
        let Some(poll) = &self.reads.polling else { return };
        let message = Message { ballot: super::NO_BALLOT, body: Body::Poll { round: self.reads.round() } };
        for voter in self.voters().filter(|voter| !poll.heard.contains(voter)) {
            effects.send(voter, After::Now, message);
        }
    }

    /// Someone asks how far slots have been accepted here. What is not durable yet counts too: it can only make a read
    /// wait for more.
    pub(super) fn on_poll(&self, from: NodeId, round: PollRound, effects: &mut Effects<Message>) {
        let (last, commit) = (self.log.last().max(self.commit), self.commit);
        let body = Body::Polled { round, last, commit };
        effects.send(from, After::Now, Message { ballot: super::NO_BALLOT, body });
    }

    pub(super) fn on_polled(
        &mut self,
        from: NodeId,
        round: PollRound,
        last: Index,
        effects: &mut Effects<Message>,
    ) {
        if round != self.reads.round() {
            return; // of an earlier question, or an earlier life
        }
        let Some(poll) = &mut self.reads.polling else { return };
        if !poll.heard.contains(&from) {
            poll.heard.push(from);
            poll.last = poll.last.max(last);
        }
        self.count_answers(effects);
    }

    fn count_answers(&mut self, effects: &mut Effects<Message>) {
        let Some(poll) = &self.reads.polling else { return };
        if !self.quorums.holds(Phase::One, &self.membership, |voter| poll.heard.contains(&voter)) {
            return;
        }
        let Some(Poll { reads, last, .. }) = self.reads.polling.take() else { return };
        self.reads.waiting.extend(reads.into_iter().map(|(id, since)| (last, id, since)));
        if last > self.commit {
            self.timers.draw_finish(true);
        }
        self.begin_poll(effects);
    }

    /// Answers the reads whose slots are chosen.
    pub(super) fn answer_reads(&mut self, effects: &mut Effects<Message>) {
        let commit = self.commit;
        self.reads.waiting.retain(|(slot, id, _)| {
            if *slot <= commit {
                effects.reads.push((*id, Ok(*slot)));
            }
            *slot > commit
        });
    }

    /// Refuses all reads once the oldest has waited for so long that no quorum can be there. They had no effect; the node
    /// asks again.
    pub(super) fn refuse_old_reads(&mut self, effects: &mut Effects<Message>) {
        let oldest = self.reads.oldest();
        let patience = self.timers.timing.election_timeout_max;
        if oldest.is_none_or(|oldest| self.timers.now.since(oldest) < patience) {
            return;
        }
        let reads = &mut self.reads;
        let polled = reads.polling.take().map(|poll| poll.reads).unwrap_or_default();
        let asked = polled.into_iter().chain(reads.gathering.drain(..)).map(|(id, _)| id);
        let waiting = reads.waiting.drain(..).map(|(_, id, _)| id);
        effects.reads.extend(asked.chain(waiting).map(|id| (id, Err(Refusal::NotLeader))));
    }
}
