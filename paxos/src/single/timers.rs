//! [`Timers`]: what is due when, and the random waits that end duels. No part of the fingerprint.

use std::time::Duration;

use consensus_api::{NodeId, Time, Timing};

use crate::dice::Dice;

/// What is due when.
#[derive(Clone, Debug)]
pub(super) struct Timers {
    pub(super) timing: Timing,
    /// The time of this step. Never goes back.
    pub(super) now: Time,
    /// When to tell the others how far this member has come.
    pub(super) gossip: Time,
    /// When to say again what the attempt under way has said.
    pub(super) retry: Time,
    /// No attempt before this: somebody else was in the way.
    pub(super) not_before: Time,
    /// When to finish what somebody else has begun; [`Time::MAX`] while nothing is left open.
    pub(super) finish: Time,
    /// Attempts lost in a row.
    lost: u32,
    dice: Dice,
}

/// The longest first back-off is this part of a heartbeat interval: about a round trip between machines nearby.
const FIRST_BACK_OFF: u32 = 32;

impl Timers {
    pub(super) fn new(timing: Timing, now: Time, seed: u64, node: NodeId) -> Self {
        let dice = Dice::new(seed, node);
        Self { timing, now, gossip: now, retry: now, not_before: now, finish: Time::MAX, lost: 0, dice }
    }

    pub(super) fn roll(&mut self) -> u64 {
        self.dice.roll()
    }

    /// An attempt was lost: the next comes after a random wait, up to twice as long each time. Two that collide for ever
    /// would both have to draw the same for ever.
    pub(super) fn back_off(&mut self) {
        let first = self.timing.heartbeat / FIRST_BACK_OFF;
        let longest = first.saturating_mul(1 << self.lost.min(20)).min(self.timing.election_timeout_min);
        self.lost = self.lost.saturating_add(1);
        self.not_before = self.now + self.dice.between(Duration::ZERO, longest);
    }

    /// An own value was chosen.
    pub(super) fn succeeded(&mut self) {
        self.lost = 0;
        self.not_before = self.now;
    }

    /// What was begun by others is left to them for a while: longer when nobody waits for it.
    pub(super) fn draw_finish(&mut self, somebody_waits: bool) {
        let timing = self.timing;
        let wait = if somebody_waits {
            self.dice.between(timing.heartbeat / 4, timing.heartbeat)
        } else {
            self.dice.between(timing.election_timeout_min, timing.election_timeout_max)
        };
        self.finish = self.finish.min(self.now + wait);
    }
}
