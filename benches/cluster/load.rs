//! Clients: closed loop (each asks again as soon as it is answered) and open loop (requests come at a fixed rate, whether
//! or not earlier ones are answered).

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::task::LocalSet;
use tokio::time::sleep;

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

    /// The time that this share of all did not exceed.
    #[allow(clippy::cast_precision_loss)] // milliseconds of a benchmark
    pub(crate) fn ms_at(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1e6
    }

    #[allow(clippy::cast_precision_loss)] // a rate, for people
    fn per_second(&self, time: Duration) -> f64 {
        self.0.len() as f64 / time.as_secs_f64()
    }
}

/// What came of a run.
pub(crate) struct Outcome {
    pub(crate) per_second: f64,
    pub(crate) latency: Latency,
}

/// Runs `clients` of them for `time`, after a tenth of it to warm up. An error of any request ends the run.
pub(crate) async fn closed_loop<F, R, E>(clients: usize, time: Duration, request: F) -> Result<Outcome, E>
where
    F: Fn() -> R + 'static,
    R: Future<Output = Result<(), E>>,
    E: 'static,
{
    let request = Rc::new(request);
    let latency = Rc::new(RefCell::new(Latency::new()));
    let begin = Instant::now() + time / 10;
    let end = begin + time;
    let tasks = LocalSet::new();
    let running: Vec<_> = (0..clients)
        .map(|_| {
            let (request, latency) = (request.clone(), latency.clone());
            tasks.spawn_local(async move {
                loop {
                    let start = Instant::now();
                    if start >= end {
                        return Ok(());
                    }
                    request().await?;
                    let done = Instant::now();
                    if start >= begin && done <= end {
                        latency.borrow_mut().record(done - start);
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
    Ok(Outcome { per_second: latency.per_second(time), latency })
}

/// Lets `rate` requests a second come for `time`. What a request waits counts from when it should have come, so a hold-up
/// is seen by all that come meanwhile.
pub(crate) async fn open_loop<F, R, E>(rate: f64, time: Duration, request: F) -> Result<Outcome, E>
where
    F: Fn() -> R + 'static,
    R: Future<Output = Result<(), E>> + 'static,
    E: 'static,
{
    const STEP: Duration = Duration::from_millis(1);
    let latency = Rc::new(RefCell::new(Latency::new()));
    let failed = Rc::new(RefCell::new(None));
    let tasks = LocalSet::new();
    let come = {
        let (latency, failed) = (latency.clone(), failed.clone());
        async move {
            let begin = Instant::now();
            let mut count = 0.0;
            while begin.elapsed() < time && failed.borrow().is_none() {
                while count < begin.elapsed().as_secs_f64() * rate {
                    let due = begin + Duration::from_secs_f64(count / rate);
                    let (latency, failed, asked) = (latency.clone(), failed.clone(), request());
                    tokio::task::spawn_local(async move {
                        match asked.await {
                            Ok(()) => latency.borrow_mut().record(due.elapsed()),
                            Err(error) => *failed.borrow_mut() = Some(error),
                        }
                    });
                    count += 1.0;
                }
                sleep(STEP).await;
            }
        }
    };
    tasks.spawn_local(come);
    tasks.await;
    if let Some(error) = failed.borrow_mut().take() {
        return Err(error);
    }
    let latency = std::mem::replace(&mut *latency.borrow_mut(), Latency::new());
    Ok(Outcome { per_second: latency.per_second(time), latency })
}
