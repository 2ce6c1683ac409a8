//! Programs that measure one thing once, in a fresh process, and print one line of JSON: what the
//! `exec_*`, `msg_*` and `pool_*` programs share.

use std::time::Duration;

/// How long to measure.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Length {
    /// A figure is taken over at least so long
    #[arg(
        long,
        default_value_t = 200,
        value_parser = clap::value_parser!(u64).range(1..=60_000),
        global = true
    )]
    milliseconds: u64,
}

impl Length {
    /// Runs `work` with growing counts until one run is long enough; returns nanoseconds per unit.
    ///
    /// The shorter runs before it are the warm-up.
    pub fn nanoseconds_per_unit(self, mut work: impl FnMut(u64) -> Duration) -> f64 {
        let enough = Duration::from_millis(self.milliseconds);
        let mut count = 1;
        loop {
            let took = work(count);
            if took >= enough {
                return took.as_nanos() as f64 / count as f64;
            }
            let factor = enough.as_secs_f64() * 1.3 / took.as_secs_f64().max(1e-9);
            count = ((count as f64 * factor.clamp(1.5, 20.0)) as u64).max(count + 1);
        }
    }
}

/// Ends the process after two minutes, should the measured code hang.
pub fn limit_life() {
    crate::serve::end_after(120);
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Length = Length { milliseconds: 200 };

    #[test]
    fn counts_grow_until_the_run_is_long_enough() {
        let mut counts = Vec::new();
        let ns = USUAL.nanoseconds_per_unit(|count| {
            counts.push(count);
            Duration::from_nanos(count * 50)
        });
        assert_eq!(ns, 50.0);
        assert!(counts.is_sorted() && *counts.last().unwrap() * 50 >= 200_000_000, "{counts:?}");
    }

    #[test]
    fn work_too_short_for_the_clock_still_ends() {
        let ns = USUAL.nanoseconds_per_unit(|count| {
            if count < 1_000_000_000 { Duration::ZERO } else { Duration::from_millis(200) }
        });
        assert!(ns > 0.0);
    }
}
