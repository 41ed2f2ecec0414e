//! The acceptor's part: what it answers to proposers (Lamport 2001, section 2.2, P1a). One promise stands for all slots,
//! as in Multi-Paxos: it forbids more than a promise per slot would, and is kept in one number.

use consensus_api::{After, Effects, Entry, EntryKind, Generation, Index, NodeId};

use super::{Body, Message, Paxos};

impl Paxos {
    /// Phase 1: someone asks to be promised a ballot, and what was accepted in a slot.
    ///
    /// Whoever asks about a slot that is chosen has to learn, not to propose: nothing is promised. What is told need not be
    /// durable (one that forgets it in a crash has not acknowledged it); the promise is.
    pub(super) fn on_prepare(
        &mut self,
        from: NodeId,
        ballot: Generation,
        slot: Index,
        effects: &mut Effects<Message>,
    ) {
        if ballot.node != from {
            return;
        }
        if slot <= self.commit {
            return self.tell_status(from, effects);
        }
        if !self.acceptor.obeys(ballot) {
            return self.nack(from, ballot, effects);
        }
        self.promise(ballot, effects);
        let accepted = self.log.ballot_at(slot).unwrap_or_default();
        let body = Body::Promise { slot, accepted, last: self.log.last() };
        let after = self.acceptor.unsynced().map_or(After::Now, After::Durable);
        effects.send(from, after, Message { ballot, body });
    }

    /// Phase 2: accepts what a proposer proposes in a slot, whatever stands below or above.
    pub(super) fn on_accept(
        &mut self,
        from: NodeId,
        ballot: Generation,
        entries: &[Entry],
        effects: &mut Effects<Message>,
    ) {
        let [entry] = entries else { return };
        if ballot.node != from || entry.generation != ballot || !is_placed(entry) {
            return; // it was read from the proposer's log before it proposed there: as good as lost
        }
        let slot = entry.index;
        if slot <= self.commit {
            return self.tell_status(from, effects);
        }
        if !self.acceptor.obeys(ballot) {
            return self.nack(from, ballot, effects);
        }
        self.promise(ballot, effects);
        if self.log.ballot_at(slot) != Some(ballot) {
            self.accept(entry.clone(), effects);
        }
        let body = Body::Accepted { slot };
        effects.send(from, After::Durable(effects.newest_write()), Message { ballot, body });
    }

    /// Puts a value into its slot, and remembers whose it is.
    pub(super) fn accept(&mut self, entry: Entry, effects: &mut Effects<Message>) {
        if entry.index > self.commit {
            self.names.insert(entry.index, entry.proposal);
        }
        self.log.put(self.timers.now, entry, effects);
    }

    /// Promises a ballot for all slots, if that says anything new. An attempt of this member at a lower one is over; so is
    /// what it was promised.
    pub(super) fn promise(&mut self, ballot: Generation, effects: &mut Effects<Message>) {
        if ballot <= self.acceptor.promised() {
            return;
        }
        if self.attempt.take().is_some() {
            self.timers.back_off();
        }
        self.held = None;
        let bytes = self.acceptor.promise(ballot);
        let seq = self.log.write(self.timers.now, consensus_api::Op::HardState(bytes), effects);
        self.acceptor.written(seq);
        self.round_seen = self.round_seen.max(ballot.round);
    }

    fn nack(&self, to: NodeId, ballot: Generation, effects: &mut Effects<Message>) {
        let body = Body::Nack { promised: self.acceptor.promised() };
        effects.send(to, After::Now, Message { ballot, body });
    }

    /// The proposer of a ballot asks for a value accepted here.
    pub(super) fn on_fetch(&mut self, from: NodeId, ballot: Generation, slot: Index, accepted: Generation) {
        self.supply(from).value(ballot, slot, accepted);
    }
}

/// Whether this could stand in a slot. Memberships do not change on this engine.
pub(super) fn is_placed(entry: &Entry) -> bool {
    entry.index > Index::ZERO && entry.index.0 < u64::MAX && entry.kind != EntryKind::Membership
}
