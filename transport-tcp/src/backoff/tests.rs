//! The waits grow, are spread, and begin anew.

use super::*;

#[test]
fn waits_stay_under_a_bound_that_doubles() {
    let (min, max) = (Duration::from_millis(10), Duration::from_secs(1));
    for seed in 0..1_000 {
        let mut backoff = Backoff::new(min, max, seed);
        for bound in [10, 20, 40, 80, 160, 320, 640, 1_000, 1_000] {
            assert!(backoff.wait() <= Duration::from_millis(bound));
        }
        backoff.reset();
        assert!(backoff.wait() <= min);
    }
}

#[test]
fn waits_are_spread_over_the_whole_range() {
    let second = Duration::from_secs(1);
    let mut quarters = [0; 4];
    for seed in 0..1_000 {
        let wait = Backoff::new(second, second, seed).wait();
        quarters[(wait.as_millis() / 251) as usize] += 1;
    }
    assert!(quarters.iter().all(|count| (200..300).contains(count)), "{quarters:?}");
}
