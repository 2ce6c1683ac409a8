//! What time it is for a loop: the machine's monotonic clock, or a virtual one that tests move.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::sys::clock::{coarse_ns, coarse_tick_ns, monotonic_ns, saturating_ns};

/// A clock in nanoseconds: of `CLOCK_MONOTONIC`, or since a virtual one was made.
#[derive(Debug)]
pub(crate) struct Clock {
    /// The same moment in both of its names.
    base: (Instant, u64),
    /// The present of a virtual clock.
    now: Option<Cell<u64>>,
    /// By how much the coarse clock may be behind; none for a virtual clock.
    coarse: Option<u64>,
}

impl Clock {
    pub(crate) fn real() -> Self {
        Clock { base: (Instant::now(), monotonic_ns()), now: None, coarse: Some(coarse_tick_ns()) }
    }

    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn virtual_() -> Self {
        Clock { base: (Instant::now(), 0), now: Some(Cell::new(0)), coarse: None }
    }

    pub(crate) fn is_virtual(&self) -> bool {
        self.now.is_some()
    }

    pub(crate) fn now(&self) -> u64 {
        self.now.as_ref().map_or_else(monotonic_ns, Cell::get)
    }

    /// The moment `after` nanoseconds from now, for a limit: never too early, and, if it is a
    /// second or more away, perhaps a kernel tick (1 to 10 ms) late. That is the price of not
    /// reading the precise clock, which takes longer (22 ns) than all the rest of a timeout.
    pub(crate) fn deadline(&self, after: u64) -> u64 {
        const LONG: u64 = 1_000_000_000;
        match self.coarse {
            Some(tick) if after >= LONG => coarse_ns().saturating_add(tick).saturating_add(after),
            _ => self.now().saturating_add(after),
        }
    }

    /// The time to within a kernel tick, for a fifth of the price.
    pub(crate) fn roughly(&self) -> u64 {
        self.now.as_ref().map_or_else(coarse_ns, Cell::get)
    }

    /// Moves a virtual clock forward; a real one moves by itself.
    pub(crate) fn advance_to(&self, time: u64) {
        if let Some(now) = &self.now {
            now.set(now.get().max(time));
        }
    }

    pub(crate) fn instant(&self, ns: u64) -> Instant {
        let (instant, base) = self.base;
        match ns.checked_sub(base) {
            Some(after) => instant + Duration::from_nanos(after),
            None => instant - Duration::from_nanos(base - ns),
        }
    }

    pub(crate) fn ns(&self, instant: Instant) -> u64 {
        let (base, ns) = self.base;
        match instant.checked_duration_since(base) {
            Some(after) => ns.saturating_add(saturating_ns(after)),
            None => ns.saturating_sub(saturating_ns(base.duration_since(instant))),
        }
    }
}
