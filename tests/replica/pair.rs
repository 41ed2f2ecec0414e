//! [`Pair`]: a leader and a follower, a network between them that can be held up, and disks that are durable at once.

use std::time::Duration;

use node::{ApplyWork, Options, OutgoingFrame, Replica, Start};
use quorate::{
    Arrival, ClusterName, Engine, Error, Frame, Generation, Identity, Incarnation, Index, LogTime,
    Membership, NodeId, Outline, Raft, RaftOptions, Recovered, Role, SnapshotMark, StoreId, Time,
};

/// The disk of each: they are told apart by their numbers.
const STORE: StoreId = StoreId(1);

type Member = Replica<Raft, u32, u32>;

fn founders() -> Membership {
    let three = Membership::of_voters([1, 2, 3].map(NodeId)).expect("a few members");
    [1, 2, 3].into_iter().fold(three, |three, id| three.with_store(NodeId(id), STORE).expect("a member"))
}

pub(crate) fn mark(index: u64) -> SnapshotMark {
    let generation = Generation::new(1, NodeId(1));
    SnapshotMark { index: Index(index), generation, membership: founders() }
}

/// One of three members, as of what its disk holds.
pub(crate) fn member(
    id: u64,
    incarnation: Incarnation,
    snapshot: Option<SnapshotMark>,
    outline: Outline,
) -> Member {
    let cluster = ClusterName::new("pair").expect("a good name");
    let (node, engine, store) = (NodeId(id), Raft::NAME, STORE);
    let identity = Identity { cluster, node, engine, store, incarnation };
    let (now, options, engine) = (Time::ZERO, Options::default(), RaftOptions::default());
    let start = Start { identity, founders: founders(), snapshot, now, seed: id, options, engine };
    Replica::recover(start, Recovered { outline, ..Recovered::default() }).expect("a sound log")
}

pub(crate) struct Pair {
    pub(crate) leader: Member,
    pub(crate) follower: Member,
    pub(crate) now: Time,
    /// The leader hears nothing.
    pub(crate) deaf: bool,
    /// Neither hears the other.
    pub(crate) parted: bool,
    /// Reads whose turn came, on either.
    pub(crate) reads: Vec<u32>,
    pub(crate) failed_reads: Vec<(u32, Error)>,
    /// Proposals that ended without an answer, on either.
    pub(crate) failed: Vec<(u32, Error)>,
    /// Errands that came to their end, on either.
    pub(crate) administered: Vec<(u64, Result<(), Error>)>,
    /// What became of snapshots that the leader was asked for.
    pub(crate) snapshots: Vec<(u64, Result<Index, Error>)>,
    /// What the leader's state machine was given. It does nothing until told.
    pub(crate) applying: Vec<ApplyWork<u32>>,
    /// Proposals forwarded so far.
    pub(crate) forwards: usize,
    /// Frames to this node whose first byte is this are held back.
    holding: Option<(NodeId, u8)>,
    held: Vec<Frame>,
    follower_disk: Outline,
}

const FORWARD: u8 = 2;

impl Pair {
    /// A pair of which node 1 leads. The follower's clock stood still meanwhile.
    pub(crate) fn elected() -> Self {
        let mut pair = Self {
            leader: member(1, Incarnation(1), None, Outline::default()),
            follower: member(2, Incarnation(1), None, Outline::default()),
            now: Time::ZERO + Duration::from_secs(3),
            deaf: false,
            parted: false,
            reads: Vec::new(),
            failed_reads: Vec::new(),
            failed: Vec::new(),
            administered: Vec::new(),
            snapshots: Vec::new(),
            applying: Vec::new(),
            forwards: 0,
            holding: None,
            held: Vec::new(),
            follower_disk: Outline::default(),
        };
        for _ in 0..20 {
            pair.step_leader();
            let now = if pair.follower.standing().leader.is_some() { pair.now } else { Time::ZERO };
            pair.step_follower(now);
        }
        assert_eq!(pair.leader.standing().role, Role::Leader);
        assert_eq!(pair.follower.standing().leader, Some(NodeId(1)));
        pair
    }

    /// Lets both carry on, so many times, at this moment.
    pub(crate) fn run(&mut self, rounds: usize) {
        for _ in 0..rounds {
            self.step_leader();
            self.step_follower(self.now);
        }
    }

    /// Lets time pass, in steps short enough for heartbeats.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now = self.now + Duration::from_millis(20);
            self.run(4);
        }
    }

    /// Frames to `to` that begin with `kind` are held back while `during` runs, and returned.
    pub(crate) fn hold_back(&mut self, during: impl FnOnce(&mut Self), to: NodeId, kind: u8) -> Vec<Frame> {
        self.holding = Some((to, kind));
        during(self);
        self.holding = None;
        std::mem::take(&mut self.held)
    }

    pub(crate) fn restart_follower(&mut self) {
        self.follower = member(2, Incarnation(2), None, self.follower_disk.clone());
        self.run(4);
    }

    pub(crate) fn deliver_to_follower(&mut self, frame: Frame) {
        self.follower.arrival(self.now, LogTime::ZERO, Arrival::Frame { from: NodeId(1), frame });
        self.step_follower(self.now);
    }

    /// The follower's state machine catches up with everything committed.
    pub(crate) fn apply_all(&mut self) {
        self.follower.applied(self.now, self.follower.standing().commit);
    }

    fn step_leader(&mut self) {
        for _ in 0..4 {
            self.leader.advance(self.now, LogTime::ZERO);
            let mut out = std::mem::take(self.leader.outputs());
            self.reads.append(&mut out.reads);
            self.failed_reads.append(&mut out.failed_reads);
            self.applying.append(&mut out.apply);
            self.failed.append(&mut out.failed);
            self.administered.append(&mut out.administered);
            self.snapshots.append(&mut out.snapshots);
            self.carry(NodeId(1), out.frames);
            let Some((seq, _)) = out.write else { return };
            self.leader.durable(self.now, seq);
        }
    }

    fn step_follower(&mut self, now: Time) {
        for _ in 0..4 {
            self.follower.advance(now, LogTime::ZERO);
            let mut out = std::mem::take(self.follower.outputs());
            self.reads.append(&mut out.reads);
            self.failed.append(&mut out.failed);
            self.administered.append(&mut out.administered);
            self.carry(NodeId(2), out.frames);
            let Some((seq, batch)) = out.write else { return };
            batch.ops().iter().for_each(|op| self.follower_disk.replay(op));
            self.follower.durable(now, seq);
        }
    }

    fn carry(&mut self, from: NodeId, frames: Vec<OutgoingFrame>) {
        for OutgoingFrame { to, frame, .. } in frames {
            let kind = frame.head.first().copied().unwrap_or_default();
            self.forwards += usize::from(kind == FORWARD);
            if self.holding == Some((to, kind)) {
                self.held.push(frame);
            } else if to != NodeId(3) && !self.parted && !(self.deaf && to == NodeId(1)) {
                let receiver = if to == NodeId(1) { &mut self.leader } else { &mut self.follower };
                receiver.arrival(self.now, LogTime::ZERO, Arrival::Frame { from, frame });
            }
        }
    }
}
