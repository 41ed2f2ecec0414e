//! Frames from peers, and what this node asks of them in turn.

use std::time::Duration;

use bytes::Bytes;
use consensus_api::mutation::mutated;
use consensus_api::{
    Engine, Entry, EntryKind, Error, Event, Frame, Generation, Index, LogTime, Membership, NodeId,
    ProposalId, ReadId, Role, SessionOp, SnapshotMark, Time, record,
};

use super::outputs::{Chunk, ChunkWrite, LoadPurpose};
use super::{ApplyWork, Load, OutgoingFrame, Replica};
use crate::divergence;
use crate::envelope::{Envelope, ForwardRefusal};

impl<E: Engine, P, R> Replica<E, P, R> {
    pub(super) fn frame(&mut self, now: Time, wall: LogTime, from: NodeId, frame: Frame) {
        let (store, envelope) = match Envelope::open(frame.head) {
            Ok(opened) => opened,
            Err(error) => return self.note(format!("node {from} sent a frame that makes no sense: {error}")),
        };
        match envelope {
            Envelope::Introduction => return self.introduced(from, store),
            Envelope::Word { asked, word } => return self.told(now, (from, store), asked, word),
            // What is said among members is not for a disk that does not take part yet.
            _ if self.founding.is_some() || !self.admits(from, store) => return,
            _ => self.meet(now, from, store),
        }
        match envelope {
            Envelope::Introduction | Envelope::Word { .. } => {}
            Envelope::Engine(message) => {
                if let Some(entries) = self.decode(from, frame.body) {
                    self.step(now, Event::Message { from, message, entries: &entries });
                    self.entries = entries;
                }
            }
            Envelope::Forward { generation } => {
                if let Some(mut entries) = self.decode(from, frame.body) {
                    for entry in entries.drain(..) {
                        self.take_forwarded(now, wall, generation, from, entry);
                    }
                    self.entries = entries;
                }
            }
            Envelope::ForwardRefused { incarnation, sequence, reason } => {
                if incarnation == self.identity.incarnation {
                    self.forward_refused(now, sequence, reason);
                }
            }
            Envelope::Read { incarnation, id, lease } => {
                let id = self.reads.begin_remote(from, incarnation, id);
                self.step(now, read_event(id, lease));
            }
            Envelope::ReadAnswer { incarnation, id, index } => {
                // An answer to an earlier life of this node says nothing of a read of this one.
                let ours = incarnation == self.identity.incarnation;
                if ours || mutated("node/answer-to-an-earlier-life") {
                    self.reads.answered(now, id, index);
                }
            }
            Envelope::Errand { generation, incarnation, sequence, errand } => {
                let proposal = ProposalId { node: from, incarnation, sequence };
                self.take_errand(now, generation, proposal, &errand);
            }
            Envelope::ErrandEnded { incarnation, sequence, outcome } => {
                if incarnation == self.identity.incarnation {
                    self.errand_ended(now, sequence, outcome);
                }
            }
            Envelope::Chunk { mark, total, offset } => {
                self.take_chunk(from, Chunk { mark, total, offset, bytes: frame.body });
            }
            Envelope::ChunkTaken { index, offset } => self.chunk_taken(now, from, index, offset),
            Envelope::SnapshotWanted { to, least } => self.relay_wanted(now, from, to, least),
            Envelope::SnapshotRelayed { to, relayed } => self.relayed(now, from, to, relayed),
        }
    }

    /// The entries in a frame's body. Each is checked; a damaged one voids the frame, as if it had been lost.
    pub(super) fn decode(&mut self, from: NodeId, mut body: Bytes) -> Option<Vec<Entry>> {
        let mut entries = std::mem::take(&mut self.entries);
        entries.clear();
        while !body.is_empty() {
            match record::decode(&mut body) {
                Ok(entry) => entries.push(entry),
                Err(error) => {
                    self.note(format!("node {from} sent a damaged entry: {error}"));
                    return None;
                }
            }
        }
        Some(entries)
    }

