//! How the suites wait, without a runtime: park this thread, and lose patience at some point.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How long a suite waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How often a [`Ticker`] wakes.
const TICK: Duration = Duration::from_millis(10);

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future to its end in this thread; `None` if that takes longer than `patience`.
pub(crate) fn wait_up_to<T>(patience: Duration, future: impl Future<Output = T>) -> Option<T> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let deadline = Instant::now() + patience;
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(value);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        thread::park_timeout(left);
    }
}

/// Runs a future to its end in this thread, with [`PATIENCE`].
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> Result<T, String> {
    wait_up_to(PATIENCE, future)
        .ok_or_else(|| format!("nothing came within {} s; was the waker woken?", PATIENCE.as_secs()))
}

/// Wakes a task of any runtime every few milliseconds, so that it can look at the clock.
pub(crate) struct Ticker(Arc<Mutex<Option<Waker>>>);

impl Ticker {
    /// Starts its thread, which ends with it.
    pub(crate) fn new() -> Self {
        let waker: Arc<Mutex<Option<Waker>>> = Arc::default();
        let weak: Weak<_> = Arc::downgrade(&waker);
        thread::spawn(move || {
            while let Some(waker) = weak.upgrade() {
                let waker = waker.lock().unwrap_or_else(PoisonError::into_inner).take();
                waker.into_iter().for_each(Waker::wake);
                thread::sleep(TICK);
            }
        });
        Self(waker)
    }

    /// Wakes this task at the next tick.
    pub(crate) fn remind(&self, cx: &Context<'_>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
    }
}
