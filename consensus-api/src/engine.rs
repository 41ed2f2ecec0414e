//! [`Engine`]: a consensus protocol as a pure state machine.

use std::fmt::Debug;
use std::hash::Hash;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use thiserror::Error;

use crate::{
    Effects, EngineName, Event, Generation, Index, Lane, Membership, NodeId, Outline, StartError, Time,
};

/// A consensus protocol: events in, effects out, nothing else.
///
/// What an engine promises:
/// 1. **Durable before speech.** A message that asserts durability (a vote, a promise, an append acknowledgement, one's
///    own vote in a quorum) is sent [`AfterDurable`](crate::After::Durable) the write it rests on. A leader's replication
///    does not wait for its own disk.
/// 2. **Pure.** The same state, event and seed give the same effects, byte for byte. No clock, no I/O, no threads, no
///    randomness of its own, no hash order. [`Hash`] is a fingerprint of the protocol state without time and randomness.
/// 3. **Safe on a bad network.** Messages may be lost, delayed, duplicated and reordered. FIFO links make an engine fast,
///    never correct.
/// 4. **Every request is answered.** What is proposed is accepted or refused at once; what was accepted under a
///    generation is committed, or [`Effects::settle`] says that it never will be, or [`Effects::give_up`] that nobody can
///    tell. An engine without leaders accepts under generation zero, and sees the entry through itself: it is committed,
///    or covered by a snapshot that the node takes over. A read is answered or refused.
/// 5. **Complete.** Membership change, snapshots, read index and leadership transfer are part of the trait. What an
///    engine cannot do it says in [`CAPABILITIES`](Self::CAPABILITIES), and refuses with [`Refusal::Unsupported`].
/// 6. **Checked.** The protocol's invariants are asserts, one sentence each, in [`check`](Self::check),
///    [`check_step`](Self::check_step) and [`check_cluster`](Self::check_cluster). Each returns how many it evaluated.
///
/// An engine holds the shape of the log, not its payloads. To send entries it names a range
/// ([`Outgoing::entries`](crate::Outgoing::entries)) and learns from [`Event::Sent`] how much of it went out.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a consensus engine",
    note = "enable a feature that brings one (`raft`, `multi-paxos` or `paxos`), or name one with `.engine::<E>()`"
)]
pub trait Engine: Clone + Hash + Debug + Send + 'static {
    /// Written into log headers and handshakes.
    const NAME: EngineName;
    /// What this engine can do.
    const CAPABILITIES: Capabilities;
    /// What members say to each other.
    type Message: Message;
    /// Options of this engine alone.
    type Options: Clone + Debug + Default + Send + 'static;

    /// An engine as of what its storage holds.
    ///
    /// # Errors
    /// [`StartError`] when options or log do not fit.
    fn recover(setup: Setup<Self::Options>, outline: &Outline) -> Result<Self, StartError>;

    /// Takes one event and appends what follows from it to `effects`. `now` never goes back.
    fn step(&mut self, now: Time, event: Event<'_, Self::Message>, effects: &mut Effects<Self::Message>);

    /// When the engine next wants [`Event::Tick`]; [`Time::MAX`] for never.
    fn deadline(&self) -> Time;

    /// Whether a message that was held back until its write was durable may still be said. `false` when a later write
    /// has taken the place of what it asserts.
    fn still_true(&self, message: &Self::Message) -> bool;

    /// Whether a proposal handed in now would be taken, rather than refused because another is under way. While it would
    /// not, commands gather in the node, and go together later. An engine in which every member proposes for itself has
    /// one entry under way per member: else a later one could be chosen before an earlier one.
    fn takes_proposals(&self) -> bool {
        true
    }

    /// Where this engine stands. Cheap.
    fn standing(&self) -> Standing;

    /// The membership in force; while a change is under way, with those who go by it.
    fn membership(&self) -> &Membership;

    /// What a leader knows of each other member, appended to `out`. Nothing from a follower.
    fn progress(&self, out: &mut Vec<PeerProgress>);

    /// Panics unless this state on its own is sound.
    fn check(&self) -> u64;

    /// Panics unless `after` may follow `before` in one step.
    fn check_step(before: &Self, after: &Self) -> u64;

    /// Panics unless these states of one cluster's members may exist together.
    fn check_cluster(members: &[&Self]) -> u64;
}

/// What an engine is made of besides its log.
#[derive(Clone, Debug)]
pub struct Setup<O> {
    /// This node.
    pub node: NodeId,
    /// The membership to found the cluster with: used while the log holds none.
    pub founders: Membership,
    /// The start.
    pub now: Time,
    /// The source of all randomness. Nodes must differ in it.
    pub seed: u64,
    /// Heartbeats and election timeouts.
    pub timing: Timing,
    /// How much may be on its way to a peer.
    pub flow: FlowLimits,
    /// The engine's own options.
    pub options: O,
}

