//! What a loop has counted.

use std::fmt;

use crate::context;
use crate::driver::ring::RingKind;
use crate::turn::Core;

/// Counters of a loop since it was made, and a few levels of the moment.
///
/// # Examples
///
/// ```
/// use uring_loop::EventLoop;
///
/// let mut event_loop = EventLoop::new()?;
/// event_loop.run_until_complete(async {
///     uring_loop::spawn(async {}).await
/// })??;
/// let statistics = event_loop.statistics();
/// assert!(statistics.polls >= 2);
/// assert!(statistics.enters <= statistics.turns);
/// println!("{}", statistics.prometheus(&[("loop", "main")]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Which ring it has.
    pub ring: RingKind,
    /// Passes of the loop.
    pub turns: u64,
    /// Calls of `io_uring_enter` by a turn: at most one each. (The [soft](RingKind::Soft) ring
    /// makes calls of its own in each.)
    pub enters: u64,
    /// Calls of `io_uring_enter` because the submission queue was full in the middle of a turn.
    pub flushes: u64,
    /// Entries submitted.
    pub submissions: u64,
    /// Completions reaped.
    pub completions: u64,
    /// Enters that found completions waiting for room in the queue.
    pub overflows: u64,
    /// Entries that had to wait in user space because the submission queue stayed full.
    pub backlogged: u64,
    /// Enters that the kernel refused for the moment (EBUSY, EAGAIN).
    pub retries: u64,
    /// Times the loop waited in the kernel.
    pub parks: u64,
    /// Times another thread woke it from there.
    pub wakes: u64,
    /// Polls of tasks.
    pub polls: u64,
    /// Tasks spawned.
    pub spawned: u64,
    /// Tasks that are not complete, now.
    pub tasks: usize,
    /// Callbacks that have not run, now.
    pub callbacks: usize,
    /// Timers armed, now.
    pub timers: usize,
    /// Operations the kernel has not finished with, now.
    pub in_flight: u32,
    /// Those of them whose future is gone.
    pub orphans: u32,
    /// Buffers free for receiving streams, and in all, now; `None` before the first receive.
    pub buffers: Option<(u16, u16)>,
    /// Times the resolver was asked for a name.
    pub lookups: u64,
    /// Look-ups of names that helper threads are at, of all loops of this process, now. If it stays
    /// at 16, name servers are silent.
    pub lookups_running: usize,
    /// Look-ups that wait for one of those to end, of all loops of this process, now.
    pub lookups_waiting: usize,
}

impl Statistics {
    /// Those of the running loop.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    #[track_caller]
    pub fn current() -> Self {
        context::core("Statistics::current", Statistics::of)
    }

    pub(crate) fn of(core: &Core) -> Self {
        let counters = core.driver.counters();
        let (turns, parks, wakes) = core.counted();
        let (in_flight, orphans) = core.driver.active();
        let (lookups_running, lookups_waiting) = crate::blocking::lookups();
        Statistics {
            ring: core.driver.ring_kind(),
            turns,
            parks,
            wakes,
            in_flight,
            orphans,
            enters: counters.enters.get(),
            flushes: counters.flushes.get(),
            submissions: counters.submissions.get(),
            completions: counters.completions.get(),
            overflows: counters.overflows.get(),
            backlogged: counters.backlogged.get(),
            retries: counters.retries.get(),
            polls: core.tasks.polls(),
            spawned: core.tasks.spawned(),
            tasks: core.tasks.alive() - core.tasks.callbacks(),
            callbacks: core.tasks.callbacks(),
            timers: core.timers.len(),
            buffers: core.driver.buffer_usage(),
            lookups: core.names.calls(),
            lookups_running,
            lookups_waiting,
        }
    }
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} turns, {} enters, {} submissions, {} completions, {} parks, {} wakes, {} polls, \
             {} tasks, {} timers, {} in flight",
            self.turns,
            self.enters,
            self.submissions,
            self.completions,
            self.parks,
            self.wakes,
            self.polls,
            self.tasks,
            self.timers,
            self.in_flight
        )
    }
}
