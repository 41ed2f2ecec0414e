//! [`SystemClock`]: the time of the machine.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use consensus_api::{Clock, LogTime, Time, Timer};
use tokio::time::Sleep;

/// The machine's clocks; its timers need a tokio runtime.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// A clock that starts now.
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Time {
        Time::ZERO + self.origin.elapsed()
    }

    fn wall(&self) -> LogTime {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        LogTime(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn timer(&self) -> Box<dyn Timer> {
        Box::new(SystemTimer { origin: self.origin, sleep: None })
    }
}

struct SystemTimer {
    origin: Instant,
    sleep: Option<(Time, Pin<Box<Sleep>>)>,
}

/// A timer for "never" still rings once a day; the driver finds nothing to do and sets it again.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

impl Timer for SystemTimer {
    fn poll_until(&mut self, cx: &mut Context<'_>, deadline: Time) -> Poll<()> {
        let at = || {
            let longest = Instant::now() + LONGEST;
            (self.origin + deadline.since(Time::ZERO).min(LONGEST * 36_500)).min(longest).into()
        };
        match &mut self.sleep {
            Some((set, _)) if *set == deadline => {}
            Some((set, sleep)) => {
                sleep.as_mut().reset(at());
                *set = deadline;
            }
            None => self.sleep = Some((deadline, Box::pin(tokio::time::sleep_until(at())))),
        }
        let Some((_, sleep)) = &mut self.sleep else { return Poll::Pending };
        let rang = sleep.as_mut().poll(cx);
        if rang.is_ready() {
            // One that has rung rings for ever; the next call sets a new one.
            self.sleep = None;
        }
        rang
    }
}
