//! Linearizable reads without writing: the leader takes the chosen prefix as it is, makes sure that nobody had succeeded
//! it by then, and answers with an index to apply up to.
//!
//! A write answered before the read began stands in the leader's chosen prefix, unless a higher ballot had it chosen.
//! That ballot had promises of a phase-1 quorum before; and a phase-2 quorum that answers *after* the read began has a
//! member in common with it, which would have refused. Values of lower ballots lie below the barrier, and reads wait for
//! that.
//!
//! A lease spares the question. With each answer a member grants the leader a span of time in which it promises nobody
//! else anything; so, until the answers of a phase-2 quorum have run out, no phase-1 quorum can promise a higher ballot.

use consensus_api::mutation::mutated;
use consensus_api::{Effects, Generation, Index, NodeId, ReadId, ReadRound, Refusal};

use super::{Message, MultiPaxos, State};
use crate::quorum::Phase;

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

    /// Someone wants to read, and a lease will do.
    pub(super) fn on_lease_read(&mut self, id: ReadId, effects: &mut Effects<Message>) {
        if self.has_lease() {
            effects.reads.push((id, Ok(self.commit)));
        } else {
            self.on_read(id, effects);
        }
    }

    /// Whether nobody else can have promises yet, by the clocks: a quorum of acceptances has answered a round of
    /// heartbeats that *began* so lately that what it granted holds yet. Measured from when the round began, and by the
    /// time of this very step: a pause of this process only makes the lease older. Once this leader has asked anyone to
    /// succeed it there is none at this ballot: the request may arrive at any time.
    fn has_lease(&mut self) -> bool {
        let (node, commit, quorums, now) = (self.node, self.commit, self.quorums, self.timers.now);
        let Self { state: State::Proposing(leading), configurations, scratch, lease: Some(lease), .. } = self
        else {
            return false;
        };
        let members = configurations.at(commit.next());
        let stands = leading.barrier().is_some_and(|barrier| barrier <= commit);
        if !stands || leading.handed_over && !mutated("paxos/lease-after-handing-over") {
            return false;
        }
        let newest = leading.reads.newest().0;
        let round_of = |member| {
            let echoed = leading.peer(member).map_or(0, |peer| peer.round.0);
            if member == node { newest } else { echoed }
        };
        let confirmed = quorums.reached(Phase::Two, members, scratch, round_of).unwrap_or_default();
        leading.reads.round_began(ReadRound(confirmed)).is_some_and(|began| now.since(began) < *lease)
    }

    /// This member promises nobody else anything for a while: some leader's lease may rest on it. Counted from when the
    /// leader is heard, which is after the round began that the leader counts from.
    pub(super) fn grant_lease(&mut self) {
        self.timers.granted = self.timers.now + self.timers.timing.election_timeout_min;
    }

    /// Whether this member has granted a lease that may still hold, in this life or in an earlier one.
    pub(super) fn is_lease_granted(&self) -> bool {
        self.timers.now < self.timers.granted.max(self.timers.wary) && !mutated("paxos/lease-not-granted")
    }

    /// Whether the leases that this member granted leave it free to promise `proposer` a ballot: none may hold, but for
    /// one granted to that very member, or to the ballot whose proposer has handed over, and so renounced it. What was
    /// granted in an earlier life may have been anyone's, even of a ballot that a crash made this member forget.
    pub(super) fn may_promise(&self, proposer: NodeId, after: Generation) -> bool {
        let promised = self.acceptor.promised();
        let handed =
            after > Generation::ZERO && (after == promised || mutated("paxos/any-hand-over-ends-a-lease"));
        let is_free = promised.node == proposer || handed;
        !self.is_lease_granted() || self.timers.now >= self.timers.wary && is_free
    }

    /// Answers the reads for which a quorum has confirmed the leadership.
    pub(super) fn answer_reads(&mut self, effects: &mut Effects<Message>) {
        let (node, commit, quorums) = (self.node, self.commit, self.quorums);
        let Self { state: State::Proposing(leading), configurations, scratch, .. } = self else { return };
        if leading.reads.is_empty() {
            return;
        }
        let members = configurations.at(commit.next());
        let newest = leading.reads.newest().0;
        let round_of = |member| {
            let echoed = leading.peer(member).map_or(0, |peer| peer.round.0);
            if member == node { newest } else { echoed }
        };
        let confirmed = quorums.reached(Phase::Two, members, scratch, round_of).unwrap_or_default();
        let reads = &mut leading.reads;
        let confirmed = if mutated("paxos/read-without-a-quorum") { newest } else { confirmed };
        reads.answer(ReadRound(confirmed), commit, effects);
    }
}
