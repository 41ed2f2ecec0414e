//! Linearizable reads without writing: the leader makes sure that it still leads, and answers with an index to apply up
//! to (thesis, section 6.4).

use std::collections::VecDeque;
use std::time::Duration;

use consensus_api::mutation::mutated;
use consensus_api::{Effects, Index, ReadId, Refusal, Time};

use crate::raft::{Leadership, Raft, State};
use crate::timers::Moment;
use crate::{Message, ReadRound};

/// The reads a leader has yet to answer.
///
/// Each read gets a number, and every message to a peer carries the newest one. An echo of that number, or a later one,
/// was sent in answer to a message that left after the read began: its sender still followed this leader then. One
/// round of echoes from a quorum confirms all reads that had gathered by the time it began; the next round starts when
/// it is complete. Numbers are never used twice within a term, and echoes of other terms do not count, so a late or
/// repeated echo confirms nothing that it should not (etcd-io/raft#397).
#[derive(Clone, Hash, Default, Debug)]
pub(crate) struct Reads {
    /// The newest number given out.
    pub(crate) newest: ReadRound,
    /// The number last sent to a quorum, by heartbeats or beside entries.
    pub(crate) asked: ReadRound,
    /// The highest number that a quorum has echoed.
    pub(crate) confirmed: ReadRound,
    waiting: VecDeque<Waiting>,
    /// When the rounds of heartbeats that may prove a lease began, oldest first.
    begun: VecDeque<(ReadRound, Moment)>,
}

/// A read that waits.
#[derive(Clone, Copy, Hash, Debug)]
struct Waiting {
    id: ReadId,
    round: ReadRound,
    /// To be applied before reading: all that was committed when the read began.
    index: Index,
}

impl Reads {
    fn push(&mut self, id: ReadId, index: Index) {
        self.newest.0 += u64::from(self.newest.0 == 0 || !mutated("raft/read-number-used-twice"));
        self.waiting.push_back(Waiting { id, round: self.newest, index });
    }

    /// Begins a round at this time, of which an echo proves that its sender had heard nobody else by then. Rounds older
    /// than `memory` prove no lease any more.
    pub(crate) fn begin_round(&mut self, now: Time, memory: Duration) {
        self.newest.0 += 1;
        self.begun.push_back((self.newest, Moment(now)));
        while self.begun.front().is_some_and(|(_, at)| now.since(at.0) >= memory) {
            self.begun.pop_front();
        }
    }

    /// When the newest round began that is not above `confirmed`.
    fn began(&self, confirmed: ReadRound) -> Option<Time> {
        self.begun.iter().rev().find(|(round, _)| *round <= confirmed).map(|(_, at)| at.0)
    }

    /// Whether a round of heartbeats has to be sent for the sake of reads.
    pub(crate) fn is_round_due(&self) -> bool {
        let unconfirmed = self.waiting.back().is_some_and(|read| read.round > self.confirmed);
        unconfirmed && self.confirmed >= self.asked
    }

    pub(crate) fn refuse_all(&mut self, effects: &mut Effects<Message>) {
        effects.reads.extend(self.waiting.drain(..).map(|read| (read.id, Err(Refusal::NotLeader))));
    }

    /// The numbers and indices of the reads that wait, for the invariants.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (ReadRound, Index)> + '_ {
        self.waiting.iter().map(|read| (read.round, read.index))
    }
}

impl Raft {
    /// Someone wants to read.
    pub(crate) fn on_read(&mut self, id: ReadId, effects: &mut Effects<Message>) {
        let State::Leader(leading) = &mut self.state else {
            effects.reads.push((id, Err(Refusal::NotLeader)));
            return;
        };
        // A new leader does not know what of its log is committed until its first entry is. Whatever it turns out to
        // be lies before that entry, and the read waits for it (etcd#7331).
        let start = if mutated("raft/read-before-an-own-entry") { Index::ZERO } else { leading.start };
        leading.reads.push(id, self.commit.max(start));
        self.answer_reads(effects);
    }

    /// Someone wants to read, and a lease will do.
    pub(crate) fn on_lease_read(&mut self, id: ReadId, effects: &mut Effects<Message>) {
        if self.has_lease() {
            effects.reads.push((id, Ok(self.commit)));
        } else {
            self.on_read(id, effects);
        }
    }

    /// Whether nobody else can lead yet, by the clocks: a quorum answered a round of heartbeats that *began* so lately
    /// that it still refuses to elect another (thesis, section 6.4.1). Measured from when the round began, and by the
    /// time of this very step, a pause of this process only makes the lease older. Once this leader has told anyone to
    /// succeed it there is none for the rest of the term: the order may arrive at any time (raft-rs#234).
    fn has_lease(&mut self) -> bool {
        let Self { node, timers, options, membership, commit, state, scratch, .. } = self;
        let State::Leader(leading) = state else { return false };
        let Some(lease) = options.lease(timers.timing.election_timeout_min) else { return false };
        if *commit < leading.start || leading.handed_over.is_some() {
            return false;
        }
        let newest = leading.reads.newest.0;
        let round_of = |member| {
            if member == *node { newest } else { leading.peer(member).map_or(0, |peer| peer.round.0) }
        };
        let confirmed = membership.quorum_reached(scratch, round_of).map(ReadRound).unwrap_or_default();
        leading.reads.began(confirmed).is_some_and(|began| timers.now.since(began) < lease)
    }

    /// Answers the reads for which a quorum has confirmed the leadership.
    pub(crate) fn answer_reads(&mut self, effects: &mut Effects<Message>) {
        let State::Leader(Leadership { peers, reads, .. }) = &mut self.state else { return };
        if reads.waiting.is_empty() {
            return;
        }
        let (node, newest) = (self.node, reads.newest.0);
        let round_of = |member| {
            if member == node {
                return newest;
            }
            peers.binary_search_by_key(&member, |peer| peer.id).map_or(0, |at| peers[at].round.0)
        };
        let confirmed = self.membership.quorum_reached(&mut self.scratch, round_of).unwrap_or_default();
        let confirmed = if mutated("raft/read-without-a-quorum") { newest } else { confirmed };
        reads.confirmed = reads.confirmed.max(ReadRound(confirmed));
        while let Some(read) = reads.waiting.front()
            && read.round <= reads.confirmed
            && read.index <= self.commit
        {
            effects.reads.push((read.id, Ok(read.index)));
            reads.waiting.pop_front();
        }
    }
}
