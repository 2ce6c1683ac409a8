//! Whether a worker is stuck, by the signs of life that its shard gives. Pure: times come from
//! outside.

use std::time::Duration;

use super::ShardStatistics;
use crate::event::Event;

/// What is known of a worker's signs of life.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// The last one, by CLOCK_MONOTONIC; at first when it began to serve.
    last: Duration,
    /// It was reported to be stuck.
    reported: bool,
}

impl Pulse {
    pub(super) fn began(&mut self, now: Duration) {
        self.last = now;
    }

    /// What is to be told, if something is new.
    pub(super) fn feel(
        &mut self,
        shard: usize,
        told: Option<ShardStatistics>,
        now: Duration,
        after: Duration,
    ) -> Option<Event> {
        let before = self.last;
        // A sign from the future is none: somebody has written nonsense.
        let sign = told.map(|told| told.alive).filter(|alive| *alive <= now);
        self.last = self.last.max(sign.unwrap_or_default());
        let silence = now.saturating_sub(self.last);
        if silence >= after && !mutant!("silence-is-not-heard") {
            let news = !std::mem::replace(&mut self.reported, true);
            return news.then_some(Event::Stuck { shard, silence });
        }
        let goes_on = std::mem::take(&mut self.reported);
        goes_on.then(|| Event::Unstuck { shard, silence: self.last - before })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn sign(at: u64) -> Option<ShardStatistics> {
        Some(ShardStatistics { alive: ms(at), ..ShardStatistics::default() })
    }

    #[test]
    fn silence_is_reported_once_and_so_is_its_end() {
        let mut pulse = Pulse::default();
        pulse.began(ms(1000));
        let mut feel = |told, now| pulse.feel(7, told, ms(now), ms(100));
        assert_eq!(feel(None, 1099), None);
        assert_eq!(feel(sign(1090), 1180), None);
        assert_eq!(feel(sign(1090), 1190), Some(Event::Stuck { shard: 7, silence: ms(100) }));
        assert_eq!(feel(sign(1090), 1500), None, "once");
        assert_eq!(feel(sign(1510), 1520), Some(Event::Unstuck { shard: 7, silence: ms(420) }));
        assert_eq!(feel(sign(1510), 1530), None);
        assert_eq!(feel(sign(1510), 1610), Some(Event::Stuck { shard: 7, silence: ms(100) }));
    }

    #[test]
    fn one_that_never_gives_a_sign_is_stuck_and_nonsense_is_no_sign() {
        let mut pulse = Pulse::default();
        pulse.began(ms(1000));
        assert_eq!(pulse.feel(0, sign(1 << 40), ms(1050), ms(100)), None);
        let stuck = pulse.feel(0, sign(1 << 40), ms(1100), ms(100));
        assert_eq!(stuck, Some(Event::Stuck { shard: 0, silence: ms(100) }));
    }
}
