//! Time in its three kinds, never to be mixed: [`Time`] on the monotonic clock of one process, [`LogTime`] in the log,
//! [`WallInterval`] on the wall; and the [`Clock`] and [`Timer`] that provide them.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::{Add, Sub};
use std::task::{Context, Poll};
use std::time::Duration;

/// A moment on a monotonic clock, in nanoseconds since an arbitrary start. Means nothing to another process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(pub u64);

impl Time {
    /// The clock's arbitrary start.
    pub const ZERO: Self = Self(0);
    /// Later than any moment that will come.
    pub const MAX: Self = Self(u64::MAX);

    /// The time that passed since `earlier`; zero when `earlier` is not earlier.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Self;
    fn add(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Time {
    type Output = Self;
    fn sub(self, wait: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0 / 1_000_000_000, self.0 % 1_000_000_000 / 1_000)
    }
}

/// A [`Time`] that does not show in a fingerprint: two states of an engine that differ only here are the same state of the
/// protocol.
#[derive(Clone, Copy, Debug)]
pub struct Moment(pub Time);

impl Hash for Moment {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// A moment in the log, in milliseconds since the Unix epoch: what the proposing node's wall showed, read by everyone
/// as a running maximum. It is for expiry and the like; it proves nothing about the order of events elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LogTime(pub u64);

impl LogTime {
    /// The start of the Unix epoch.
    pub const ZERO: Self = Self(0);

    /// Milliseconds from `earlier` to this moment; 0 when `earlier` is not earlier.
    pub const fn millis_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Debug for LogTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

/// Where the wall clock may stand: the true time lies in `earliest ..= latest`, both in milliseconds since the Unix
/// epoch. *Patterns of Distributed Systems*, "Clock-Bound Wait".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WallInterval {
    /// The true time is not before this.
    pub earliest: LogTime,
    /// The true time is not after this.
    pub latest: LogTime,
}

/// Where a node gets its time.
///
/// 1. [`now`](Self::now) never goes back, and is the same clock that [`timer`](Self::timer) waits on.
/// 2. [`wall`](Self::wall) is an estimate for people and for log time; no promise of this library rests on it.
/// 3. [`wall_bound`](Self::wall_bound) is an honest bound or `None`; a guess is not a bound.
pub trait Clock: Send + Sync + 'static {
    /// The monotonic clock.
    fn now(&self) -> Time;

    /// The wall clock's best estimate.
    fn wall(&self) -> LogTime;

    /// The wall clock as an interval, where a bound is known.
    fn wall_bound(&self) -> Option<WallInterval> {
        None
    }

    /// A timer on the monotonic clock. Each driver makes one and keeps it.
    fn timer(&self) -> Box<dyn Timer>;
}

/// A timer that can be set again and again without allocating.
pub trait Timer: Send + 'static {
    /// Ready once the clock has reached `deadline`; otherwise the task is woken then. A later call with another
    /// deadline replaces the earlier one.
    fn poll_until(&mut self, cx: &mut Context<'_>, deadline: Time) -> Poll<()>;
}
