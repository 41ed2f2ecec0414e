//! [`Meter`] with the feature `metrics`.

use consensus_api::{Error, Lane, NodeId, Role, Time};
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use super::Reading;

/// Counts for one node. Every handle is looked up once, so that counting is an atomic addition.
pub(crate) struct Meter {
    proposals: Counter,
    proposal_bytes: Counter,
    reads: Counter,
    refused: Counter,
    unknown: Counter,
    writes: Counter,
    write_seconds: Histogram,
    frames_sent: [Counter; 3],
    bytes_sent: [Counter; 3],
    frames_dropped: Counter,
    frames_received: Counter,
    bytes_received: Counter,
    snapshots_taken: Counter,
    snapshots_received: Counter,
    elections: Counter,
    leader_changes: Counter,
    is_leader: Gauge,
    round: Gauge,
    last: Gauge,
    commit: Gauge,
    applied: Gauge,
    snapshot: Gauge,
    cached_bytes: Gauge,
    write_begin: Option<Time>,
    shown: Option<Reading>,
}

impl Meter {
    pub(crate) fn new(node: NodeId) -> Self {
        let node = node.to_string();
        let count = |name: &'static str| counter!(name, "node" => node.clone());
        let level = |name: &'static str| gauge!(name, "node" => node.clone());
        let failed =
            |kind: &'static str| counter!("quorate_failed_total", "node" => node.clone(), "kind" => kind);
        let by_lane = |name: &'static str| {
            ["control", "data", "bulk"].map(|lane| counter!(name, "node" => node.clone(), "lane" => lane))
        };
        Self {
            proposals: count("quorate_proposals_total"),
            proposal_bytes: count("quorate_proposal_bytes_total"),
            reads: count("quorate_reads_total"),
            refused: failed("refused"),
            unknown: failed("unknown"),
            writes: count("quorate_writes_total"),
            write_seconds: histogram!("quorate_write_seconds", "node" => node.clone()),
            frames_sent: by_lane("quorate_frames_sent_total"),
            bytes_sent: by_lane("quorate_bytes_sent_total"),
            frames_dropped: count("quorate_frames_dropped_total"),
            frames_received: count("quorate_frames_received_total"),
            bytes_received: count("quorate_bytes_received_total"),
            snapshots_taken: count("quorate_snapshots_taken_total"),
            snapshots_received: count("quorate_snapshots_received_total"),
            elections: count("quorate_elections_total"),
            leader_changes: count("quorate_leader_changes_total"),
            is_leader: level("quorate_is_leader"),
            round: level("quorate_round"),
            last: level("quorate_last_index"),
            commit: level("quorate_commit_index"),
            applied: level("quorate_applied_index"),
            snapshot: level("quorate_snapshot_index"),
            cached_bytes: level("quorate_cached_bytes"),
            write_begin: None,
            shown: None,
        }
    }

    /// Commands were handed in.
    pub(crate) fn proposed(&self, commands: u32, bytes: usize) {
        self.proposals.increment(u64::from(commands));
        self.proposal_bytes.increment(bytes as u64);
    }

    /// A read was handed in.
    pub(crate) fn read(&self) {
        self.reads.increment(1);
    }

    /// A command or a read ended with this error.
    pub(crate) fn failed(&self, error: &Error) {
        let kind = if matches!(error, Error::OutcomeUnknown { .. }) { &self.unknown } else { &self.refused };
        kind.increment(1);
    }

    /// A batch was handed to the log.
    pub(crate) fn write_began(&mut self, now: Time) {
        self.writes.increment(1);
        self.write_begin = Some(now);
    }

    /// It is durable.
    pub(crate) fn write_ended(&mut self, now: Time) {
        if let Some(begin) = self.write_begin.take() {
            self.write_seconds.record(now.since(begin).as_secs_f64());
        }
    }

    /// The transport took a frame.
    pub(crate) fn sent(&self, lane: Lane, bytes: usize) {
        self.frames_sent[lane as usize].increment(1);
        self.bytes_sent[lane as usize].increment(bytes as u64);
    }

    /// The transport did not take a frame.
    pub(crate) fn dropped(&self) {
        self.frames_dropped.increment(1);
    }

    /// A frame came.
    pub(crate) fn received(&self, bytes: usize) {
        self.frames_received.increment(1);
        self.bytes_received.increment(bytes as u64);
    }

    /// A snapshot of this node's own state is durable.
    pub(crate) fn snapshot_taken(&self) {
        self.snapshots_taken.increment(1);
    }

    /// A peer's snapshot is durable.
    pub(crate) fn snapshot_received(&self) {
        self.snapshots_received.increment(1);
    }

    /// Where the node stands now.
    #[allow(clippy::cast_precision_loss, reason = "gauges are floats; a log never holds 2^52 entries")]
    pub(crate) fn show(&mut self, now: &Reading) {
        let standing = now.standing;
        let before = self.shown.replace(*now).map(|shown| shown.standing);
        if standing.role == Role::Candidate && before.is_none_or(|before| before.role != Role::Candidate) {
            self.elections.increment(1);
        }
        if standing.leader.is_some() && before.is_none_or(|before| before.leader != standing.leader) {
            self.leader_changes.increment(1);
        }
        self.is_leader.set(f64::from(u8::from(standing.role == Role::Leader)));
        self.round.set(standing.generation.round as f64);
        self.last.set(standing.last.0 as f64);
        self.commit.set(standing.commit.0 as f64);
        self.applied.set(now.applied.0 as f64);
        self.snapshot.set(now.snapshot.0 as f64);
        self.cached_bytes.set(now.cached_bytes as f64);
    }
}
