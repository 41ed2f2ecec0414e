//! [`Options`]: everything about a node that can be set, with its default.

use std::time::Duration;

use consensus_api::{FlowLimits, StartError, Timing, record};

use crate::replica::CHANGE_DEADLINE;

/// Where the state machine runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ApplyOn {
    /// On a thread of its own: a slow state machine delays no heartbeat. The default.
    #[default]
    Thread,
    /// On the node's own task. Saves two hand-overs between threads per batch, and makes every heartbeat wait for the
    /// longest `apply`: for state machines that are quick without exception.
    Inline,
}

/// Who sends a snapshot to a member that needs one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SnapshotSource {
    /// The leader. The default.
    #[default]
    Leader,
    /// A follower that has one: the leader asks it to, so that its own disk and network are spared. The leader sends itself
    /// where no follower can, or the one that was asked is gone or falls silent for four of the shortest election timeouts.
    /// Without a leader this makes no difference.
    Follower,
}

/// When the node takes a snapshot, and how much log it keeps behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CompactionPolicy {
    /// A snapshot is taken once this many bytes of log were applied since the last one. 64 MiB by default; 0 means never.
    pub snapshot_every_bytes: u64,
    /// A snapshot is taken once this many entries (batches) were applied since the last one. 100,000 by default.
    pub snapshot_every_entries: u64,
    /// So many bytes of log are kept behind a snapshot, give or take a sixteenth, so that a follower that was away for a moment
    /// needs no snapshot. 16 MiB by default.
    pub keep_bytes: u64,
}

impl Default for CompactionPolicy {
    fn default() -> Self {
        Self { snapshot_every_bytes: 64 << 20, snapshot_every_entries: 100_000, keep_bytes: 16 << 20 }
    }
}

/// Options of a node. All have defaults that suit a local network and an ordinary disk.
#[derive(Clone, Debug)]
pub struct Options {
    /// Heartbeats and elections.
    pub timing: Timing,
    /// How much may be on its way to a peer.
    pub flow: FlowLimits,
    /// How long a request may take, waiting for a leader included. 5 s by default. After it, a proposal that is under
    /// way ends as [`OutcomeUnknown`](consensus_api::Error::OutcomeUnknown); any other request as
    /// [`NoLeader`](consensus_api::Error::NoLeader).
    pub request_deadline: Duration,
    /// How long a change of membership may take, newcomers catching up included, before it ends as
    /// [`OutcomeUnknown`](consensus_api::Error::OutcomeUnknown). 15 min by default: longer than the engine's own limit.
    /// A node that hears of no leader for `request_deadline` waits no longer, and ends it in the same way.
    pub change_deadline: Duration,
    /// Bytes of requests under way on this node; further ones wait. 64 MiB by default.
    pub request_bytes_max: usize,
    /// Bytes of one command. 8 MiB by default; at most the transport's frame, and at most `request_bytes_max`.
    pub command_bytes_max: usize,
    /// Bytes of commands that go into one entry, unless a single one is larger. 1 MiB by default.
    pub entry_bytes_max: usize,
    /// Bytes of recent entries kept in memory. 32 MiB by default.
    pub cache_bytes_max: usize,
    /// Bytes of entries handed to the state machine and not yet applied. 16 MiB by default.
    pub apply_bytes_max: usize,
    /// Bytes of committed entries handed to the state machine before they are durable on this node's own disk. 0 by default:
    /// it is given nothing that its node could lose. With more, a leader whose disk is slower than others' goes on answering:
    /// what it answers is on the disks of a quorum, if not yet on its own, and a restarted node applies it again as others
    /// teach it. No snapshot holds what the log lacks, and a state machine that keeps its state itself
    /// ([`StateMachine::applied`](consensus_api::StateMachine::applied)) never runs ahead of the log.
    pub apply_ahead_bytes_max: usize,
    /// How far a proposing node's wall clock may be ahead of the leader's before its proposals are refused. 10 s by
    /// default.
    pub clock_ahead_max: Duration,
    /// Snapshots and trimming.
    pub compaction: CompactionPolicy,
    /// Who sends snapshots while this node leads.
    pub snapshot_source: SnapshotSource,
    /// Where the state machine runs.
    pub apply_on: ApplyOn,
    /// Every so many entries the replicas compare digests of their states
    /// ([`StateMachine::digest`](consensus_api::StateMachine::digest)); one that differs from a majority stops, and names
    /// the entry. 0, the default, means never. The same on all members, else they have little to compare.
    pub compare_every_entries: u64,
    /// The source of randomness for election timeouts. Drawn at random by default.
    pub seed: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timing: Timing::default(),
            flow: FlowLimits::default(),
            request_deadline: Duration::from_secs(5),
            change_deadline: CHANGE_DEADLINE,
            request_bytes_max: 64 << 20,
            command_bytes_max: 8 << 20,
            entry_bytes_max: 1 << 20,
            cache_bytes_max: 32 << 20,
            apply_bytes_max: 16 << 20,
            apply_ahead_bytes_max: 0,
            clock_ahead_max: Duration::from_secs(10),
            compaction: CompactionPolicy::default(),
            snapshot_source: SnapshotSource::default(),
            apply_on: ApplyOn::default(),
            compare_every_entries: 0,
            seed: None,
        }
    }
}

impl Options {
    /// Bytes of the largest entry of commands: of one command, or of a batch that stays together, each with 4 bytes for its
    /// length.
    pub(crate) fn batch_bytes_max(&self) -> usize {
        self.entry_bytes_max.max(self.command_bytes_max + 4)
    }

    /// Checks the options on their own and against the transport's largest frame.
    ///
    /// # Errors
    /// [`StartError::Options`] names the field and the remedy.
    pub fn check(&self, frame_bytes_max: usize) -> Result<(), StartError> {
        let wrong = |field, problem| Err(StartError::Options { field, problem });
        self.timing.check()?;
        if self.flow.inflight_frames_max == 0 {
            return wrong("flow.inflight_frames_max", "must be at least 1");
        }
        if self.request_deadline < self.timing.election_timeout_max {
            return wrong(
                "request_deadline",
                "must not be shorter than election_timeout_max; twice is usual",
            );
        }
        if u32::try_from(self.request_bytes_max).is_err() {
            return wrong("request_bytes_max", "must be below 4 GiB");
        }
        if self.command_bytes_max == 0 || self.command_bytes_max > self.request_bytes_max {
            return wrong("command_bytes_max", "must lie between 1 and request_bytes_max");
        }
        if self.entry_bytes_max.max(self.command_bytes_max) + 4 > record::BODY_BYTES_MAX {
            return wrong("command_bytes_max", "and entry_bytes_max must stay below 64 MiB");
        }
        if frame_bytes_max < FRAME_BYTES_LEAST {
            return wrong("transport", "carries frames of less than 64 KiB; let it carry larger ones");
        }
        if self.entry_bytes_max.max(self.command_bytes_max) + FRAME_OVERHEAD_BYTES > frame_bytes_max {
            return wrong("command_bytes_max", "and entry_bytes_max must fit into a frame of the transport");
        }
        if self.flow.frame_bytes_max + FRAME_OVERHEAD_BYTES > frame_bytes_max {
            return wrong("flow.frame_bytes_max", "must fit into a frame of the transport");
        }
        Ok(())
    }
}

/// Room for a message's head and an entry's header beside the commands.
pub(crate) const FRAME_OVERHEAD_BYTES: usize = 1024;
/// Snapshots travel in pieces of a frame's size; smaller ones would take for ever.
const FRAME_BYTES_LEAST: usize = 64 << 10;
