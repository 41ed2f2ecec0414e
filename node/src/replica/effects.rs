//! Carrying out what the engine asks for.

use bytes::Bytes;
use consensus_api::mutation::mutated;
use consensus_api::{
    After, Effects, Engine, Error, Event, Index, NodeId, Op, Outcome, Outgoing, ProposalId, ReadId, Refusal,
    Role, SnapshotMark, Time,
};

use super::administration::Administration;
use super::{ApplyWork, Replica};
use crate::envelope::{Envelope, ForwardRefusal};

/// Entries that went out: what the engine hears of before anything else.
#[derive(Debug)]
pub(super) struct Shipped {
    to: NodeId,
    first: Index,
    last: Index,
    bytes: usize,
}

/// A message to itself, by which an engine reads its own log.
#[derive(Debug)]
pub(super) struct OwnEntries<M> {
    message: M,
    body: Bytes,
}

impl<E: Engine, P, R> Replica<E, P, R> {
    /// Hands an event to the engine, and carries out what follows.
    pub(super) fn step(&mut self, now: Time, event: Event<'_, E::Message>) {
        if self.stopped.is_some() || self.founding.is_some() {
            return;
        }
        self.step_engine(now, event);
        self.carry_out(now);
        loop {
            if let Some(Shipped { to, first, last, bytes }) = self.shipped.pop() {
                self.step_engine(now, Event::Sent { to, first, last, bytes });
            } else if let Some(OwnEntries { message, body }) = self.own_entries.pop() {
                let from = self.identity.node;
                let Some(entries) = self.decode(from, body) else { continue };
                self.step_engine(now, Event::Message { from, message, entries: &entries });
            } else {
                break;
            }
            self.carry_out(now);
        }
        if self.led.is_none() {
            let standing = self.standing;
            self.led = (standing.role == Role::Leader).then_some(standing.generation);
        }
    }

    /// The one way to the engine: where it stands is looked up once, when it may have changed.
    fn step_engine(&mut self, now: Time, event: Event<'_, E::Message>) {
        self.engine.step(now, event, &mut self.effects);
        self.standing = self.engine.standing();
    }

    fn carry_out(&mut self, now: Time) {
        self.take_writes();
        if let Some(mark) = self.effects.restore.take() {
            self.take_over(now, mark);
        }
        self.commit = self.commit.max(self.effects.committed);
        if self.effects.settled() > self.settled {
            self.settled = self.effects.settled();
            let upto = if mutated("node/settled-too-early") { Index::ZERO } else { self.commit };
            self.settling = Some((upto, self.settled));
        }
        if self.effects.given_up() > self.given_up {
            self.given_up = self.effects.given_up();
            self.giving_up = Some((self.commit, self.given_up));
        }
        self.carry_out_each(
            |effects| &mut effects.proposals,
            |it, (id, end)| it.proposal_outcome(now, id, end),
        );
        self.carry_out_each(|effects| &mut effects.reads, |it, (id, index)| it.read_outcome(now, id, index));
        self.carry_out_each(|effects| &mut effects.sends, Self::send);
        self.carry_out_each(|effects| &mut effects.snapshots_needed, |it, to| it.provide_snapshot(now, to));
        if let Some(cause) = self.effects.fatal.take() {
            self.stop(cause);
        }
        self.effects.clear();
    }

    /// Carries out all effects of one kind, mostly none, and keeps the memory they stood in.
    fn carry_out_each<T>(
        &mut self,
        kind: impl Fn(&mut Effects<E::Message>) -> &mut Vec<T>,
        carry_out: impl Fn(&mut Self, T),
    ) {
        if kind(&mut self.effects).is_empty() {
            return;
        }
        let mut all = std::mem::take(kind(&mut self.effects));
        all.drain(..).for_each(|effect| carry_out(self, effect));
        *kind(&mut self.effects) = all;
    }

