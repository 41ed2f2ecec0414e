//! Proposals on their way to the leader: from this node, and through it from others.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use consensus_api::mutation::mutated;
use consensus_api::{
    Engine, Entry, EntryKind, Error, Event, Generation, LogTime, NodeId, ProposalId, Role, SendError,
    SessionOp, Time, record,
};

use super::lives::Lives;
use super::{OutgoingFrame, Replica};
use crate::divergence;
use crate::envelope::{Envelope, ForwardRefusal};

/// What is to be remembered of forwarding.
#[derive(Debug, Default)]
pub(super) struct Forwarding {
    /// The newest sequence that each life of another node forwarded here. A copy of a forwarded proposal is thereby never
    /// taken twice.
    newest: Lives<u64>,
    /// Forwarding pauses until then, because the way to the leader was full; zero if it does not.
    not_before: Time,
}

impl Forwarding {
    /// Ends the pause when its time has come.
    pub(super) fn resume(&mut self, now: Time) {
        if self.not_before <= now {
            self.not_before = Time::ZERO;
        }
    }

    /// The end of the pause; never if there is none.
    pub(super) fn paused_until(&self) -> Time {
        if self.not_before == Time::ZERO { Time::MAX } else { self.not_before }
    }
}

impl<E: Engine, P, R> Replica<E, P, R> {
    /// Proposes what is queued: here if this node leads, else through the leader; if none is known, later.
    pub(super) fn propose_queued(&mut self, now: Time, wall: LogTime) {
        let may = |it: &Self| it.proposals.may_propose() && it.engine.takes_proposals();
        while may(self) && now >= self.forwarding.not_before {
            let standing = self.standing;
            let Some(leader) = standing.leader else { return };
            let generation = standing.generation;
            if E::CAPABILITIES.leader && self.proposals.waits_for_earlier(generation) {
                return;
            }
            let Some(entry) = self.proposals.next_entry(wall, generation, &mut self.out.failed) else {
                return;
            };
            if leader == self.identity.node {
                self.step(now, Event::Propose(entry));
                if self.stopped.is_some() || self.standing.generation != generation {
                    return;
                }
            } else {
                let sequence = entry.proposal.sequence;
                // Not in one piece of memory with others: who keeps the entry would keep all of it.
                let mut body = BytesMut::with_capacity(entry.record_len());
                record::encode(&entry, &mut body);
                let body = body.freeze();
                let envelope = Envelope::Forward { generation };
                let lane = envelope.lane();
                let frame =
                    Envelope::<E::Message>::seal(&envelope, self.identity.store, body, &mut self.scratch);
                self.out.frames.push(OutgoingFrame { to: leader, lane, frame, forwards: Some(sequence) });
            }
        }
    }

    /// Takes a proposal that another node forwarded, if this node leads the generation it was meant for.
    ///
    /// A frame may come twice or late. A sequence is therefore looked at once: a refusal is only told of a proposal
    /// that this life of the leader has never taken. If an earlier life led, nobody can tell, and nothing is said.
    pub(super) fn take_forwarded(
        &mut self,
        now: Time,
        wall: LogTime,
        generation: Generation,
        from: NodeId,
        entry: Entry,
    ) {
        let proposal = entry.proposal;
        if proposal.node != from || !is_sound(&entry) {
            return self
                .note(format!("node {from} forwarded what is no proposal of its own; it was dropped"));
        }
        let ProposalId { node, incarnation, .. } = proposal;
        let newest = self.forwarding.newest.of(node, incarnation, self.engine.membership());
        if proposal.sequence <= *newest && !mutated("node/forwarded-twice") {
            return;
        }
        *newest = proposal.sequence;
        let standing = self.standing;
        let ahead = Duration::from_millis(entry.time.millis_since(wall));
        if standing.role == Role::Leader && standing.generation == generation {
            if ahead > self.options.clock_ahead_max {
                return self.refuse_forwarded(proposal, ForwardRefusal::ClockAhead);
            }
            if self.room.is_full() {
                return self.refuse_forwarded(proposal, ForwardRefusal::StorageFull);
            }
            self.step(now, Event::Propose(entry));
        } else if self.led.is_some_and(|first| first <= generation) && generation.node == self.identity.node {
            self.refuse_forwarded(proposal, ForwardRefusal::NotLeader);
        }
    }

    pub(super) fn forward_refused(&mut self, now: Time, sequence: u64, reason: ForwardRefusal) {
        match reason {
            ForwardRefusal::NotLeader => {
                self.proposals.not_taken(sequence, &mut self.out.failed);
                self.pause_forwarding(now);
            }
            ForwardRefusal::StorageFull => {
                self.proposals.refuse(sequence, &Error::StorageFull, &mut self.out.failed);
            }
            ForwardRefusal::ClockAhead => {
                let ahead = self.options.clock_ahead_max.as_millis();
                let reason = format!(
                    "this node's wall clock is more than {ahead} ms ahead of the leader's; set it right"
                );
                self.proposals.refuse(sequence, &Error::Refused { reason }, &mut self.out.failed);
            }
        }
    }

    /// Tells the node that forwarded a proposal that it was not taken, and never will be.
    pub(super) fn refuse_forwarded(&mut self, proposal: ProposalId, reason: ForwardRefusal) {
        let ProposalId { node, incarnation, sequence } = proposal;
        self.ship(node, Envelope::ForwardRefused { incarnation, sequence, reason }, Bytes::new());
    }

    /// A frame from [`Outputs::frames`](super::Outputs::frames) was not taken by the transport.
    pub fn not_sent(&mut self, now: Time, to: NodeId, forwards: Option<u64>, error: SendError) {
        match (forwards, error) {
            (Some(sequence), SendError::TooLarge) => {
                let reason = format!("node {to} takes no frame as large as the request makes");
                self.proposals.refuse(sequence, &Error::Refused { reason }, &mut self.out.failed);
            }
            (Some(sequence), _) => {
                self.proposals.not_taken(sequence, &mut self.out.failed);
                self.pause_forwarding(now);
            }
            (None, SendError::TooLarge) => {
                self.note(format!("node {to} takes no frame as large as one for it"));
            }
            (None, SendError::Full) => self.step(now, Event::Unreachable(to)),
            (None, _) => {}
        }
    }

    /// After a refusal the next attempt comes a moment later, when more may be known of the leader.
    pub(super) fn pause_forwarding(&mut self, now: Time) {
        self.forwarding.not_before = now + self.options.timing.heartbeat / 10;
    }
}

/// Whether an entry is one that a node may propose, and can be applied as far as the node can tell.
fn is_sound(entry: &Entry) -> bool {
    let sound = |command: Bytes| match entry.kind {
        EntryKind::Sessions => SessionOp::decode(&mut command.clone()).is_ok(),
        _ => true,
    };
    if entry.kind == EntryKind::Digest {
        return entry.count == 0 && divergence::decode(entry.body.clone()).is_ok();
    }
    entry.kind.has_commands() && entry.commands().all(|command| command.is_ok_and(sound))
}
