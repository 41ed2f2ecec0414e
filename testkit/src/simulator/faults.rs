//! [`Faults`]: what may go wrong in one run, drawn from its seed, so that some runs are gentle and others hell.

use crate::Random;

/// What may go wrong. Odds are "one in so many"; 0 means never.
#[derive(Clone, Copy, Debug)]
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
    /// The mean time between crashes of some node, in milliseconds; 0 for none.
    pub crash_every_ms: u64,
    /// A crash of all nodes at once, one in so many crashes.
    pub blackout_one_in: u64,
    /// A crashed node stays down at most so long, in milliseconds.
    pub down_max_ms: u64,
    /// The mean time between partitions, in milliseconds; 0 for none.
    pub partition_every_ms: u64,
    /// A partition lasts at most so long, in milliseconds.
    pub partition_max_ms: u64,
    /// The mean time between pauses of a process, in milliseconds; 0 for none.
    pub pause_every_ms: u64,
    /// A pause lasts at most so long, in milliseconds.
    pub pause_max_ms: u64,
    /// How far wall clocks stand apart at most, in milliseconds.
    pub wall_skew_max_ms: u64,
    /// How much faster or slower monotonic clocks run at most, in parts per thousand.
    pub drift_max_permille: u64,
    /// Snapshots are taken every so many entries; 0 for never.
    pub snapshot_every_entries: u64,
}

/// What may go wrong with frames.
#[derive(Clone, Copy, Debug)]
pub struct NetworkFaults {
    /// The shortest way, in microseconds.
    pub delay_min_us: u64,
    /// The longest ordinary way, in microseconds.
    pub delay_max_us: u64,
    /// One in so many frames takes much longer.
    pub spike_one_in: u64,
    /// At most so much longer, in microseconds.
    pub spike_max_us: u64,
    /// One in so many frames is lost.
    pub loss_one_in: u64,
    /// One in so many frames arrives twice.
    pub duplicate_one_in: u64,
}

impl Faults {
    /// The faults of a seed: each kind is on in about two runs of three.
    pub fn draw(random: &mut Random) -> Self {
        let mut sometimes = |low, high| if random.one_in(3) { 0 } else { random.between(low, high) };
        Self {
            network: NetworkFaults {
                delay_min_us: 20,
                delay_max_us: 20 + sometimes(10, 5_000),
                spike_one_in: sometimes(5, 200),
                spike_max_us: 2_000_000,
                loss_one_in: sometimes(5, 200),
                duplicate_one_in: sometimes(5, 200),
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
        }
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
            },
            write_min_us: 50,
            write_max_us: 500,
            stall_one_in: 0,
            stall_max_us: 0,
            crash_every_ms: 0,
            blackout_one_in: 0,
            down_max_ms: 0,
            partition_every_ms: 0,
            partition_max_ms: 0,
            pause_every_ms: 0,
            pause_max_ms: 0,
            wall_skew_max_ms: 0,
            drift_max_permille: 0,
            snapshot_every_entries: 0,
        }
    }
}
