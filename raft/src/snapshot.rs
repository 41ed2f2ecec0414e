//! Snapshots: what one's own makes of the log, and what a leader's does (thesis, chapter 5). The node carries them
//! over; the engine decides who needs one, and what counts.

use consensus_api::mutation::mutated;
use consensus_api::{After, Effects, Index, NodeId, ReadRound, SnapshotMark};

use crate::progress::Flow;
use crate::raft::{Raft, State};
use crate::{Body, Message, Term};

impl Raft {
    /// This member has a snapshot of its own: what it covers may go.
    pub(crate) fn on_snapshot_taken(
        &mut self,
        mark: SnapshotMark,
        keep_from: Index,
        effects: &mut Effects<Message>,
    ) {
        assert!(mark.index <= self.commit, "only what is applied is in a snapshot");
        if mark.index <= self.log.snapshot_index() {
            return;
        }
        let (now, upto) = (self.timers.now, keep_from.prev().min(mark.index));
        self.log.mark_snapshot(now, mark, effects);
        if let Some(generation) = self.log.generation_at(upto) {
            self.log.compact(now, upto, generation, effects);
        }
        self.refresh_membership(effects);
    }

    /// A leader's snapshot is here, durable. One that reaches no further than the commit index says nothing new, and
    /// must not cost entries behind it (camunda#6092).
    pub(crate) fn on_snapshot_received(
        &mut self,
        from: NodeId,
        mark: SnapshotMark,
        effects: &mut Effects<Message>,
    ) {
        if mark.index > self.commit || mutated("raft/snapshot-of-the-past") {
            self.install(mark, effects);
        }
        // The leader need not wait to be told by whoever carried the snapshot. What is committed agrees with every
        // leader's log (leader completeness).
        if self.leader == Some(from) && matches!(self.state, State::Follower { .. }) {
            let body = Body::Accepted { matched: self.commit, round: ReadRound::default() };
            let accepted = Message { term: self.term, body };
            effects.send(from, After::Durable(effects.newest_write()), accepted);
        }
    }

    fn install(&mut self, mark: SnapshotMark, effects: &mut Effects<Message>) {
        let (now, index, generation) = (self.timers.now, mark.index, mark.generation);
        if generation.round > self.term.0 {
            self.enter_term(Term(generation.round), None, effects); // no log is ahead of its term
        }
        // The entries behind it stay if the log holds its last entry. Otherwise all that is not committed may belong to
        // another history, that last entry included (thesis, section 5.3; hashicorp/raft#697).
        if !self.log.agrees_at(index, generation) && !mutated("raft/snapshot-keeps-a-conflict") {
            if matches!(self.state, State::Leader(_)) {
                self.step_down(effects); // a leader that lacks what is committed has been succeeded
            }
            self.log.truncate_from(now, self.commit.next(), effects);
        }
        self.log.mark_snapshot(now, mark.clone(), effects);
        self.log.compact(now, index, generation, effects);
        self.refresh_membership(effects);
        effects.restore = Some(mark);
        self.commit_upto(index, effects);
        self.answer_reads(effects);
    }

    /// A snapshot reached its peer or, for `None`, did not. What the peer holds is found out by asking: the snapshot is
    /// not yet an acknowledgement.
    pub(crate) fn on_snapshot_sent(&mut self, to: NodeId, upto: Option<Index>) {
        let State::Leader(leading) = &mut self.state else { return };
        let Ok(at) = leading.peers.binary_search_by_key(&to, |peer| peer.id) else { return };
        let peer = &mut leading.peers[at];
        if matches!(peer.flow, Flow::Snapshot) {
            match upto {
                Some(upto) => peer.probe(upto.next(), false),
                // Not again at once: after the peer's next sign of life.
                None => peer.probe(peer.next, true),
            }
        }
    }
}