/// The times that all engines share. `heartbeat` < `election_timeout_min` <= `election_timeout_max`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    /// How often a leader makes itself heard. 100 ms by default.
    pub heartbeat: Duration,
    /// The shortest silence after which a follower stands for election. 1 s by default; at least twice the heartbeat,
    /// and well above a round trip plus a slow sync.
    pub election_timeout_min: Duration,
    /// The longest such silence; each wait is drawn between the two. 2 s by default.
    pub election_timeout_max: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(100),
            election_timeout_min: Duration::from_secs(1),
            election_timeout_max: Duration::from_secs(2),
        }
    }
}

impl Timing {
    /// Checks the relations between the fields.
    ///
    /// # Errors
    /// [`StartError::Options`] names the field and the remedy.
    pub fn check(&self) -> Result<(), StartError> {
        let wrong = |field, problem| Err(StartError::Options { field, problem });
        if self.heartbeat.is_zero() {
            return wrong("heartbeat", "must be longer than zero; 100 ms is usual");
        }
        if self.election_timeout_min / 2 < self.heartbeat {
            return wrong("election_timeout_min", "must be at least twice the heartbeat; ten times is usual");
        }
        if self.election_timeout_max < self.election_timeout_min {
            return wrong(
                "election_timeout_max",
                "must not be shorter than election_timeout_min; twice is usual",
            );
        }
        Ok(())
    }
}

/// How much a leader may have on its way to one peer before it waits for an answer. Few large frames beat many small
/// ones: while the window is full, entries gather, and the next frame takes them all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FlowLimits {
    /// Frames with entries on their way to a peer. 4 by default.
    pub inflight_frames_max: usize,
    /// Bytes of entries on their way to a peer. 8 MiB by default.
    pub inflight_bytes_max: usize,
    /// Bytes of entries in one frame; a single larger entry still goes, alone. 1 MiB by default.
    pub frame_bytes_max: usize,
}

impl Default for FlowLimits {
    fn default() -> Self {
        Self { inflight_frames_max: 4, inflight_bytes_max: 8 << 20, frame_bytes_max: 1 << 20 }
    }
}

/// What an engine can do; the rest it refuses with [`Refusal::Unsupported`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::struct_excessive_bools)] // a list of yes and no is what it is
pub struct Capabilities {
    /// One member leads, and proposals and reads go to it. Without it, every member proposes for itself.
    pub leader: bool,
    /// Leadership can be handed over.
    pub leadership_transfer: bool,
    /// The membership can change while running.
    pub membership_change: bool,
    /// A log may have holes.
    pub holes: bool,
}

/// What a member does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// Decides the order of entries.
    Leader,
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks to lead.
    Candidate,
    /// Receives the log without a vote.
    Learner,
    /// Proposes for itself, as every voter of an engine without leaders does.
    Peer,
}

impl Role {
    /// The role in one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Candidate => "candidate",
            Self::Learner => "learner",
            Self::Peer => "peer",
        }
    }
}

/// Where an engine stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Standing {
    /// What it does.
    pub role: Role,
    /// The highest generation it knows of. While a leader is known, that leader's own. Zero for an engine without leaders.
    pub generation: Generation,
    /// The leader of that generation, where known. Always the node itself for an engine without leaders.
    pub leader: Option<NodeId>,
    /// Everything up to here is committed.
    pub commit: Index,
    /// The last entry of the log.
    pub last: Index,
}

/// What a leader knows of one peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerProgress {
    /// The peer.
    pub peer: NodeId,
    /// Its log is known to agree up to here, durably.
    pub matched: Index,
    /// The next entry to send.
    pub next: Index,
    /// Bytes of entries on their way.
    pub inflight_bytes: usize,
    /// It needs a snapshot, because the log no longer holds what it lacks.
    pub needs_snapshot: bool,
}

/// Why an engine did not take a request. The request did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Another node leads, or none.
    #[error("this node does not lead")]
    NotLeader,
    /// The engine cannot do that.
    #[error("this engine does not support {0}")]
    Unsupported(&'static str),
    /// The request breaks a rule.
    #[error("{0}")]
    Invalid(&'static str),
    /// This is not the moment for the request: in a moment it will be taken, so the node asks again.
    #[error("{0}")]
    NotYet(&'static str),
    /// A member that was to vote could not be brought up to date in time. The voters are as they were.
    #[error("node {0} did not catch up with the log in time, so it did not become a voter")]
    NotCaughtUp(NodeId),
}

/// What members say to each other: a few fixed fields; entries travel beside it.
pub trait Message: Clone + Debug + Hash + Eq + Send + 'static {
    /// How urgent it is.
    fn lane(&self) -> Lane;

    /// Appends the byte form.
    fn encode(&self, out: &mut BytesMut);

    /// Reads the byte form from exactly these bytes.
    ///
    /// # Errors
    /// [`MessageError`] on anything that [`encode`](Self::encode) does not produce. Never panics: the bytes come from
    /// the network.
    fn decode(bytes: Bytes) -> Result<Self, MessageError>;
}

/// Bytes that are no message of this engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a message: {0}")]
pub struct MessageError(pub &'static str);

impl From<bytes::TryGetError> for MessageError {
    fn from(_: bytes::TryGetError) -> Self {
        Self("it is cut short")
    }
}
