//! Linearizable reads without writing: the leader makes sure that it still leads, and answers with an index to apply up
//! to (thesis, section 6.4).

use consensus_api::mutation::mutated;
use consensus_api::{Effects, Index, ReadId, ReadRound, Refusal};

use crate::Message;
use crate::raft::{Leadership, Raft, State};

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
        let newest = leading.reads.newest().0;
        let round_of = |member| {
            if member == *node { newest } else { leading.peer(member).map_or(0, |peer| peer.round.0) }
        };
        let confirmed = membership.quorum_reached(scratch, round_of).map(ReadRound).unwrap_or_default();
        leading.reads.round_began(confirmed).is_some_and(|began| timers.now.since(began) < lease)
    }

    /// Answers the reads for which a quorum has confirmed the leadership.
    pub(crate) fn answer_reads(&mut self, effects: &mut Effects<Message>) {
        let State::Leader(Leadership { peers, reads, .. }) = &mut self.state else { return };
        if reads.is_empty() {
            return;
        }
        let (node, newest) = (self.node, reads.newest().0);
        let round_of = |member| {
            if member == node {
                return newest;
            }
            peers.binary_search_by_key(&member, |peer| peer.id).map_or(0, |at| peers[at].round.0)
        };
        let confirmed = self.membership.quorum_reached(&mut self.scratch, round_of).unwrap_or_default();
        let confirmed = if mutated("raft/read-without-a-quorum") { newest } else { confirmed };
        reads.answer(ReadRound(confirmed), self.commit, effects);
    }
}
