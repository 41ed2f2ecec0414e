//! [`Load`]: writes at a fixed rate, whether or not earlier ones are answered.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use hdrhistogram::Histogram;
use quorate::Node;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::Failure;
use crate::state::State;
use crate::store::Store;

/// Writes are due at each of these.
const TICK: Duration = Duration::from_millis(1);
/// What is written at once becomes one entry, so there are no more than these.
pub(crate) const ENTRIES_PER_SECOND_MAX: u64 = 1000;
/// The beginning does not count.
const WARM_UP: Duration = Duration::from_millis(200);
/// What a write that failed counts as having taken.
const FAILED: Duration = Duration::from_secs(60);

/// Clients that write until they are told to end.
pub(crate) struct Load {
    writer: JoinHandle<()>,
    told: Arc<Told>,
}

/// What the clients are told, and tell.
struct Told {
    ends: AtomicBool,
    written: AtomicU64,
    latency: Mutex<Latency>,
}

struct Latency {
    whole: Histogram<u64>,
    lap: Histogram<u64>,
}

impl Load {
    /// Begins to overwrite values, on the current runtime. What a write took counts from when it was due.
    pub(crate) fn begin(node: Node<Store>, per_second: u64, state: State) -> Result<Self, Failure> {
        let histogram = || Histogram::new_with_bounds(1, 120_000_000, 3);
        let latency = Mutex::new(Latency { whole: histogram()?, lap: histogram()? });
        let told = Arc::new(Told { ends: AtomicBool::new(false), written: AtomicU64::new(0), latency });
        Ok(Self { writer: tokio::spawn(write(node, per_second, state, Arc::clone(&told))), told })
    }

    /// How many writes were answered.
    pub(crate) fn written(&self) -> u64 {
        self.told.written.load(Ordering::Relaxed)
    }

    /// The p99, in milliseconds, of the writes that were answered since the last call.
    pub(crate) fn lap(&self) -> f64 {
        let mut latency = self.told.latency.lock().unwrap_or_else(PoisonError::into_inner);
        let p99 = p99_ms(&latency.lap);
        latency.lap.reset();
        p99
    }

    /// The p99 of all writes, in milliseconds, once the last one is answered.
    pub(crate) async fn end(self) -> Result<f64, Failure> {
        self.told.ends.store(true, Ordering::Relaxed);
        self.writer.await?;
        let latency = self.told.latency.lock().unwrap_or_else(PoisonError::into_inner);
        if latency.whole.is_empty() {
            return Err("nothing was written".into());
        }
        Ok(p99_ms(&latency.whole))
    }
}

#[allow(clippy::cast_precision_loss)] // milliseconds, for people
fn p99_ms(latency: &Histogram<u64>) -> f64 {
    latency.value_at_quantile(0.99) as f64 / 1000.0
}

async fn write(node: Node<Store>, per_second: u64, state: State, told: Arc<Told>) {
    let begin = Instant::now();
    let (mut due, mut owed, mut running) = (begin, 0, JoinSet::new());
    let mut number = 0_u64;
    while !told.ends.load(Ordering::Relaxed) {
        due += TICK;
        sleep_until(due).await;
        owed += per_second;
        let write = |_| {
            // Knuth's generator for 64 bits; its upper ones are the random ones.
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            node.propose(state.overwrite(number >> 20))
        };
        let writes: Vec<_> = (0..owed / 1000).map(write).collect();
        owed %= 1000;
        let told = Arc::clone(&told);
        running.spawn(async move {
            let answers = join_all(writes).await;
            let took = if answers.iter().all(Result::is_ok) { due.elapsed() } else { FAILED };
            let (micros, count) = (took.as_micros() as u64, answers.len() as u64);
            told.written.fetch_add(count, Ordering::Relaxed);
            if due > begin + WARM_UP {
                let mut latency = told.latency.lock().unwrap_or_else(PoisonError::into_inner);
                latency.whole.saturating_record_n(micros, count);
                latency.lap.saturating_record_n(micros, count);
            }
        });
        while running.try_join_next().is_some() {}
    }
    while running.join_next().await.is_some() {}
}
