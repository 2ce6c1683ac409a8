//! The clock on the wall, as the demos print it: Python's `time.strftime('%X')`.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What time it is, in UTC. When the loop's clock jumps, the one on the wall shows 12:00:00 at the
/// start and goes with it: otherwise no time would seem to pass.
pub(crate) fn time_of_day() -> TimeOfDay {
    const NOON: Duration = Duration::from_secs(12 * 60 * 60);
    if super::stage().real_time {
        return TimeOfDay(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
    }
    TimeOfDay(NOON + super::loop_time().unwrap_or_default())
}

/// Hours, minutes and seconds.
#[derive(Clone, Copy)]
pub(crate) struct TimeOfDay(Duration);

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        write!(f, "{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
    }
}
