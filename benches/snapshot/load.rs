//! [`Load`]: writes at a fixed rate, whether or not earlier ones are answered.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use hdrhistogram::Histogram;
use quorate::{Node, Raw};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::Failure;
use crate::ballast::Ballast;
use crate::member::Member;

/// Writes are due at each of these.
const TICK: Duration = Duration::from_millis(1);
/// The beginning does not count.
const WARM_UP: Duration = Duration::from_millis(200);
/// What a write that failed counts as having taken.
const FAILED: Duration = Duration::from_secs(60);

type Latency = Arc<Mutex<Histogram<u64>>>;

/// Clients that write until they are told to end.
pub(crate) struct Load {
    writer: JoinHandle<()>,
    ends: Arc<AtomicBool>,
    latency: Latency,
}

impl Load {
    /// Begins to write at the leader, on its runtime. What a write took counts from when it was due.
    pub(crate) fn begin(leader: &Member, per_second: u64) -> Result<Self, Failure> {
        let latency = Arc::new(Mutex::new(Histogram::new_with_bounds(1, 120_000_000, 3)?));
        let ends = Arc::new(AtomicBool::new(false));
        let writing = write(leader.node.clone(), per_second, Arc::clone(&ends), Arc::clone(&latency));
        Ok(Self { writer: leader.runtime.spawn(writing), ends, latency })
    }

    /// The p99 of all writes, in milliseconds, once the last one is answered.
    #[allow(clippy::cast_precision_loss)] // milliseconds, for people
    pub(crate) async fn end(self) -> Result<f64, Failure> {
        self.ends.store(true, Ordering::Relaxed);
        self.writer.await?;
        let latency = self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        if latency.is_empty() {
            return Err("nothing was written".into());
        }
        Ok(latency.value_at_quantile(0.99) as f64 / 1000.0)
    }
}

async fn write(node: Node<Ballast>, per_second: u64, ends: Arc<AtomicBool>, latency: Latency) {
    let payload = Raw(vec![7; 256].into());
    let begin = Instant::now();
    let (mut due, mut owed, mut running) = (begin, 0, JoinSet::new());
    while !ends.load(Ordering::Relaxed) {
        due += TICK;
        sleep_until(due).await;
        owed += per_second;
        let writes: Vec<_> = (0..owed / 1000).map(|_| node.propose(payload.clone())).collect();
        owed %= 1000;
        let into = Arc::clone(&latency);
        running.spawn(async move {
            let answers = join_all(writes).await;
            let took = if answers.iter().all(Result::is_ok) { due.elapsed() } else { FAILED };
            if due > begin + WARM_UP {
                let mut latency = into.lock().unwrap_or_else(PoisonError::into_inner);
                latency.saturating_record_n(took.as_micros() as u64, answers.len() as u64);
            }
        });
        while running.try_join_next().is_some() {}
    }
    while running.join_next().await.is_some() {}
}
