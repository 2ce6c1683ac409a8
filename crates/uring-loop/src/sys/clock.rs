//! The monotonic clock in nanoseconds, as `io_uring_enter` wants it for absolute deadlines.

use std::time::Duration;

fn read(clock: libc::clockid_t) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid, writable timespec for the length of the call.
    let result = unsafe { libc::clock_gettime(clock, &mut now) };
    debug_assert_eq!(result, 0, "both monotonic clocks always exist");
    ns(now)
}

fn ns(time: libc::timespec) -> u64 {
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Nanoseconds of `CLOCK_MONOTONIC`, the clock of `std::time::Instant` on Linux and the default
/// clock of `IORING_ENTER_ABS_TIMER` (io_uring_enter(2)).
pub(crate) fn monotonic_ns() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

/// The same clock as of the last kernel tick: behind by up to [`coarse_tick_ns`], and read in a
/// fifth of the time.
pub(crate) fn coarse_ns() -> u64 {
    read(libc::CLOCK_MONOTONIC_COARSE)
}

/// The resolution of the coarse clock.
pub(crate) fn coarse_tick_ns() -> u64 {
    let mut tick = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `tick` is a valid, writable timespec for the length of the call.
    let result = unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC_COARSE, &mut tick) };
    debug_assert_eq!(result, 0, "the coarse clock always exists");
    ns(tick)
}

/// The kernel's `struct __kernel_timespec`: 64-bit on every architecture.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

impl Timespec {
    /// From nanoseconds; what does not fit in the kernel's `i64` seconds can't be written in `u64`.
    pub(crate) fn from_ns(ns: u64) -> Self {
        Timespec { seconds: (ns / 1_000_000_000) as i64, nanoseconds: (ns % 1_000_000_000) as i64 }
    }
}

/// A duration in nanoseconds, cut off at `u64::MAX` (584 years).
pub(crate) fn saturating_ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
