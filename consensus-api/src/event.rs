//! [`Event`] and [`Effects`]: what goes into an engine, and what comes out.

use bytes::Bytes;

use crate::{
    Batch, Entry, Generation, Index, Membership, NodeId, Op, ProposalId, Refusal, SnapshotMark, StoreId,
    WriteSeq,
};

/// Names a read within one node's life. Made by the node, never taken from a client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct ReadId(pub u64);

/// What happened.
#[derive(Clone, Debug)]
pub enum Event<'a, M> {
    /// A peer said something. `entries` came with it.
    Message {
        /// Who said it.
        from: NodeId,
        /// What it said.
        message: M,
        /// The entries beside it, in the order sent; intact, but not otherwise checked.
        entries: &'a [Entry],
    },
    /// Put this entry into the log. Generation and index are the engine's to stamp. Answered in the same step, in
    /// [`Effects::proposals`].
    Propose(Entry),
    /// Find an index such that whoever has applied up to it sees every write that was acknowledged before now.
    Read(ReadId),
    /// As [`Read`](Self::Read), but may be answered from a lease: a span of time in which, by a stated bound on the drift
    /// of clocks, nobody else can lead. An engine without a valid lease treats it as a read. Answered like one.
    LeaseRead(ReadId),
    /// Make this the membership, by whatever steps it takes. Answered in the same step like a proposal; once accepted,
    /// answered again when it is in force and committed ([`Outcome::Completed`]), or is given up (refused, and the
    /// voters are as they were), or when this member can no longer tell ([`Outcome::Unknown`]). Only the member that led
    /// from the request to its end is sure to answer again.
    ChangeMembership {
        /// The name of the request.
        proposal: ProposalId,
        /// The membership wished for, without outgoing voters.
        membership: Membership,
    },
    /// Hand leadership to `to`, or to whoever is best placed. Answered as [`ChangeMembership`](Self::ChangeMembership) is;
    /// completed when the successor is heard to lead.
    TransferLeadership {
        /// The name of the request.
        proposal: ProposalId,
        /// The successor wished for.
        to: Option<NodeId>,
    },
    /// A member that is known by no disk yet has spoken from this one. A leader whose engine can change memberships puts it
    /// down in the membership, as soon as nothing else is being changed there; and gives nobody a vote who is known by no
    /// disk, if it is itself. The node tells again until it stands there.
    StoreMet {
        /// Who spoke.
        member: NodeId,
        /// From which disk.
        store: StoreId,
    },
    /// Everything written up to this number is durable.
    Durable(WriteSeq),
    /// The state machine has applied everything up to here.
    Applied(Index),
    /// Entries asked for with [`Effects::send_entries`] went out: `first ..= last`, taking `bytes`. Comes before any
    /// other event.
    Sent {
        /// The peer they went to.
        to: NodeId,
        /// The first entry.
        first: Index,
        /// The last entry; it may lie before the last one asked for.
        last: Index,
        /// Their bytes.
        bytes: usize,
    },
    /// Entries asked for are on disk only, and are now in memory: ask again. Nothing went out.
    Loaded {
        /// The peer they are meant for.
        to: NodeId,
    },
    /// Frames to this peer may have been lost.
    Unreachable(NodeId),
    /// A connection to this peer stands again.
    Connected(NodeId),
    /// This node took a snapshot, durable in its snapshot storage. The log is to be kept from `keep_from` on, if it
    /// reaches back so far.
    SnapshotTaken {
        /// What the snapshot stands for.
        mark: SnapshotMark,
        /// The first entry to keep behind it; at most `mark.index + 1`.
        keep_from: Index,
    },
    /// A snapshot came from a peer, and is durable in the snapshot storage.
    SnapshotReceived {
        /// The peer.
        from: NodeId,
        /// What the snapshot stands for.
        mark: SnapshotMark,
    },
    /// A snapshot that [`Effects::snapshots_needed`] asked for reached its peer, or could not be sent.
    SnapshotSent {
        /// The peer.
        to: NodeId,
        /// The last entry it covers; `None` when it could not be sent.
        upto: Option<Index>,
    },
    /// The time of [`Engine::deadline`](crate::Engine::deadline) has come.
    Tick,
}

/// When a message may leave.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum After {
    /// At once: it asserts nothing that is not durable.
    Now,
    /// Once this write is durable; and then only if [`Engine::still_true`](crate::Engine::still_true).
    Durable(WriteSeq),
}

/// A range of the log to go with a message: `first ..= last`, as much of it as fits in `bytes_max` and at least one
/// entry.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EntryRange {
    /// The first entry.
    pub first: Index,
    /// The last entry.
    pub last: Index,
    /// The most bytes of records.
    pub bytes_max: usize,
}

/// A message on its way out.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Outgoing<M> {
    /// Who it is for.
    pub to: NodeId,
    /// When it may leave.
    pub after: After,
    /// The message.
    pub message: M,
    /// The entries that go with it. Such a message always leaves [`Now`](After::Now), or is dropped when the entries
    /// have to be loaded first.
    pub entries: Option<EntryRange>,
}

