//! Frames from peers, and what this node asks of them in turn; proposals are in `forwarding`.

use bytes::Bytes;
use consensus_api::mutation::mutated;
use consensus_api::{
    Engine, Entry, EntryKind, Event, Frame, Index, LogTime, Membership, NodeId, ProposalId, ReadId, Role,
    SnapshotMark, StoreId, Time, record,
};

use super::outputs::{Chunk, ChunkWrite, LoadPurpose};
use super::{ApplyWork, Load, Replica};
use crate::envelope::Envelope;

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
                self.take_chunk((from, store), Chunk { mark, total, offset, bytes: frame.body });
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

    /// Asks for the index of all queued reads of a kind at once.
    pub(super) fn begin_reads(&mut self, now: Time) {
        let standing = self.standing;
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
        self.take_snapshot_if_due(durable);
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

    fn take_chunk(&mut self, (from, store): (NodeId, StoreId), chunk: Chunk) {
        if chunk.mark.index <= self.commit {
            // Had already: told, so that the sender ends.
            let envelope = Envelope::ChunkTaken { index: chunk.mark.index, offset: chunk.total };
            return self.ship(from, envelope, Bytes::new());
        }
        if chunk.bytes.is_empty() || chunk.offset >= chunk.total {
            return self.note(format!("node {from} sent a piece of a snapshot that is none; it was dropped"));
        }
        self.out.chunk_writes.push(ChunkWrite { from, store, chunk });
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
        if self.transfers.are_none() && self.relays.are_none() {
            return;
        }
        // Where a log may have holes, any member teaches any other, and the leader itself may be the one that lacks much.
        let only_leaders_send = E::CAPABILITIES.leader && !E::CAPABILITIES.holes;
        if only_leaders_send && self.standing.role != Role::Leader {
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

fn membership_in(entry: &Entry) -> Option<Membership> {
    (entry.kind == EntryKind::Membership).then(|| Membership::decode(&entry.body).ok()).flatten()
}

fn read_event<M>(id: ReadId, lease: bool) -> Event<'static, M> {
    if lease { Event::LeaseRead(id) } else { Event::Read(id) }
}
