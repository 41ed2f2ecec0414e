//! [`Alarm`]: the one timer of a driver.

use std::task::{Context, Poll};

use consensus_api::{Time, Timer};

/// A timer that is set anew only when it has to ring earlier: a deadline that moves away costs nothing.
pub(crate) struct Alarm {
    timer: Box<dyn Timer>,
    set: Time,
    /// The time that the timer is known to wake the task at.
    wakes_at: Option<Time>,
}

impl Alarm {
    pub(crate) fn new(timer: Box<dyn Timer>) -> Self {
        Self { timer, set: Time::MAX, wakes_at: None }
    }

    /// The task was woken, and nobody says by whom.
    pub(crate) const fn woken(&mut self) {
        self.wakes_at = None;
    }

    pub(crate) fn set_no_later_than(&mut self, deadline: Time) {
        self.set = self.set.min(deadline);
    }

    /// Makes sure that the task wakes by `deadline`. Whether a time set before has come.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, deadline: Time) -> bool {
        self.set_no_later_than(deadline);
        if self.wakes_at == Some(self.set) {
            return false;
        }
        match self.timer.poll_until(cx, self.set) {
            Poll::Pending => {
                self.wakes_at = Some(self.set);
                false
            }
            Poll::Ready(()) => {
                self.set = Time::MAX;
                true
            }
        }
    }
}
