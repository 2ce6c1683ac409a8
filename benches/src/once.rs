//! Programs that measure one thing once, in a fresh process, and print one line of JSON: what the
//! `exec_*`, `msg_*` and `pool_*` programs share.

use std::time::Duration;

/// A figure is taken over at least so long.
const LONG_ENOUGH: Duration = Duration::from_millis(200);

/// Runs `work` with growing counts until one run is long enough; returns nanoseconds per unit.
///
/// The shorter runs before it are the warm-up.
pub fn nanoseconds_per_unit(mut work: impl FnMut(u64) -> Duration) -> f64 {
    let mut count = 1;
    loop {
        let took = work(count);
        if took >= LONG_ENOUGH {
            return took.as_nanos() as f64 / count as f64;
        }
        let factor = LONG_ENOUGH.as_secs_f64() * 1.3 / took.as_secs_f64().max(1e-9);
        count = (count as f64 * factor.clamp(1.5, 20.0)) as u64;
    }
}

/// Ends the process after two minutes, should the measured code hang.
pub fn limit_life() {
    crate::serve::end_after(120);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_grow_until_the_run_is_long_enough() {
        let mut counts = Vec::new();
        let ns = nanoseconds_per_unit(|count| {
            counts.push(count);
            Duration::from_nanos(count * 50)
        });
        assert_eq!(ns, 50.0);
        assert!(counts.is_sorted() && *counts.last().unwrap() * 50 >= 200_000_000, "{counts:?}");
    }

    #[test]
    fn work_too_short_for_the_clock_still_ends() {
        let ns =
            nanoseconds_per_unit(
                |count| {
                    if count < 1_000_000_000 { Duration::ZERO } else { LONG_ENOUGH }
                },
            );
        assert!(ns > 0.0);
    }
}
