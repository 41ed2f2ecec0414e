//! [`Backoff`]: how long to wait before the next attempt.

use std::time::Duration;

/// Exponential, with full jitter: each wait is drawn evenly from zero to a bound that doubles. Nodes that lost each
/// other at once do not come back at once.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    bound: Duration,
    seed: u64,
}

impl Backoff {
    /// Equal seeds draw equal waits.
    pub(crate) fn new(min: Duration, max: Duration, seed: u64) -> Self {
        Self { min, max, bound: min, seed }
    }

    /// The next wait.
    pub(crate) fn wait(&mut self) -> Duration {
        let wait = self.bound.mul_f64(self.draw());
        self.bound = self.bound.saturating_mul(2).min(self.max);
        wait
    }

    /// All is well again: the waits begin anew.
    pub(crate) fn reset(&mut self) {
        self.bound = self.min;
    }

    /// A number from 0 to 1, by the generator SplitMix64 (Steele, Lea, Flood 2014): good enough to spread waits.
    fn draw(&mut self) -> f64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.seed;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        f64::from((bits ^ (bits >> 31)) as u32) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests;
