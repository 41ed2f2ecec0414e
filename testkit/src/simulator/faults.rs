//! [`Faults`]: what may go wrong in one run, drawn from its seed, so that some runs are gentle and others hell.

use consensus_api::Capabilities;

use crate::Random;

/// What may go wrong. Odds are "one in so many", times between events are means; 0 means never.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Faults {
    /// The network.
    pub network: NetworkFaults,
    /// A write takes at least so long, in microseconds.
    pub write_min_us: u64,
    /// A write takes at most so long.
    pub write_max_us: u64,
    /// One in so many writes stalls.
    pub stall_one_in: u64,
    /// A stalled write takes at most so long, in microseconds.
    pub stall_max_us: u64,
    /// The time between crashes of some node, in milliseconds.
    pub crash_every_ms: u64,
    /// A crash of all nodes at once, one in so many crashes.
    pub blackout_one_in: u64,
    /// A crashed node stays down at most so long, in milliseconds.
    pub down_max_ms: u64,
    /// One in so many steps of a node ends in its crash, with some of what it was about to do done.
    pub crash_in_step_one_in: u64,
    /// One in so many restarts is with other timing: an operator has changed the configuration.
    pub retime_one_in: u64,
    /// The time between partitions, in milliseconds.
    pub partition_every_ms: u64,
    /// A partition lasts at most so long, in milliseconds.
    pub partition_max_ms: u64,
    /// The time between pauses of a process, in milliseconds.
    pub pause_every_ms: u64,
    /// A pause lasts at most so long, in milliseconds.
    pub pause_max_ms: u64,
    /// How far wall clocks stand apart at most, in milliseconds.
    pub wall_skew_max_ms: u64,
    /// The time between jumps of some wall clock, forwards or back, in milliseconds.
    pub wall_jump_every_ms: u64,
    /// A jump goes at most so far, in milliseconds.
    pub wall_jump_max_ms: u64,
    /// How much faster or slower monotonic clocks run at most, in parts per thousand.
    pub drift_max_permille: u64,
    /// The time between errors of some disk, in milliseconds. Needs disks that can fail.
    pub disk_error_every_ms: u64,
    /// The time between damages to what some disk holds, or returns of older copies of it, in milliseconds: a minority of
    /// disks at most. Needs such disks.
    pub disk_damage_every_ms: u64,
    /// The time between losses of some whole disk, in milliseconds: an empty one is put in its place, of a minority of
    /// members at most. Where members can be changed, operators take the member out and add it again.
    pub disk_wipe_every_ms: u64,
    /// Snapshots are taken every so many entries; 0 for never.
    pub snapshot_every_entries: u64,
    /// So many clients number their commands in sessions, and ask for each again and again.
    pub session_clients: u64,
    /// One in so many reads asks for another level than the strictest.
    pub read_level_one_in: u64,
    /// The time between changes of membership that operators ask for, in milliseconds. Needs an engine that can do them;
    /// then no disk is damaged or wiped, lest the members that are left have too few good ones.
    pub change_every_ms: u64,
    /// The time between transfers of leadership that operators ask for, in milliseconds. Needs an engine that can do them.
    pub transfer_every_ms: u64,
    /// One in so many nodes, while it leads, has followers send snapshots in its stead. No fault, but a way of its own.
    pub relay_one_in: u64,
    /// One in so many members that operators have taken out is switched off for good, disk and all, once they are told that it
    /// is done. Needs changes of membership.
    pub retire_one_in: u64,
    /// Fault events that do not happen, by their number, as bits: by this a failing run is made simpler.
    pub skip: u64,
}

/// What may go wrong with frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NetworkFaults {
    /// The shortest way, in microseconds.
    pub delay_min_us: u64,
    /// The longest ordinary way, in microseconds.
    pub delay_max_us: u64,
    /// One in so many frames takes much longer, and is overtaken.
    pub spike_one_in: u64,
    /// At most so much longer, in microseconds.
    pub spike_max_us: u64,
    /// One in so many frames is lost.
    pub loss_one_in: u64,
    /// One in so many frames arrives twice.
    pub duplicate_one_in: u64,
    /// One in so many links is slow: everything on it takes fifty times as long.
    pub slow_one_in: u64,
    /// So many frames at most are on their way between two nodes; what comes on top is dropped. 0 for any number.
    pub queue_frames_max: u64,
    /// The time between breaks of some connection, in milliseconds: what is on its way there is lost, and both ends hear
    /// of it.
    pub break_every_ms: u64,
    /// The time between frames that make no sense, in milliseconds.
    pub nonsense_every_ms: u64,
    /// The time between visits of strangers, in milliseconds: nodes that nobody knows, and nodes of other clusters.
    pub stranger_every_ms: u64,
}

/// The kinds of fault, by the names under which they can be switched off.
pub const KINDS: [&str; 28] = [
    "delays",
    "spikes",
    "loss",
    "duplicates",
    "slow-links",
    "overflow",
    "breaks",
    "nonsense",
    "stalls",
    "crashes",
    "blackouts",
    "crashes-in-step",
    "retiming",
    "partitions",
    "pauses",
    "skew",
    "jumps",
    "drift",
    "disk-errors",
    "disk-damage",
    "disk-wipes",
    "sessions",
    "read-levels",
    "changes",
    "transfers",
    "strangers",
    "relays",
    "retirements",
];

