//! The acceptor's side: promises, acceptances, and what is chosen according to the leader.

use consensus_api::mutation::mutated;
use consensus_api::{After, Effects, Entry, Generation, Index, NodeId, ReadRound};

use super::messages::NOOPS_MAX;
use super::recovery::Part;
use super::{Body, Message, MultiPaxos, State, Tidings};
use crate::log::is_well_formed;

/// What a member knows of the proposer whose ballot it has promised.
#[derive(Clone, Hash, Default, Debug)]
pub(super) struct Following {
    /// It has spoken, and was not silent for too long when it last did.
    pub(super) heard: bool,
    /// Its barrier; zero while it takes no proposals.
    barrier: Index,
    /// The chosen prefix, as it last told.
    pub(super) announced: Index,
}

impl Following {
    /// Whether the proposer takes proposals.
    pub(super) fn serving(&self) -> bool {
        self.heard && self.barrier > Index::ZERO
    }

    /// The proposer's barrier, once known.
    pub(super) fn barrier(&self) -> Option<Index> {
        self.serving().then_some(self.barrier)
    }
}

impl MultiPaxos {
    /// Phase 1: someone asks to be promised a ballot, or for another part of the report that goes with it.
    ///
    /// The promise is for all slots at once. What is reported need not be durable, and is read after the promise: from
    /// then on nothing changes in it but by this very ballot.
    pub(super) fn on_prepare(
        &mut self,
        from: NodeId,
        ballot: Generation,
        (slot, after): (Index, Generation),
        effects: &mut Effects<Message>,
    ) {
        if ballot.node != from {
            return;
        }
        if !self.acceptor.obeys(ballot) {
            return self.nack(from, ballot, effects);
        }
        if ballot > self.acceptor.promised() && !self.may_promise(from, after) {
            return; // it asks again with each heartbeat
        }
        if ballot > self.acceptor.promised() {
            self.promise(ballot, effects);
            if let State::Following(following) = &mut self.state {
                following.heard = true;
            }
            self.timers.contact = self.timers.now;
            self.timers.draw_election();
        }
        let part = self.report(slot);
        match (self.acceptor.unsynced(), part.accepted == Generation::ZERO) {
            (None, false) => self.supply(from).report(ballot, slot),
            // Entries cannot wait for a write: the first answer goes without, and they are asked for again.
            (Some(seq), false) => {
                let nothing = Part { upto: part.from.prev(), accepted: Generation::ZERO, ..part };
                effects.send(from, After::Durable(seq), self.promise_message(ballot, nothing));
            }
            (unsynced, true) => {
                let after = unsynced.map_or(After::Now, After::Durable);
                effects.send(from, after, self.promise_message(ballot, part));
            }
        }
    }

    /// What was accepted from `from` on, as far as one part can tell: a run of one ballot, or the hole before the next.
    /// What is known to be chosen is not reported: the message says how far that goes.
    pub(super) fn report(&self, from: Index) -> Part {
        let from = from.max(self.told_as_chosen().next());
        let last = self.log.last();
        match self.log.run_from(from) {
            Some(run) if run.first <= from => Part { from, upto: run.last, accepted: run.generation, last },
            Some(run) => Part { from, upto: run.first.prev(), accepted: Generation::ZERO, last },
            None => Part { from, upto: Index(u64::MAX), accepted: Generation::ZERO, last },
        }
    }

    pub(super) fn promise_message(&self, ballot: Generation, part: Part) -> Message {
        let Part { from, upto, accepted, last } = part;
        let commit = self.told_as_chosen();
        Message { ballot, body: Body::Promise { from, upto, accepted, commit, last } }
    }

    /// How far slots are chosen, as a proposer is told that asks for promises.
    fn told_as_chosen(&self) -> Index {
        if mutated("paxos/chosen-not-reported") { Index::ZERO } else { self.commit }
    }

    fn nack(&self, to: NodeId, ballot: Generation, effects: &mut Effects<Message>) {
        let body = Body::Nack { promised: self.acceptor.promised() };
        effects.send(to, After::Now, Message { ballot, body });
    }

