//! How often, and how soon, what has died is started again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// When what has panicked or died is started again: after a pause that doubles, and not for ever.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use shard::{Restart, Shards};
///
/// let restart = Restart::new().pause(Duration::from_millis(1), Duration::from_secs(1));
/// let shards = Shards::builder().count(1).on_panic(restart).spawn(|shard| async move {
///     match shard.incarnation() {
///         0 => panic!("on purpose"),
///         again => Ok(again),
///     }
/// })?;
/// assert_eq!(shards.join()?[0].returned(), Some(1));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restart {
    first: Duration,
    most: Duration,
    limit: u32,
    within: Duration,
}

impl Restart {
    /// After 10 ms, doubled by each further death within a minute, up to 5 s; given up at the tenth
    /// death within a minute.
    pub fn new() -> Self {
        Restart {
            first: Duration::from_millis(10),
            most: Duration::from_secs(5),
            limit: 10,
            within: Duration::from_secs(60),
        }
    }

    /// The first pause, and the longest.
    #[must_use]
    pub fn pause(mut self, first: Duration, most: Duration) -> Self {
        (self.first, self.most) = (first, most.max(first));
        self
    }

    /// Gives up at the `deaths`th death within such a time: a crash loop. What is older is
    /// forgotten, also for the length of the pause.
    #[must_use]
    pub fn give_up(mut self, deaths: u32, within: Duration) -> Self {
        (self.limit, self.within) = (deaths, within);
        self
    }
}

impl Default for Restart {
    fn default() -> Self {
        Self::new()
    }
}

/// The deaths of one, against its policy.
#[derive(Debug)]
pub(crate) struct Backoff {
    policy: Restart,
    deaths: VecDeque<Instant>,
}

impl Backoff {
    pub(crate) fn new(policy: Restart) -> Self {
        Backoff { policy, deaths: VecDeque::new() }
    }

    /// It has died: how long to wait before it is started again. `None`: not at all.
    pub(crate) fn died(&mut self, now: Instant) -> Option<Duration> {
        let Restart { first, most, limit, within } = self.policy;
        self.deaths.push_back(now);
        while self.deaths.front().is_some_and(|at| now.duration_since(*at) > within) {
            self.deaths.pop_front();
        }
        let deaths = u32::try_from(self.deaths.len()).unwrap_or(u32::MAX);
        if deaths >= limit && !mutant!("crash-loops-go-on") {
            return None;
        }
        let factor = 1_u32.checked_shl(deaths - 1).unwrap_or(u32::MAX);
        Some(first.saturating_mul(factor).min(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_then_it_is_given_up() {
        let policy = Restart::new().pause(ms(10), ms(50)).give_up(6, ms(1000));
        let (mut backoff, start) = (Backoff::new(policy), Instant::now());
        let pauses: Vec<_> = (0..6).map(|n| backoff.died(start + ms(n))).collect();
        let [a, b, c] = [ms(10), ms(20), ms(40)];
        assert_eq!(pauses, [Some(a), Some(b), Some(c), Some(ms(50)), Some(ms(50)), None]);
    }

    #[test]
    fn what_is_long_ago_is_forgotten() {
        let policy = Restart::new().pause(ms(10), ms(500)).give_up(3, ms(1000));
        let (mut backoff, start) = (Backoff::new(policy), Instant::now());
        assert_eq!(backoff.died(start), Some(ms(10)));
        assert_eq!(backoff.died(start + ms(1000)), Some(ms(20)));
        assert_eq!(backoff.died(start + ms(2001)), Some(ms(10)));
        assert_eq!(backoff.died(start + ms(2002)), Some(ms(20)));
        assert_eq!(backoff.died(start + ms(2003)), None);
    }

    #[test]
    fn a_limit_of_one_or_none_starts_nothing_again() {
        for limit in [0, 1] {
            let mut backoff = Backoff::new(Restart::new().give_up(limit, ms(1)));
            assert_eq!(backoff.died(Instant::now()), None);
        }
    }

    #[test]
    fn a_thousand_deaths_do_not_overflow_the_pause() {
        let policy = Restart::new().give_up(u32::MAX, ms(1000));
        let (mut backoff, now) = (Backoff::new(policy), Instant::now());
        for _ in 0..1000 {
            backoff.died(now);
        }
        assert_eq!(backoff.died(now), Some(Duration::from_secs(5)));
    }
}