impl Faults {
    /// The faults of a seed: each kind is on in about two runs of three.
    pub fn draw(random: &mut Random) -> Self {
        let mut sometimes = |low, high| if random.one_in(3) { 0 } else { random.between(low, high) };
        let gentle = Self::none();
        let mut faults = Self {
            network: NetworkFaults {
                delay_min_us: 20,
                delay_max_us: 20 + sometimes(10, 5_000),
                spike_one_in: sometimes(5, 200),
                spike_max_us: 2_000_000,
                loss_one_in: sometimes(5, 200),
                duplicate_one_in: sometimes(5, 200),
                ..gentle.network
            },
            write_min_us: 50,
            write_max_us: 50 + sometimes(10, 20_000),
            stall_one_in: sometimes(20, 500),
            stall_max_us: 3_000_000,
            crash_every_ms: sometimes(500, 20_000),
            blackout_one_in: sometimes(3, 20),
            down_max_ms: 10_000,
            partition_every_ms: sometimes(1_000, 20_000),
            partition_max_ms: 10_000,
            pause_every_ms: sometimes(2_000, 30_000),
            pause_max_ms: 6_000,
            wall_skew_max_ms: sometimes(1, 5_000),
            drift_max_permille: sometimes(1, 50),
            snapshot_every_entries: sometimes(5, 200),
            ..gentle
        };
        faults.network.slow_one_in = sometimes(3, 20);
        faults.network.queue_frames_max = sometimes(10, 200);
        faults.network.break_every_ms = sometimes(200, 5_000);
        faults.network.nonsense_every_ms = sometimes(200, 5_000);
        faults.crash_in_step_one_in = sometimes(500, 5_000);
        faults.retime_one_in = sometimes(2, 10);
        faults.wall_jump_every_ms = sometimes(1_000, 10_000);
        faults.wall_jump_max_ms = 20_000;
        faults.disk_error_every_ms = sometimes(500, 10_000);
        faults.disk_damage_every_ms = sometimes(2_000, 30_000);
        faults.session_clients = sometimes(1, 3);
        faults.read_level_one_in = sometimes(1, 4);
        faults.change_every_ms = sometimes(200, 5_000);
        faults.transfer_every_ms = sometimes(500, 10_000);
        faults.network.stranger_every_ms = sometimes(200, 5_000);
        faults.relay_one_in = sometimes(1, 2);
        faults.disk_wipe_every_ms = sometimes(2_000, 30_000);
        faults.retire_one_in = sometimes(1, 2);
        faults
    }

    /// Nothing goes wrong.
    pub const fn none() -> Self {
        Self {
            network: NetworkFaults {
                delay_min_us: 20,
                delay_max_us: 200,
                spike_one_in: 0,
                spike_max_us: 0,
                loss_one_in: 0,
                duplicate_one_in: 0,
                slow_one_in: 0,
                queue_frames_max: 0,
                break_every_ms: 0,
                nonsense_every_ms: 0,
                stranger_every_ms: 0,
            },
            write_min_us: 50,
            write_max_us: 500,
            stall_one_in: 0,
            stall_max_us: 0,
            crash_every_ms: 0,
            blackout_one_in: 0,
            down_max_ms: 0,
            crash_in_step_one_in: 0,
            retime_one_in: 0,
            partition_every_ms: 0,
            partition_max_ms: 0,
            pause_every_ms: 0,
            pause_max_ms: 0,
            wall_skew_max_ms: 0,
            wall_jump_every_ms: 0,
            wall_jump_max_ms: 0,
            drift_max_permille: 0,
            disk_error_every_ms: 0,
            disk_damage_every_ms: 0,
            disk_wipe_every_ms: 0,
            snapshot_every_entries: 0,
            session_clients: 0,
            read_level_one_in: 0,
            change_every_ms: 0,
            transfer_every_ms: 0,
            relay_one_in: 0,
            retire_one_in: 0,
            skip: 0,
        }
    }

    /// As far as an engine of these capabilities can go through them.
    #[must_use]
    pub(crate) fn for_engine(mut self, engine: Capabilities) -> Self {
        if !engine.membership_change {
            self.change_every_ms = 0;
        }
        if !engine.leadership_transfer {
            self.transfer_every_ms = 0;
        }
        if self.change_every_ms > 0 {
            self.disk_damage_every_ms = 0;
            self.disk_wipe_every_ms = 0;
        } else {
            self.retire_one_in = 0;
        }
        self
    }

    /// These faults without one kind of [`KINDS`].
    #[must_use]
    pub fn without(mut self, kind: &str) -> Self {
        let network = &mut self.network;
        match kind {
            "delays" => network.delay_max_us = network.delay_min_us,
            "spikes" => network.spike_one_in = 0,
            "loss" => network.loss_one_in = 0,
            "duplicates" => network.duplicate_one_in = 0,
            "slow-links" => network.slow_one_in = 0,
            "overflow" => network.queue_frames_max = 0,
            "breaks" => network.break_every_ms = 0,
            "nonsense" => network.nonsense_every_ms = 0,
            "stalls" => self.stall_one_in = 0,
            "crashes" => self.crash_every_ms = 0,
            "blackouts" => self.blackout_one_in = 0,
            "crashes-in-step" => self.crash_in_step_one_in = 0,
            "retiming" => self.retime_one_in = 0,
            "partitions" => self.partition_every_ms = 0,
            "pauses" => self.pause_every_ms = 0,
            "skew" => self.wall_skew_max_ms = 0,
            "jumps" => self.wall_jump_every_ms = 0,
            "drift" => self.drift_max_permille = 0,
            "disk-errors" => self.disk_error_every_ms = 0,
            "disk-damage" => self.disk_damage_every_ms = 0,
            "disk-wipes" => self.disk_wipe_every_ms = 0,
            "sessions" => self.session_clients = 0,
            "read-levels" => self.read_level_one_in = 0,
            "changes" => self.change_every_ms = 0,
            "transfers" => self.transfer_every_ms = 0,
            "strangers" => network.stranger_every_ms = 0,
            "relays" => self.relay_one_in = 0,
            "retirements" => self.retire_one_in = 0,
            _ => {}
        }
        self
    }
}
