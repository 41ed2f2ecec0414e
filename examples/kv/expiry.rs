//! [`Expiries`]: which keys end when, soonest first.

use bytes::Bytes;
use imbl::OrdSet;
use quorate::LogTime;

/// The keys that have an end, ordered by it. Cloning is cheap: the tree is shared.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Expiries(OrdSet<(LogTime, Bytes)>);

impl Expiries {
    pub fn insert(&mut self, end: LogTime, key: Bytes) {
        self.0.insert((end, key));
    }

    pub fn remove(&mut self, end: LogTime, key: &Bytes) {
        self.0.remove(&(end, key.clone()));
    }

    /// Takes out the key that ended first, if any has ended by `now`.
    pub fn pop_ended(&mut self, now: LogTime) -> Option<Bytes> {
        let first = self.0.get_min().filter(|(end, _)| *end <= now)?.clone();
        self.0.remove(&first);
        Some(first.1)
    }

    /// How many keys have ended by `now`.
    pub fn count_ended(&self, now: LogTime) -> usize {
        self.0.iter().take_while(|(end, _)| *end <= now).count()
    }

    /// Whether a key ends after `from`, and by `to`.
    pub fn any_ends_between(&self, from: LogTime, to: LogTime) -> bool {
        let after = (LogTime(from.0.saturating_add(1)), Bytes::new());
        self.0.range(after..).next().is_some_and(|(end, _)| *end <= to)
    }
}
