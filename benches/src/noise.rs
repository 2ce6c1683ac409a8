//! What disturbed a measurement: other processes here, and other guests of the same hardware.
//!
//! Other processes: all CPU time of the machine (/proc/stat, proc_stat(5)) less our own and that of
//! our ended children (getrusage(2)). Both are kept in ticks of 10 ms, so windows below half a
//! second say little.
//!
//! Other guests are invisible, but where two virtual cores, ours or a neighbour's, share a physical
//! one, everything takes a third longer, in spells of about a second. So a fixed piece of work, two
//! milliseconds of the cheapest system call on all cores at once, is timed before and after.

use std::fs;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde::Serialize;

/// What disturbed one measurement.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Disturbance {
    /// Cores that other processes kept busy meanwhile, on average.
    pub others: f64,
    /// Nanoseconds of the cheapest system call, the mean of before and after on all cores.
    pub pace_ns: f64,
}

/// A beginning, to be compared with the end.
#[derive(Debug)]
pub struct Watch {
    begin: Instant,
    machine: Duration,
    ours: Duration,
    pace_ns: f64,
}

impl Watch {
    /// Begins to watch.
    ///
    /// # Errors
    ///
    /// When /proc/stat cannot be read or a core not be used.
    pub fn start() -> anyhow::Result<Self> {
        let pace_ns = pace()?;
        Ok(Self { begin: Instant::now(), machine: machine()?, ours: ours()?, pace_ns })
    }

    /// What happened since. Children still running count as others.
    ///
    /// # Errors
    ///
    /// As [`Watch::start`].
    pub fn stop(&self) -> anyhow::Result<Disturbance> {
        let machine = machine()?.saturating_sub(self.machine);
        let ours = ours()?.saturating_sub(self.ours);
        let busy = machine.saturating_sub(ours).as_secs_f64();
        let others = busy / self.begin.elapsed().as_secs_f64();
        Ok(Disturbance { others, pace_ns: f64::midpoint(self.pace_ns, pace()?) })
    }
}

/// Times the cheapest system call on all cores this process may use, at the same time: two virtual
/// cores may share a physical one, which shows only when both work.
///
/// # Errors
///
/// When a core cannot be used.
pub fn pace() -> anyhow::Result<f64> {
    const CALLS: u32 = 10_000;
    let cores = core_affinity::get_core_ids().context("listing the cores")?;
    let together = Barrier::new(cores.len());
    let one = |core: usize| -> anyhow::Result<f64> {
        let pinned = crate::pin::to_core(core);
        together.wait();
        pinned?;
        let begin = Instant::now();
        // SAFETY: getppid(2) takes nothing and always succeeds.
        (0..CALLS).for_each(|_| unsafe {
            libc::syscall(libc::SYS_getppid);
        });
        Ok(begin.elapsed().as_nanos() as f64 / f64::from(CALLS))
    };
    // On threads of their own: this one's affinity stays as it is.
    let sum: anyhow::Result<f64> = std::thread::scope(|scope| {
        let timers: Vec<_> = cores.iter().map(|core| scope.spawn(|| one(core.id))).collect();
        let joined = timers.into_iter().map(|timer| timer.join());
        joined.map(|timed| timed.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).sum()
    });
    Ok(sum? / cores.len() as f64)
}

/// Waits until nobody else works for a tenth of a second and the machine is at its pace again, or
/// `patience` is over.
///
/// # Errors
///
/// As [`Watch::start`].
pub fn wait_for_quiet(best_pace_ns: f64, tolerance: f64, patience: Duration) -> anyhow::Result<()> {
    let begin = Instant::now();
    while begin.elapsed() < patience {
        let before = machine()?;
        std::thread::sleep(Duration::from_millis(100));
        let busy = (machine()? - before).as_secs_f64() / 0.1;
        if busy <= tolerance && pace()? <= best_pace_ns * (1.0 + tolerance) {
            break;
        }
    }
    Ok(())
}

fn machine() -> anyhow::Result<Duration> {
    let text = fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
    busy_ticks(&text).map(|ticks| Duration::from_millis(ticks * 10)).context("no cpu in /proc/stat")
}

/// user, nice, system, irq, softirq and steal of the first line; idle and iowait are no work.
fn busy_ticks(stat: &str) -> Option<u64> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let fields: Vec<u64> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    let busy = [0, 1, 2, 5, 6, 7].map(|index| fields.get(index).copied());
    busy.into_iter().sum()
}

fn ours() -> anyhow::Result<Duration> {
    let both = |usage: Usage| {
        (usage.user_time() + usage.system_time()).num_microseconds().try_into().unwrap_or(0)
    };
    let own = both(getrusage(UsageWho::RUSAGE_SELF)?);
    let children = both(getrusage(UsageWho::RUSAGE_CHILDREN)?);
    Ok(Duration::from_micros(own + children))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_not_work() {
        let stat = "cpu  10 20 30 4000 500 6 7 8 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(busy_ticks(stat), Some(10 + 20 + 30 + 6 + 7 + 8));
        assert_eq!(busy_ticks("intr 1 2 3"), None);
    }

    #[test]
    fn a_child_still_running_is_one_of_the_others() {
        let watch = Watch::start().unwrap();
        let busy = ["-c", "ulimit -t 60; while :; do :; done"];
        let mut child = std::process::Command::new("sh").args(busy).spawn().unwrap();
        // until it has worked for a quarter of the time, however busy the machine is
        let seen = (0..600).any(|_| {
            std::thread::sleep(Duration::from_millis(100));
            watch.stop().unwrap().others > 0.25
        });
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(seen);
    }
}