    /// Takes a proposal that another node forwarded, if this node leads the generation it was meant for.
    ///
    /// A frame may come twice or late. A sequence is therefore looked at once: a refusal is only told of a proposal
    /// that this life of the leader has never taken. If an earlier life led, nobody can tell, and nothing is said.
    fn take_forwarded(
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
        let newest = self.forwarded.entry((proposal.node, proposal.incarnation)).or_insert(0);
        if proposal.sequence <= *newest && !mutated("node/forwarded-twice") {
            return;
        }
        *newest = proposal.sequence;
        let standing = self.engine.standing();
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

    fn forward_refused(&mut self, now: Time, sequence: u64, reason: ForwardRefusal) {
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

    /// Proposes what is queued: here if this node leads, else through the leader; if none is known, later.
    pub(super) fn propose_queued(&mut self, now: Time, wall: LogTime) {
        let may = |it: &Self| it.proposals.may_propose() && it.engine.takes_proposals();
        while may(self) && now >= self.forward_not_before {
            let standing = self.engine.standing();
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
                if self.stopped.is_some() || self.engine.standing().generation != generation {
                    return;
                }
            } else {
                let sequence = entry.proposal.sequence;
                record::encode(&entry, &mut self.scratch);
                let body = self.scratch.split().freeze();
                let envelope = Envelope::Forward { generation };
                let lane = envelope.lane();
                let frame =
                    Envelope::<E::Message>::seal(&envelope, self.identity.store, body, &mut self.scratch);
                self.out.frames.push(OutgoingFrame { to: leader, lane, frame, forwards: Some(sequence) });
            }
        }
    }

    /// Asks for the index of all queued reads of a kind at once.
    pub(super) fn begin_reads(&mut self, now: Time) {
        let standing = self.engine.standing();
        self.reads.reconsider(now, standing.generation);
        let Some(leader) = standing.leader else { return };
        while let Some((id, lease)) = self.reads.begin(now, standing.generation) {
            if leader == self.identity.node {
                self.step(now, read_event(id, lease));
            } else {
                let incarnation = self.identity.incarnation;
                self.ship(leader, Envelope::Read { incarnation, id, lease }, Bytes::new());
            }
        }
    }

    /// Hands committed entries to the state machine, as far as its budgets go: those that are durable here, and others if
    /// it may run ahead.
    pub(super) fn feed(&mut self, now: Time) {
        let durable = self.commit.min(self.writes.first_undurable().prev());
        let durable = if mutated("node/applied-before-durable") { self.commit } else { durable };
        self.feeding.durable_upto(durable);
        while self.feeding.next() <= self.commit && self.feeding.has_room() {
            let next = self.feeding.next();
            if next > durable && !self.feeding.may_run_ahead() {
                break;
            }
            let Some(entry) = self.feeding.take_loaded().or_else(|| self.cache.get(next).cloned()) else {
                if next > durable {
                    break;
                }
                return self.load_for_applying(durable);
            };
            self.feeding.hand_over(entry.record_len(), durable);
            if let Some(members) = membership_in(&entry) {
                self.belonging.learn(now, entry.index, members);
            }
            self.belonging.come_to(now, next);
            let tickets = self.proposals.take(entry.proposal);
            self.out.apply.push(ApplyWork::Entry { entry, tickets });
        }
        if let Some((_, generation)) = self.settling.take_if(|(upto, _)| self.feeding.next() > *upto) {
            self.proposals.settle(generation, &mut self.out.failed);
        }
        if let Some((_, generation)) = self.giving_up.take_if(|(upto, _)| self.feeding.next() > *upto) {
            self.proposals.give_up(generation, &mut self.out.failed);
        }
        // One that waits to be added does not know yet whose members it would put down.
        let is_member = !self.engine.membership().voters().is_empty();
        // Nor may a snapshot hold what this node's log does not.
        if is_member && self.feeding.next() <= durable.next() && self.feeding.snapshot_due() {
            self.out.apply.push(ApplyWork::Snapshot);
        }
    }

    fn load_for_applying(&mut self, limit: Index) {
        if !self.feeding.loading {
            self.feeding.loading = true;
            let range = self.feeding.next()..limit.next();
            let bytes_max = self.options.flow.frame_bytes_max;
            let epoch = self.shipping.epoch();
            self.out.loads.push(Load { purpose: LoadPurpose::Apply, range, bytes_max, epoch });
        }
    }

    /// A piece of a snapshot that [`Outputs::chunk_reads`](super::Outputs::chunk_reads) asked for was read; or there is
    /// none.
    pub fn chunk_read(&mut self, now: Time, to: NodeId, chunk: Result<Chunk, String>) {
        match chunk {
            Ok(chunk) => {
                if self.transfers.sent(now, to, &chunk) {
                    let Chunk { mark, total, offset, bytes } = chunk;
                    self.ship(to, Envelope::Chunk { mark, total, offset }, bytes);
                }
            }
            Err(cause) => {
                self.note(format!("node {to} needs a snapshot, which cannot be read: {cause}"));
                self.end_transfer(now, to, None);
            }
        }
    }

    fn take_chunk(&mut self, from: NodeId, chunk: Chunk) {
        if chunk.mark.index <= self.commit {
            // Had already: told, so that the sender ends.
            let envelope = Envelope::ChunkTaken { index: chunk.mark.index, offset: chunk.total };
            return self.ship(from, envelope, Bytes::new());
        }
        if chunk.bytes.is_empty() || chunk.offset >= chunk.total {
            return self.note(format!("node {from} sent a piece of a snapshot that is none; it was dropped"));
        }
        self.out.chunk_writes.push(ChunkWrite { from, chunk });
    }

    /// A piece of a peer's snapshot was written: so much of it is there now.
    pub fn chunk_written(&mut self, from: NodeId, index: Index, offset: u64) {
        self.ship(from, Envelope::ChunkTaken { index, offset }, Bytes::new());
    }

    /// A peer's snapshot is there, whole and durable.
    pub fn snapshot_received(&mut self, now: Time, from: NodeId, mark: SnapshotMark, total: u64) {
        let index = mark.index;
        self.step(now, Event::SnapshotReceived { from, mark });
        self.chunk_written(from, index, total);
    }

    fn chunk_taken(&mut self, now: Time, from: NodeId, index: Index, offset: u64) {
        if self.transfers.is_complete(from, index, offset) {
            self.end_transfer(now, from, Some(index));
        } else {
            self.out.chunk_reads.extend(self.transfers.taken(now, from, index, offset));
        }
    }

    pub(super) fn retry_transfers(&mut self, now: Time) {
        // Where a log may have holes, any member teaches any other, and the leader itself may be the one that lacks much.
        let only_leaders_send = E::CAPABILITIES.leader && !E::CAPABILITIES.holes;
        if only_leaders_send && self.engine.standing().role != Role::Leader {
            self.transfers.clear();
        }
        while let Some(overdue) = self.transfers.overdue(now) {
            match overdue {
                Ok(read) => self.out.chunk_reads.push(read),
                Err(to) => self.end_transfer(now, to, None),
            }
        }
        self.tend_relays(now);
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

fn membership_in(entry: &Entry) -> Option<Membership> {
    (entry.kind == EntryKind::Membership).then(|| Membership::decode(&entry.body).ok()).flatten()
}

fn read_event<M>(id: ReadId, lease: bool) -> Event<'static, M> {
    if lease { Event::LeaseRead(id) } else { Event::Read(id) }
}
