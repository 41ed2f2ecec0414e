//! [`Silence`]: how long the other side of a connection has not been heard.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

/// Looks at the longest silence in this many steps; a ping is due at each.
const STEPS: u32 = 4;

/// Watches for silence without a clock on the hot path: what is heard sets a flag, and a slow tick looks at it.
#[derive(Debug, Default)]
pub(crate) struct Silence {
    heard: AtomicBool,
}

impl Silence {
    /// Something was heard.
    pub(crate) fn broken(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }

    /// Returns once nothing was heard for `silence_max`, or up to a quarter more. `step` is called at every quarter.
    pub(crate) async fn exceeds(&self, silence_max: Duration, mut step: impl FnMut()) {
        let mut ticks = interval(silence_max / STEPS);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await; // the first is immediate
        let mut silent = 0;
        while silent < STEPS {
            step();
            ticks.tick().await;
            silent = if self.heard.swap(false, Ordering::Relaxed) { 0 } else { silent + 1 };
        }
    }
}
