//! Linearizable reads without writing: the leader makes sure that it still leads, and answers with an index to apply up
//! to (thesis, section 6.4).

use std::collections::VecDeque;

use consensus_api::{Effects, Index, ReadId, Refusal};

use crate::raft::{Leadership, Raft, State};
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
    /// The number last sent to every voter.
    pub(crate) asked: ReadRound,
    /// The highest number that a quorum has echoed.
    pub(crate) confirmed: ReadRound,
    waiting: VecDeque<Waiting>,
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
        self.newest.0 += 1;
        self.waiting.push_back(Waiting { id, round: self.newest, index });
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
        leading.reads.push(id, self.commit.max(leading.start));
        self.answer_reads(effects);
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
