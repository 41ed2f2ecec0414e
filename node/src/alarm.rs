//! [`Alarm`]: the one timer of a driver.

use std::task::{Context, Poll};

use consensus_api::{Time, Timer};

/// A timer that is set anew only when it has to ring earlier: a deadline that moves away costs nothing.
pub(crate) struct Alarm {
    timer: Box<dyn Timer>,
    set: Time,
}

impl Alarm {
    pub(crate) fn new(timer: Box<dyn Timer>) -> Self {
        Self { timer, set: Time::MAX }
    }

    pub(crate) fn set_no_later_than(&mut self, deadline: Time) {
        self.set = self.set.min(deadline);
    }

    /// Makes sure that the task wakes by `deadline`. Whether a time set before has come.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, deadline: Time) -> bool {
        self.set_no_later_than(deadline);
        match self.timer.poll_until(cx, self.set) {
            Poll::Pending => false,
            Poll::Ready(()) => {
                self.set = Time::MAX;
                true
            }
        }
    }
}
