//! Programs that measure one thing once, in a fresh process, and print one line of JSON: what all
//! but the `echo_*` programs share.

use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::pin;
use crate::spent::Spent;

/// The flags of a program that runs on one core and needs no others.
#[derive(Debug, Parser)]
#[command(about = "Measures one thing and prints one line of JSON")]
pub struct OnOneCore<What: Subcommand> {
    /// What to measure.
    #[command(subcommand)]
    pub what: What,
    /// For how long.
    #[command(flatten)]
    pub length: Length,
    /// Core to run on
    #[arg(long, default_value_t = 0, global = true)]
    core: usize,
}

impl<What: Subcommand> OnOneCore<What> {
    /// Reads the flags, pins this thread and [limits](limit_life) the process. Ends it when called
    /// wrongly, or for help.
    ///
    /// # Errors
    ///
    /// When pinning is refused.
    pub fn begin() -> anyhow::Result<Self> {
        let options = Self::parse();
        limit_life();
        pin::to_core(options.core)?;
        Ok(options)
    }
}

/// The cores of a program that has two sides.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct TwoCores {
    /// Core of the measured side, or of the one that asks
    #[arg(long, default_value_t = 0, global = true)]
    pub core: usize,
    /// Core of the other side
    #[arg(long, default_value_t = 1, global = true)]
    pub other_core: usize,
}

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

/// What one unit of work took, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PerUnit {
    /// Time.
    pub ns: f64,
    /// CPU time.
    pub cpu_ns: f64,
}

impl Length {
    /// At least so many milliseconds.
    #[must_use]
    pub fn milliseconds(self) -> u64 {
        self.milliseconds
    }

    /// Runs `work` with growing counts until one run is long enough; returns nanoseconds per unit.
    ///
    /// The shorter runs before it are the warm-up.
    pub fn nanoseconds_per_unit(self, mut work: impl FnMut(u64) -> Duration) -> f64 {
        let mut count = 1;
        loop {
            let took = work(count);
            match self.more(count, took) {
                Some(more) => count = more,
                None => return took.as_nanos() as f64 / count as f64,
            }
        }
    }

    /// The same for work that tells its CPU time too, and may fail.
    ///
    /// # Errors
    ///
    /// That of `work`.
    pub fn spent_per_unit(
        self,
        mut work: impl FnMut(u64) -> anyhow::Result<Spent>,
    ) -> anyhow::Result<PerUnit> {
        let mut count = 1;
        loop {
            let spent = work(count)?;
            match self.more(count, spent.time) {
                Some(more) => count = more,
                None => {
                    let each = |time: Duration| time.as_nanos() as f64 / count as f64;
                    return Ok(PerUnit { ns: each(spent.time), cpu_ns: each(spent.cpu) });
                }
            }
        }
    }

    /// How many there are to be in the next run, if that of `count` was too short.
    fn more(self, count: u64, took: Duration) -> Option<u64> {
        let enough = Duration::from_millis(self.milliseconds);
        if took >= enough {
            return None;
        }
        let factor = enough.as_secs_f64() * 1.3 / took.as_secs_f64().max(1e-9);
        Some(((count as f64 * factor.clamp(1.5, 20.0)) as u64).max(count + 1))
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
    fn cpu_time_is_that_of_the_run_that_counts() {
        let per_unit = USUAL.spent_per_unit(|count| {
            let cpu = if count == 1 { 1_000_000 } else { count * 10 };
            Ok(Spent { time: Duration::from_nanos(count * 50), cpu: Duration::from_nanos(cpu) })
        });
        assert_eq!(per_unit.unwrap(), PerUnit { ns: 50.0, cpu_ns: 10.0 });
        assert!(USUAL.spent_per_unit(|_| anyhow::bail!("no")).is_err());
    }

    #[test]
    fn work_too_short_for_the_clock_still_ends() {
        let ns = USUAL.nanoseconds_per_unit(|count| {
            if count < 1_000_000_000 { Duration::ZERO } else { Duration::from_millis(200) }
        });
        assert!(ns > 0.0);
    }
}
