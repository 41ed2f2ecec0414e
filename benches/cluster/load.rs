//! Closed-loop clients: each asks again as soon as it is answered.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use quorate::Error;
use tokio::task::LocalSet;

/// How long things took.
pub(crate) struct Latency(Histogram<u64>);

impl Latency {
    pub(crate) fn new() -> Self {
        Self(
            Histogram::new_with_bounds(1, 60_000_000_000, 3)
                .expect("the bounds and three digits are allowed"),
        )
    }

    pub(crate) fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn p50_ms(&self) -> f64 {
        self.at(0.5)
    }

    pub(crate) fn p99_ms(&self) -> f64 {
        self.at(0.99)
    }

    #[allow(clippy::cast_precision_loss)] // milliseconds of a benchmark
    fn at(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1e6
    }
}

/// What came of a run.
pub(crate) struct Outcome {
    pub(crate) per_second: f64,
    pub(crate) latency: Latency,
}

/// Runs `clients` of them for `time`, after a tenth of it to warm up. An error of any request ends the run.
pub(crate) async fn closed_loop<F, R>(clients: usize, time: Duration, request: F) -> Result<Outcome, Error>
where
    F: Fn(usize) -> R + 'static,
    R: Future<Output = Result<(), Error>>,
{
    let request = Rc::new(request);
    let latency = Rc::new(RefCell::new(Latency::new()));
    let begin = Instant::now() + time / 10;
    let end = begin + time;
    let tasks = LocalSet::new();
    let running: Vec<_> = (0..clients)
        .map(|client| {
            let (request, latency) = (request.clone(), latency.clone());
            tasks.spawn_local(async move {
                loop {
                    let start = Instant::now();
                    if start >= end {
                        return Ok(());
                    }
                    request(client).await?;
                    if start >= begin {
                        latency.borrow_mut().record(start.elapsed());
                    }
                }
            })
        })
        .collect();
    tasks.await;
    for client in running {
        client.await.expect("a client does not panic")?;
    }
    let latency = std::mem::replace(&mut *latency.borrow_mut(), Latency::new());
    #[allow(clippy::cast_precision_loss)] // a rate, for people
    let per_second = latency.0.len() as f64 / time.as_secs_f64();
    Ok(Outcome { per_second, latency })
}