/// What became of a request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// Taken into the log under this generation. Not yet committed. Zero from an engine without leaders. Of a change of
    /// membership or a transfer of leadership: begun.
    Accepted(Generation),
    /// A change of membership or a transfer of leadership that was accepted is done.
    Completed,
    /// Not taken. It did not happen.
    Refused(Refusal),
    /// It may still be committed, or may never be; the engine will not say more.
    Unknown,
}

/// What follows from an event. Appended to by [`Engine::step`](crate::Engine::step), emptied by the node, and used
/// again: in the steady state a step allocates nothing.
#[derive(Clone, Debug)]
pub struct Effects<M> {
    seq: WriteSeq,
    batch: Batch,
    /// Messages to send.
    pub sends: Vec<Outgoing<M>>,
    /// Everything up to here is committed. Zero when nothing new is.
    pub committed: Index,
    /// Reads that are answered: apply up to the index, then read.
    pub reads: Vec<(ReadId, Result<Index, Refusal>)>,
    /// Requests that are answered.
    pub proposals: Vec<(ProposalId, Outcome)>,
    settled: Generation,
    given_up: Generation,
    /// Peers that need a snapshot, because the log no longer holds what they lack. Answered by [`Event::SnapshotSent`].
    pub snapshots_needed: Vec<NodeId>,
    /// Replace the state machine's state by the newest snapshot, which is this one.
    pub restore: Option<SnapshotMark>,
    /// The engine cannot go on; the node stops with this cause.
    pub fatal: Option<String>,
}

impl<M> Effects<M> {
    /// No effects. The first write will be number 1.
    pub const fn new() -> Self {
        Self {
            seq: WriteSeq(0),
            batch: Batch::new(),
            sends: Vec::new(),
            committed: Index::ZERO,
            reads: Vec::new(),
            proposals: Vec::new(),
            settled: Generation::ZERO,
            given_up: Generation::ZERO,
            snapshots_needed: Vec::new(),
            restore: None,
            fatal: None,
        }
    }

    /// Writes a change, and says under which number it becomes durable. All writes until the node takes them form one
    /// batch under one number.
    pub fn write(&mut self, op: Op) -> WriteSeq {
        self.batch.push(op);
        WriteSeq(self.seq.0 + 1)
    }

    /// Writes the engine's hard state. See [`write`](Self::write).
    pub fn write_hard_state(&mut self, bytes: Bytes) -> WriteSeq {
        self.write(Op::HardState(bytes))
    }

    /// The number of the newest write so far: once it is durable, all that was written is.
    pub fn newest_write(&self) -> WriteSeq {
        if self.batch.is_empty() { self.seq } else { WriteSeq(self.seq.0 + 1) }
    }

    /// Sends a message.
    pub fn send(&mut self, to: NodeId, after: After, message: M) {
        self.sends.push(Outgoing { to, after, message, entries: None });
    }

    /// Sends a message with entries. The node answers with [`Event::Sent`], or later with [`Event::Loaded`]. A message to
    /// oneself comes back as [`Event::Message`]: that is how an engine reads its own log.
    pub fn send_entries(&mut self, to: NodeId, message: M, entries: EntryRange) {
        self.sends.push(Outgoing { to, after: After::Now, message, entries: Some(entries) });
    }

    /// Everything up to `index` is committed.
    pub fn commit(&mut self, index: Index) {
        self.committed = self.committed.max(index);
    }

    /// No entry accepted under a generation lower than this will be committed any more, unless it is already: whoever
    /// still waits for one after applying up to the commit index knows that it did not happen.
    pub fn settle(&mut self, generation: Generation) {
        self.settled = self.settled.max(generation);
    }

    /// Of entries accepted under a generation lower than this, and not committed yet, the engine will not say more: some
    /// may still be committed. Whoever still waits for one after applying up to the commit index is told that nobody
    /// knows. For engines in which a later leader may take up what an earlier one left.
    pub fn give_up(&mut self, generation: Generation) {
        self.given_up = self.given_up.max(generation);
    }

    /// See [`give_up`](Self::give_up). Zero when nothing was said.
    pub const fn given_up(&self) -> Generation {
        self.given_up
    }

    /// See [`settle`](Self::settle). Zero when nothing was said.
    pub const fn settled(&self) -> Generation {
        self.settled
    }

    /// Takes the writes as one batch with its number; `None` when there are none.
    pub fn take_batch(&mut self) -> Option<(WriteSeq, Batch)> {
        if self.batch.is_empty() {
            return None;
        }
        self.seq = WriteSeq(self.seq.0 + 1);
        Some((self.seq, std::mem::take(&mut self.batch)))
    }

    /// Empties what is left, keeping the memory and the count of writes. Writes must have been taken.
    pub fn clear(&mut self) {
        debug_assert!(self.batch.is_empty(), "writes are taken, not dropped");
        self.sends.clear();
        self.committed = Index::ZERO;
        self.reads.clear();
        self.proposals.clear();
        self.settled = Generation::ZERO;
        self.given_up = Generation::ZERO;
        self.snapshots_needed.clear();
        self.restore = None;
        self.fatal = None;
    }
}

impl<M> Default for Effects<M> {
    fn default() -> Self {
        Self::new()
    }
}
