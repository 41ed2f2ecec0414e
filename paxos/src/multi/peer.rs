//! [`Peer`]: what a leader knows of one other member, and what is on its way there.

use std::collections::VecDeque;
use std::time::Duration;

use consensus_api::mutation::mutated;
use consensus_api::{FlowLimits, Generation, Index, Moment, NodeId, PeerProgress, ReadRound, Time};

use super::slots::Slots;
use crate::log::Log;

/// What a leader knows of one other member.
#[derive(Clone, Hash, Debug)]
pub(super) struct Peer {
    pub(super) id: NodeId,
    /// The slots above the chosen prefix in which it has accepted what this ballot proposes, durably.
    pub(super) acked: Slots,
    /// The next slot to send.
    pub(super) next: Index,
    /// What is on its way, oldest first.
    frames: VecDeque<Frame>,
    bytes: usize,
    /// Something was on its way when the last heartbeat left, and nothing has been acknowledged since.
    stalled: bool,
    /// It cannot be reached: nothing is sent until it answers.
    paused: bool,
    /// Everything up to here is chosen, as far as it knows.
    pub(super) commit: Index,
    /// The chosen prefix last told.
    pub(super) commit_told: Index,
    /// The newest read it has confirmed the leadership for.
    pub(super) round: ReadRound,
    /// Everything up to here is chosen, by what its disk says.
    pub(super) remembered: Index,
    /// When it was last heard.
    pub(super) contact: Moment,
    /// It is no member any more: since when, and what it should know to be chosen in order to know that.
    pub(super) leaving: Option<(Moment, Index)>,
}

/// A frame on its way.
#[derive(Clone, Copy, Hash, Debug)]
struct Frame {
    first: Index,
    last: Index,
    bytes: usize,
}

impl Peer {
    /// A peer of a new leader, which proposes from `next` on.
    pub(super) fn new(id: NodeId, next: Index, now: Time) -> Self {
        Self {
            id,
            acked: Slots::default(),
            next,
            frames: VecDeque::new(),
            bytes: 0,
            stalled: false,
            paused: false,
            commit: Index::ZERO,
            commit_told: Index::ZERO,
            round: ReadRound::default(),
            remembered: Index::ZERO,
            contact: Moment(now),
            leaving: None,
        }
    }

    /// Whether more may be on its way. The last frame may exceed the limit in bytes: else a large entry would never go.
    pub(super) fn may_send(&self, limits: &FlowLimits) -> bool {
        !self.paused
            && self.frames.len() < limits.inflight_frames_max
            && self.bytes < limits.inflight_bytes_max
    }

    /// What this ballot proposes in the next slots that it was not sent. What it knows to be chosen it may hold no longer, and
    /// would never acknowledge.
    pub(super) fn due(&self, log: &Log, ballot: Generation) -> Option<(Index, Index)> {
        log.of_ballot(self.next.max(self.commit.next()).max(log.compacted().next()), ballot)
    }

    /// Entries went out.
    pub(super) fn sent(&mut self, first: Index, last: Index, bytes: usize) {
        self.frames.push_back(Frame { first, last, bytes });
        self.bytes += bytes;
        self.next = last.next();
    }

    /// It accepted these slots. Only those above the chosen prefix still count.
    pub(super) fn accepted(&mut self, first: Index, last: Index, commit: Index) {
        let first = if mutated("paxos/ack-over-a-gap") { commit.next() } else { first };
        self.acked.insert(first.max(commit.next()), last);
        self.stalled = false;
        self.forget_frames(|frame, known| frame.first.max(known.next()) >= first && frame.last <= last);
    }

    /// It knows that everything up to `commit` is chosen: whatever is on its way there is not needed.
    pub(super) fn knows(&mut self, commit: Index) {
        if commit > self.commit {
            self.commit = commit;
            self.forget_frames(|frame, known| frame.last <= known);
        }
    }

    fn forget_frames(&mut self, done: impl Fn(&Frame, Index) -> bool) {
        let (known, mut bytes) = (self.commit, 0);
        self.frames.retain(|frame| {
            let done = done(frame, known);
            bytes += if done { frame.bytes } else { 0 };
            !done
        });
        self.bytes -= bytes;
    }

    /// A heartbeat leaves: what is on its way now should be acknowledged before the next.
    pub(super) fn expect_answer(&mut self) {
        self.stalled = !self.frames.is_empty();
    }

    /// It answered a heartbeat, so messages reach it: whatever is not acknowledged since the one before is lost.
    pub(super) fn heard(&mut self) {
        self.paused = false;
        if self.stalled {
            self.rewind();
        }
    }

    /// It cannot be reached; what is on its way counts as lost.
    pub(super) fn lost(&mut self) {
        self.paused = true;
        self.rewind();
    }

    fn rewind(&mut self) {
        self.next = self.frames.front().map_or(self.next, |frame| frame.first.min(self.next));
        self.frames.clear();
        self.bytes = 0;
        self.stalled = false;
    }

    /// Whether it was removed, and knows, or had the time to hear of it.
    pub(super) fn is_gone(&self, now: Time, patience: Duration) -> bool {
        self.leaving.is_some_and(|(since, news)| self.commit >= news || now.since(since.0) >= patience)
    }

    /// Whether it holds all that this ballot has proposed below `next`, and can be reached.
    pub(super) fn has_all(&self, next: Index) -> bool {
        !self.paused && self.frames.is_empty() && self.next >= next
    }

    /// Up to here it is known to agree with this leader's log.
    pub(super) fn matched(&self, commit: Index) -> Index {
        self.commit.max(self.acked.reach(self.commit.min(commit)))
    }

    /// This knowledge in the form everyone understands.
    pub(super) fn report(&self, commit: Index, compacted: Index) -> PeerProgress {
        PeerProgress {
            peer: self.id,
            matched: self.matched(commit),
            next: self.next,
            inflight_bytes: self.bytes,
            needs_snapshot: self.commit < compacted && self.acked.ranges().is_empty(),
        }
    }

    /// The bytes on their way, as counted and as kept.
    pub(super) fn bytes_under_way(&self) -> (usize, usize) {
        (self.frames.iter().map(|frame| frame.bytes).sum(), self.bytes)
    }

    /// How many frames are on their way, and the bytes of all but the newest.
    pub(super) fn frames_under_way(&self) -> (usize, usize) {
        (self.frames.len(), self.bytes - self.frames.back().map_or(0, |frame| frame.bytes))
    }
}
