//! [`Dice`]: the chance that keeps proposers from colliding for ever.

use std::time::Duration;

use consensus_api::NodeId;

/// SplitMix64 (Steele, Lea, Flood 2014): numbers that follow from a seed.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// The node's number is mixed in, lest nodes given equal seeds draw equal waits for ever.
    pub(crate) fn new(seed: u64, node: NodeId) -> Self {
        Self(seed ^ scramble(node.0))
    }

    /// Any number.
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        scramble(self.0)
    }

    /// A time between the two, both included.
    pub(crate) fn between(&mut self, min: Duration, max: Duration) -> Duration {
        let spread = u64::try_from(max.saturating_sub(min).as_nanos()).unwrap_or(u64::MAX - 1);
        min + Duration::from_nanos(self.roll() % spread.saturating_add(1))
    }
}

const fn scramble(seed: u64) -> u64 {
    let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
