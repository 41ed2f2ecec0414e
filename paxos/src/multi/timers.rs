//! [`Timers`]: when things happened, and when they are due. No part of the fingerprint.

use consensus_api::{NodeId, Time, Timing};

use crate::dice::Dice;

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
    /// Before this nobody but the proposer it obeys is promised anything: this member has granted that one a lease. Ends
    /// with the next promise: whoever gets one, or has a quorum of them elsewhere, found no lease in the way.
    pub(super) granted: Time,
    /// Before this nobody at all is: this member may have granted leases before it started.
    pub(super) wary: Time,
    dice: Dice,
}

impl Timers {
    pub(super) fn new(timing: Timing, now: Time, seed: u64, node: NodeId) -> Self {
        let mut timers = Self {
            timing,
            now,
            election: now,
            contact: now,
            granted: now,
            wary: now,
            dice: Dice::new(seed, node),
        };
        timers.draw_election();
        timers
    }

    /// Puts the next attempt a random wait ahead: also the back-off after a lost one, for whoever retries at once duels
    /// (Lamport 2001, section 2.4).
    pub(super) fn draw_election(&mut self) {
        let Timing { election_timeout_min: min, election_timeout_max: max, .. } = self.timing;
        self.election = self.now + self.dice.between(min, max);
    }

    /// Whether `since` lies at least the shortest election timeout back.
    pub(super) fn is_long_ago(&self, since: Time) -> bool {
        self.now.since(since) >= self.timing.election_timeout_min
    }
}
