//! [`Timers`]: time, and the dice that keep candidates from colliding for ever. No part of the fingerprint.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use consensus_api::{NodeId, Time, Timing};

/// A time that does not show in a fingerprint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment(pub(super) Time);

impl Hash for Moment {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// When things happened, and when they are due.
#[derive(Clone, Debug)]
pub(super) struct Timers {
    pub(super) timing: Timing,
    /// The time of this step. Never goes back.
    pub(super) now: Time,
    /// When a member without a leader asks to be one.
    pub(super) election: Time,
    /// When this member last heard the proposer it obeys.
    pub(super) contact: Time,
    /// The state of SplitMix64 (Steele, Lea, Flood 2014).
    dice: u64,
}

impl Timers {
    /// The node's number is mixed in, lest nodes given equal seeds draw equal waits for ever.
    pub(super) fn new(timing: Timing, now: Time, seed: u64, node: NodeId) -> Self {
        let mut timers = Self { timing, now, election: now, contact: now, dice: seed ^ scramble(node.0) };
        timers.draw_election();
        timers
    }

    /// Puts the next attempt a random wait ahead: also the back-off after a lost one, for whoever retries at once duels
    /// (Lamport 2001, section 2.4).
    pub(super) fn draw_election(&mut self) {
        self.dice = self.dice.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let Timing { election_timeout_min: min, election_timeout_max: max, .. } = self.timing;
        let spread = u64::try_from(max.saturating_sub(min).as_nanos()).unwrap_or(u64::MAX - 1);
        let extra = scramble(self.dice) % spread.saturating_add(1);
        self.election = self.now + min + Duration::from_nanos(extra);
    }

    /// Whether `since` lies at least the shortest election timeout back.
    pub(super) fn is_long_ago(&self, since: Time) -> bool {
        self.now.since(since) >= self.timing.election_timeout_min
    }
}

const fn scramble(seed: u64) -> u64 {
    let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