    /// Takes note of a message from the proposer of `ballot`, which has its promises. `false` when there is nothing more
    /// to do with it.
    pub(super) fn hear_leader(
        &mut self,
        from: NodeId,
        ballot: Generation,
        tidings: Tidings,
        effects: &mut Effects<Message>,
    ) -> bool {
        if ballot.node != from {
            return false; // nobody speaks in another's name
        }
        if !self.acceptor.obeys(ballot) {
            self.nack(from, ballot, effects);
            return false;
        }
        if tidings.window != self.window {
            effects.fatal = Some(format!(
                "node {from} leads with a window of {} slots, and this node was given {}; give all members the same",
                tidings.window, self.window
            ));
            return false;
        }
        if ballot > self.acceptor.promised() && !mutated("paxos/acceptance-promises-nothing") {
            self.promise(ballot, effects);
        }
        if !matches!(self.state, State::Following(_)) {
            self.step_down(effects);
        }
        if let State::Following(following) = &mut self.state {
            following.heard = true;
            following.barrier = following.barrier.max(tidings.barrier);
            following.announced = following.announced.max(tidings.commit);
        }
        self.timers.contact = self.timers.now;
        self.timers.draw_election();
        if self.lease.is_some() {
            self.grant_lease();
        }
        self.end_succession(effects);
        self.give_up_earlier(effects);
        true
    }

    /// Phase 2: accepts what the leader proposes, slot by slot, whatever stands below or above (Lamport 2001, section
    /// 2.2, P1a). A slot that is known to be chosen is left alone; the leader hears that it is.
    pub(super) fn on_accept(
        &mut self,
        from: NodeId,
        ballot: Generation,
        round: ReadRound,
        entries: &[Entry],
        effects: &mut Effects<Message>,
    ) {
        if !is_well_formed(entries) || entries.iter().any(|entry| entry.generation != ballot) {
            return; // it was read from the leader's log before it proposed there: as good as lost
        }
        for entry in entries {
            if entry.index > self.commit && self.log.ballot_at(entry.index) != Some(ballot) {
                self.log.put(self.timers.now, entry.clone(), effects);
            }
        }
        // Only what this message brought is acknowledged, and only what is held at this very ballot.
        let commit = self.commit;
        let mut acknowledged = false;
        for held in entries.chunk_by(|a, b| self.holds_at(a, ballot) == self.holds_at(b, ballot)) {
            if self.holds_at(&held[0], ballot) {
                let (first, last) = (held[0].index, held[held.len() - 1].index);
                let body = Body::Accepted { first, last, commit, round };
                let rests_on = if mutated("paxos/ack-before-sync") {
                    After::Now
                } else {
                    After::Durable(effects.newest_write())
                };
                effects.send(from, rests_on, Message { ballot, body });
                acknowledged = true;
            }
        }
        if !acknowledged {
            effects.send(from, After::Now, Message { ballot, body: self.heard(round) });
        }
    }

    /// Phase 2 for a range: exactly the acceptances of its slots.
    pub(super) fn on_accept_noops(
        &mut self,
        from: NodeId,
        ballot: Generation,
        round: ReadRound,
        (first, last): (Index, Index),
        effects: &mut Effects<Message>,
    ) {
        if first == Index::ZERO || first > last || last.since(first) >= NOOPS_MAX {
            return; // nobody says so
        }
        let noops: Vec<Entry> = (first.0..=last.0).map(|slot| Entry::noop(ballot, Index(slot))).collect();
        self.on_accept(from, ballot, round, &noops, effects);
    }

    pub(super) fn heard(&self, round: ReadRound) -> Body {
        Body::Heard { commit: self.commit, round, remembered: self.watermark.durable() }
    }

    fn holds_at(&self, entry: &Entry, ballot: Generation) -> bool {
        self.log.ballot_at(entry.index) == Some(ballot)
    }

    /// The leader said how far its slots are chosen. That counts for a slot only if it holds what *this* leader proposed
    /// in it: what an earlier ballot proposed there may not be what was chosen.
    pub(super) fn follow_commit(&mut self, effects: &mut Effects<Message>) {
        let State::Following(Following { announced, .. }) = self.state else { return };
        let ballot = self.acceptor.promised();
        let mut chosen = self.commit;
        while chosen < announced
            && let Some(run) = self.log.run_from(chosen.next())
            && run.first <= chosen.next()
            && (run.generation == ballot || mutated("paxos/commit-of-another-ballot"))
        {
            chosen = run.last.min(announced);
        }
        self.commit_upto(chosen, effects);
    }
}
