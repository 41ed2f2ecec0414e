//! [`Freshness`]: how old the state of a node may be.

use std::collections::VecDeque;
use std::time::Duration;

use consensus_api::{Index, Time};

/// What a node knows of the age of its own state. It rests on the linearizable reads that passed through it: a leader
/// confirmed that the state after some index covers every write answered before the moment of asking.
#[derive(Debug, Default)]
pub(super) struct Freshness {
    /// Every write answered before this moment, anywhere, is applied here.
    reached: Option<Time>,
    /// The same of moments whose index is not applied yet. Both halves ascend.
    ahead: VecDeque<(Index, Time)>,
}

/// So many moments are remembered while the state machine lags. Of more, the newest takes the place of the last.
const AHEAD_MAX: usize = 64;

impl Freshness {
    /// A leader answered what was asked of it at that moment: this index covers it.
    pub(super) fn learned(&mut self, index: Index, asked: Time) {
        while self.ahead.back().is_some_and(|(later, before)| *later >= index && *before <= asked) {
            self.ahead.pop_back();
        }
        if self.ahead.back().is_some_and(|(_, before)| *before >= asked) {
            return;
        }
        if self.ahead.len() == AHEAD_MAX {
            self.ahead.pop_back();
        }
        self.ahead.push_back((index, asked));
    }

    /// The state machine has applied everything up to here.
    pub(super) fn applied(&mut self, applied: Index) {
        while let Some((index, asked)) = self.ahead.front().copied()
            && index <= applied
        {
            self.reached = self.reached.max(Some(asked));
            self.ahead.pop_front();
        }
    }

    /// The oldest that the state may be; `None` while nothing is known.
    pub(super) fn age(&self, now: Time) -> Option<Duration> {
        self.reached.map(|reached| now.since(reached))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Time {
        Time(millis * 1_000_000)
    }

    #[test]
    fn age_counts_from_asking_and_only_once_the_index_is_applied() {
        let mut freshness = Freshness::default();
        assert_eq!(freshness.age(at(9)), None);
        freshness.learned(Index(5), at(10));
        freshness.applied(Index(4));
        assert_eq!(freshness.age(at(20)), None);
        freshness.applied(Index(5));
        assert_eq!(freshness.age(at(30)), Some(Duration::from_millis(20)));
    }

    #[test]
    fn a_late_answer_to_an_older_question_makes_nothing_younger() {
        let mut freshness = Freshness::default();
        freshness.learned(Index(7), at(50));
        freshness.learned(Index(6), at(40));
        freshness.applied(Index(6));
        assert_eq!(freshness.age(at(60)), None);
        freshness.learned(Index(6), at(55));
        freshness.applied(Index(6));
        assert_eq!(freshness.age(at(60)), Some(Duration::from_millis(5)));
    }

    #[test]
    fn a_state_machine_that_hangs_costs_no_memory() {
        let mut freshness = Freshness::default();
        (1..=1000).for_each(|index| freshness.learned(Index(index), at(index)));
        assert_eq!(freshness.ahead.len(), AHEAD_MAX);
        freshness.applied(Index(1000));
        assert_eq!(freshness.age(at(1000)), Some(Duration::ZERO));
    }
}
