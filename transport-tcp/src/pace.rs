//! [`Pace`]: no faster than so many bytes a second.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The largest piece written at once, so that what a pace allows does not come in bursts.
const PIECE_BYTES_MAX: usize = 64 << 10;
/// What may be caught up after a pause.
const BURST: Duration = Duration::from_millis(20);

/// Spreads bytes evenly over time.
#[derive(Debug)]
pub(crate) struct Pace {
    bytes_per_second: u64,
    /// When what was written so far has had its time.
    paid_until: Instant,
}

impl Pace {
    pub(crate) fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), paid_until: Instant::now() }
    }

    /// The bytes to write at once, at most.
    pub(crate) fn piece_bytes_max(&self) -> usize {
        let in_a_burst = self.bytes_per_second.saturating_mul(BURST.as_millis() as u64) / 1000;
        PIECE_BYTES_MAX.min(usize::try_from(in_a_burst).unwrap_or(PIECE_BYTES_MAX)).max(1)
    }

    /// Waits until the next piece may go. Whether it had to.
    pub(crate) async fn wait(&self) -> bool {
        let is_early = self.paid_until > Instant::now();
        if is_early {
            sleep_until(self.paid_until).await;
        }
        is_early
    }

    /// So many bytes have gone.
    pub(crate) fn spend(&mut self, bytes: usize) {
        let nanos = (bytes as u64).saturating_mul(1_000_000_000) / self.bytes_per_second;
        let begin = self.paid_until.max(Instant::now() - BURST);
        self.paid_until = begin + Duration::from_nanos(nanos);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bytes_take_the_time_they_must() {
        let mut pace = Pace::new(1_000_000);
        let begin = Instant::now();
        let mut sent = 0;
        while sent < 3_000_000 {
            pace.wait().await;
            pace.spend(pace.piece_bytes_max());
            sent += pace.piece_bytes_max();
        }
        let took = begin.elapsed();
        assert!((2_900..=3_100).contains(&took.as_millis()), "{took:?}");
        // A pause is not made up for.
        sleep_until(begin + Duration::from_secs(100)).await;
        let begin = Instant::now();
        for _ in 0..100 {
            pace.wait().await;
            pace.spend(10_000);
        }
        let took = begin.elapsed();
        assert!((960..=1_000).contains(&took.as_millis()), "{took:?}");
    }

    #[test]
    fn a_slow_pace_takes_small_pieces() {
        assert_eq!(Pace::new(1_000).piece_bytes_max(), 20);
        assert_eq!(Pace::new(u64::MAX).piece_bytes_max(), PIECE_BYTES_MAX);
    }
}
