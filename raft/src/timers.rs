//! [`Timers`]: the engine's sense of time, and the dice that keep elections from colliding for ever. None of it is part
//! of the fingerprint: two states that differ only here are the same state of the protocol.

use std::time::Duration;

use consensus_api::{NodeId, Time, Timing};

/// When things happened, and when they are due.
#[derive(Clone, Debug)]
pub(crate) struct Timers {
    pub(crate) timing: Timing,
    /// The time of this step. Never goes back.
    pub(crate) now: Time,
    /// When a member without a leader stands for election.
    pub(crate) election: Time,
    /// When this follower last heard from the leader of its term.
    pub(crate) contact: Time,
    /// Before this a member that just started gives no vote: it may have promised a leader not to, and forgotten it.
    pub(crate) votes_from: Time,
    /// The dice: SplitMix64 (Steele, Lea, Flood 2014), a counter and a mixing function.
    dice: u64,
}

impl Timers {
    /// The node's number is mixed in, lest nodes given equal seeds draw equal timeouts for ever.
    pub(crate) fn new(timing: Timing, now: Time, seed: u64, node: NodeId) -> Self {
        let dice = seed ^ mix(node.0);
        let mut timers = Self { timing, now, election: now, contact: now, votes_from: now, dice };
        timers.draw_election();
        timers
    }

    /// Puts the next election a random timeout ahead (Ongaro's thesis, section 3.4).
    pub(crate) fn draw_election(&mut self) {
        self.dice = self.dice.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let Timing { election_timeout_min: min, election_timeout_max: max, .. } = self.timing;
        let spread = u64::try_from(max.saturating_sub(min).as_nanos()).unwrap_or(u64::MAX);
        let draw = mix(self.dice) % spread.saturating_add(1).max(1);
        self.election = self.now + min + Duration::from_nanos(draw);
    }

    /// Whether `since` lies at least the shortest election timeout back.
    pub(crate) fn is_long_ago(&self, since: Time) -> bool {
        self.now.since(since) >= self.timing.election_timeout_min
    }
}

const fn mix(seed: u64) -> u64 {
    let z = (seed ^ (seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
