//! [`Restraint`]: what is said again and again is said at growing intervals.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// The wait before something is said a second time; it doubles from there.
const WAIT_MIN: Duration = Duration::from_secs(60);
/// The longest wait. What has not come up for so long is forgotten, and news when it does.
const WAIT_MAX: Duration = Duration::from_secs(60 * 60);

/// Decides what is worth a line in the log. Something is said at once; then, while it goes on, after a minute, after two,
/// after four, and at last every hour.
#[derive(Debug)]
pub(crate) struct Restraint<K> {
    said: HashMap<K, Said>,
    subjects_max: usize,
}

#[derive(Debug)]
struct Said {
    last: Instant,
    wait: Duration,
    /// Times since that it was not said.
    withheld: u64,
}

impl<K: Eq + Hash> Restraint<K> {
    /// Remembers at most so many subjects. While they are all recent, a further one is not spoken of at all.
    pub(crate) fn new(subjects_max: usize) -> Self {
        Self { said: HashMap::new(), subjects_max }
    }

    /// Whether to say it now. If so, how often it was withheld since it was last said.
    pub(crate) fn may_say(&mut self, subject: K) -> Option<u64> {
        self.may_say_at(subject, Instant::now())
    }

    fn may_say_at(&mut self, subject: K, now: Instant) -> Option<u64> {
        if let Some(said) = self.said.get_mut(&subject) {
            let since = now.saturating_duration_since(said.last);
            if since < said.wait {
                said.withheld += 1;
                return None;
            }
            let wait = if since < WAIT_MAX + said.wait { (said.wait * 2).min(WAIT_MAX) } else { WAIT_MIN };
            let withheld = said.withheld;
            *said = Said { last: now, wait, withheld: 0 };
            return Some(withheld);
        }
        if self.said.len() >= self.subjects_max {
            self.said.retain(|_, said| now.saturating_duration_since(said.last) < WAIT_MAX);
        }
        if self.said.len() >= self.subjects_max {
            return None;
        }
        self.said.insert(subject, Said { last: now, wait: WAIT_MIN, withheld: 0 });
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_is_said_ever_less_often() {
        let mut restraint = Restraint::new(8);
        let begin = Instant::now();
        let said: Vec<_> = (0..7_300)
            .filter_map(|second| {
                let withheld = restraint.may_say_at("refused", begin + Duration::from_secs(second))?;
                Some((second, withheld))
            })
            .collect();
        let expected = [(0, 0), (60, 59), (180, 119), (420, 239), (900, 479), (1_860, 959), (3_780, 1_919)];
        assert_eq!(said[..7], expected);
        assert_eq!(said[7..], [], "then once an hour");
    }

    #[test]
    fn what_was_long_over_is_news() {
        let mut restraint = Restraint::new(8);
        let begin = Instant::now();
        restraint.may_say_at(1, begin);
        restraint.may_say_at(1, begin + WAIT_MIN);
        assert_eq!(restraint.may_say_at(1, begin + WAIT_MAX * 3), Some(0));
        assert_eq!(restraint.may_say_at(1, begin + WAIT_MAX * 3 + WAIT_MIN), Some(0), "from the beginning");
    }

    #[test]
    fn subjects_are_bounded_and_the_old_give_way() {
        let mut restraint = Restraint::new(2);
        let begin = Instant::now();
        assert_eq!([1, 2, 3].map(|subject| restraint.may_say_at(subject, begin)), [Some(0), Some(0), None]);
        assert_eq!(restraint.may_say_at(3, begin + WAIT_MAX), Some(0));
        assert_eq!(restraint.said.len(), 1);
    }
}