    fn take_writes(&mut self) {
        let Some((seq, batch)) = self.effects.take_batch() else { return };
        for op in batch.ops() {
            match op {
                Op::Put(entry) => {
                    self.shipping.put(entry.index);
                    self.writes.put(seq, entry.index);
                    self.cache.put(entry.clone());
                }
                Op::TruncateFrom(from) => {
                    assert!(*from > self.commit, "what is committed is never truncated");
                    self.shipping.truncated();
                    if !mutated("node/truncated-entries-stay-cached") {
                        self.cache.truncate_from(*from);
                    }
                }
                Op::Compact { upto, .. } => {
                    self.compacted = self.compacted.max(*upto);
                    self.cache.compact(*upto);
                }
                Op::HardState(_) | Op::SnapshotMark(_) | Op::Watermark(_) => {}
            }
        }
        self.writes.queue(seq, batch);
    }

    /// A peer's snapshot takes the place of everything up to its index.
    fn take_over(&mut self, now: Time, mark: SnapshotMark) {
        self.belonging.learn(now, mark.index, mark.membership.clone());
        // What was proposed under its generation or before may be in it, and then is never seen on its own.
        self.proposals.swallow(mark.generation, &mut self.out.failed);
        self.commit = self.commit.max(mark.index);
        self.snapshot = self.snapshot.max(mark.index);
        self.feeding.skip_to(mark.index);
        self.out.apply.push(ApplyWork::Restore(mark));
    }

    fn proposal_outcome(&mut self, now: Time, proposal: ProposalId, outcome: Outcome) {
        if Administration::is_errand(proposal) {
            self.errand_outcome(now, proposal, outcome);
        } else if self.proposals.are_ours(proposal) {
            let sequence = proposal.sequence;
            match outcome {
                Outcome::Accepted(generation) => self.proposals.accepted(sequence, generation),
                Outcome::Refused(Refusal::NotLeader) => {
                    // It goes again; not at once, for a leader that hands over says the same until another leads.
                    self.proposals.not_taken(sequence, &mut self.out.failed);
                    self.pause_forwarding(now);
                }
                Outcome::Refused(refusal) => {
                    let error = Error::Refused { reason: refusal.to_string() };
                    self.proposals.refuse(sequence, &error, &mut self.out.failed);
                }
                Outcome::Completed => {} // said of no proposal
                Outcome::Unknown => {
                    let reason = super::proposals::TIMED_OUT;
                    self.proposals.unknown(sequence, reason, &mut self.out.failed);
                }
            }
        } else if matches!(outcome, Outcome::Refused(_)) {
            self.refuse_forwarded(proposal, ForwardRefusal::NotLeader);
        }
    }

    fn read_outcome(&mut self, now: Time, id: ReadId, index: Result<Index, Refusal>) {
        let index = index.ok();
        if let Some((node, incarnation, id)) = self.reads.ended(now, id, index) {
            self.ship(node, Envelope::ReadAnswer { incarnation, id, index }, Bytes::new());
        }
    }

    fn send(&mut self, outgoing: Outgoing<E::Message>) {
        let to = outgoing.to;
        let own = to == self.identity.node;
        debug_assert!(!own || outgoing.entries.is_some(), "an engine tells itself only what its log holds");
        match (outgoing.after, outgoing.entries) {
            (After::Durable(seq), None)
                if !self.writes.is_durable(seq) && !mutated("node/nothing-is-held-back") =>
            {
                self.writes.hold(seq, outgoing);
            }
            (_, None) => self.ship(to, Envelope::Engine(outgoing.message), Bytes::new()),
            (_, Some(range)) => match self.shipping.fill(to, range, &self.cache) {
                Ok(block) => {
                    let (first, last, bytes) = (block.first, block.last, block.body.len());
                    if own {
                        self.own_entries.push(OwnEntries { message: outgoing.message, body: block.body });
                    } else {
                        self.ship(to, Envelope::Engine(outgoing.message), block.body);
                    }
                    self.shipped.push(Shipped { to, first, last, bytes });
                }
                Err(load) => self.out.loads.extend(load),
            },
        }
    }
}
