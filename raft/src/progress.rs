//! [`Peer`]: what a leader knows of one other member, and how it may send to it.

use std::collections::VecDeque;

use consensus_api::{FlowLimits, Index, Moment, NodeId, PeerProgress, ReadRound, Time};

/// What a leader knows of one other member.
///
/// ```text
///            accepted                      next entry compacted
///   Probe ──────────────► Stream      Probe, Stream ──────────► Snapshot
///     ▲                      │                                     │
///     └──────────────────────┘                                     │
///      rejected, unreachable          Probe ◄──────────────────────┘ sent, failed
/// ```
#[derive(Clone, Hash, Debug)]
pub(crate) struct Peer {
    pub(crate) id: NodeId,
    /// Its log agrees up to here, durably.
    pub(crate) matched: Index,
    /// The next entry to send.
    pub(crate) next: Index,
    pub(crate) flow: Flow,
    /// Entries were asked for, and it is not yet known whether they went out. At most one such request at a time.
    pub(crate) filling: bool,
    /// An answer was expected when the last heartbeat left, and has not come since.
    pub(crate) stalled: bool,
    /// The commit index last sent.
    pub(crate) commit_told: Index,
    /// The newest read it has confirmed the leadership for.
    pub(crate) round: ReadRound,
    /// The newest read it was asked to confirm.
    pub(crate) asked: ReadRound,
    /// When it was last heard.
    pub(crate) contact: Moment,
    /// How much it should lead, as it says.
    pub(crate) priority: u8,
    /// Since when it is a member no longer; it is sent to until it knows.
    pub(crate) leaving: Option<Moment>,
}

/// How a leader may send to a peer.
#[derive(Clone, Hash, Debug)]
pub(crate) enum Flow {
    /// It is not known where the logs agree: one message at a time, until one is accepted.
    Probe {
        /// A message is on its way.
        waiting: bool,
    },
    /// Entries are sent ahead of their acknowledgement, as far as the window allows.
    Stream(Window),
    /// The log no longer holds what the peer lacks: it waits for a snapshot.
    Snapshot,
}

/// The frames on their way to a peer.
#[derive(Clone, Hash, Default, Debug)]
pub(crate) struct Window {
    frames: VecDeque<Frame>,
    bytes: usize,
}

/// A frame on its way.
#[derive(Clone, Copy, Hash, Debug)]
struct Frame {
    last: Index,
    bytes: usize,
}

impl Peer {
    /// A peer of a new leader, whose log ends before `next`.
    pub(crate) fn new(id: NodeId, next: Index, now: Time) -> Self {
        Self {
            id,
            matched: Index::ZERO,
            next,
            flow: Flow::Probe { waiting: false },
            filling: false,
            stalled: false,
            commit_told: Index::ZERO,
            round: ReadRound::default(),
            asked: ReadRound::default(),
            contact: Moment(now),
            priority: 0,
            leaving: None,
        }
    }

    /// Whether something may be sent: entries up to `last`, or in their absence a probe.
    pub(crate) fn may_send(&self, last: Index, limits: &FlowLimits) -> bool {
        !self.filling
            && match &self.flow {
                Flow::Probe { waiting } => !waiting,
                Flow::Stream(window) => self.next <= last && !window.is_full(limits),
                Flow::Snapshot => false,
            }
    }

    /// Entries up to `last` went out.
    pub(crate) fn sent(&mut self, last: Index, bytes: usize) {
        match &mut self.flow {
            // A probe's entries are sent again if it is rejected: `next` moves when it is accepted.
            Flow::Probe { waiting } => *waiting = true,
            Flow::Stream(window) => {
                window.push(last, bytes);
                self.next = last.next();
            }
            Flow::Snapshot => {}
        }
    }

    /// The peer's log agrees up to `matched`. Acknowledgements are cumulative: one makes up for all lost before it.
    pub(crate) fn accepted(&mut self, matched: Index, compacted: Index) {
        if matched > self.matched {
            self.matched = matched;
            self.stalled = false;
        }
        self.next = self.next.max(self.matched.next());
        match &mut self.flow {
            Flow::Probe { .. } => self.stream(),
            Flow::Stream(window) => window.free_upto(matched),
            // It got what it lacks by another way, such as a snapshot that arrived although it was thought lost.
            Flow::Snapshot if self.matched >= compacted => self.stream(),
            Flow::Snapshot => {}
        }
    }

    /// Goes back to probing, from `next`. What is on its way counts as lost.
    pub(crate) fn probe(&mut self, next: Index, waiting: bool) {
        self.next = next.max(self.matched.next());
        self.flow = Flow::Probe { waiting };
        self.stalled = false;
    }

    fn stream(&mut self) {
        self.next = self.matched.next();
        self.flow = Flow::Stream(Window::default());
    }

    /// Whether something is on its way that will be answered.
    pub(crate) fn expects_answer(&self) -> bool {
        match &self.flow {
            Flow::Probe { waiting } => *waiting,
            Flow::Stream(window) => window.len() > 0,
            Flow::Snapshot => false,
        }
    }

    /// The frames on their way.
    pub(crate) fn window(&self) -> Option<&Window> {
        if let Flow::Stream(window) = &self.flow { Some(window) } else { None }
    }

    /// This knowledge in the form everyone understands.
    pub(crate) fn report(&self) -> PeerProgress {
        PeerProgress {
            peer: self.id,
            matched: self.matched,
            next: self.next,
            inflight_bytes: self.window().map_or(0, Window::bytes),
            needs_snapshot: matches!(self.flow, Flow::Snapshot),
        }
    }
}

impl Window {
    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The last entry of each frame, oldest first, and its bytes.
    pub(crate) fn frames(&self) -> impl Iterator<Item = (Index, usize)> + '_ {
        self.frames.iter().map(|frame| (frame.last, frame.bytes))
    }

    /// Whether it is full. The last frame may exceed the limit in bytes: else a large entry would never go.
    pub(crate) fn is_full(&self, limits: &FlowLimits) -> bool {
        self.frames.len() >= limits.inflight_frames_max || self.bytes >= limits.inflight_bytes_max
    }

    fn push(&mut self, last: Index, bytes: usize) {
        self.frames.push_back(Frame { last, bytes });
        self.bytes += bytes;
    }

    fn free_upto(&mut self, matched: Index) {
        while let Some(frame) = self.frames.front()
            && frame.last <= matched
        {
            self.bytes -= frame.bytes;
            self.frames.pop_front();
        }
    }
}
