//! Linearizable reads without writing: the leader takes the chosen prefix as it is, makes sure that nobody had succeeded
//! it by then, and answers with an index to apply up to.
//!
//! A write answered before the read began stands in the leader's chosen prefix, unless a higher ballot had it chosen.
//! That ballot had promises of a phase-1 quorum before; and a phase-2 quorum that answers *after* the read began has a
//! member in common with it, which would have refused. Values of lower ballots lie below the barrier, and reads wait for
//! that.

use std::collections::VecDeque;

use consensus_api::mutation::mutated;
use consensus_api::{Effects, Index, ReadId, Refusal};

use super::{Message, MultiPaxos, ReadRound, State};
use crate::quorum::Phase;

/// The reads a leader has yet to answer. Each gets a number, every message carries the newest, and answers echo it. One
/// round of answers confirms all reads that had gathered by the time it began; the next begins when it is complete.
#[derive(Clone, Hash, Default, Debug)]
pub(super) struct Reads {
    /// The newest number given out.
    pub(super) newest: ReadRound,
    /// The number last sent to everyone.
    pub(super) asked: ReadRound,
    /// The highest number that a quorum has echoed.
    pub(super) confirmed: ReadRound,
    waiting: VecDeque<Waiting>,
}

/// A read that waits.
#[derive(Clone, Copy, Hash, Debug)]
struct Waiting {
    id: ReadId,
    round: ReadRound,
    index: Index,
}

impl Reads {
    fn push(&mut self, id: ReadId, index: Index) {
        self.newest.0 += 1;
        self.waiting.push_back(Waiting { id, round: self.newest, index });
    }

    /// Whether a round of heartbeats has to be sent for the sake of reads.
    pub(super) fn is_round_due(&self) -> bool {
        let unconfirmed = self.waiting.back().is_some_and(|read| read.round > self.confirmed);
        unconfirmed && self.confirmed >= self.asked
    }

    pub(super) fn refuse_all(&mut self, effects: &mut Effects<Message>) {
        effects.reads.extend(self.waiting.drain(..).map(|read| (read.id, Err(Refusal::NotLeader))));
    }

    /// The numbers and indices of the reads that wait, for the invariants.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (ReadRound, Index)> + '_ {
        self.waiting.iter().map(|read| (read.round, read.index))
    }
}

impl MultiPaxos {
    /// Someone wants to read.
    pub(super) fn on_read(&mut self, id: ReadId, effects: &mut Effects<Message>) {
        if let State::Proposing(leading) = &mut self.state
            && let Some(barrier) = leading.barrier()
        {
            let barrier = if mutated("paxos/read-below-the-barrier") { Index::ZERO } else { barrier };
            leading.reads.push(id, self.commit.max(barrier));
        } else {
            effects.reads.push((id, Err(Refusal::NotLeader)));
        }
    }

    /// Answers the reads for which a quorum has confirmed the leadership.
    pub(super) fn answer_reads(&mut self, effects: &mut Effects<Message>) {
        let (node, commit, quorums) = (self.node, self.commit, self.quorums);
        let Self { state: State::Proposing(leading), membership, scratch, .. } = self else { return };
        if leading.reads.waiting.is_empty() {
            return;
        }
        let newest = leading.reads.newest.0;
        let round_of = |member| {
            let echoed = leading.peer(member).map_or(0, |peer| peer.round.0);
            if member == node { newest } else { echoed }
        };
        let confirmed = quorums.reached(Phase::Two, membership, scratch, round_of).unwrap_or_default();
        let reads = &mut leading.reads;
        let confirmed = if mutated("paxos/read-without-a-quorum") { newest } else { confirmed };
        reads.confirmed = reads.confirmed.max(ReadRound(confirmed));
        while let Some(read) = reads.waiting.front()
            && read.round <= reads.confirmed
            && read.index <= commit
        {
            effects.reads.push((read.id, Ok(read.index)));
            reads.waiting.pop_front();
        }
    }
}
