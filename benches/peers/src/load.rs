//! Closed-loop clients: each asks again as soon as it is answered.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::task::LocalSet;

/// Whatever ends a run.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How long things took.
pub struct Latency(Histogram<u64>);

impl Latency {
    /// Nothing yet. Up to a minute, three digits.
    pub fn new() -> Self {
        Self(Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("these bounds are allowed"))
    }

    /// Takes one down.
    pub fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// So many were taken down.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time that this share of all did not exceed, in milliseconds.
    pub fn ms_at(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1e6
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

/// What came of a run.
pub struct Outcome {
    pub per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

/// Runs `clients` of them for `time`, after a fifth of it to warm up. An error of any request ends the run.
pub async fn closed_loop<F, R>(clients: usize, time: Duration, request: F) -> Result<Outcome, Failure>
where
    F: Fn(usize) -> R + 'static,
    R: Future<Output = Result<(), Failure>>,
{
    let request = Rc::new(request);
    let latency = Rc::new(RefCell::new(Latency::new()));
    let begin = Instant::now() + time / 5;
    let end = begin + time;
    let tasks = LocalSet::new();
    let client = |id| {
        let (request, latency) = (request.clone(), latency.clone());
        tasks.spawn_local(async move {
            loop {
                let start = Instant::now();
                if start >= end {
                    return Ok::<(), Failure>(());
                }
                request(id).await?;
                let done = Instant::now();
                if start >= begin && done <= end {
                    latency.borrow_mut().record(done - start);
                }
            }
        })
    };
    let running: Vec<_> = (0..clients).map(client).collect();
    tasks.await;
    for client in running {
        client.await??;
    }
    let latency = latency.borrow();
    let per_second = latency.count() as f64 / time.as_secs_f64();
    Ok(Outcome { per_second, p50_ms: latency.ms_at(0.5), p99_ms: latency.ms_at(0.99) })
}
