//! [`Sequences`]: the numbers of a session's commands.

use std::collections::BTreeSet;

/// Which numbers were given out and are not done with. Numbers begin at 1, and each is given once.
#[derive(Debug, Default)]
pub(crate) struct Sequences {
    newest: u64,
    outstanding: BTreeSet<u64>,
}

/// How far numbers reach beyond the lowest outstanding one. Half of what the replicas allow.
const WINDOW: u64 = 512;

impl Sequences {
    /// A new number; `None` while the lowest outstanding one is too far behind.
    pub(crate) fn take(&mut self) -> Option<u64> {
        let next = self.newest + 1;
        if next - self.lowest_outstanding() >= WINDOW {
            return None;
        }
        self.newest = next;
        self.outstanding.insert(next);
        Some(next)
    }

    /// Nobody waits for that command any more.
    pub(crate) fn done(&mut self, sequence: u64) {
        self.outstanding.remove(&sequence);
    }

    /// The answers to all numbers below this one are here, or given up.
    pub(crate) fn lowest_outstanding(&self) -> u64 {
        self.outstanding.first().copied().unwrap_or(self.newest + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_outstanding_number_is_what_is_acknowledged() {
        let mut sequences = Sequences::default();
        assert_eq!(sequences.lowest_outstanding(), 1);
        assert_eq!([(); 3].map(|()| sequences.take()), [Some(1), Some(2), Some(3)]);
        sequences.done(2);
        assert_eq!(sequences.lowest_outstanding(), 1);
        sequences.done(1);
        assert_eq!(sequences.lowest_outstanding(), 3);
        sequences.done(3);
        assert_eq!(sequences.lowest_outstanding(), 4);
    }

    #[test]
    fn numbers_do_not_run_away_from_one_that_hangs() {
        let mut sequences = Sequences::default();
        let given = std::iter::from_fn(|| sequences.take()).take(10_000).count() as u64;
        assert_eq!(given, WINDOW);
        (2..=given).for_each(|sequence| sequences.done(sequence));
        assert_eq!(sequences.take(), None);
        sequences.done(1);
        assert_eq!(sequences.take(), Some(given + 1));
    }
}
